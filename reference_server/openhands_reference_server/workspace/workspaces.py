"""Finds the workspace of a conversation, and makes it a git repository when it is first used.

A script may name a repository to be cloned while the conversation starts, see `cloning.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
from openhands_reference_server.workspace.cloning import Cloned, Cloning, is_unused
from openhands_reference_server.workspace.files import FILES, UploadLimits, Workspace
from openhands_reference_server.workspace.git import Git, GitFailed
from openhands_reference_server.workspace.microagents import Microagent
from openhands_reference_server.world.core import Core

_logger = logging.getLogger(__name__)


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
        self._cloning = Cloning(self._git)

    def close(self) -> None:
        """End git commands and what waits for them."""
        self._git.close()
        self._cloning.wait()

    def of(self, conversation_id: str) -> Workspace:
        """The workspace of a V0 conversation.

        Raises:
            ConversationNotFound: there is none of this generation.
        """
        self.check(conversation_id)
        known = canonical(conversation_id)
        workspace = self._workspace(known)
        with self._cloning.preparation_of(known):
            if is_unused(workspace.root):
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
        self._cloning.begin(conversation_id, self._workspace(conversation_id), source, branch, cloned)

    def _workspace(self, conversation_id: str) -> Workspace:
        home = self._store.home(conversation_id)
        return Workspace(home, home / FILES, self._git, self._limits)

    def _make_repository(self, workspace: Workspace) -> None:
        try:
            workspace.root.mkdir(parents=True, exist_ok=True)
            self._git.init(workspace.root)
        except GitFailed as failed:
            _logger.warning("the workspace %s has no git repository: %s", workspace.root, failed)


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
