"""Tags `files` and `git` of the agent server: what lies under `/workspace` in a sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from flask import Blueprint, Response, request

from openhands_reference_server.http import problems
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.forms import discard_rest, receive_files
from openhands_reference_server.http.session import conversation_of_key, running_sandbox
from openhands_reference_server.workspace.git import Change
from openhands_reference_server.workspace.sandbox_files import absolute_in_workspace
from openhands_reference_server.world import World
from openhands_reference_server.world.app_side import changes_since, compared_with
from openhands_reference_server.world.trajectory import archive

_PIECE = 64 * 1024
_FIELD = "file"
_STATUS = {"M": "UPDATED", "A": "ADDED", "U": "ADDED", "D": "DELETED", "R": "MOVED"}


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("files", __name__)
    files = world.sandbox_files

    @routes.after_request
    def hear_out(answer: Response) -> Response:
        if answer.status_code >= HTTPStatus.BAD_REQUEST and request.method == "POST":
            discard_rest()
        return answer

    @routes.post("/api/file/upload/<file_path:path>", endpoint="uploadFileToPath")
    def upload(path: str) -> Response:
        with files.receiving(running_sandbox(world), path) as arriving:
            receive_files(arriving, _FIELD)
            arriving.place()
        if arriving.skipped:
            _, reason = arriving.skipped[0]
            return problems.detail(403, reason)
        return json_answer(SUCCESS)

    @routes.get("/api/file/download/<file_path:path>", endpoint="downloadFileAtPath")
    def download(path: str) -> Response:
        file = files.of(running_sandbox(world)).open_file(absolute_in_workspace(path))
        answer = attachment(pieces(file), PurePosixPath(path).name)
        answer.call_on_close(file.close)
        return answer

    @routes.post("/api/file/upload", endpoint="uploadFile")
    def upload_asked() -> Response:
        return upload(asked().query["path"])

    @routes.get("/api/file/download", endpoint="downloadFile")
    def download_asked() -> Response:
        return download(asked().query["path"])

    @routes.get("/api/file/download-trajectory/<conversation_id>", endpoint="downloadTrajectory")
    def download_trajectory(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        file = archive(*world.agents.trajectory(conversation.id))
        answer = attachment(pieces(file), f"{conversation.id}.zip")
        answer.call_on_close(file.close)
        return answer

    @routes.get("/api/git/changes/<file_path:path>", endpoint="gitChangesAtPath")
    def git_changes(path: str) -> Response:
        sandbox_id = running_sandbox(world)
        if world.dialect.git_wants_directories:
            files.of(sandbox_id).directory(absolute_in_workspace(path))
        found = files.changes(sandbox_id, path)
        return json_answer(git_changes_shown(found))

    @routes.get("/api/git/diff/<file_path:path>", endpoint="gitDiffAtPath")
    def git_diff(path: str) -> Response:
        modified, original = files.compare(running_sandbox(world), path)
        return json_answer({"modified": modified, "original": original})

    @routes.get("/api/git/changes", endpoint="gitChanges")
    def git_changes_asked() -> Response:
        query = asked().query
        found = changes_since(files, running_sandbox(world), query["path"], query["ref"])
        return json_answer(git_changes_shown(found))

    @routes.get("/api/git/diff", endpoint="gitDiff")
    def git_diff_asked() -> Response:
        query = asked().query
        modified, original = compared_with(files, running_sandbox(world), query["path"], query["ref"])
        return json_answer({"modified": modified, "original": original})

    return routes


def git_changes_shown(found: Iterable[Change]) -> list[dict[str, str]]:
    """Changes by the names V1 has for them."""
    return [{"status": _STATUS[one.status], "path": one.path} for one in found]


def attachment(content: Iterator[bytes], name: str, media_type: str = "application/octet-stream") -> Response:
    """A file to be saved under this name."""
    plain = name.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    named = {"Content-Disposition": disposition}
    return Response(content, mimetype=media_type, headers=named)


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """The content of a file, as it is read."""
    while piece := file.read(_PIECE):
        yield piece
