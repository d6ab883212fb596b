"""Records, and how a decision collects them.

A record is one JSON object: `record` says what happened, `at` when. States are folds over records
and nothing else, so a state can always be rebuilt. `Changes` is handed to a decision: it stamps each
record, keeps the state up to date while the decision goes on, and ends as the list to be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from openhands_reference_server.domain.times import zoned

Record: TypeAlias = dict[str, Any]
Event: TypeAlias = dict[str, Any]
State = TypeVar("State")
Fold: TypeAlias = Callable[[State | None, Mapping[str, Any]], State]


class Changes(Generic[State]):
    """The records one decision makes, applied as they are made.

    Args:
        state: where the decision starts; None when it creates the thing.
        fold: applies one record to a state.
        now: the time of the next record; strictly increasing.
        new_id: a fresh random UUID.
    """

    def __init__(
        self,
        state: State | None,
        *,
        fold: Fold[State],
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self.records: list[Record] = []
        self.new_id = new_id
        self._state = state
        self._fold = fold
        self._now = now

    @property
    def state(self) -> State:
        """The state with all records made so far."""
        if self._state is None:
            raise LookupError("nothing has been created yet")
        return self._state

    def record(self, kind: str, /, *, at: datetime | None = None, **fields: Any) -> Record:
        """Make one record and apply it."""
        made: Record = {"record": kind, "at": zoned(at or self._now()), **fields}
        self._state = self._fold(self._state, made)
        self.records.append(made)
        return made

    def now(self) -> datetime:
        """A time for something that goes into a record; pass it on as `at`."""
        return self._now()


def replay(
    fold: Fold[State], records: Iterable[Mapping[str, Any]], state: State | None = None
) -> State | None:
    """Fold all records; None when there are none."""
    for record in records:
        state = fold(state, record)
    return state
