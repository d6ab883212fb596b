"""Dialect `openhands-1.11`, row by row of the table where descriptions and servers disagree.

The numbers are those of the rows in `docs/deviations.md`; `reference_server/README.md` says which are left out.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from openhands_reference_server import AgentScript, Run
from openhands_reference_server.domain.script import Act
from openhands_reference_server.http import sockets

from .conftest import MISSING, V1, Api, eventually, serving, story

DASHED = "00000000-0000-0000-0000-000000000001"
UNKNOWN = {"X-Session-API-Key": "nobody's"}
V1_PREFIX = "/api/v1/app-conversations"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving(dialect="openhands-1.11") as made:
        yield made


@pytest.fixture
def one(api: Api) -> V1:
    found = api.start_v1("hello")
    found.wait("finished")
    return found


# -- the app server: method, path, body, and the answer ------------------------------------------------

APP_ROWS: list[tuple[str, str, str, Any, int, Any]] = [
    ("1", "GET", "/api/conversations?limit=1", None, 404, {"detail": "Not Found"}),
    ("1 socket.io", "GET", "/socket.io/?EIO=4&transport=polling", None, 404, {"detail": "Not Found"}),
    ("2", "GET", f"{V1_PREFIX}?ids={MISSING}", None, 200, [None]),
    ("5", "DELETE", f"{V1_PREFIX}/{MISSING}", None, 404, {"detail": "Conversation not found"}),
    ("6", "PATCH", f"{V1_PREFIX}/{MISSING}", {"title": "x"}, 404, {"detail": "unknown_app_conversation"}),
    (
        "8 ids",
        "GET",
        f"{V1_PREFIX}?ids=nope",
        None,
        400,
        {"detail": "Invalid UUID format for ids: ['nope']"},
    ),
    ("8 path", "GET", "/api/v1/conversation/nope/events/search", None, 500, "Internal Server Error"),
    ("45", "GET", f"/feedback/conversation/{MISSING}/batch", None, 404, {"detail": "Not Found"}),
    ("55", "GET", f"{V1_PREFIX}/{MISSING}", None, 405, {"detail": "Method Not Allowed"}),
    (
        "58",
        "POST",
        f"{V1_PREFIX}/{MISSING}/send-message",
        {"content": [{"text": "x"}]},
        404,
        {"detail": f"Conversation {DASHED} not found"},
    ),
    ("64", "POST", V1_PREFIX, {"parent_conversation_id": MISSING}, 500, "Internal Server Error"),
    (
        "66",
        "GET",
        f"{V1_PREFIX}?{'&'.join(['ids=' + MISSING] * 100)}",
        None,
        400,
        {"detail": "Too many ids requested. Maximum is 99."},
    ),
    ("70 search", "GET", "/api/v1/events/search", None, 404, {"detail": "Not Found"}),
    ("70 unknown", "GET", f"/api/v1/conversation/{MISSING}/events/count", None, 200, 0),
    (
        "72",
        "GET",
        f"/api/v1/conversation/{MISSING}/events/count?timestamp__gte=2026-11-20T00:00:00Z",
        None,
        200,
        0,
    ),
    ("73 unknown", "GET", f"/api/v1/conversation/{MISSING}/events?id={MISSING}", None, 200, [None]),
    (
        "73 malformed",
        "GET",
        f"/api/v1/conversation/{MISSING}/events?id=nope",
        None,
        500,
        "Internal Server Error",
    ),
    ("89", "GET", "/ready", None, 200, "OK"),
    ("109", "POST", "/api/v1/sandboxes?sandbox_spec_id=nope", None, 500, "Internal Server Error"),
    ("110", "GET", "/api/settings", None, 404, {"detail": "Not Found"}),
]


@pytest.mark.parametrize(("row", "method", "path", "body", "status", "answer"), APP_ROWS)
def test_app_server(api: Api, row: str, method: str, path: str, body: Any, status: int, answer: Any) -> None:
    given = api.app.request(method, path, json=body)
    assert (given.status_code, read(given)) == (status, answer), row


def read(answer: httpx.Response) -> Any:
    """JSON, or text where the answer does not say that it is JSON."""
    return answer.json() if answer.headers["content-type"] == "application/json" else answer.text


def test_67_the_app_server_knows_its_limit(api: Api) -> None:
    refused = api.app.get(f"{V1_PREFIX}/search?limit=101")
    assert (refused.status_code, refused.json()["detail"][0]["type"]) == (422, "less_than_equal")


def test_56_deleting_leaves_the_sandbox_to_those_who_live_there(api: Api) -> None:
    first = api.start_v1()
    second = api.start_v1(sandbox_id=first.sandbox_id)
    assert api.ok("DELETE", f"{V1_PREFIX}/{first.id}") == {"success": True}
    assert api.info(second.id)["sandbox_status"] == "RUNNING"
    assert api.ok("DELETE", f"{V1_PREFIX}/{second.id}") == {"success": True}
    assert api.ok("GET", "/api/v1/sandboxes", params={"id": first.sandbox_id}) == [None]


def test_58_a_message_through_the_app_server_runs_the_agent(api: Api, one: V1) -> None:
    sent = api.ok("POST", f"{V1_PREFIX}/{one.id}/send-message", json={"content": [{"text": "more"}]})
    assert sent == {"success": True, "sandbox_status": "RUNNING", "message": None}
    eventually(lambda: story(one.events()).count("finished") == 2)


def test_59_or_does_not_where_it_says_so(api: Api) -> None:
    resting = api.start_v1()
    message = {"content": [{"text": "later"}], "run": False}
    api.ok("POST", f"{V1_PREFIX}/{resting.id}/send-message", json=message)
    assert (story(resting.events())[-1], resting.status) == ("user says", "idle")


def test_61_app_conversations_have_more_fields(api: Api, one: V1) -> None:
    shown = api.info(one.id)
    assert {name: shown[name] for name in ("agent_kind", "public", "tags")} == {
        "agent_kind": "openhands",
        "public": None,
        "tags": {},
    }


@pytest.mark.parametrize("repository", ["0" * 500, "..", "acme/..", "a\x00b"])
def test_names_of_repositories_lead_nowhere(api: Api, repository: str) -> None:
    odd = api.start_v1(selected_repository=repository)
    assert api.ok("GET", f"{V1_PREFIX}/{odd.id}/skills") == {"skills": []}
    assert api.ok("GET", f"{V1_PREFIX}/{odd.id}/hooks") == {"hooks": []}


def test_64_a_stream_with_an_unknown_parent_breaks_off(api: Api) -> None:
    given = api.app.post(f"{V1_PREFIX}/stream-start", json={"parent_conversation_id": MISSING})
    assert (given.status_code, given.text) == (200, "[\n")


def test_74_ten_messages_may_wait_for_anything(api: Api) -> None:
    path = "/api/v1/conversations/never/pending-messages"
    for position in range(1, 11):
        queued = api.app.post(path, json={"content": [{"type": "text", "text": "x"}]})
        assert (queued.status_code, queued.json()["queued"], queued.json()["position"]) == (
            201,
            True,
            position,
        )
    assert api.app.post(path, json={"content": [{"text": "x"}]}).status_code == 429
    assert api.app.post(path, json={"content": []}).json() == {"detail": "Invalid request body"}


def test_76_git_through_the_app_server(api: Api, one: V1) -> None:
    changes, diff = f"{V1_PREFIX}/{one.id}/git/changes", f"{V1_PREFIX}/{one.id}/git/diff"
    assert api.ok("GET", changes, params={"path": "/workspace"}) == []
    refused = api.app.get(diff, params={"path": "/workspace/nope"})
    assert (refused.status_code, refused.json()) == (502, {"detail": "Agent server error: 400"})
    api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
    assert api.app.get(changes, params={"path": "/workspace"}).status_code == 409


# -- the agent server: method, path below its root, body, and the answer --------------------------------

CRASH = "Internal Server Error"
OF_NOBODY = f"/api/conversations/{MISSING}"
AGENT_ROWS: list[tuple[str, str, str, Any, int, Any]] = [
    ("81 pause", "POST", f"{OF_NOBODY}/pause", None, 400, {"detail": "Bad Request"}),
    ("81 delete", "DELETE", OF_NOBODY, None, 400, {"detail": "Bad Request"}),
    ("82", "PATCH", OF_NOBODY, {"title": "x"}, 200, {"success": False}),
    ("84", "POST", f"{OF_NOBODY}/generate_title", {}, 404, {"detail": "Not Found"}),
    (
        "90",
        "GET",
        f"/api/file/download-trajectory/{MISSING}",
        None,
        404,
        {"detail": "Conversation not found"},
    ),
    ("4.3", "GET", OF_NOBODY, None, 404, {"detail": "Not Found"}),
    (
        "4.4",
        "GET",
        f"{OF_NOBODY}/events/search",
        None,
        404,
        {"detail": f"Conversation not found: {DASHED}"},
    ),
    ("75 path", "GET", "/api/file/download//workspace/a.txt", None, 404, {"detail": "Not Found"}),
    (
        "75 relative",
        "GET",
        "/api/file/download?path=a.txt",
        None,
        400,
        {"detail": "Path must be absolute"},
    ),
    (
        "75 missing",
        "GET",
        "/api/file/download?path=/workspace/nope",
        None,
        404,
        {"detail": "File not found"},
    ),
    ("78", "GET", "/api/git/changes?path=/workspace/nope", None, 200, []),
    ("88", "GET", "/health", None, 200, {"status": "ok"}),
    ("89", "GET", "/ready", None, 200, {"status": "ready"}),
    (
        "106",
        "GET",
        "/api/vscode/url",
        None,
        503,
        {
            "detail": CRASH,
            "exception": "503: VSCode is disabled in configuration. Set enable_vscode=true to enable.",
        },
    ),
]


@pytest.mark.parametrize(("row", "method", "path", "body", "status", "answer"), AGENT_ROWS)
def test_agent_server(
    api: Api, one: V1, row: str, method: str, path: str, body: Any, status: int, answer: Any
) -> None:
    given = ask_agent(one, method, path, body)
    assert (given.status_code, read(given)) == (status, answer), row


def ask_agent(one: V1, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"X-Session-API-Key": one.key}
    return httpx.request(method, one.api.server.agent_url + path, json=body, headers=headers, timeout=10)


CRASHES: list[tuple[str, str, str, Any, str]] = [
    ("67", "GET", "/api/conversations/search?limit=101", None, ""),
    ("66", "GET", f"/api/conversations?{'&'.join(['ids=' + MISSING] * 100)}", None, ""),
    (
        "60",
        "POST",
        "{one}/events",
        {"role": "assistant"},
        "Only user messages are allowed to be sent to the agent.",
    ),
    ("85", "GET", "{one}/events/nope", None, "'Unknown event_id: nope'"),
    ("85 batch", "GET", "{one}/events", ["nope"], "'Unknown event_id: nope'"),
]


@pytest.mark.parametrize(("row", "method", "path", "body", "exception"), CRASHES)
def test_86_what_the_agent_server_has_not_foreseen(
    one: V1, row: str, method: str, path: str, body: Any, exception: str
) -> None:
    given = ask_agent(one, method, path.replace("{one}", f"/api/conversations/{one.id}"), body)
    assert given.status_code == 500, row
    answer = given.json()
    assert len(answer.pop("error_id")) == 32
    assert answer == {"detail": CRASH, "exception": exception}


def test_87_the_connection_is_reset_behind_it(one: V1) -> None:
    url = httpx.URL(one.api.server.agent_url)
    request = f"GET /api/conversations/{one.id}/events/nope HTTP/1.1\r\nHost: x\r\nX-Session-API-Key: {one.key}\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=10) as raw:
        raw.sendall(request.encode())
        assert read_all(raw).startswith(b"HTTP/1.1 500")
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


def read_all(raw: socket.socket) -> bytes:
    """The answer, as long as its head says it is."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += raw.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    [length] = [
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    while len(body) < length:
        body += raw.recv(65536)
    return head


