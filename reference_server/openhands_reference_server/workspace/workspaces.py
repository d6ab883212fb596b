"""Finds the workspace of a conversation, and makes it a git repository when it is first used.

A script may name a repository to be cloned while the conversation starts; who asks for the workspace
meanwhile waits for it. Cloning happens in a thread of its own, so that nothing else waits.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from openhands_reference_server.core import Core
from openhands_reference_server.domain.errors import (
    AgentSessionNotFound,
    BinaryFile,
    FileMissing,
    PathOutside,
    ServerClosing,
)
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.storage import Store
from openhands_reference_server.workspace import microagents
from openhands_reference_server.workspace.files import INCOMING, UploadLimits, Workspace
from openhands_reference_server.workspace.git import Git, GitFailed
from openhands_reference_server.workspace.microagents import Microagent

_logger = logging.getLogger(__name__)
_FILES = "files"

Cloned = Callable[[str | None], None]
"""Told when a clone has ended: None, or why it failed."""


class Workspaces:
    """All workspaces of one world.

    Args:
        core: the world's state.
        store: has a directory for each conversation.
        limits: how much an upload may bring.
    """

    def __init__(self, core: Core, store: Store, limits: UploadLimits) -> None:
        self._core = core
        self._store = store
        self._limits = limits
        self._git = Git()
        self._lock = threading.Lock()
        self._preparing: WeakValueDictionary[str, _Preparation] = WeakValueDictionary()
        self._threads: set[threading.Thread] = set()

    def close(self) -> None:
        """End git commands and what waits for them."""
        self._git.close()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def of(self, conversation_id: str) -> Workspace:
        """The workspace of a V0 conversation.

        Raises:
            ConversationNotFound: there is none of this generation.
        """
        self.check(conversation_id)
        known = canonical(conversation_id)
        workspace = self._workspace(known)
        with self._preparation_of(known):
            if _is_unused(workspace.root):
                self._make_repository(workspace)
        return workspace

    def check(self, conversation_id: str) -> None:
        """Make sure that there is such a conversation.

        Raises:
            ConversationNotFound: there is none of this generation.
            ServerClosing: the server is about to end.
        """
        with self._core.lock:
            if self._core.closed:
                raise ServerClosing
            self._core.v0(conversation_id)

    def microagents(self, conversation_id: str) -> list[Microagent]:
        """The microagents of a V0 conversation that runs, or is about to: what it has found in its workspace.

        Raises:
            ConversationNotFound: there is none of this generation.
            AgentSessionNotFound: its agent loop does not run.
        """
        with self._core.lock:
            if not self._core.v0(conversation_id).has_loop:
                raise AgentSessionNotFound
        return list(microagents_in(self.of(conversation_id)))

    def clone(self, conversation_id: str, source: str, branch: str | None, cloned: Cloned) -> None:
        """Begin to clone a repository into a workspace that was not used yet; `cloned` is told the end."""
        preparation = self._preparation_of(conversation_id)
        at_once = preparation.acquire(blocking=False)

        def work() -> None:
            if not at_once:
                preparation.acquire()
            try:
                failure = self._clone(self._workspace(conversation_id), source, branch)
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
        if not _is_unused(workspace.root):
            return None
        try:
            with tempfile.TemporaryDirectory(
                prefix=INCOMING, dir=workspace.home, ignore_cleanup_errors=True
            ) as folder:
                copy = Path(folder, _FILES)
                self._git.clone(source, copy, branch)
                if workspace.root.exists():
                    workspace.root.rmdir()
                copy.rename(workspace.root)
        except (GitFailed, OSError) as error:
            return f"The repository cannot be cloned: {error}"
        return None

    def _workspace(self, conversation_id: str) -> Workspace:
        home = self._store.home(conversation_id)
        return Workspace(home, home / _FILES, self._git, self._limits)

    def _make_repository(self, workspace: Workspace) -> None:
        try:
            workspace.root.mkdir(parents=True, exist_ok=True)
            self._git.init(workspace.root)
        except GitFailed as failed:
            _logger.warning("the workspace %s has no git repository: %s", workspace.root, failed)

    def _preparation_of(self, conversation_id: str) -> _Preparation:
        with self._lock:
            known = self._preparing.get(conversation_id)
            if known is None:
                known = self._preparing[conversation_id] = _Preparation()
            return known


class _Preparation:
    """Whose turn it is to make a workspace ready; may be released by another thread."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, *, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *ending: object) -> None:
        self.release()


def _is_unused(root: Path) -> bool:
    """Nothing was ever put there, not even a repository."""
    return not root.is_dir() or next(root.iterdir(), None) is None


def microagents_in(workspace: Workspace, project: str = ".") -> Iterator[Microagent]:
    """What the repository in a directory of a workspace teaches; what cannot be read is left out."""
    folder = workspace.root / project / microagents.FOLDER
    for path in sorted(folder.rglob("*.md")):
        name = path.relative_to(workspace.root).as_posix()
        with _unreadable_ignored(), workspace.open_text(name) as file:
            text = file.read(microagents.MOST_BYTES).decode(errors="replace")
            yield microagents.parse(path.relative_to(folder).with_suffix("").as_posix(), text)


@contextmanager
def _unreadable_ignored() -> Iterator[None]:
    try:
        yield
    except (FileMissing, PathOutside, BinaryFile) as error:
        _logger.info("not a microagent: %s", error)
