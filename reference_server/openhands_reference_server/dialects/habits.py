"""The habits a server line can have; the defaults are those of a correct server.

Rows are those of the table in `reference_server/README.md`, which says where lines differ.
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
        newer_fields: answers have the fields that came with 1.11.
        healthy: what `/health` of the agent server answers.
        run_waits: `run` and an accepted confirmation are answered when the agent has come to rest; else at
            once, and what runs already cannot be run again.
        keeps_shared_sandboxes: deleting a conversation leaves its sandbox to others that live there.
        key_in_first_frame: a WebSocket may show its key in a header, or in its first frame when it has none.
        answers_bad_frames: what a WebSocket client says wrong is answered, not ignored.
        user_messages_only: agents take messages of no other role.
        batches_want_known_events: a batch of events with an unknown id fails as a whole.
        full_kind_paths: a search on the agent server wants the full Python path of a kind.
    """

    name: documents.Dialect
    agent_server: Mapping[str, Any] = field(default_factory=lambda: _AGENT_SERVER)
    app_rules: tuple[Rule, ...] = ()
    agent_rules: tuple[Rule, ...] = ()
    has_v0: bool = True
    newer_fields: bool = False
    healthy: Any = "OK"
    run_waits: bool = True
    keeps_shared_sandboxes: bool = False
    key_in_first_frame: bool = False
    answers_bad_frames: bool = False
    user_messages_only: bool = False
    batches_want_known_events: bool = False
    full_kind_paths: bool = False