def test_79_80_run_returns_at_once_and_runs_nothing_twice() -> None:
    def acts(message: str, number: int) -> Iterator[Act]:
        yield Run("make")

    script = AgentScript(acts=acts, step_delay=1000)
    with serving(dialect="openhands-1.11", script=script) as api:
        one = api.start_v1()
        one.say("hello", run=False)
        assert one.ok("POST", "/run") == {"success": True}
        refused = one.request("POST", "/run")
        text = "Conversation already running. Wait for completion or pause first."
        assert (refused.status_code, refused.json()) == (409, {"detail": text})
        assert one.ok("POST", "/interrupt") == {"success": True}
        assert (one.status, story(one.events())[-1]) == ("paused", "InterruptEvent")


def test_83_a_patch_may_say_nothing(one: V1) -> None:
    assert one.ok("PATCH", json={}) == {"success": True}
    assert one.ok("PATCH", json={"title": "Renamed", "tags": {"team": "a"}}) == {"success": True}
    shown = one.ok("GET")
    assert (shown["title"], shown["tags"]) == ("Renamed", {"team": "a"})


def test_91_kinds_are_asked_for_by_their_full_path(one: V1) -> None:
    path = "openhands.sdk.event.llm_convertible.message.MessageEvent"
    assert one.events(kind="MessageEvent") == one.events(kind="elsewhere.MessageEvent") == []
    assert story(one.events(kind=path)) == ["user says"]


