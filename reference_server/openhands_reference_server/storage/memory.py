"""Storage that ends with the process: for tests, and for `serve --memory`."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openhands_reference_server.domain.changes import Record
from openhands_reference_server.storage import Kind, Stored, checked_name
from openhands_reference_server.storage.homes import Homes


class MemoryStore:
    """Keeps records in lists. A snapshot would save nothing here, so none is kept."""

    def __init__(self) -> None:
        self._logs: dict[Kind, dict[str, list[Record]]] = defaultdict(dict)
        self._secret = secrets.token_bytes(32)
        self._homes = Homes()

    def append(self, kind: Kind, thing_id: str, records: Sequence[Record]) -> None:
        """Keep them."""
        self._logs[kind].setdefault(checked_name(thing_id), []).extend(records)

    def read(self, kind: Kind, thing_id: str) -> Iterable[Record]:
        """The whole log."""
        return tuple(self._logs[kind].get(thing_id, ()))

    def save_snapshot(self, kind: Kind, thing_id: str, state: Mapping[str, Any]) -> None:
        """Nothing to do: the log is at hand."""

    def load(self, kind: Kind) -> Iterator[Stored]:
        """Everything of a kind."""
        for thing_id, records in list(self._logs[kind].items()):
            yield Stored(thing_id, None, tuple(records))

    def remove(self, kind: Kind, thing_id: str) -> None:
        """Forget it."""
        self._logs[kind].pop(thing_id, None)
        self._homes.remove(thing_id)

    def home(self, thing_id: str, kind: Kind = Kind.CONVERSATION) -> Path:
        """A directory on disk all the same, because the files in it are real."""
        return self._homes.home(thing_id)

    def secret(self) -> bytes:
        """A secret for this process."""
        return self._secret

    def part(self, name: str) -> MemoryStore:
        """Another one."""
        return MemoryStore()

    def close(self) -> None:
        """Remove the files."""
        self._homes.close()
