"""Directories for the files of conversations and sandboxes, where their records are kept elsewhere."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from openhands_reference_server.storage import checked_name


class Homes:
    """Makes directories at first use.

    Args:
        directory: where; by default in a temporary directory that goes with `close`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def home(self, thing_id: str) -> Path:
        """The directory of one thing; it is there."""
        with self._lock:
            home = self._root() / checked_name(thing_id)
        home.mkdir(parents=True, exist_ok=True)
        return home

    def remove(self, thing_id: str) -> None:
        """Remove the directory of one thing, if it has one."""
        with self._lock:
            if self._directory is None and self._temporary is None:
                return
            home = self._root() / checked_name(thing_id)
        shutil.rmtree(home, ignore_errors=True)

    def close(self) -> None:
        """Remove what was temporary."""
        with self._lock:
            temporary, self._temporary = self._temporary, None
        if temporary is not None:
            temporary.cleanup()

    def _root(self) -> Path:
        if self._directory is not None:
            return self._directory
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="openhands-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)
