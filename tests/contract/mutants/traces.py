"""Wrong servers in what they keep and hand out: files of both generations, frames of both kinds of streams."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs

from openhands_reference_server.domain import v0_live
from openhands_reference_server.http import socketio_server, sockets
from openhands_reference_server.http.socketio_server import SocketIO
from openhands_reference_server.world.agent_side import AgentSide
from openhands_reference_server.world.broadcast import Subscription
from tests.contract.mutants.listening import is_v1, news
from tests.contract.mutants.machinery import (
    AGENT,
    CONVERSATION,
    Reply,
    before,
    inside,
    on,
    send_with,
    sent_with,
    set_query,
)

_SELECT = f"GET {CONVERSATION}/select-file"
_LIST = f"GET {CONVERSATION}/list-files"
_UPLOAD = f"POST {CONVERSATION}/upload-files"
_DIFF = f"GET {CONVERSATION}/git/diff"
_DOWNLOAD = "GET /api/file/download/.*"
_AGENT_UPLOAD = "POST /api/file/upload/.*"
_APPS = "/api/v1/app-conversations"


def _asked(reply: Reply, name: str) -> str:
    return parse_qs(reply.request.query_string.decode()).get(name, [""])[0]


def _finished_form(environ: dict[str, Any]) -> None:
    body = sent_with(environ)
    if not body.rstrip().endswith(b"--"):
        send_with(environ, body + b"\r\n--b--\r\n")


# -- files of V0 ------------------------------------------------------------------------------------


@on(_SELECT, "An empty file is not found.", "V0-FILES-03")
def empty_is_missing(reply: Reply) -> None:
    if reply.is_ok and reply.json["code"] == "":
        reply.answer(404, {"error": "File not found"})


@on(_LIST, "Names that are not ASCII are not listed.", "V0-FILES-04")
def ascii_names_only(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [name for name in reply.json if name.isascii()])


@on(_UPLOAD, "Of several files only the first is named.", "V0-FILES-05")
def first_upload_only(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["uploaded_files"] = reply.json["uploaded_files"][:1]


@on(_LIST, "Entries are not joined to the path that was asked for.", "V0-FILES-06")
def entries_are_not_joined(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [name.rpartition("/")[2] for name in reply.json])


@on(_SELECT, "A file stays as it was first.", "V0-FILES-07")
def first_content_stays(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["code"] = reply.memory.setdefault(_asked(reply, "file"), reply.json["code"])


@on(_UPLOAD, "An upload without files is fine.", "V0-FILES-10")
def nothing_to_upload(reply: Reply) -> None:
    if reply.status == 422:
        reply.answer(200, {"uploaded_files": [], "skipped_files": []})


@before(_UPLOAD, "What has arrived of an upload is stored.", "V0-FILES-11")
def half_an_upload(environ: dict[str, Any]) -> None:
    _finished_form(environ)


@on(_LIST, "No file is listed.", "V0-FILES-12")
def nothing_is_listed(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [])


@on(_LIST, "A directory that does not exist is empty.", "V0-FILES-13")
def missing_is_empty(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(200, [])


@on(_SELECT, "A file that does not exist is empty.", "V0-FILES-14")
def missing_file_is_empty(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(200, {"code": ""})


@on(_SELECT, "Binary files are shown as text.", "V0-FILES-17")
def binary_as_text(reply: Reply) -> None:
    if reply.status == 415:
        reply.answer(200, {"code": "?"})


@on(_SELECT, "A file without a name is refused with 400.", "V0-FILES-18")
def nameless_is_400(reply: Reply) -> None:
    if reply.status == 422:
        reply.answer(400, {"error": "Which file?"})


@on(_LIST, "What git keeps is listed.", "V0-FILES-20")
def git_is_listed(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [".git", *reply.json])


@on(_LIST, "Files of all conversations are listed.", "V0-FILES-21")
def one_workspace_for_all(reply: Reply) -> None:
    if reply.is_ok:
        known = reply.memory.setdefault("names", set())
        known.update(reply.json)
        reply.answer(200, sorted(known))


@on(f"POST|GET {CONVERSATION}/(stop|select-file)", "Files are gone after a stop.", "V0-FILES-22")
def files_are_gone(reply: Reply) -> None:
    stopped, identifier = reply.memory.setdefault("stopped", set()), reply.request.path.split("/")[3]
    if reply.request.path.endswith("/stop"):
        stopped.add(identifier)
    elif identifier in stopped:
        reply.answer(404, {"error": "File not found"})


@on(f"GET {CONVERSATION}/git/changes", "Changes are in the wrong order.", "V0-GIT-02")
def changes_in_disorder(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.json[::-1])


@on(_DIFF, "A file that never was has an empty difference.", "V0-GIT-04")
def difference_of_nothing(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(200, {"modified": "", "original": ""})


# -- files of sandboxes -----------------------------------------------------------------------------


@on(_DOWNLOAD, "An empty file is not found in the sandbox.", "AGENT-FILES-03", server=AGENT)
def empty_download_is_missing(reply: Reply) -> None:
    if reply.is_ok and not reply.body:
        reply.answer(404, {"detail": "File not found"})


@on(_DOWNLOAD, "Names that are not ASCII are not found in the sandbox.", "AGENT-FILES-04", server=AGENT)
def ascii_downloads_only(reply: Reply) -> None:
    if not reply.request.path.isascii():
        reply.answer(404, {"detail": "File not found"})


@on(_AGENT_UPLOAD, "No directories are made in the sandbox.", "AGENT-FILES-05", server=AGENT)
def no_directories(reply: Reply) -> None:
    if "/inner/" in reply.request.path:
        reply.answer(404, {"detail": "No such directory"})


@on(_DOWNLOAD, "A file of the sandbox stays as it was first.", "AGENT-FILES-06", server=AGENT)
def first_download_stays(reply: Reply) -> None:
    if reply.is_ok:
        reply.body = reply.memory.setdefault(reply.request.path, reply.body)


@on("GET|POST /api/file/.*", "A relative path is not found.", "AGENT-FILES-07", server=AGENT)
def relative_is_missing(reply: Reply) -> None:
    if reply.status == 400:
        reply.answer(404, {"detail": "Not Found"})


@on(_DOWNLOAD, "A file that does not exist is downloaded, empty.", "AGENT-FILES-08", server=AGENT)
def missing_download_is_empty(reply: Reply) -> None:
    if reply.status == 404:
        reply.text(200, "", "application/octet-stream")


@on("GET|POST /api/file/.*", "What lies outside is not found.", "AGENT-FILES-09", server=AGENT)
def outside_is_missing_for_agents(reply: Reply) -> None:
    if reply.status == 403:
        reply.answer(404, {"detail": "File not found"})


@on(_AGENT_UPLOAD, "An upload of nothing is done.", "AGENT-FILES-10", server=AGENT)
def upload_of_nothing(reply: Reply) -> None:
    if reply.status == 422:
        reply.answer(200, {"success": True})


@before(_AGENT_UPLOAD, "Half an upload replaces a file.", "AGENT-FILES-11", server=AGENT)
def half_a_file(environ: dict[str, Any]) -> None:
    _finished_form(environ)


@on(_DOWNLOAD, "A directory is downloaded.", "AGENT-FILES-13", server=AGENT)
def directory_as_file(reply: Reply) -> None:
    if reply.request.path.rstrip("/").endswith("workspace"):
        reply.text(200, "a.txt", "application/octet-stream")


@on(
    "GET /api/file/download-trajectory/.*",
    "The trajectory lacks its last event.",
    "AGENT-FILES-14",
    server=AGENT,
)
def trajectory_ends_early(reply: Reply) -> None:
    if not reply.is_ok:
        return
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(reply.body)) as old, zipfile.ZipFile(kept, "w") as new:
        for entry in sorted(old.infolist(), key=lambda one: one.filename)[:-1]:
            new.writestr(entry, old.read(entry))
    reply.body = kept.getvalue()


@on("GET /api/file/download-trajectory/.*", "An unknown trajectory is empty.", "AGENT-FILES-15", server=AGENT)
def unknown_trajectory(reply: Reply) -> None:
    if reply.status == 404:
        reply.text(200, "", "application/octet-stream")


@on(f"GET {_APPS}/[^/]+/file", "The app server sees no files.", "AGENT-FILES-16", "V1-FILE-01")
def app_server_sees_no_files(reply: Reply) -> None:
    reply.answer(200, "")


@on("GET /api/git/diff/.*", "A new file was there before.", "AGENT-GIT-02", server=AGENT)
def was_there_before(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["original"] = reply.json["modified"]


@on("GET /api/git/.*", "What lies outside is no repository.", "AGENT-GIT-03", server=AGENT)
def outside_is_no_repository(reply: Reply) -> None:
    if reply.status == 403:
        reply.answer(404, {"detail": "Not a git repository"})


# -- conversations of V1 ----------------------------------------------------------------------------


@on("POST /api/conversations", "The key of an agent's model is shown.", "AGENT-CONV-31", server=AGENT)
def model_keys_are_shown(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["agent"]["llm"] = json.loads(reply.sent)["agent"]["llm"]


@on(f"GET {_APPS}", "Renaming sets the time of creation.", "V1-CHANGE-01")
def renaming_recreates(reply: Reply) -> None:
    for item in reply.json if reply.is_ok else []:
        if item and (item["title"] or "").startswith("Word"):
            item["created_at"] = "2030-01-01T00:00:00Z"


@on(f"GET {CONVERSATION}", "The agent server does not hear of titles.", "V1-CHANGE-03", server=AGENT)
def agents_know_no_titles(reply: Reply) -> None:
    if reply.is_ok and "title" in reply.json:
        reply.json["title"] = None


@on(f"GET {_APPS}", "All conversations have the newest title.", "V1-CHANGE-04")
def one_title_for_all(reply: Reply) -> None:
    for item in reply.json if reply.is_ok else []:
        if item and (item["title"] or "").startswith("Word"):
            reply.memory["title"] = item["title"]
        elif item and "title" in reply.memory:
            item["title"] = reply.memory["title"]


@on(
    f"GET {CONVERSATION}/events",
    "An event that is asked for twice is answered once.",
    "V1-BATCH-13",
    server=AGENT,
)
def events_once(reply: Reply) -> None:
    if reply.is_ok and isinstance(reply.json, list):
        kept: list[Any] = []
        for item in reply.json:
            if item is None or item not in kept:
                kept.append(item)
        reply.answer(200, kept)


@on(
    "* /api/.*",
    "A body of another kind is refused by the agent server with 400.",
    "HTTP-JSON-06",
    server=AGENT,
)
def other_kinds_are_400_for_agents(reply: Reply) -> None:
    if reply.status == 422 and reply.sent in (b'"a text"', b"7"):
        reply.answer(400, {"detail": "Bad Request"})


@on("GET /api/.*", "NUL in a query is an error of the agent server.", "HTTP-ODD-03", server=AGENT)
def nul_is_an_error(reply: Reply) -> None:
    if b"%00" in reply.request.query_string:
        reply.answer(500, {"detail": "Internal Server Error"})


# -- streams ----------------------------------------------------------------------------------------


def _first_frame(change: Any) -> Any:
    """Another beginning of an agent server's stream."""
    watch = AgentSide.watch

    def changed(self: AgentSide, conversation_id: str, **more: Any) -> Any:
        first, subscription = watch(self, conversation_id, **more)
        return change(first), subscription

    return patch.object(AgentSide, "watch", changed)


