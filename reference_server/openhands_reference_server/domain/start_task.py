"""A start task: the long way from a request to a V1 conversation.

The stages only ever go forward, through `script.START_STAGES`; ERROR can follow any of them but READY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from openhands_reference_server.domain import v1_events
from openhands_reference_server.domain.changes import Changes
from openhands_reference_server.domain.errors import IllegalTransition
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.script import (
    ERROR,
    READY,
    START_STAGES,
    STARTING_CONVERSATION,
    WORKING,
)

_REQUEST_DEFAULTS: Mapping[str, Any] = {
    "sandbox_id": None,
    "conversation_id": None,
    "initial_message": None,
    "system_message_suffix": None,
    "processors": None,
    "llm_model": None,
    "selected_repository": None,
    "selected_branch": None,
    "git_provider": None,
    "title": None,
    "trigger": None,
    "pr_number": (),
    "parent_conversation_id": None,
    "agent_type": "default",
}


@dataclass(frozen=True, slots=True)
class StartTask:
    """The fold of a start task's records."""

    id: str
    request: Mapping[str, Any]
    created_at: str
    updated_at: str
    status: str = WORKING
    detail: str | None = None
    sandbox_id: str | None = None
    app_conversation_id: str | None = None

    @property
    def ended(self) -> bool:
        """READY or ERROR: nothing follows."""
        return self.status in (READY, ERROR)

    @property
    def has_agent_server(self) -> bool:
        """The stage at which the task shows the URL of the agent server has been reached."""
        return self.status in (STARTING_CONVERSATION, READY)

    def to_json(self) -> dict[str, Any]:
        """As it stands in `state.json`."""
        return asdict(self)


Writing: TypeAlias = Changes[StartTask]


def from_json(data: Mapping[str, Any]) -> StartTask:
    """Undo `to_json`."""
    return StartTask(**data)


def fold(state: StartTask | None, record: Mapping[str, Any]) -> StartTask:
    """Apply one record."""
    at = record["at"]
    if state is None:
        return StartTask(id=record["id"], request=record["request"], created_at=at, updated_at=at)
    state = replace(state, updated_at=at)
    match record["record"]:
        case "stage":
            return replace(state, status=record["status"], sandbox_id=record["sandbox_id"])
        case "ready":
            ready = {"app_conversation_id": record["app_conversation_id"], "sandbox_id": record["sandbox_id"]}
            return replace(state, status=READY, **ready)
        case "failed":
            return replace(state, status=ERROR, detail=record["detail"])
        case _:
            return state


def complete_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the task shows it: known fields only, with their defaults, ids undashed.

    An initial message runs the agent unless it says `run: false`.
    """
    given = {name: body.get(name, default) for name, default in _REQUEST_DEFAULTS.items()}
    message = given["initial_message"]
    if message is not None:
        given["initial_message"] = {
            "role": message.get("role", "user"),
            "content": v1_events.content(message.get("content") or []),
            "run": message.get("run", True) is not False,
        }
    for name in ("conversation_id", "parent_conversation_id"):
        if given[name] is not None:
            given[name] = canonical(given[name])
    given["pr_number"] = list(given["pr_number"] or ())
    given["agent_type"] = given["agent_type"] or "default"
    return given


def create(changes: Writing, task_id: str, request: Mapping[str, Any]) -> None:
    """A new task, WORKING."""
    changes.record("created", id=task_id, request=dict(request))


def reach(changes: Writing, status: str, *, sandbox_id: str | None) -> None:
    """Enter a stage between WORKING and READY.

    Raises:
        IllegalTransition: the task has ended, or the stage lies behind it, or there is no such stage.
    """
    now = changes.state.status
    ahead = () if changes.state.ended else START_STAGES[START_STAGES.index(now) + 1 : -1]
    if status not in ahead:
        raise IllegalTransition(f"A start task cannot go from {now} to {status}")
    changes.record("stage", status=status, sandbox_id=sandbox_id)


def finish(changes: Writing, conversation_id: str, *, sandbox_id: str) -> None:
    """READY, with the conversation and where it lives."""
    _still_open(changes)
    changes.record("ready", app_conversation_id=conversation_id, sandbox_id=sandbox_id)


def fail(changes: Writing, detail: str) -> None:
    """ERROR, with the reason."""
    _still_open(changes)
    changes.record("failed", detail=detail)


def _still_open(changes: Writing) -> None:
    if changes.state.ended:
        raise IllegalTransition(f"A start task that is {changes.state.status} stays so")
