"""The habits a server line can have; the defaults are those of a correct server.

Where lines differ stands in `docs/deviations.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openhands_contract import documents
from openhands_reference_server.dialects.answers import Rule

_AGENT_SERVER = {"title": "OpenHands Agent Server", "version": "1.5.2", "docs": "/docs", "redoc": "/redoc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a server of some line behaves.

    Attributes:
        name: what it is called everywhere.
        agent_server: what the agent server says it is.
        app_rules: what the app server refuses in other words than the documents.
        agent_rules: likewise the agent server.
        has_v0: there are V0 conversations, and Socket.IO to follow them.
        ids_checked_in: the V0 operations that look at the syntax of ids; None: all of them. An encoded slash in
            an id parts it where they do not.
        redirects_slashes: a path with a slash too many or too few is answered with a redirect.
        v0_ready: the runtime status of a V0 conversation that runs.
        v0_reaches_v1: V0 start and stop reach V1 conversations.
        tells_status_before_stop: `stop` answers the status a V0 conversation had before.
        web_hosts_have_ports: web hosts are an object, from address to port.
        reads_replay_later: whether `replay_json` can be read is not looked at when a conversation is created.
        lists_count_no_connections: lists show no conversation as connected.
        v0_pages_lose_items: pages of the V0 list lose and repeat conversations, and have no limit.
        replays_before_connect: a Socket.IO client hears the replay before it hears that it is connected.
        titles_wait: the title of a V1 start request is ignored.
        initial_message_always_runs: whatever its `run` says.
        start_error_prefix: what stands before the reason why a start task has failed.
        wakes_sandboxes_in_vain: a start in a paused sandbox fails, but wakes it.
        event_pages_lose_items: between two pages of the app server's events one event is lost.
        compares_no_zones: a time with a zone cannot be compared with those of events.
        reads_sandbox_of_query: the sandbox to delete is the one in the query, whatever the path says.
        user_needs_settings: before settings were stored there is no user.
        newer_fields: answers have the fields that came with 1.11.
        healthy: what `/health` of the agent server answers.
        run_waits: `run` and an accepted confirmation are answered when the agent has come to rest; else at
            once, and what runs already cannot be run again.
        keeps_shared_sandboxes: deleting a conversation leaves its sandbox to others that live there.
        key_in_first_frame: a WebSocket may show its key in a header, or in its first frame when it has none.
        answers_bad_frames: what a WebSocket client says wrong is answered, not ignored.
        git_wants_directories: changes are not looked for in a directory that does not exist.
        user_messages_only: agents take messages of no other role.
        batches_want_known_events: a batch of events with an unknown id fails as a whole.
        full_kind_paths: a search on the agent server wants the full Python path of a kind.
    """

    name: documents.Dialect
    agent_server: Mapping[str, Any] = field(default_factory=lambda: _AGENT_SERVER)
    app_rules: tuple[Rule, ...] = ()
    agent_rules: tuple[Rule, ...] = ()
    has_v0: bool = True
    ids_checked_in: frozenset[str] | None = None
    redirects_slashes: bool = False
    v0_ready: str = "STATUS$READY"
    v0_reaches_v1: bool = True
    tells_status_before_stop: bool = False
    web_hosts_have_ports: bool = False
    reads_replay_later: bool = False
    lists_count_no_connections: bool = False
    v0_pages_lose_items: bool = False
    replays_before_connect: bool = False
    titles_wait: bool = False
    initial_message_always_runs: bool = False
    start_error_prefix: str = ""
    wakes_sandboxes_in_vain: bool = False
    event_pages_lose_items: bool = False
    compares_no_zones: bool = False
    reads_sandbox_of_query: bool = False
    user_needs_settings: bool = False
    newer_fields: bool = False
    healthy: Any = "OK"
    run_waits: bool = True
    keeps_shared_sandboxes: bool = False
    key_in_first_frame: bool = False
    answers_bad_frames: bool = False
    git_wants_directories: bool = False
    user_messages_only: bool = False
    batches_want_known_events: bool = False
    full_kind_paths: bool = False
