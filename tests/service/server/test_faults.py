"""Every kind of fault, as bare httpx, websockets and python-socketio see it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from socketio.exceptions import ConnectionError as NotConnected
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from openhands_reference_server import Match, ReferenceServer
from openhands_reference_server.control import faults
from openhands_reference_server.control.faults import Effect

from .conftest import Api, eventually, serving
from .listening import POLLING, WEBSOCKET, listening

LIST = "/api/conversations"


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    """A server that many tests share, as it was before."""
    yield shared
    shared.server.clear_faults()


def hits(server: ReferenceServer) -> list[int]:
    return [rule.hits for rule in server.faults]


def titles(api: Api) -> set[str]:
    return {one["title"] for one in api.ok("GET", LIST, params={"limit": 100})["results"]}


class TestAnswers:
    def test_a_status_with_a_body_of_its_own(self, api: Api) -> None:
        api.server.add_fault(
            faults.Answer(429, {"message": "Too many requests"}, retry_after=1.5, headers={"X-Why": "test"})
        )
        got = api.app.get(LIST)
        assert (got.status_code, got.json()) == (429, {"message": "Too many requests"})
        assert got.headers["Retry-After"] == "1.5"
        assert got.headers["X-Why"] == "test"
        assert got.headers["Content-Type"] == "application/json"

    def test_a_status_in_its_own_words(self, api: Api) -> None:
        api.server.add_fault(faults.Answer(502))
        got = api.app.post(LIST, json={"initial_user_msg": "never handled"})
        assert (got.status_code, got.json()) == (502, {"detail": "Bad Gateway"})

    def test_a_text_and_a_date(self, api: Api) -> None:
        date = "Wed, 21 Oct 2026 07:28:00 GMT"
        api.server.add_fault(
            faults.Answer(503, text="<b>down</b>", retry_after=date, headers={"Content-Type": "text/html"})
        )
        got = api.app.get(LIST)
        assert (got.text, got.headers["Content-Type"], got.headers["Retry-After"]) == (
            "<b>down</b>",
            "text/html",
            date,
        )

    def test_what_is_answered_so_is_not_handled(self, api: Api) -> None:
        before = len(titles(api))
        api.server.add_fault(faults.Answer(500), Match(method="POST"), times=1)
        assert api.app.post(LIST, json={}).status_code == 500
        assert len(titles(api)) == before
        assert api.app.post(LIST, json={}).status_code == 200

    def test_only_what_matches_is_hit(self, api: Api) -> None:
        api.server.add_fault(faults.Answer(500), Match(operation="listConversations"), skip=1, times=1)
        api.server.add_fault(faults.Answer(501), Match(server="agent"))
        seen = [api.app.get(LIST).status_code for _ in range(3)]
        assert seen == [200, 500, 200]
        assert api.app.get("/alive").status_code == 200
        assert httpx.get(f"{api.server.agent_url}/alive").status_code == 501
        assert hits(api.server) == [1, 1]

    def test_the_page_of_a_single_page_app(self, api: Api) -> None:
        api.server.add_fault(faults.HtmlPage())
        got = api.app.get(LIST)
        assert got.status_code == 200
        assert got.headers["Content-Type"] == "text/html; charset=utf-8"
        with pytest.raises(json.JSONDecodeError):
            got.json()

    def test_broken_json(self, api: Api) -> None:
        api.server.add_fault(faults.MalformedJson())
        for path in (LIST, "/health", "/alive"):
            got = api.app.get(path)
            assert (got.status_code, got.headers["Content-Type"]) == (200, "application/json")
            assert len(got.content) == int(got.headers["Content-Length"])
            with pytest.raises(json.JSONDecodeError):
                got.json()


class TestConnections:
    def test_dropped_before_it_was_handled(self, api: Api) -> None:
        before = len(titles(api))
        api.server.add_fault(faults.Drop(), Match(method="POST"))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            api.app.post(LIST, json={"initial_user_msg": "x" * 100_000})
        assert len(titles(api)) == before

    def test_dropped_after_it_was_handled(self, api: Api) -> None:
        before = len(titles(api))
        api.server.add_fault(faults.Drop(handled=True), Match(method="POST"))
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            api.app.post(LIST, json={})
        assert len(titles(api)) == before + 1

    @pytest.mark.parametrize("handled", [False, True])
    def test_reset(self, api: Api, handled: bool) -> None:
        api.server.add_fault(faults.Drop(handled=handled, reset=True), Match(method="POST"))
        with pytest.raises(httpx.ReadError, match="reset"):
            api.app.post(LIST, json={})

    @pytest.mark.parametrize(("after", "received"), [(None, 7), (3, 3), (0, 0), (1000, 14)])
    def test_cut_within_the_body(self, api: Api, after: int | None, received: int) -> None:
        api.server.add_fault(faults.Truncate(after), Match(path="/alive"))
        with api.app.stream("GET", "/alive") as got:
            assert got.headers["Content-Length"] == "15"
            seen: list[bytes] = []
            with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
                seen.extend(got.iter_raw())
        assert b"".join(seen) == b'{"status":"ok"}'[:received]

    def test_reset_when_the_kept_connection_is_used_again(self, api: Api) -> None:
        api.server.add_fault(faults.ResetAfterAnswer(), times=1)
        with httpx.Client(base_url=api.server.url) as client:
            got = client.get("/alive")
            assert got.json() == {"status": "ok"}
            assert "Connection" not in got.headers
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.get("/alive")
            assert client.get("/alive").status_code == 200


class TestWaiting:
    def test_before_it_is_handled(self, api: Api) -> None:
        api.server.add_fault(faults.Delay(30), Match(path="/alive"))
        began = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            api.app.get("/alive", timeout=0.2)
        assert time.monotonic() - began < 5

    def test_it_is_handled_in_the_end(self, api: Api) -> None:
        api.server.add_fault(faults.Delay(0.15), Match(method="POST"))
        api.server.add_fault(faults.Delay(0.15, after_handling=True), Match(method="POST"))
        began = time.monotonic()
        assert api.app.post(LIST, json={}).status_code == 200
        assert 0.3 <= time.monotonic() - began < 5

    def test_with_the_answer(self, api: Api) -> None:
        before = len(titles(api))
        api.server.add_fault(faults.Delay(30, after_handling=True), Match(method="POST"))
        with pytest.raises(httpx.ReadTimeout):
            api.app.post(LIST, json={}, timeout=0.3)
        assert len(titles(api)) == before + 1, "it was handled all the same"

    def test_silence_within_the_body(self, api: Api) -> None:
        api.server.add_fault(faults.Stall(after=5), Match(path="/alive"))
        seen: list[bytes] = []
        with api.app.stream("GET", "/alive", timeout=0.3) as got:
            assert got.status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                seen.extend(got.iter_raw())
        assert b"".join(seen) == b'{"sta'

    def test_silence_that_ends(self, api: Api) -> None:
        api.server.add_fault(faults.Stall(seconds=0.2), Match(path="/alive"))
        assert api.app.get("/alive").json() == {"status": "ok"}

    def test_others_do_not_wait(self, api: Api) -> None:
        api.server.add_fault(faults.Delay(2), Match(path="/health"))
        with ThreadPoolExecutor(4) as clients:
            waiting = [clients.submit(httpx.get, f"{api.server.url}/health", timeout=10) for _ in range(4)]
            began = time.monotonic()
            assert api.app.get("/alive").status_code == 200
            assert time.monotonic() - began < 1.5
            assert [one.result().status_code for one in waiting] == [200] * 4

    @pytest.mark.parametrize(
        "effect",
        [faults.Delay(60), faults.Delay(60, after_handling=True), faults.Stall(3), faults.ResetAfterAnswer()],
    )
    def test_the_end_of_the_server_ends_it(self, effect: Effect) -> None:
        with serving() as api, socket.create_connection(_address(api.server.url), timeout=10) as client:
            api.server.add_fault(effect)
            client.sendall(b"GET /alive HTTP/1.1\r\nHost: here\r\n\r\n")
            eventually(lambda: api.server.faults[0].hits)
            began = time.monotonic()
            api.server.stop()
            assert time.monotonic() - began < 1
            with pytest.raises((ConnectionResetError, EOFError)):
                _read_to_the_end(client)


class TestWebSockets:
    def test_closed_after_some_events(self, api: Api) -> None:
        one = api.start_v1("hello")
        one.rest()
        api.server.add_fault(faults.CloseWebSocket(after=3, code=1013, reason="later"), times=1)
        with one.stream(resend_all=True) as stream:
            for _ in range(3):
                stream.next()
            assert stream.ending() == (1013, "later")
        with one.stream(resend_all=True) as stream:
            assert len([stream.next() for _ in range(9)]) == 9

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
    def test_closed_at_once_with_any_code(self, api: Api, code: int) -> None:
        one = api.start_v1()
        api.server.add_fault(faults.CloseWebSocket(code=code))
        with one.stream() as stream:
            assert stream.ending() == (code, "")

    def test_ended_without_a_close_frame(self, api: Api) -> None:
        one = api.start_v1("hello")
        one.rest()
        api.server.add_fault(faults.CloseWebSocket(after=1, code=None))
        with one.stream(resend_all=True) as stream:
            stream.next()
            with pytest.raises(ConnectionClosed) as closed:
                stream.next()
            assert closed.value.rcvd is None

    def test_counted_while_events_happen(self, api: Api) -> None:
        one = api.start_v1()
        api.server.add_fault(faults.CloseWebSocket(after=2))
        with one.stream() as stream:
            stream.next()
            stream.say("hello")
            stream.next()
            assert stream.ending() == (1011, "")

    def test_a_slow_handshake(self, api: Api) -> None:
        one = api.start_v1()
        api.server.add_fault(faults.SlowHandshake(0.2), times=1)
        began = time.monotonic()
        with one.stream() as stream:
            stream.next()
        assert time.monotonic() - began >= 0.2
        api.server.add_fault(faults.SlowHandshake(60))
        with pytest.raises(TimeoutError, match="handshake"):
            connect(_stream_url(api, one.id, one.key), open_timeout=0.3)
        assert api.app.get("/alive").status_code == 200

    def test_refused(self, api: Api) -> None:
        one = api.start_v1()
        api.server.add_fault(faults.Answer(503), Match(protocol="websocket"))
        with pytest.raises(InvalidStatus) as refused:
            connect(_stream_url(api, one.id, one.key))
        assert refused.value.response.status_code == 503


class TestSocketIO:
    @pytest.mark.parametrize("transports", [WEBSOCKET, POLLING])
    @pytest.mark.parametrize("after", [0, 2])
    def test_closed_after_some_events(self, api: Api, transports: list[str], after: int) -> None:
        conversation_id = api.create_v0(initial_user_msg="hello")
        api.wait_agent_state(conversation_id, "finished")
        api.server.add_fault(faults.CloseSocketIO(after=after), times=1)
        with listening(api.server.url, transports, conversation_id=conversation_id) as ear:
            assert len(ear.rest()) == after
        with listening(api.server.url, transports, conversation_id=conversation_id) as ear:
            assert len(ear.until("is finished")) > after

    def test_also_after_an_upgrade(self, api: Api) -> None:
        conversation_id = api.create_v0()
        api.server.add_fault(faults.CloseSocketIO(after=8))
        with listening(api.server.url, [*POLLING, *WEBSOCKET], conversation_id=conversation_id) as ear:
            ear.say("hello")
            assert len(ear.rest()) == 8

    @pytest.mark.parametrize("transports", [WEBSOCKET, POLLING])
    def test_a_slow_handshake(self, api: Api, transports: list[str]) -> None:
        conversation_id = api.create_v0()
        api.server.add_fault(faults.SlowHandshake(0.2))
        began = time.monotonic()
        with listening(api.server.url, transports, conversation_id=conversation_id):
            assert time.monotonic() - began >= 0.2
        assert hits(api.server) == [1]

    @pytest.mark.parametrize("transports", [WEBSOCKET, POLLING])
    def test_refused(self, api: Api, transports: list[str]) -> None:
        conversation_id = api.create_v0()
        api.server.add_fault(faults.Answer(502), Match(protocol="socketio"))
        with (
            pytest.raises(NotConnected),
            listening(api.server.url, transports, conversation_id=conversation_id),
        ):
            pass


CLIENT = {"client_id": "ci", "client_secret": "s3cret"}
USERS = {"users": [{"id": "bob", "oauth_clients": [CLIENT]}]}


def token(server: ReferenceServer) -> str:
    answer = httpx.post(server.token_url, data={"grant_type": "client_credentials", **CLIENT})
    return str(answer.raise_for_status().json()["access_token"])


def test_tokens_expire_before_the_request_is_looked_at() -> None:
    with serving(users=USERS, oauth=True) as api:
        api.app.headers["Authorization"] = f"Bearer {token(api.server)}"
        api.server.add_fault(faults.ExpireTokens(), Match(operation="listConversations"), skip=1, times=1)
        assert [api.app.get(LIST).status_code for _ in range(3)] == [200, 401, 401]
        api.app.headers["Authorization"] = f"Bearer {token(api.server)}"
        assert api.app.get(LIST).status_code == 200


def test_a_new_start_begins_without_faults() -> None:
    server = ReferenceServer()
    with server:
        rule = server.add_fault(faults.Drop())
        assert [one.id for one in server.faults] == [rule.id]
        assert server.remove_fault(rule.id)
        server.add_fault(faults.Drop())
    with server:
        assert server.faults == []
        assert httpx.get(f"{server.url}/alive").status_code == 200
    with pytest.raises(RuntimeError, match="not running"):
        server.add_fault(faults.Drop())


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def _stream_url(api: Api, conversation_id: str, key: str) -> str:
    base = api.server.agent_url.replace("http", "ws", 1)
    return f"{base}/sockets/events/{conversation_id}?session_api_key={key}"


def _read_to_the_end(client: socket.socket) -> None:
    while client.recv(1000):
        continue
    raise EOFError
