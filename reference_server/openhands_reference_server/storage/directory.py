"""Storage in a directory, in the documented layout.

    DIR/lock                                  held by the one process that uses the directory
    DIR/secret                                the server's secret, readable by its owner only
    DIR/conversations/{id}/events.jsonl       the log: one record per line
    DIR/conversations/{id}/state.json         a snapshot, and how much of the log it covers
    DIR/conversations/{id}/files/             the workspace
    DIR/conversations/{id}/incoming-…/        uploads on their way; removed at start
    DIR/sandboxes/…                           the same; what V1 conversations in it share is its workspace
    DIR/start-tasks/…                         the same, without files
    DIR/settings/…                            settings and secrets, encrypted

A record is acknowledged only after `fsync`. The records of one decision stand or fall together: all
but the last say `"more": true`, so that a decision cut short by a crash can be told from a whole one
and is removed at start, like a line cut short.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from openhands_reference_server.domain.changes import Record
from openhands_reference_server.storage import Kind, StorageError, Stored, checked_name
from openhands_reference_server.storage.lock import DirectoryLock

_logger = logging.getLogger(__name__)
_LOG, _SNAPSHOT, _FILES = "events.jsonl", "state.json", "files"
_INCOMING = "incoming-*"
_DELETED = {"record": "deleted"}
_SECRET_BYTES = 32
_TAIL_BYTES = 64 * 1024


class DirectoryStore:
    """Keeps records in files.

    Args:
        directory: where; made if it is not there.
        lock: the lock of that directory, if the caller holds it already (and will release it).

    Raises:
        StorageError: another process uses the directory, or it cannot be used.
    """

    def __init__(self, directory: Path, lock: DirectoryLock | None = None) -> None:
        self._root = directory
        try:
            for kind in Kind:
                (directory / kind).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot use the data directory {directory}: {error}") from error
        self._own_lock = DirectoryLock(directory) if lock is None else None

    def append(self, kind: Kind, thing_id: str, records: Sequence[Record]) -> None:
        """Append a decision: on disk when this returns, or not at all."""
        if not records:
            return
        folder = self._folder(kind, thing_id)
        new = not folder.exists()
        if new:
            self._make(kind, folder)
        marked = [{**record, "more": True} for record in records[:-1]] + [records[-1]]
        _append_durably(folder / _LOG, b"".join(map(_line, marked)))
        if new:
            _sync_directory(folder)
            _sync_directory(folder.parent)

    def read(self, kind: Kind, thing_id: str) -> Iterable[Record]:
        """The whole log."""
        return _records(self._folder(kind, thing_id) / _LOG, 0)

    def save_snapshot(self, kind: Kind, thing_id: str, state: Mapping[str, Any]) -> None:
        """Replace the snapshot in one move; a crash leaves the old one or the new one."""
        folder = self._folder(kind, thing_id)
        content = {"log_bytes": (folder / _LOG).stat().st_size, "state": state}
        temporary = folder / f"{_SNAPSHOT}.tmp"
        with temporary.open("wb") as file:
            file.write(_line(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / _SNAPSHOT)
        _sync_directory(folder)

    def load(self, kind: Kind) -> Iterator[Stored]:
        """Everything of a kind, repaired; what was being deleted or was never acknowledged is removed."""
        for folder in sorted((self._root / kind).iterdir()):
            if not folder.is_dir() or not _is_ours(folder.name):
                _logger.warning("%s is not from this server; ignored", folder)
                continue
            log = folder / _LOG
            last = _repair(log)
            if last is None or last["record"] == _DELETED["record"]:
                shutil.rmtree(folder)
                continue
            for leftover in folder.glob(_INCOMING):
                shutil.rmtree(leftover)
            yield _stored(folder, log)

    def remove(self, kind: Kind, thing_id: str) -> None:
        """Put the end on record, then clear away; a crash in between is finished at the next start."""
        folder = self._folder(kind, thing_id)
        _append_durably(folder / _LOG, _line(_DELETED))
        shutil.rmtree(folder, ignore_errors=True)

    def home(self, thing_id: str, kind: Kind = Kind.CONVERSATION) -> Path:
        """`DIR/conversations/{id}`, `DIR/sandboxes/{id}`."""
        return self._folder(kind, thing_id)

    def secret(self) -> bytes:
        """The secret in `DIR/secret`; made at first use, for its owner only."""
        path = self._root / "secret"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            _sync_directory(self._root)
        except FileExistsError:
            _logger.debug("using the secret in %s", path)
        secret = path.read_bytes()
        if len(secret) != _SECRET_BYTES:
            raise StorageError(f"{path} is not a secret of this server; remove it to have a new one made")
        return secret

    def part(self, name: str) -> DirectoryStore:
        """The store in `DIR/users/{name}`, with a lock of its own."""
        return DirectoryStore(self._root / "users" / name)

    def close(self) -> None:
        """Let another process use the directory."""
        if self._own_lock is not None:
            self._own_lock.release()

    def _folder(self, kind: Kind, thing_id: str) -> Path:
        return self._root / kind / checked_name(thing_id)

    def _make(self, kind: Kind, folder: Path) -> None:
        folder.mkdir()
        if kind is Kind.CONVERSATION:
            (folder / _FILES).mkdir()


def _is_ours(name: str) -> bool:
    try:
        checked_name(name)
    except StorageError:
        return False
    return True


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _append_durably(path: Path, data: bytes) -> None:
    """Append; when that fails half-way, take back what was written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _sync_directory(path: Path) -> None:
    """Make names durable; where directories cannot be opened (Windows), the system does it itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stored(folder: Path, log: Path) -> Stored:
    snapshot = _snapshot(folder / _SNAPSHOT)
    size = log.stat().st_size
    if snapshot is None or snapshot["log_bytes"] > size:
        return Stored(folder.name, None, _records(log, 0))
    if snapshot["log_bytes"] == size:
        return Stored(folder.name, snapshot["state"], ())
    return Stored(folder.name, snapshot["state"], _records(log, snapshot["log_bytes"]))


def _snapshot(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
        return {"log_bytes": int(content["log_bytes"]), "state": dict(content["state"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _logger.warning("%s is unreadable (%s); the state is rebuilt from the log", path, error)
        return None


def _records(log: Path, offset: int) -> Iterator[Record]:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            for line in file:
                record = json.loads(line)
                record.pop("more", None)
                yield record
    except FileNotFoundError:
        return


def _repair(log: Path) -> Record | None:
    """Cut off what was never acknowledged: a torn line, a decision without its end.

    Returns:
        The last record, or None when nothing is left.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return None
    end, last = _last_whole_decision(log, size)
    if end < size:
        _logger.warning("%s: removed %d bytes that were never acknowledged", log, size - end)
        with log.open("rb+") as file:
            file.truncate(end)
            os.fsync(file.fileno())
    return last


def _last_whole_decision(log: Path, size: int) -> tuple[int, Record | None]:
    """Where the last whole decision ends, and its last record. Reads from the end, as little as it can."""
    with log.open("rb") as file:
        window = min(size, _TAIL_BYTES)
        while True:
            file.seek(size - window)
            found = _scan(file.read(window), whole=window == size)
            if found is not None:
                end, last = found
                return size - window + end, last
            window = min(size, window * 4)


def _scan(tail: bytes, *, whole: bool) -> tuple[int, Record | None] | None:
    """Look for the last end of a decision in the tail of a log; None when the tail is too short."""
    end = tail.rfind(b"\n") + 1
    while end > 0:
        start = tail.rfind(b"\n", 0, end - 1) + 1
        if start == 0 and not whole:
            return None
        record = _parsed(tail[start:end])
        if record is not None and not record.get("more"):
            return end, record
        end = start
    return (0, None) if whole else None


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "record" in record else None
