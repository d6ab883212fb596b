"""What the server notes of its traffic, and how a test waits for it."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from openhands_reference_server import Exchange, Match, NotSeen, ReferenceServer
from openhands_reference_server.control import faults
from openhands_reference_server.control.journal import MOST_CHARACTERS, MOST_EXCHANGES

from .conftest import Api, serving
from .listening import POLLING, WEBSOCKET, listening

LIST = "/api/conversations"
SECRET = "distinctive-secret-5f1c"


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    with serving() as api:
        yield api


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    shared.server.clear_journal()
    yield shared
    shared.server.clear_faults()


def last(server: ReferenceServer) -> Exchange:
    return server.journal[-1]


def test_a_request_and_its_answer(api: Api) -> None:
    got = api.app.post(f"{LIST}?x=1", json={"initial_user_msg": "hello"}, headers={"X-Note": "this"})
    one = last(api.server)
    assert (one.asked.server, one.asked.protocol, one.asked.method, one.asked.path) == (
        "app",
        "http",
        "POST",
        LIST,
    )
    assert one.asked.operation == "createConversation"
    assert one.query == "x=1"
    assert dict(one.headers)["X-Note"] == "this"
    assert json.loads(one.body) == {"initial_user_msg": "hello"}
    assert one.status == got.status_code == 200
    assert json.loads(one.answer) == got.json()
    assert dict(one.answer_headers)["Content-Type"] == "application/json"
    assert one.duration is not None
    assert 0 < one.duration < 10
    assert one.faults == ()
    assert one.id > 0


def test_of_both_servers_and_of_what_is_not_there(api: Api) -> None:
    httpx.get(f"{api.server.agent_url}/alive")
    api.app.get("/no/such")
    alive, unknown = api.server.journal
    assert (alive.asked.server, alive.asked.operation, alive.status) == ("agent", "alive", 200)
    assert (unknown.asked.operation, unknown.status) == (None, 404)


def test_what_a_fault_did_is_noted(api: Api) -> None:
    rule = api.server.add_fault(faults.Answer(503), times=1)
    assert api.app.post(LIST, json={"a": 1}).status_code == 503
    assert (last(api.server).status, last(api.server).faults) == (503, (rule.id,))
    assert json.loads(last(api.server).body) == {"a": 1}
    rule = api.server.add_fault(faults.Drop(handled=True), times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        api.app.get(LIST)
    assert (last(api.server).status, last(api.server).faults) == (None, (rule.id,))
    api.server.add_fault(faults.ResetAfterAnswer(), times=1)
    assert httpx.get(f"{api.server.url}/alive").status_code == 200
    assert (last(api.server).status, last(api.server).answer) == (200, '{"status":"ok"}')


def test_one_that_goes_on_is_there_already(api: Api) -> None:
    api.server.add_fault(faults.Delay(60))
    with pytest.raises(httpx.ReadTimeout):
        api.app.get("/alive", timeout=0.2)
    [one] = api.server.journal
    assert one.status is None


def test_websockets(api: Api) -> None:
    conversation = api.start_v1()
    with conversation.stream() as stream:
        stream.next()
        [one] = api.server.wait_for(Match(protocol="websocket"))
        assert (one.status, one.duration) == (101, None)
        assert one.asked.path == f"/sockets/events/{conversation.id}"
        conversation.say("hello")
        stream.until("finished")
    again = api.server.wait_for(Match(protocol="websocket"))[0]
    assert (again.status, again.events > 5) == (101, True)
    assert conversation.key not in str(again)


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING])
def test_socketio(api: Api, transports: list[str]) -> None:
    conversation_id = api.create_v0()
    key = f"key-{SECRET}"
    with listening(api.server.url, transports, conversation_id=conversation_id, session_api_key=key) as ear:
        ear.say("hello")
        ear.until("is finished")
    seen = api.server.wait_for(Match(protocol="socketio"))
    assert seen[0].status == (101 if transports == WEBSOCKET else 200)
    assert f"conversation_id={conversation_id}" in seen[0].query
    assert SECRET not in str(seen)
    if transports == WEBSOCKET:
        assert seen[0].events > 5


class TestWaiting:
    def test_for_what_has_been_already(self, api: Api) -> None:
        api.app.get("/alive")
        api.app.get(LIST)
        assert len(api.server.wait_for(count=2, timeout=0)) == 2
        assert len(api.server.wait_for(Match(path="/alive"), timeout=0)) == 1

    def test_for_what_is_to_come(self, api: Api) -> None:
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(api.server.wait_for, Match(path="/alive"), count=3, timeout=10)
            for _ in range(3):
                assert not found.done()
                api.app.get("/alive")
            assert [one.status for one in found.result(10)] == [200] * 3

    def test_for_an_answer_of_a_kind(self, api: Api) -> None:
        api.server.add_fault(faults.Answer(500), times=1)
        for _ in range(2):
            api.app.get("/alive")
        assert [one.status for one in api.server.wait_for(status=500)] == [500]

    def test_in_vain(self, api: Api) -> None:
        api.app.get("/alive")
        with pytest.raises(NotSeen, match=r"1 of 2 matching .* GET /alive") as missed:
            api.server.wait_for(count=2, timeout=0.05)
        assert [one.asked.path for one in missed.value.seen] == ["/alive"]
        assert isinstance(missed.value, TimeoutError)
        with pytest.raises(NotSeen, match="GET /alive"):
            api.server.wait_for(Match(path="/nope"), timeout=0)

    def test_it_ends_with_the_server(self) -> None:
        with serving() as api, ThreadPoolExecutor(1) as waiting:
            begun = threading.Event()

            def wait() -> None:
                begun.set()
                api.server.wait_for(timeout=60)

            found = waiting.submit(wait)
            assert begun.wait(5)
            api.server.stop()
            assert isinstance(found.exception(10), (NotSeen, RuntimeError))


def test_it_is_bounded(api: Api) -> None:
    long = "x" * 300_000
    api.app.post(LIST, json={"initial_user_msg": long})
    assert len(last(api.server).body) == MOST_CHARACTERS
    with ThreadPoolExecutor(4) as clients, httpx.Client(base_url=api.server.url) as client:
        list(clients.map(lambda _: client.get("/alive"), range(MOST_EXCHANGES)))
    assert len(api.server.journal) == MOST_EXCHANGES
    assert all(one.asked.path == "/alive" for one in api.server.journal)


def test_no_secret_gets_in_by_any_route() -> None:
    """A distinctive value in every place where clients put keys, and what the server answers as keys."""
    with serving(session_api_key=SECRET, enable_bash=True) as api:
        server = api.server
        api.app.headers["X-Session-API-Key"] = SECRET
        api.app.headers["Authorization"] = f"Bearer {SECRET}"
        api.app.cookies.set("session", SECRET)
        llm = {"usage_id": "agent", "model": "m", "api_key": SECRET}
        api.app.post(
            "/api/settings", json={"llm_model": "m", "llm_api_key": SECRET, "search_api_key": SECRET}
        )
        api.app.get("/api/settings")
        api.app.post("/api/secrets", json={"name": "ANY_NAME", "value": SECRET, "description": "x"})
        api.app.put("/api/secrets/ANY_NAME", json={"name": "ANY_NAME", "value": SECRET})
        mcp = {"stdio_servers": [{"name": "x", "command": "c", "env": {"ANY": SECRET}}]}
        api.app.post(LIST, json={"mcp_config": mcp})
        api.app.post(LIST, json={"initial_user_msg": f"my key is {SECRET}"})
        api.app.get(LIST, params={"session_api_key": SECRET, "access_token": SECRET})
        api.app.post(
            LIST, content=b'{"llm_api_key": "' + SECRET.encode(), headers={"Content-Type": "application/json"}
        )
        api.app.post(
            "/oauth/token", data={"client_id": "x", "client_secret": SECRET, "refresh_token": SECRET}
        )
        one = api.start_v1("hello")
        one.rest()
        one.request("POST", "/secrets", json={"secrets": {"ANY_NAME": SECRET}})
        agent_key = {"X-Session-API-Key": one.key}
        body = {
            "agent": {"kind": "Agent", "llm": llm},
            "workspace": {"kind": "LocalWorkspace", "working_dir": "/w"},
        }
        httpx.post(f"{server.agent_url}/api/conversations", headers=agent_key, json=body)
        httpx.get(f"{server.agent_url}/api/conversations/{one.id}", params={"session_api_key": one.key})
        with one.stream() as stream:
            stream.next()
        v0 = api.create_v0()
        for transports in (WEBSOCKET, POLLING):
            with listening(server.url, transports, conversation_id=v0, session_api_key=SECRET) as ear:
                ear.say("hello")
                ear.until("is finished")
        kept = json.dumps([dataclasses.asdict(exchange) for exchange in server.journal], default=str)
    assert len(server_paths(kept)) > 10
    assert SECRET not in kept
    assert one.key not in kept


def server_paths(kept: str) -> set[str]:
    return {exchange["asked"]["path"] for exchange in json.loads(kept)}


def test_a_reset_forgets_it_and_counts_go_on(api: Api) -> None:
    api.app.get("/alive")
    number = last(api.server).id
    api.server.clear_journal()
    assert api.server.journal == []
    api.app.get("/alive")
    assert last(api.server).id == number + 1
