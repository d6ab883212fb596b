"""Judges a server by the documents: which operations belong to which profile, and in which order they run."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from openhands_contract.drive import Settings, Target, drive
from openhands_contract.preparation import agent_server, app_server, key_header
from openhands_contract.report import Report


class Profile(StrEnum):
    """A part of the API that a server can promise on its own."""

    V0 = "v0"
    V1 = "v1"
    AGENT = "agent"
    ALL = "all"


_APP_TAGS: dict[Profile, frozenset[str]] = {
    Profile.V0: frozenset({"v0-conversations", "v0-events", "v0-workspace", "feedback", "settings", "meta"}),
    Profile.V1: frozenset(
        {"app-conversations", "start-tasks", "events", "sandboxes", "users", "webhooks", "meta"}
    ),
    Profile.ALL: frozenset(),
}


def judge(
    url: str,
    settings: Settings,
    *,
    profile: Profile = Profile.ALL,
    api_key: str | None = None,
    agent_url: str | None = None,
) -> Iterator[tuple[Report, list[str]]]:
    """Yield a report per document, each with the secrets that may stand in it.

    Raises:
        CannotRun: there is nothing to judge at `url`.
    """
    url = url.rstrip("/")
    with app_server(url, api_key) as client:
        own_secrets = [api_key] if api_key else []
        if profile in _APP_TAGS:
            target = Target("app-server", url, key_header(api_key), _APP_TAGS[profile])
            yield drive(target, settings), own_secrets
        if profile in (Profile.AGENT, Profile.ALL):
            with agent_server(client, agent_url) as agent:
                known = {"conversation_id": [agent.conversation_id]}
                if agent.event_ids:
                    known["event_id"] = agent.event_ids
                target = Target("agent-server", agent.url, key_header(agent.key), known=known)
                yield drive(target, settings), [*own_secrets, agent.key]
