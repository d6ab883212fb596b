"""Makes workspaces ready, one after another for each: empty repositories, or clones that a start waits for.

Cloning happens in a thread of its own, so that nothing else waits; who asks for that workspace meanwhile does.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

from openhands_reference_server.workspace.files import FILES, INCOMING, Workspace
from openhands_reference_server.workspace.git import Git, GitFailed

Cloned = Callable[[str | None], None]
"""Told when a clone has ended: None, or why it failed."""


class Cloning:
    """The workspaces of one world that are being made ready.

    Args:
        git: clones.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._preparing: WeakValueDictionary[str, Preparation] = WeakValueDictionary()
        self._threads: set[threading.Thread] = set()

    def wait(self) -> None:
        """Wait for clones in progress; closing `git` ends them."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def preparation_of(self, owner: str) -> Preparation:
        """Held by who makes the workspace of this conversation or sandbox ready."""
        with self._lock:
            known = self._preparing.get(owner)
            if known is None:
                known = self._preparing[owner] = Preparation()
            return known

    def begin(
        self, owner: str, workspace: Workspace, source: str, branch: str | None, cloned: Cloned
    ) -> None:
        """Begin to clone a repository into a workspace that was not used yet; `cloned` is told the end."""
        preparation = self.preparation_of(owner)
        at_once = preparation.acquire(blocking=False)

        def work() -> None:
            if not at_once:
                preparation.acquire()
            try:
                failure = self._clone(workspace, source, branch)
            finally:
                preparation.release()
            cloned(failure)
            with self._lock:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=work, name="openhands-clone", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _clone(self, workspace: Workspace, source: str, branch: str | None) -> str | None:
        if not is_unused(workspace.root):
            return None
        try:
            with tempfile.TemporaryDirectory(
                prefix=INCOMING, dir=workspace.home, ignore_cleanup_errors=True
            ) as folder:
                copy = Path(folder, FILES)
                self._git.clone(source, copy, branch)
                if workspace.root.exists():
                    workspace.root.rmdir()
                copy.rename(workspace.root)
        except (GitFailed, OSError) as error:
            return f"The repository cannot be cloned: {error}"
        return None


class Preparation:
    """Whose turn it is to make a workspace ready; may be released by another thread."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the turn; says whether it was got."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """Give the turn to others."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *ending: object) -> None:
        self.release()


def is_unused(root: Path) -> bool:
    """Nothing was ever put there, not even a repository."""
    return not root.is_dir() or next(root.iterdir(), None) is None
