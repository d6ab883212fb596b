"""Tools for tests of the domain: time that stands where it is put, ids that can be told apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from openhands_reference_server.domain import v0, v1
from openhands_reference_server.domain.changes import Changes


class Ledger:
    """Makes `Changes` with a ticking clock and counted ids, and keeps all records."""

    def __init__(self) -> None:
        ticks = count()
        start = datetime(2026, 11, 20, 12, tzinfo=UTC)
        ids = count(1)
        self.records: list[dict[str, Any]] = []
        self._now = lambda: start + timedelta(milliseconds=next(ticks))
        self._new_id = lambda: UUID(int=next(ids))

    def changes(self, fold: Any, state: Any = None) -> Changes[Any]:
        return Changes(state, fold=fold, now=self._now, new_id=self._new_id)

    def apply(self, fold: Any, state: Any, decide: Callable[..., None], *args: Any, **kwargs: Any) -> Any:
        """Make one decision; returns the new state."""
        changes = self.changes(fold, state)
        decide(changes, *args, **kwargs)
        self.records += changes.records
        return changes.state if changes.records else state

    @property
    def events(self) -> list[dict[str, Any]]:
        return [record["event"] for record in self.records if record["record"] == "event"]


class V0Life:
    """A V0 conversation to which things happen."""

    def __init__(self, **details: Any) -> None:
        self.ledger = Ledger()
        self.state: v0.V0Conversation = self.ledger.apply(
            v0.fold, None, v0.create, {"id": "ab" * 16, **details}
        )

    def __call__(self, decide: Callable[..., None], *args: Any, **kwargs: Any) -> V0Life:
        self.state = self.ledger.apply(v0.fold, self.state, decide, *args, **kwargs)
        return self

    @property
    def story(self) -> list[str]:
        """What happened, one word per event."""
        return [v0_word(event) for event in self.ledger.events]


class V1Life:
    """A V1 conversation to which things happen."""

    def __init__(self, **details: Any) -> None:
        self.ledger = Ledger()
        given = {"id": "cd" * 16, "sandbox_id": "box", "pr_number": [], **details}
        self.state: v1.V1Conversation = self.ledger.apply(v1.fold, None, v1.create, given)

    def __call__(self, decide: Callable[..., None], *args: Any, **kwargs: Any) -> V1Life:
        self.state = self.ledger.apply(v1.fold, self.state, decide, *args, **kwargs)
        return self

    def say(self, text: str, *, run: bool = True) -> V1Life:
        return self(v1.send_message, [{"type": "text", "text": text}], role="user", run=run)

    @property
    def story(self) -> list[str]:
        return [v1_word(event) for event in self.ledger.events]


def v0_word(event: dict[str, Any]) -> str:
    if event.get("observation") == "agent_state_changed":
        return f"is {event['extras']['agent_state']}"
    if event.get("action") == "change_agent_state":
        return f"to {event['args']['agent_state']}"
    return f"{event['source']} {event['action']}" if "action" in event else f"got {event['observation']}"


def v1_word(event: dict[str, Any]) -> str:
    match event["kind"]:
        case "ConversationStateUpdateEvent":
            return str(event["value"]) if event["key"] == "execution_status" else str(event["key"])
        case "ActionEvent":
            return str(event["action"]["kind"])
        case "ObservationEvent":
            return str(event["observation"]["kind"])
        case "MessageEvent":
            return f"{event['source']} says"
        case kind:
            return str(kind)


@pytest.fixture
def v0_life() -> type[V0Life]:
    return V0Life


@pytest.fixture
def v1_life() -> type[V1Life]:
    return V1Life
