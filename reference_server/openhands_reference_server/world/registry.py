"""All things of one kind: their states in memory, their records in the store, their order.

The registry is the one place where a decision becomes true: the store has it on disk, then the state
is replaced. It is not thread-safe; the world calls it under its lock.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from openhands_reference_server.domain.changes import Fold, Record, replay
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.storage import Kind, Store

_logger = logging.getLogger(__name__)
_SNAPSHOT_EVERY = 50


class Thing(Protocol):
    """What every kind of state has."""

    @property
    def id(self) -> str: ...

    @property
    def created_at(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


T = TypeVar("T", bound=Thing)


class Registry(Generic[T]):
    """The things of one kind.

    Args:
        store: where their records are.
        kind: which of the store's kinds.
        fold: applies one record.
        from_json: reads a snapshot.
    """

    def __init__(
        self, store: Store, kind: Kind, fold: Fold[T], from_json: Callable[[Mapping[str, Any]], T]
    ) -> None:
        self._store = store
        self._kind = kind
        self._fold = fold
        self._from_json = from_json
        self._states: dict[str, T] = {}
        self._order: list[Key] = []
        self._unsaved: dict[str, int] = {}

    def load(self) -> None:
        """Find what the store has: snapshots, and the records behind them."""
        for stored in self._store.load(self._kind):
            state = None if stored.snapshot is None else self._from_json(stored.snapshot)
            records = list(stored.records)
            state = replay(self._fold, records, state)
            if state is None:
                _logger.warning("%s/%s holds no records; ignored", self._kind, stored.id)
                continue
            self._states[stored.id] = state
            self._order.append((state.created_at, stored.id))
            if records:
                self._unsaved[stored.id] = len(records)
        self._order.sort()

    def get(self, thing_id: str) -> T | None:
        """The present state."""
        return self._states.get(thing_id)

    def commit(self, thing_id: str, records: Sequence[Record], state: T) -> None:
        """Make a decision true: store its records, then replace the state."""
        self._store.append(self._kind, thing_id, records)
        new = thing_id not in self._states
        self._states[thing_id] = state
        self._unsaved[thing_id] = self._unsaved.get(thing_id, 0) + len(records)
        if new:
            insort(self._order, (state.created_at, thing_id))
        if new or self._unsaved[thing_id] >= _SNAPSHOT_EVERY:
            self.save_snapshot(thing_id)

    def remove(self, thing_id: str) -> None:
        """Forget a thing."""
        self._store.remove(self._kind, thing_id)
        state = self._states.pop(thing_id)
        self._order.remove((state.created_at, thing_id))
        self._unsaved.pop(thing_id, None)

    def save_snapshot(self, thing_id: str) -> None:
        """Write the snapshot of a thing that has changed since the last one."""
        if self._unsaved.pop(thing_id, 0):
            self._store.save_snapshot(self._kind, thing_id, self._states[thing_id].to_json())

    def save_snapshots(self) -> None:
        """Write all snapshots that are older than their logs."""
        for thing_id in list(self._unsaved):
            self.save_snapshot(thing_id)

    def __iter__(self) -> Iterator[T]:
        """All states, oldest first."""
        return (self._states[thing_id] for _, thing_id in self._order)

    def newest_first(self, before: Key | None = None) -> Iterator[T]:
        """The states created before this key (all by default), newest first."""
        end = len(self._order) if before is None else bisect_left(self._order, before)
        return (self._states[self._order[index][1]] for index in range(end - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._states)
