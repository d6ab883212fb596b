"""The workspace of a conversation: files, git, and what else its runtime knows, in both generations.

A V0 conversation has routes of its own for them. A V1 conversation has a sandbox, whose agent server reads
and writes any absolute path; paths are relative to the conversation's working directory here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from posixpath import join
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client.errors import ResponseFormatError, UnsupportedOperationError

from . import agent_files
from . import operations as ops
from .auth import Endpoint
from .commands import FilePart, Flow, catch
from .compat import ask
from .downloads import Download, download
from .pipeline import call
from .places import Snapshot, find_runtime, on_agent, on_runtime, with_agent
from .session import Session
from .unified import history

T = TypeVar("T")


def list_files(session: Session, snapshot: Snapshot, path: str | None) -> Flow[list[str]]:
    """The entries of a directory of the workspace, by default its root."""
    _refuse_v1(snapshot, "list files")
    return (yield from on_runtime(session, snapshot, ops.LIST_FILES, query={"path": path}))


def read_file(session: Session, snapshot: Snapshot, path: str) -> Flow[str]:
    """The content of a text file."""
    if snapshot.version == "v0":
        query = {"file": path}
        return (yield from on_runtime(session, snapshot, ops.SELECT_FILE, query=query)).code
    pieces: list[bytes] = []
    yield from save_file(session, snapshot, path, pieces.append)
    try:
        return b"".join(pieces).decode()
    except UnicodeDecodeError:
        raise ResponseFormatError(f"{path} is no text file; download() saves it as it is") from None


def save_file(session: Session, snapshot: Snapshot, path: str, write: Callable[[bytes], Any]) -> Flow[None]:
    """Hand the content of a file to ``write``, piece by piece. V0 servers hand out text files only."""
    if snapshot.version == "v0":
        write((yield from read_file(session, snapshot, path)).encode())
        return

    def fetch(agent: Endpoint, directory: str) -> Flow[None]:
        wanted = agent_files.file_downloads(join(directory, path))
        yield from download(session, agent, write, *wanted)

    yield from _in_sandbox(session, snapshot, fetch)


def upload(
    session: Session, snapshot: Snapshot, parts: Sequence[FilePart]
) -> Flow[m.FileUploadSuccessResponse]:
    """Put files into the workspace."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.UPLOAD_FILES, files=parts))

    def put(agent: Endpoint, directory: str) -> Flow[m.FileUploadSuccessResponse]:
        done: list[str] = []
        skipped: list[m.SkippedFile] = []
        for part in parts:
            if part.name in ("", ".", "..") or "/" in part.name or "\\" in part.name:
                skipped.append(m.SkippedFile(name=part.name, reason="a name must not contain a path"))
                continue
            target = join(directory, part.name)
            yield from agent_files.upload_file(session, agent, target, [part._replace(field="file")])
            done.append(target)
        return m.FileUploadSuccessResponse(uploaded_files=done, skipped_files=skipped)

    return (yield from _in_sandbox(session, snapshot, put))


def zip_directory(session: Session, snapshot: Snapshot, write: Callable[[bytes], Any]) -> Flow[None]:
    """Hand the zipped workspace to ``write``, piece by piece."""
    _refuse_v1(snapshot, "zip the workspace")
    wanted = Download(ops.ZIP_DIRECTORY, {"conversation_id": snapshot.id})
    yield from download(session, find_runtime(session, snapshot), write, wanted)


def git_changes(session: Session, snapshot: Snapshot) -> Flow[list[m.GitChange]]:
    """The files that differ from the last commit."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.GET_GIT_CHANGES))
    return (
        yield from _in_sandbox(
            session, snapshot, lambda agent, directory: agent_files.git_changes(session, agent, directory)
        )
    )


def git_diff(session: Session, snapshot: Snapshot, path: str) -> Flow[m.GitDiff]:
    """A file as it is, and as it was at the last commit."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.GET_GIT_DIFF, query={"path": path}))

    def diff(agent: Endpoint, directory: str) -> Flow[m.GitDiff]:
        return agent_files.git_diff(session, agent, join(directory, path))

    return (yield from _in_sandbox(session, snapshot, diff))


def trajectory(session: Session, snapshot: Snapshot) -> Flow[list[m.V0Event] | list[m.AnyEvent]]:
    """All events that are meant to be seen."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.GET_TRAJECTORY)).trajectory
    events: list[m.AnyEvent] = []
    yield from catch(history(session, snapshot), events.append)
    return events


def microagents(session: Session, snapshot: Snapshot) -> Flow[list[m.Microagent]]:
    """The microagents, newly called skills, that the conversation has loaded."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.GET_MICROAGENTS)).microagents
    path = {"conversation_id": snapshot.id}
    answer = yield from ask(
        session, ops.GET_SKILLS, session.endpoint, lambda: call(session, ops.GET_SKILLS, path=path)
    )
    return [m.Microagent.model_validate(skill) for skill in answer.get("skills", [])]


def vscode_url(session: Session, snapshot: Snapshot) -> Flow[str | None]:
    """Where an editor for the workspace listens, if there is one."""
    if snapshot.version == "v0":
        return (yield from on_runtime(session, snapshot, ops.GET_VS_CODE_URL)).vscode_url
    return (yield from on_agent(session, snapshot, ops.AGENT_GET_VSCODE_URL)).vscode_url


def web_hosts(session: Session, snapshot: Snapshot) -> Flow[list[str]]:
    """Addresses of what the agent serves."""
    if not isinstance(snapshot.info, m.AppConversation):
        return (yield from on_runtime(session, snapshot, ops.GET_WEB_HOSTS)).urls
    query = {"id": [snapshot.info.sandbox_id]}
    (sandbox,) = yield from call(session, ops.BATCH_GET_SANDBOXES, query=query)
    exposed = (sandbox.exposed_urls if sandbox else None) or []
    return [one.url for one in exposed if one.name.startswith("WORKER")]


def _in_sandbox(session: Session, snapshot: Snapshot, action: Callable[[Endpoint, str], Flow[T]]) -> Flow[T]:
    """Do something at the agent server, in the conversation's working directory."""

    def act(agent: Endpoint) -> Flow[T]:
        path = {"conversation_id": snapshot.id}
        info = yield from call(session, ops.AGENT_GET_CONVERSATION, endpoint=agent, path=path)
        directory = (info.workspace or {}).get("working_dir")
        if not isinstance(directory, str):
            raise ResponseFormatError("the agent server does not tell the conversation's working directory")
        return (yield from action(agent, directory))

    return (yield from with_agent(session, snapshot, act))


def _refuse_v1(snapshot: Snapshot, what: str) -> None:
    if snapshot.version == "v1":
        raise UnsupportedOperationError(f"no server has a route to {what} of a V1 conversation")
