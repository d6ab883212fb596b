"""Storage that ends with the process: for tests, and for `serve --memory`."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openhands_reference_server.domain.changes import Record
from openhands_reference_server.storage import Kind, Stored, checked_name


class MemoryStore:
    """Keeps records in lists. A snapshot would save nothing here, so none is kept."""

    def __init__(self) -> None:
        self._logs: dict[Kind, dict[str, list[Record]]] = defaultdict(dict)
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._homes: tempfile.TemporaryDirectory[str] | None = None

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
        if self._homes is not None:
            shutil.rmtree(Path(self._homes.name, checked_name(thing_id)), ignore_errors=True)

    def home(self, thing_id: str, kind: Kind = Kind.CONVERSATION) -> Path:
        """A directory on disk all the same, because the files in it are real."""
        with self._lock:
            if self._homes is None:
                self._homes = tempfile.TemporaryDirectory(prefix="openhands-", ignore_cleanup_errors=True)
            home = Path(self._homes.name, checked_name(thing_id))
        home.mkdir(exist_ok=True)
        return home

    def secret(self) -> bytes:
        """A secret for this process."""
        return self._secret

    def close(self) -> None:
        """Remove the files."""
        with self._lock:
            homes, self._homes = self._homes, None
        if homes is not None:
            homes.cleanup()
