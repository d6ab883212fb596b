"""One process per data directory.

The lock is the operating system's, on `DIR/lock`: it goes with the process that holds it, however
that one ends. The file names the process for people who meet it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from openhands_reference_server.storage import StorageError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_PATIENCE = 1.0
_PAUSE = 0.02


class DirectoryLock:
    """Held from construction until `release`; children of the process hold it too.

    A predecessor that is just going away is waited for, a second at most.

    Raises:
        StorageError: another process holds it.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(f"cannot use the data directory {directory}: {error}") from error
        deadline = time.monotonic() + _PATIENCE
        while not self._acquire():
            if time.monotonic() > deadline:
                holder = os.read(self._descriptor, 20).decode(errors="replace").strip() or "unknown"
                os.close(self._descriptor)
                raise StorageError(
                    f"the data directory {directory} is in use by another reference server (process {holder}); "
                    "stop that one or choose another directory"
                )
            time.sleep(_PAUSE)
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)

    def _acquire(self) -> bool:
        try:
            _try_lock(self._descriptor)
        except OSError:
            return False
        return True
