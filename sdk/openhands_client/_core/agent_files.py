"""Files and git of a sandbox: one server line takes the path in the query, the other in the path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from openhands_client import models as m

from . import operations as ops
from .auth import Endpoint
from .commands import FilePart, Flow
from .compat import Variant, first_known
from .downloads import Download
from .operation import Operation
from .pipeline import call
from .session import Session

T = TypeVar("T")


def file_downloads(path: str) -> list[Download]:
    """The ways to ask for a file by its absolute path."""
    return [
        Download(ops.AGENT_DOWNLOAD_FILE, query={"path": path}),
        Download(ops.AGENT_DOWNLOAD_FILE_AT_PATH, {"path": path}),
    ]


def upload_file(
    session: Session, endpoint: Endpoint, path: str, parts: Sequence[FilePart]
) -> Flow[m.SuccessResponse]:
    """Put a file at an absolute path."""
    newer, older = ops.AGENT_UPLOAD_FILE, ops.AGENT_UPLOAD_FILE_TO_PATH
    return (
        yield from first_known(
            session,
            endpoint,
            Variant(
                newer, partial(call, session, newer, endpoint=endpoint, query={"path": path}, files=parts)
            ),
            Variant(
                older, partial(call, session, older, endpoint=endpoint, path={"path": path}, files=parts)
            ),
        )
    )


def git_changes(session: Session, endpoint: Endpoint, path: str) -> Flow[list[m.GitChange]]:
    """The files of the repository at ``path`` that differ from what it is compared with."""
    newer, older = ops.AGENT_GIT_CHANGES, ops.AGENT_GIT_CHANGES_AT_PATH
    return (yield from _by_path(session, endpoint, path, newer, older))


def git_diff(session: Session, endpoint: Endpoint, path: str) -> Flow[m.GitDiff]:
    """A file, named by its absolute path, as it is and as it was."""
    newer, older = ops.AGENT_GIT_DIFF, ops.AGENT_GIT_DIFF_AT_PATH
    return (yield from _by_path(session, endpoint, path, newer, older))


def _by_path(
    session: Session, endpoint: Endpoint, path: str, newer: Operation[T], older: Operation[T]
) -> Flow[T]:
    return (
        yield from first_known(
            session,
            endpoint,
            Variant(newer, partial(call, session, newer, endpoint=endpoint, query={"path": path})),
            Variant(older, partial(call, session, older, endpoint=endpoint, path={"path": path})),
        )
    )
