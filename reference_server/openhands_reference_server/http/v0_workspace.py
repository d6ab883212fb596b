"""Tag `v0-workspace`: files, git and addresses of a V0 conversation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from http import HTTPStatus
from typing import BinaryIO

from flask import Blueprint, Response, request

from openhands_reference_server.http.answers import asked, dumps, json_answer
from openhands_reference_server.http.forms import discard_rest, receive_files
from openhands_reference_server.workspace.files import decoded
from openhands_reference_server.world import World

_ONE = "/api/conversations/<conversation_id>"
_FILES = "files"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("v0-workspace", __name__)
    workspaces = world.workspaces

    @routes.after_request
    def hear_out(answer: Response) -> Response:
        if answer.status_code >= HTTPStatus.BAD_REQUEST and request.method == "POST":
            discard_rest()
        return answer

    @routes.get(f"{_ONE}/list-files", endpoint="listFiles")
    def list_files(conversation_id: str) -> Response:
        return json_answer(workspaces.of(conversation_id).entries(asked().query["path"] or ""))

    @routes.get(f"{_ONE}/select-file", endpoint="selectFile")
    def select_file(conversation_id: str) -> Response:
        file = workspaces.of(conversation_id).open_text(asked().query["file"])
        answer = Response(_code(file), mimetype="application/json")
        answer.call_on_close(file.close)
        return answer

    @routes.get(f"{_ONE}/zip-directory", endpoint="zipDirectory")
    def zip_directory(conversation_id: str) -> Response:
        named = {"Content-Disposition": 'attachment; filename="workspace.zip"'}
        archive = workspaces.of(conversation_id).zipped()
        return Response(archive, mimetype="application/zip", headers=named)

    @routes.post(f"{_ONE}/upload-files", endpoint="uploadFiles")
    def upload_files(conversation_id: str) -> Response:
        with workspaces.of(conversation_id).receiving() as upload:
            receive_files(upload, _FILES)
            uploaded = upload.place()
        skipped = [{"name": name, "reason": reason} for name, reason in upload.skipped]
        return json_answer({"uploaded_files": uploaded, "skipped_files": skipped})

    @routes.get(f"{_ONE}/git/changes", endpoint="getGitChanges")
    def git_changes(conversation_id: str) -> Response:
        return json_answer([asdict(change) for change in workspaces.of(conversation_id).changes()])

    @routes.get(f"{_ONE}/git/diff", endpoint="getGitDiff")
    def git_diff(conversation_id: str) -> Response:
        modified, original = workspaces.of(conversation_id).compare(asked().query["path"])
        return json_answer({"modified": modified, "original": original})

    @routes.get(f"{_ONE}/vscode-url", endpoint="getVSCodeUrl")
    def vscode_url(conversation_id: str) -> Response:
        workspaces.check(conversation_id)
        return json_answer({"vscode_url": None})

    @routes.get(f"{_ONE}/web-hosts", endpoint="getWebHosts")
    def web_hosts(conversation_id: str) -> Response:
        workspaces.check(conversation_id)
        return json_answer({"hosts": {} if world.dialect.web_hosts_have_ports else []})

    return routes


def _code(file: BinaryIO) -> Iterator[str]:
    """`{"code": …}`, written while the file is read."""
    yield '{"code":"'
    for text in decoded(file):
        yield dumps(text)[1:-1]
    yield '"}'
