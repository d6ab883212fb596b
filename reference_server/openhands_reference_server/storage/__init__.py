"""Where records are kept. The world knows this interface and nothing behind it.

A store keeps, for each thing of each kind, a log of records and at most one snapshot. The log is the
truth; the snapshot saves reading it. Ids are checked here once more: only names made by this server
(letters and digits) can reach a store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from openhands_reference_server.domain.changes import Record

_SAFE_NAME = re.compile(r"[0-9A-Za-z]{1,64}")


class Kind(StrEnum):
    """What is stored; the value is the name of the folder."""

    CONVERSATION = "conversations"
    SETTINGS = "settings"
    SANDBOX = "sandboxes"
    START_TASK = "start-tasks"


class StorageError(Exception):
    """The store cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing as it was found at start.

    Attributes:
        id: its id.
        snapshot: the last snapshot, if there is a usable one.
        records: the records the snapshot does not cover, oldest first; all of them without a snapshot.
    """

    id: str
    snapshot: Mapping[str, Any] | None
    records: Iterable[Record]


class Store(Protocol):
    """A durable home for records."""

    def append(self, kind: Kind, thing_id: str, records: Sequence[Record]) -> None:
        """Append the records of one decision: all of them or none, on disk when this returns."""
        ...

    def read(self, kind: Kind, thing_id: str) -> Iterable[Record]:
        """The whole log of one thing, oldest first."""
        ...

    def save_snapshot(self, kind: Kind, thing_id: str, state: Mapping[str, Any]) -> None:
        """Keep the fold of the whole log as it stands now."""
        ...

    def load(self, kind: Kind) -> Iterator[Stored]:
        """Everything of a kind; reads logs only where a snapshot is missing or older than the log."""
        ...

    def remove(self, kind: Kind, thing_id: str) -> None:
        """Forget a thing, for good when this returns."""
        ...

    def home(self, thing_id: str, kind: Kind = Kind.CONVERSATION) -> Path:
        """The directory of a conversation or sandbox, for its files; it goes when the thing is removed."""
        ...

    def secret(self) -> bytes:
        """The secret of this store, from which session keys are derived; made at first use."""
        ...

    def part(self, name: str) -> Store:
        """A store inside this one, with records and a secret of its own; to be closed before this one."""
        ...

    def close(self) -> None:
        """Let go of it; others may open it now."""
        ...


def checked_name(thing_id: str) -> str:
    """The id, if it can be the name of a folder.

    Raises:
        StorageError: it cannot.
    """
    if not _SAFE_NAME.fullmatch(thing_id):
        raise StorageError(f"{thing_id!r} is no id this server has made")
    return thing_id


def empty(store: Store, parts: Iterable[str] = ()) -> None:
    """Remove everything from a store, and from these parts of it."""
    for kind in Kind:
        for stored in list(store.load(kind)):
            store.remove(kind, stored.id)
    for name in parts:
        part = store.part(name)
        empty(part)
        part.close()