@inside("A stream does not begin with the state.", "AGENT-LIVE-01")
def no_state_first() -> Iterator[object]:
    with _first_frame(lambda first: [{**first[0], "key": "stats"}, *first[1:]]):
        yield


@inside("The state at the beginning of a stream has always the same id.", "AGENT-LIVE-02")
def same_id_of_states() -> Iterator[object]:
    name = "00000000-0000-4000-8000-000000000000"
    with _first_frame(lambda first: [{**first[0], "id": name}, *first[1:]]):
        yield


@inside("Resent events have the time at which they are resent.", "AGENT-LIVE-05")
def resent_events_are_new() -> Iterator[object]:
    with _first_frame(lambda first: [{**event, "timestamp": "2030-01-01T00:00:00"} for event in first]):
        yield


@inside("A client that names no number hears nothing old.", "V0-LIVE-06")
def no_number_hears_nothing() -> Iterator[object]:
    real = socketio_server._event_id

    def changed(query: Any) -> int:
        text = query.get("latest_event_id", ["-1"])[-1]
        return real(query) if text.lstrip("-").isdigit() else 10**6

    with patch.object(socketio_server, "_event_id", changed):
        yield


@inside("A client that names no conversation is told otherwise.", "V0-LIVE-07")
def other_words_for_no_conversation() -> Iterator[object]:
    with patch.object(socketio_server, "NO_CONVERSATION", "Bad Request"):
        yield


