# Generated from sdk/openhands_client/_async/workspace.py by scripts/unasync.py. Do not edit.
"""``conversation.files`` and ``conversation.git``."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from openhands_client._core import workspace
from openhands_client.local_files import OnBytes, Source, atomic, opened

if TYPE_CHECKING:
    from openhands_client import models as m

    from .conversations import Conversation


class Files:
    """The files in a conversation's workspace. Paths are relative to it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def list(self, path: str | None = None) -> list[str]:
        """The entries of a directory, by default the workspace."""
        session, snapshot = self._conversation.place
        return self._conversation.driver.run(workspace.list_files(session, snapshot, path))

    def read(self, path: str) -> str:
        """The content of a text file. Raises APIStatusError 415 for a binary one."""
        session, snapshot = self._conversation.place
        return self._conversation.driver.run(workspace.read_file(session, snapshot, path))

    def download(self, path: str, target: str | PathLike[str]) -> Path:
        """Save a file as ``target``, whole or not at all. V0 has text files only; ``zip`` takes all along."""
        session, snapshot = self._conversation.place
        with atomic(target) as file:
            flow = workspace.save_file(session, snapshot, path, file.write)
            self._conversation.driver.run(flow)
        return Path(target)

    def upload(self, *sources: Source, on_progress: OnBytes | None = None) -> m.FileUploadSuccessResponse:
        """Put files into the workspace: paths, or pairs of a name and bytes or a binary file object.

        They are sent as they are read. ``on_progress(sent, total)`` counts bytes. The answer also says which
        files the server skipped, and why.
        """
        session, snapshot = self._conversation.place
        with opened(sources, "files", on_progress) as parts:
            return self._conversation.driver.run(workspace.upload(session, snapshot, parts))

    def zip(self, target: str | PathLike[str]) -> Path:
        """Save the zipped workspace as ``target``, whole or not at all."""
        session, snapshot = self._conversation.place
        with atomic(target) as file:
            self._conversation.driver.run(workspace.zip_directory(session, snapshot, file.write))
        return Path(target)


class Git:
    """The repository in a conversation's workspace. Raises NotFoundError where there is none."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def changes(self) -> list[m.GitChange]:
        """The files that differ from the last commit."""
        session, snapshot = self._conversation.place
        return self._conversation.driver.run(workspace.git_changes(session, snapshot))

    def diff(self, path: str) -> m.GitDiff:
        """A file as it is, and as it was at the last commit."""
        session, snapshot = self._conversation.place
        return self._conversation.driver.run(workspace.git_diff(session, snapshot, path))
