"""The workspace of a conversation: files, git, and what else its runtime knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client.errors import UnsupportedOperationError

from . import operations as ops
from .commands import FilePart, Flow
from .downloads import Download, download
from .operation import Operation, Query
from .session import Session
from .unified import Snapshot, find_runtime, on_runtime

T = TypeVar("T")


def list_files(session: Session, snapshot: Snapshot, path: str | None) -> Flow[list[str]]:
    """The entries of a directory of the workspace, by default its root."""
    return (yield from _ask(session, snapshot, ops.LIST_FILES, {"path": path}))


def read_file(session: Session, snapshot: Snapshot, path: str) -> Flow[str]:
    """The content of a text file."""
    return (yield from _ask(session, snapshot, ops.SELECT_FILE, {"file": path})).code


def upload(
    session: Session, snapshot: Snapshot, parts: Sequence[FilePart]
) -> Flow[m.FileUploadSuccessResponse]:
    """Put files into the workspace."""
    _only_v0(snapshot, "upload to")
    return (yield from on_runtime(session, snapshot, ops.UPLOAD_FILES, files=parts))


def zip_directory(session: Session, snapshot: Snapshot, write: Callable[[bytes], Any]) -> Flow[None]:
    """Hand the zipped workspace to ``write``, piece by piece."""
    _only_v0(snapshot, "zip")
    wanted = Download(ops.ZIP_DIRECTORY, {"conversation_id": snapshot.id})
    yield from download(session, find_runtime(session, snapshot), write, wanted)


def git_changes(session: Session, snapshot: Snapshot) -> Flow[list[m.GitChange]]:
    """The files that differ from the last commit."""
    return (yield from _ask(session, snapshot, ops.GET_GIT_CHANGES))


def git_diff(session: Session, snapshot: Snapshot, path: str) -> Flow[m.GitDiff]:
    """A file as it is, and as it was at the last commit."""
    return (yield from _ask(session, snapshot, ops.GET_GIT_DIFF, {"path": path}))


def trajectory(session: Session, snapshot: Snapshot) -> Flow[list[m.V0Event]]:
    """All events that are meant to be seen."""
    return (yield from _ask(session, snapshot, ops.GET_TRAJECTORY)).trajectory


def microagents(session: Session, snapshot: Snapshot) -> Flow[list[m.Microagent]]:
    """The microagents that the conversation has loaded."""
    return (yield from _ask(session, snapshot, ops.GET_MICROAGENTS)).microagents


def vscode_url(session: Session, snapshot: Snapshot) -> Flow[str | None]:
    """Where an editor for the workspace listens, if there is one."""
    return (yield from _ask(session, snapshot, ops.GET_VS_CODE_URL)).vscode_url


def web_hosts(session: Session, snapshot: Snapshot) -> Flow[list[str]]:
    """Addresses of what the agent serves."""
    return (yield from _ask(session, snapshot, ops.GET_WEB_HOSTS)).urls


def _ask(
    session: Session, snapshot: Snapshot, operation: Operation[T], query: Query | None = None
) -> Flow[T]:
    _only_v0(snapshot, str(operation.path.rpartition("/")[2]))
    return (yield from on_runtime(session, snapshot, operation, query=query))


def _only_v0(snapshot: Snapshot, what: str) -> None:
    if snapshot.version != "v0":
        raise UnsupportedOperationError(f"{what}: not known of V1 conversations")
