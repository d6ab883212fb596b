"""Wrong servers in what all operations have in common: keys, errors, HTTP itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from openhands_reference_server.domain.errors import ConversationNotFound
from openhands_reference_server.http import agent_server, sockets
from openhands_reference_server.http.access import SessionKeyAccess
from openhands_reference_server.http.connections import Dropped, cut, raw_socket
from tests.contract.mutants.machinery import AGENT, CONVERSATION, Reply, before, inside, on

KEY = "the-key-of-the-app-server"
ANY = "* .*"

# -- keys -------------------------------------------------------------------------------------------


@inside("Any key opens the app server.", "ACCESS-03", protected=True)
def any_key_will_do() -> Iterator[object]:
    with patch.object(
        SessionKeyAccess, "allows", lambda self, request: "X-Session-API-Key" in request.headers
    ):
        yield


@before(
    "GET /api/conversations",
    "The list of conversations needs no key.",
    "ACCESS-01",
    "ACCESS-03",
    protected=True,
)
def the_list_needs_no_key(environ: dict[str, Any]) -> None:
    environ["HTTP_X_SESSION_API_KEY"] = KEY


@before(
    "POST /api/v1/sandboxes/.*", "Pausing a sandbox needs no key.", "ACCESS-02", "ACCESS-03", protected=True
)
def pausing_needs_no_key(environ: dict[str, Any]) -> None:
    environ["HTTP_X_SESSION_API_KEY"] = KEY


@on(ANY, "A missing key is answered 403.", "ACCESS-01", "ACCESS-02", protected=True)
def missing_key_is_forbidden(reply: Reply) -> None:
    if reply.status == 401:
        reply.status = 403


@inside("The agent server takes the key of any sandbox for all.", "ACCESS-08", "AGENT-CONV-17")
def one_key_for_all_sandboxes() -> Iterator[object]:
    def anybodys(world: Any, conversation_id: str) -> Any:
        return world.core.v1(conversation_id)

    from openhands_reference_server.http import agent_conversations, agent_events

    with (
        patch.object(agent_conversations, "conversation_of_key", anybodys, create=True),
        patch.object(agent_events, "conversation_of_key", anybodys, create=True),
        patch.object(sockets, "conversation_of_key", anybodys),
    ):
        yield


@inside("The agent server takes any key of the right form.", "ACCESS-07")
def agent_key_is_not_checked() -> Iterator[object]:
    from openhands_reference_server.world.keys import SessionKeys

    def lenient(self: SessionKeys, key: str) -> str | None:
        return key.partition(".")[0] or None

    with patch.object(SessionKeys, "sandbox_of", lenient):
        yield


@inside("The WebSocket of an agent server needs no right key.", "AGENT-LIVE-14", "AGENT-LIVE-13")
def socket_key_is_not_checked() -> Iterator[object]:
    def lenient(world: Any) -> None:
        from flask import g, request

        try:
            found = world.core.v1((request.view_args or {}).get("conversation_id", ""))
        except ConversationNotFound:
            return sockets_refusal(world)
        g.sandbox_id = found.sandbox_id
        for key in sockets.SOCKET_KEYS:
            if key in request.environ:
                request.environ[key] = sockets.Connection(request.environ[key])
        return None

    sockets_refusal: Any = sockets.refusal
    with patch.object(agent_server.sockets, "refusal", lenient):
        yield


@inside("Socket.IO needs no right key.", "V0-LIVE-09", "V0-LIVE-10", protected=True)
def socketio_key_is_not_checked() -> Iterator[object]:
    with patch.object(SessionKeyAccess, "accepts", lambda self, key: True):
        yield


# -- errors -----------------------------------------------------------------------------------------


@on(ANY, "An error tells where it happened in the code.", "HTTP-ERRORS-02")
def errors_have_stack_traces(reply: Reply) -> None:
    if reply.status in (404, 422) and isinstance(reply.json, dict):
        trace = 'Traceback (most recent call last):\n  File "/srv/app.py", line 1, in get\nKeyError'
        reply.json["exception"] = trace


@on(ANY, "Errors are HTML pages.", "HTTP-ERRORS-01")
def errors_are_html(reply: Reply) -> None:
    if reply.status in (404, 405):
        reply.text(reply.status, "<html><body><h1>Error</h1></body></html>", "text/html")


@on(
    "* /api/.*",
    "The key that was sent comes back in every error.",
    "HTTP-ERRORS-14",
    "ACCESS-04",
    protected=True,
)
def errors_tell_the_key(reply: Reply) -> None:
    key = reply.request.headers.get("X-Session-API-Key")
    if reply.status >= 400 and key and isinstance(reply.json, dict):
        reply.json["sent_key"] = key


@on("GET|POST /api/settings", "Settings tell the key of the model.", "SETTINGS-01")
def settings_tell_keys(reply: Reply) -> None:
    if reply.request.method == "POST":
        reply.memory["sent"] = json.loads(reply.sent)
    elif reply.is_ok and isinstance(reply.memory.get("sent"), dict):
        reply.json["llm_api_key"] = reply.memory["sent"].get("llm_api_key")


@on(
    ANY,
    "422 is answered as 400.",
    "GEN-INPUT-01",
    "V0-CREATE-08",
    "V0-CREATE-1*",
    "*-DOCUMENT-*",
    "V1-START-17",
)
def invalid_is_a_bad_request(reply: Reply) -> None:
    if reply.status == 422:
        reply.status = 400


@on(
    ANY,
    "The items of a 422 do not say where.",
    "HTTP-ERRORS-04",
    "V0-CREATE-08",
    "V0-CREATE-13",
    "*-DOCUMENT-*",
)
def invalid_without_place(reply: Reply) -> None:
    if reply.status == 422 and isinstance(reply.json.get("detail"), list):
        for item in reply.json["detail"]:
            item.pop("loc", None)


@on("GET .*", "Odd characters in a query are a server error.", "GEN-ANSWERS-01", "HTTP-ERRORS-05")
def odd_input_crashes(reply: Reply) -> None:
    if any(ord(character) > 0x2FF for value in reply.request.args.values() for character in value):
        reply.answer(500, {"detail": "Internal Server Error"})


# -- HTTP -------------------------------------------------------------------------------------------


@on(ANY, "405 comes without Allow.", "HTTP-METHODS-02", "GEN-METHODS-01")
def no_allow_header(reply: Reply) -> None:
    if reply.status == 405:
        reply.headers.pop("Allow", None)


@on("* /api/.*", "JSON is declared as text.", "HTTP-BODIES-01", "GEN-ANSWERS-03")
def json_as_text(reply: Reply) -> None:
    if reply.is_ok and reply.headers.get("Content-Type") == "application/json":
        reply.headers["Content-Type"] = "text/plain"


@on("* /api/.*", "A method that a path does not have is answered 404.", "HTTP-METHODS-01", "GEN-METHODS-01")
def unknown_method_is_not_found(reply: Reply) -> None:
    if reply.status == 405:
        reply.answer(404, {"detail": "Not Found"})


@on(
    "GET /api/conversations",
    "A body has something after its end.",
    "V0-DOCUMENT-01",
    "HTTP-BODIES-01",
    "GEN-ANSWERS-03",
    elsewhere=True,
)
def something_after_the_end(reply: Reply) -> None:
    if reply.is_ok:
        reply.text(200, reply.body.decode() + "}", "application/json")


@on("GET /health", "The server is not healthy in the way that is documented.", "META-DOCUMENT-01", "META-01")
def health_is_an_object(reply: Reply) -> None:
    reply.answer(200, {"status": "OK"})


@on(
    f"GET {CONVERSATION}",
    "The agent server's conversations lack their state.",
    "AGENT-DOCUMENT-01",
    "GEN-ANSWERS-04",
    server=AGENT,
)
def agent_conversation_lacks_a_field(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.pop("execution_status")


# -- connections ------------------------------------------------------------------------------------


def _instead_of_every_50th(reply: Reply, sent: bytes) -> None:
    """Send this, and hang up."""
    reply.memory["answers"] = reply.memory.get("answers", 0) + 1
    connection = raw_socket(reply.request.environ)
    if reply.memory["answers"] % 50 == 0 and connection is not None:
        connection.sendall(sent)
        cut(connection)
        raise Dropped


@on(ANY, "The connection is closed instead of every 50th answer.", "HTTP-BODIES-03")
def answers_are_dropped(reply: Reply) -> None:
    _instead_of_every_50th(reply, b"")


@on(ANY, "Every 50th answer ends before its end.", "HTTP-BODIES-03", "GEN-ANSWERS-06")
def answers_are_cut_short(reply: Reply) -> None:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(reply.body) + 1}\r\n\r\n"
    )
    _instead_of_every_50th(reply, head.encode() + reply.body)
