"""The file of a journal: JSON lines that are on the disk before anybody relies on them."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from openhands_client.errors import InvalidArgumentError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        """Closing the file does that."""

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        """Closing the file would not do where a child process, just forked, has it open too."""
        fcntl.flock(file, fcntl.LOCK_UN)


BEGINNING = b'{"journal":'  # of every journal, however early it was torn


class Journal:
    """A journal that is open. Threads may share it."""

    def __init__(self, file: IO[bytes], records: list[dict[str, Any]]) -> None:
        self.records = records
        self._file = file
        self._lock = threading.Lock()

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a line, and return when it is on the disk. Raises OSError."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Journal]:
    """Open a journal for reading what it holds and for adding to it; nobody else can meanwhile.

    A last line without an end was torn by a crash: nobody relies on it, so it is cut off. Raises
    InvalidArgumentError for a file that is no journal or is in use, OSError where it cannot be read or written.
    """
    with Path(path).open("a+b") as file:
        _lock(file, path)
        try:
            file.seek(0)
            content = file.read()
            if not BEGINNING.startswith(content[: len(BEGINNING)]):
                raise _no_journal(path, 1)
            whole = content[: content.rfind(b"\n") + 1]
            records = _records(whole, path)
            file.truncate(len(whole))
            _sync_directory(Path(path).absolute().parent)
            yield Journal(file, records)
        finally:
            _unlock(file)


def _records(content: bytes, path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise _no_journal(path, number)
        records.append(record)
    return records


def _no_journal(path: str | os.PathLike[str], line: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{os.fspath(path)} is no journal, as line {line} shows. Name another file; nothing was sent"
    )


def _sync_directory(directory: Path) -> None:
    """A new file is there after a crash only if its directory was written, too."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(file: IO[bytes], path: str | os.PathLike[str]) -> None:
    """The lock goes with the process, however that ends."""
    try:
        _try_lock(file)
    except OSError:
        raise InvalidArgumentError(
            f"the journal {os.fspath(path)} is in use by another run; nothing was sent"
        ) from None
