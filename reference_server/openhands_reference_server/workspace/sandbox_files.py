"""The workspaces of sandboxes: what their conversations share under `/workspace`.

A workspace is made, with a repository in it, when it is first used. Repositories may also lie in
directories of it; a path belongs to the nearest one above it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from openhands_reference_server.domain.errors import (
    FileMissing,
    PathNotAbsolute,
    PathOutside,
    SandboxNotFound,
)
from openhands_reference_server.storage import Kind, Store
from openhands_reference_server.workspace.cloning import Cloned, Cloning
from openhands_reference_server.workspace.files import FILES, Receiver, Upload, UploadLimits, Workspace
from openhands_reference_server.workspace.git import Change, Git, GitFailed
from openhands_reference_server.workspace.paths import MOUNT, REPOSITORY, UnsafeName, asked_path
from openhands_reference_server.world.core import Core

_logger = logging.getLogger(__name__)


class SandboxFiles:
    """The workspaces of all sandboxes of one world."""

    def __init__(self, core: Core, store: Store, limits: UploadLimits) -> None:
        self._core = core
        self._store = store
        self._git = Git()
        self._limits = limits
        self._cloning = Cloning(self._git)

    def close(self) -> None:
        """End git commands that still run."""
        self._git.close()
        self._cloning.wait()

    def of(self, sandbox_id: str) -> Workspace:
        """The workspace of a sandbox.

        Raises:
            SandboxNotFound: there is no such sandbox.
        """
        with self._core.lock:
            workspace = self._workspace(self._core.sandbox(sandbox_id).id)
        with self._cloning.preparation_of(sandbox_id):
            if not workspace.root.is_dir():
                self._make(sandbox_id, workspace)
        return workspace

    def clone(self, sandbox_id: str, source: str, branch: str | None, cloned: Cloned) -> None:
        """Begin to clone a repository into a workspace that was not used yet; `cloned` is told the end."""
        self._cloning.begin(sandbox_id, self._workspace(sandbox_id), source, branch, cloned)

    def _workspace(self, sandbox_id: str) -> Workspace:
        home = self._store.home(sandbox_id, Kind.SANDBOX)
        return Workspace(home, home / FILES, self._git, self._limits)

    def _make(self, sandbox_id: str, workspace: Workspace) -> None:
        try:
            workspace.root.mkdir()
        except FileNotFoundError:
            raise SandboxNotFound(sandbox_id) from None
        try:
            self._git.init(workspace.root)
        except GitFailed as failed:
            _logger.warning("the workspace %s has no git repository: %s", workspace.root, failed)

    @contextmanager
    def receiving(self, sandbox_id: str, path: str) -> Iterator[FileUpload]:
        """An upload to this absolute path.

        Raises:
            PathNotAbsolute: the path does not begin with a slash.
            PathOutside: it leads out of the workspace.
        """
        target = _inside(path)
        with self.of(sandbox_id).receiving() as upload:
            yield FileUpload(upload.workspace, upload.directory, upload.limits, target=str(target))

    def changes(self, sandbox_id: str, path: str) -> list[Change]:
        """What differs from the last commit in this directory, by paths relative to it.

        Raises:
            PathNotAbsolute: the path does not begin with a slash.
            PathOutside: it leads out of the workspace.
            NotAGitRepository: there is no repository, or no such directory.
        """
        repository, inside = self._repository(sandbox_id, _inside(path))
        return [
            Change(change.status, str(PurePosixPath(change.path).relative_to(inside)))
            for change in repository.changes()
            if PurePosixPath(change.path).is_relative_to(inside)
        ]

    def compare(self, sandbox_id: str, path: str) -> tuple[str | None, str | None]:
        """A file as it is and as it was at the last commit: empty where it is not, None where it is no text.

        Raises:
            PathNotAbsolute: the path does not begin with a slash.
            PathOutside: it leads out of the workspace.
            FileMissing: the file is in neither.
            NotAGitRepository: there is no repository.
        """
        repository, inside = self._repository(sandbox_id, _inside(path))
        return repository.compare(str(inside))

    def _repository(self, sandbox_id: str, path: PurePosixPath) -> tuple[Workspace, PurePosixPath]:
        """The nearest repository at or above a path, and the path in it."""
        whole = self.of(sandbox_id)
        for candidate in (path, *path.parents):
            try:
                directory = whole.directory(str(candidate))
            except FileMissing:
                continue
            if (directory / REPOSITORY).is_dir():
                return Workspace(whole.home, directory, self._git, self._limits), path.relative_to(candidate)
        return whole, path


@dataclass(slots=True)
class FileUpload(Upload):
    """One file, which goes to `target` whatever it is called in the form."""

    target: str = ""

    @contextmanager
    def receive(self, name: str) -> Iterator[Receiver]:
        """Take the file; the block writes it."""
        with Upload.receive(self, self.target) as receiver:
            yield receiver


def absolute_in_workspace(path: str) -> str:
    """The path as the workspace takes it.

    Raises:
        PathNotAbsolute: it does not begin with a slash.
        PathOutside: it leads out of the workspace.
    """
    return str(_inside(path))


def _inside(path: str) -> PurePosixPath:
    if not path.startswith("/"):
        raise PathNotAbsolute
    if path != MOUNT and not path.startswith(f"{MOUNT}/"):
        raise PathOutside(path)
    try:
        return asked_path(path)
    except UnsafeName:
        raise PathOutside(path) from None
