"""Wrong servers at the edges: one operation that forgets its key, bodies that nobody checked, streams, what is left."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from flask import request

from openhands_reference_server.domain.errors import SandboxNotFound
from openhands_reference_server.domain.event_log import EventLog
from openhands_reference_server.http import sockets
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.keys import SessionKeys
from openhands_reference_server.world.sandboxes import Sandboxes
from tests.contract.mutants.http import KEY
from tests.contract.mutants.machinery import (
    AGENT,
    CONVERSATION,
    Reply,
    before,
    inside,
    on,
    send_with,
    sent_with,
)

_HEADER = "HTTP_X_SESSION_API_KEY"
_APPS = "/api/v1/app-conversations"
_EVENTS = f"{CONVERSATION}/events"
_WRITES = "POST|PATCH|PUT .*"
_KEY_OF_ALL = "the-key-of-all-sandboxes"


# -- keys -------------------------------------------------------------------------------------------


@before(f"GET {CONVERSATION}/select-file", "Reading a file takes any key.", "ACCESS-11", protected=True)
def files_take_any_key(environ: dict[str, Any]) -> None:
    if _HEADER in environ:
        environ[_HEADER] = KEY


@before(
    f"GET {_APPS}/start-tasks/search", "Searching start tasks takes any key.", "ACCESS-12", protected=True
)
def tasks_take_any_key(environ: dict[str, Any]) -> None:
    if _HEADER in environ:
        environ[_HEADER] = KEY


@before("* .*", "A key in the query opens the app server.", "ACCESS-13", protected=True)
def key_in_the_query(environ: dict[str, Any]) -> None:
    if f"session_api_key={KEY}" in environ["QUERY_STRING"]:
        environ[_HEADER] = KEY


@before(f"DELETE {CONVERSATION}", "Deleting needs no key.", "ACCESS-01", protected=True)
def deleting_needs_no_key(environ: dict[str, Any]) -> None:
    environ[_HEADER] = KEY


@on("GET /api/tools/", "The tools are listed for any key.", "ACCESS-15", "ACCESS-06", server=AGENT)
def tools_for_everybody(reply: Reply) -> None:
    if reply.status == 401:
        reply.answer(200, ["terminal"])


@before("* .*", "An agent server takes its key as a bearer token.", "ACCESS-16", server=AGENT)
def key_as_bearer(environ: dict[str, Any]) -> None:
    if _HEADER not in environ and environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer "):
        environ[_HEADER] = environ["HTTP_AUTHORIZATION"].removeprefix("Bearer ")


@inside("All sandboxes have the same key.", "ACCESS-17")
def one_key_for_all() -> Iterator[object]:
    def asked_about(self: Sandboxes, key: str) -> str:
        if key != _KEY_OF_ALL:
            raise SandboxNotFound("")
        named = request.view_args.get("conversation_id") if request.view_args else None
        return self._core.v1(named).sandbox_id if named else next(iter(self._core.sandboxes)).id

    with (
        patch.object(SessionKeys, "key_of", lambda self, sandbox_id: _KEY_OF_ALL),
        patch.object(Sandboxes, "of_key", asked_about),
    ):
        yield


# -- bodies -----------------------------------------------------------------------------------------


@before(_WRITES, "JSON is taken for JSON whatever it is declared as.", "HTTP-JSON-03")
def any_content_type(environ: dict[str, Any]) -> None:
    if environ.get("CONTENT_TYPE", "").startswith("text/"):
        environ["CONTENT_TYPE"] = "application/json"


@before(
    _WRITES,
    "JSON is taken for JSON by an agent server, whatever it is declared as.",
    "HTTP-JSON-04",
    server=AGENT,
)
def any_content_type_for_agents(environ: dict[str, Any]) -> None:
    if environ.get("CONTENT_TYPE", "").startswith("text/"):
        environ["CONTENT_TYPE"] = "application/json"


@before(f"POST {CONVERSATION}/message", "A message that is no JSON is taken as text.", "HTTP-JSON-01")
def messages_need_no_json(environ: dict[str, Any]) -> None:
    if not sent_with(environ).strip().endswith(b"}") or b": }" in sent_with(environ):
        send_with(environ, b'{"message": "?"}')


@on(
    f"POST {_EVENTS}",
    "JSON that is cut off is a server error of the agent server.",
    "HTTP-JSON-02",
    server=AGENT,
)
def cut_off_is_an_error(reply: Reply) -> None:
    if reply.status == 422 and "json_invalid" in reply.body.decode():
        reply.answer(500, {"detail": "Internal Server Error"})


@on(_WRITES, "A body of another kind is refused with 400.", "HTTP-JSON-05", "HTTP-JSON-01")
def other_kinds_are_400(reply: Reply) -> None:
    if reply.status == 422 and reply.sent in (b'"a text"', b"7"):
        reply.answer(400, {"detail": "Bad Request"})


@on(f"PATCH {CONVERSATION}", "A body that is large is a server error.", "HTTP-JSON-07")
def large_is_an_error(reply: Reply) -> None:
    if reply.status == 413:
        reply.answer(500, {"detail": "Internal Server Error"})


@on(_WRITES, "A charset beside the content type is refused.", "HTTP-JSON-08")
def no_charset(reply: Reply) -> None:
    if "charset" in reply.request.headers.get("Content-Type", ""):
        reply.answer(415, {"detail": "Unsupported Media Type"})


@on(f"GET {_APPS}/search", "A number that is too large is a server error.", "HTTP-ODD-01", "HTTP-ERRORS-05")
def large_numbers(reply: Reply) -> None:
    if b"999999999999999" in reply.request.query_string:
        reply.answer(500, {"detail": "Internal Server Error"})


@on(f"PATCH {CONVERSATION}", "Half a character is a server error.", "HTTP-ODD-02", "HTTP-ERRORS-05")
def half_a_character(reply: Reply) -> None:
    if b"\\ud800" in reply.sent:
        reply.answer(500, {"detail": "Internal Server Error"})


@on(f"GET {CONVERSATION}", "An error has no words.", "HTTP-ERRORS-11", "V0-ID-01")
def errors_without_words(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(404, {"status": "error", "message": "", "msg_id": "CONVERSATION$NOT_FOUND"})


@on("POST /api/conversations", "A 422 does not name the field.", "HTTP-ERRORS-12")
def nameless_fields(reply: Reply) -> None:
    if reply.status == 422:
        for item in reply.json["detail"]:
            item["loc"] = item["loc"][:1]


# -- streams ----------------------------------------------------------------------------------------


@inside("A stream of a sandbox that is paused is closed with 1000.", "V1-PAUSE-01")
def pause_closes_otherwise() -> Iterator[object]:
    goodbyes = {
        reason: (1000, "") if code == 1001 else (code, text)
        for reason, (code, text) in sockets._GOODBYES.items()
    }
    with patch.dict(sockets._GOODBYES, goodbyes):
        yield


# -- files ------------------------------------------------------------------------------------------


@on(f"GET {CONVERSATION}/zip-directory", "The archive lacks what is binary.", "V0-FILES-02", "V0-FILES-19")
def archive_lacks_binaries(reply: Reply) -> None:
    if not reply.is_ok:
        return
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(reply.body)) as old, zipfile.ZipFile(kept, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(".bin"):
                new.writestr(entry, old.read(entry))
    reply.body = kept.getvalue()


@on("GET /api/file/download/.*", "Every download ends a byte early.", "AGENT-FILES-01", server=AGENT)
def downloads_end_early(reply: Reply) -> None:
    if reply.is_ok:
        reply.body = reply.body[:-1]


@on("GET /api/file/download/.*", "Downloads have no name.", "AGENT-FILES-12", server=AGENT)
def downloads_without_a_name(reply: Reply) -> None:
    reply.headers.pop("Content-Disposition", None)


# -- changes and deletions --------------------------------------------------------------------------


@on(f"GET {_APPS}", "A conversation that is asked for twice is answered once.", "V1-BATCH-11")
def batch_without_repeats(reply: Reply) -> None:
    if reply.is_ok and isinstance(reply.json, list):
        seen: list[Any] = []
        seen.extend(item for item in reply.json if item is None or item not in seen)
        reply.__dict__["json"] = seen


@on("GET /api/v1/sandbox-specs", "Unknown specs are left out of a batch.", "V1-BATCH-12")
def batch_without_unknown_specs(reply: Reply) -> None:
    if reply.is_ok:
        reply.__dict__["json"] = [item for item in reply.json if item is not None]


@before(f"PATCH {CONVERSATION}", "A title of 201 characters is cut.", "V1-CHANGE-02", "V0-UPDATE-02")
def titles_are_cut_in_both(environ: dict[str, Any]) -> None:
    send_with(environ, sent_with(environ).replace(b"t" * 201, b"t" * 200))


@on(
    f"GET {CONVERSATION}/config", "A deleted conversation still has a config.", "V1-DELETE-14", "V0-DELETE-02"
)
def config_of_the_deleted(reply: Reply) -> None:
    if reply.status == 404:
        identifier = reply.request.path.split("/")[3]
        reply.answer(200, {"runtime_id": None, "session_id": identifier})


@on(f"POST {CONVERSATION}/stop", "The second stop of a V1 conversation is an error.", "V1-PAUSE-05")
def stopping_v1_twice(reply: Reply) -> None:
    stopped = reply.memory.setdefault("stopped", set())
    if reply.request.path in stopped:
        reply.answer(
            409, {"status": "error", "message": "Stopped", "msg_id": "CONVERSATION$ILLEGAL_TRANSITION"}
        )
    stopped.add(reply.request.path)


@inside("Deleting a conversation empties the logs of others.", "V1-DELETE-15")
def deleting_empties_others() -> Iterator[object]:
    remove_tree = Core.remove_tree

    def greedy(self: Core, conversation: Any, reason: str) -> None:
        remove_tree(self, conversation, reason)
        for other in self.conversations:
            self._logs[other.id] = EventLog()

    with patch.object(Core, "remove_tree", greedy):
        yield


@inside("Deleting a conversation takes others along.", "V1-DELETE-15", "V0-DELETE-04")
def deleting_takes_others_along() -> Iterator[object]:
    remove_tree = Core.remove_tree

    def greedy(self: Core, conversation: Any, reason: str) -> None:
        remove_tree(self, conversation, reason)
        for other in list(self.conversations):
            self.remove_conversation(other, reason)

    with patch.object(Core, "remove_tree", greedy):
        yield