def test_113_the_agent_server_says_more_of_itself(api: Api) -> None:
    about = httpx.get(f"{api.server.agent_url}/server_info").json()
    assert about["version"] == about["sdk_version"] == "1.34.0"
    assert "terminal" in about["usable_tools"]


# -- the WebSocket ---------------------------------------------------------------------------------------


@contextmanager
def watching(one: V1, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    url = one.api.server.agent_url.replace("http", "ws", 1)
    with connect(f"{url}/sockets/events/{one.id}?{query}", **options) as watched:
        yield watched


def frame(watched: ClientConnection) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(watched.recv(timeout=10))
    return said


def test_92_the_key_may_come_in_the_first_frame(one: V1) -> None:
    with watching(one) as watched:
        watched.send(json.dumps({"type": "auth", "session_api_key": one.key}))
        assert frame(watched)["key"] == "full_state"


@pytest.mark.parametrize(
    "first",
    ['{"type": "auth", "session_api_key": "no"}', '{"role": "user"}', "[]", "no JSON"],
)
def test_92_a_first_frame_without_the_key_ends_it(one: V1, first: str) -> None:
    with watching(one) as watched:
        watched.send(first)
        assert ending(watched) == (4001, "Authentication failed")


def test_92_nobody_waits_for_the_key_for_ever(one: V1, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_FIRST_FRAME_SECONDS", 0.05)
    with watching(one) as watched:
        assert ending(watched) == (4001, "Authentication failed")


def ending(watched: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        watched.recv(timeout=10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def refused_with(attempt: Callable[[], Any]) -> int:
    with pytest.raises(InvalidStatus) as refused:
        attempt()
    status: int = refused.value.response.status_code
    return status


def test_93_a_wrong_key_is_refused_before_that(one: V1) -> None:
    assert refused_with(lambda: watching(one, "session_api_key=no").__enter__()) == 403
    assert refused_with(lambda: watching(one, additional_headers=UNKNOWN).__enter__()) == 403


def test_94_the_key_may_come_in_a_header(one: V1) -> None:
    with watching(one, additional_headers={"X-Session-API-Key": one.key}) as watched:
        assert frame(watched)["key"] == "full_state"


def test_95_only_what_came_since(one: V1) -> None:
    events = one.events()
    since = events[3]["timestamp"]
    query = f"session_api_key={one.key}&resend_mode=since&after_timestamp={since}"
    with watching(one, query) as watched:
        frame(watched)
        assert [frame(watched)["id"] for _ in events[3:]] == [event["id"] for event in events[3:]]
    with watching(one, f"session_api_key={one.key}&resend_mode=all") as watched:
        frame(watched)
        assert frame(watched)["id"] == events[0]["id"]


@pytest.mark.parametrize("said", ['{"role": "robot"}', "no JSON", '{"role": "assistant"}'])
def test_96_what_makes_no_sense_is_answered(one: V1, said: str) -> None:
    with watching(one, f"session_api_key={one.key}") as watched:
        frame(watched)
        watched.send(json.dumps({"type": "auth", "session_api_key": one.key}))
        watched.send(said)
        complaint = frame(watched)
        assert (complaint["kind"], complaint["source"]) == ("ServerErrorEvent", "environment")
        assert complaint["code"]
        assert complaint["detail"]