@inside("A client of an unknown conversation is told otherwise.", "V0-LIVE-08", "V0-LIVE-24")
def other_words_for_unknown() -> Iterator[object]:
    with patch.object(socketio_server, "NOT_FOUND", "Bad Request"):
        yield


@inside("Any provider will do.", "V0-LIVE-11")
def any_provider() -> Iterator[object]:
    with patch.object(socketio_server, "_check_providers", lambda query: None):
        yield


@inside("What commands print is not heard live.", "V0-LIVE-12")
def output_is_not_heard() -> Iterator[object]:
    frames = v0_live.frames

    def quiet(*args: Any) -> list[Any]:
        return [frame for frame in frames(*args) if frame.get("observation") != "run"]

    with patch.object(v0_live, "frames", quiet):
        yield


@inside("What clients of Socket.IO do is ignored.", "V0-LIVE-16", "V0-LIVE-17", "V0-LIVE-18")
def socketio_is_deaf() -> Iterator[object]:
    with patch.object(SocketIO, "_act", lambda self, sid, *more: None):
        yield


@inside("The old name of actions is not known.", "V0-LIVE-17")
def old_name_is_unknown() -> Iterator[object]:
    with patch.object(socketio_server, "_ACTIONS", ("oh_user_action",)):
        yield


@inside("A refused action is not answered.", "V0-LIVE-18")
def refusals_are_silent() -> Iterator[object]:
    with patch.object(v0_live, "refusal", lambda message: {"message": message}):
        yield


@inside("Of what happens at once the last is heard first.", "AGENT-LIVE-08")
def news_in_disorder() -> Iterator[object]:
    with news(lambda subscription, messages: messages[::-1], is_v1):
        yield


@inside("Only one of two listeners hears of costs.", "AGENT-LIVE-10", "AGENT-LIVE-07")
def one_hears_less() -> Iterator[object]:
    listeners: list[int] = []

    def less(subscription: Subscription, messages: list[Any]) -> list[Any]:
        if id(subscription) not in listeners:
            listeners.append(id(subscription))
        hears_all = listeners.index(id(subscription)) % 2
        return messages if hears_all else [one for one in messages if one.get("key") != "stats"]

    with news(less, is_v1):
        yield


@inside("What is no message is taken for one.", "AGENT-LIVE-12")
def anything_is_a_message() -> Iterator[object]:
    take = sockets._take

    def lenient(ws: Any, feed: Any, frame: Any) -> None:
        message = '{"role": "user", "content": [{"type": "text", "text": "?"}]}'
        take(ws, feed, frame if str(frame).startswith("{") else message)

    with patch.object(sockets, "_take", lenient):
        yield


@inside("Commands are not heard, only what they print.", "AGENT-LIVE-21", options={"enable_bash": True})
def commands_are_not_heard() -> Iterator[object]:
    with news(
        lambda subscription, messages: [one for one in messages if one["kind"] != "BashCommand"], is_v1
    ):
        yield


@inside("Commands that come by the WebSocket are not run.", "AGENT-LIVE-23", options={"enable_bash": True})
def commands_are_ignored() -> Iterator[object]:
    with patch.object(sockets, "_take", lambda ws, feed, frame: None):
        yield


@before("GET|POST /socket.io/", "Long polling is refused.", "V0-LIVE-23")
def no_polling(environ: dict[str, Any]) -> None:
    if "transport=polling" in environ["QUERY_STRING"]:
        set_query(environ, transport="carrier-pigeon")


@before("GET /socket.io/", "The name of the conversation is lost.", "V0-LIVE-01")
def conversation_is_lost(environ: dict[str, Any]) -> None:
    set_query(environ, conversation_id=None)


@on("POST|GET /api/v1/sandboxes(/[^/]+/(pause|resume))?", "Pausing one sandbox pauses all.", "V1-PAUSE-03")
def all_are_paused(reply: Reply) -> None:
    if reply.request.method == "POST":
        reply.memory["paused"] = reply.request.path.endswith("/pause")
    for item in reply.json if reply.request.method == "GET" and reply.is_ok else []:
        if item and reply.memory.get("paused"):
            item["status"] = "PAUSED"


@on(f"GET {CONVERSATION}", "Who deletes a conversation keeps the key to it.", "V1-DELETE-13", server=AGENT)
def key_to_the_deleted(reply: Reply) -> None:
    if reply.status in (401, 404):
        reply.answer(200, reply.memory.get(reply.request.path, {}))
    elif reply.is_ok:
        reply.memory[reply.request.path] = reply.json


@on("* /api/.*", "Names of errors are in small letters.", "HTTP-ERRORS-13", "V0-ID-01")
def small_letters(reply: Reply) -> None:
    if reply.status >= 400 and isinstance(reply.json, dict) and "msg_id" in reply.json:
        reply.json["msg_id"] = reply.json["msg_id"].lower()
