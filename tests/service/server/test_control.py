"""The control API over HTTP, on `serve` under both web servers, and what Python can do beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openhands_reference_server import AgentScript, Match, ReferenceServer, Run
from openhands_reference_server.control import faults

from .commands import api_of, run, served
from .conftest import Api, eventually, serving
from .listening import listening

LIST = "/api/conversations"
TOKEN = "control-token-of-the-test"
ANYWHERE = "0.0.0.0"  # noqa: S104  # the point of the test that uses it
EFFECTS: list[dict[str, Any]] = [
    {"kind": "answer", "status": 418, "body": [1], "headers": {"X-A": "b"}, "retry_after": 2},
    {"kind": "html_page", "html": "<p>"},
    {"kind": "delay", "seconds": 1, "after_handling": True},
    {"kind": "slow_handshake", "seconds": 1},
    {"kind": "expire_tokens"},
    {"kind": "drop", "handled": True, "reset": True},
    {"kind": "truncate", "after": 3},
    {"kind": "stall", "after": 1, "seconds": None},
    {"kind": "malformed_json"},
    {"kind": "reset_after_answer"},
    {"kind": "close_websocket", "after": 1, "code": None, "reason": ""},
    {"kind": "close_socketio", "after": 1},
]


@pytest.fixture(scope="module", params=["gunicorn", "werkzeug"])
def command(request: pytest.FixtureRequest) -> Iterator[Api]:
    arguments = ("--backend", request.param, "--enable-control", "--max-concurrent-conversations", "1000")
    with served(*arguments) as server, api_of(server) as api:
        yield api


@pytest.fixture
def api(command: Api) -> Iterator[Api]:
    yield command
    command.app.delete("/_control/faults")


@pytest.fixture
def embedded() -> Iterator[Api]:
    with serving(control=True) as api:
        yield api


def add(api: Api, kind: str, **more: Any) -> str:
    answer = api.app.post("/_control/faults", json={"kind": kind, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


class TestFaults:
    @pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: str(effect["kind"]))
    def test_every_kind_can_be_added_and_read_back(self, embedded: Api, effect: dict[str, Any]) -> None:
        rule = {"match": {"path": "/none"}, "skip": 1, "times": 2, "probability": 0.5, "seed": 3}
        added = embedded.app.post("/_control/faults", json={**effect, **rule})
        assert added.status_code == 201, added.text
        shown = added.json()
        assert {name: shown[name] for name in effect} == effect
        assert {name: shown[name] for name in rule if name != "match"} == {
            name: value for name, value in rule.items() if name != "match"
        }
        assert embedded.app.get("/_control/faults").json() == [shown]
        assert embedded.app.get(f"/_control/faults/{shown['id']}").json() == shown
        assert embedded.server.faults[0].effect.kind == effect["kind"]
        assert embedded.app.delete(f"/_control/faults/{shown['id']}").json() == {"success": True}
        assert embedded.app.get(f"/_control/faults/{shown['id']}").status_code == 404
        assert embedded.app.delete(f"/_control/faults/{shown['id']}").status_code == 404

    @pytest.mark.parametrize(
        ("body", "place"),
        [
            ({}, "kind"),
            ({"kind": "earthquake"}, "kind"),
            ({"kind": "answer", "status": 99}, "status"),
            ({"kind": "answer", "body": 1, "text": "x"}, "answer"),
            ({"kind": "answer", "headers": {"X": "a\r\nY: b"}}, "X"),
            ({"kind": "delay"}, "seconds"),
            ({"kind": "drop", "surprise": 1}, "surprise"),
            ({"kind": "drop", "times": 0}, "times"),
            ({"kind": "drop", "match": {"path_regex": "("}}, "drop"),
            ({"kind": "drop", "match": {"server": "other"}}, "server"),
            ({"kind": "close_websocket", "code": 1006}, "close_websocket"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, embedded: Api, body: Any, place: str) -> None:
        answer = embedded.app.post("/_control/faults", json=body)
        assert answer.status_code == 422, answer.text
        assert place in [part for item in answer.json()["detail"] for part in item["loc"]], answer.text

    def test_answers(self, api: Api) -> None:
        add(api, "answer", status=429, retry_after=7, match={"operation": "listConversations"}, times=1)
        got = api.app.get(LIST)
        assert (got.status_code, got.headers["Retry-After"]) == (429, "7")
        assert api.app.get(LIST).status_code == 200

    def test_dropped(self, api: Api) -> None:
        for options in ({}, {"handled": True}):
            add(api, "drop", times=1, match={"path": "/alive"}, **options)
            with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
                client.get(f"{api.server.url}/alive")

    def test_reset(self, api: Api) -> None:
        add(api, "drop", reset=True, match={"path": "/alive"}, times=1)
        with httpx.Client() as client, pytest.raises(httpx.ReadError, match="reset"):
            client.get(f"{api.server.url}/alive")

    def test_truncated(self, api: Api) -> None:
        add(api, "truncate", after=4, match={"path": "/alive"}, times=1)
        with httpx.Client() as client, client.stream("GET", f"{api.server.url}/alive") as got:
            seen: list[bytes] = []
            with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
                seen.extend(got.iter_raw())
        assert b"".join(seen) == b'{"st'

    def test_stalled(self, api: Api) -> None:
        add(api, "stall", after=4, match={"path": "/alive"}, times=1)
        with httpx.Client(timeout=0.3) as client, client.stream("GET", f"{api.server.url}/alive") as got:
            seen: list[bytes] = []
            with pytest.raises(httpx.ReadTimeout):
                seen.extend(got.iter_raw())
        assert b"".join(seen) == b'{"st'

    def test_reset_when_used_again(self, api: Api) -> None:
        add(api, "reset_after_answer", match={"path": "/alive"}, times=1)
        with httpx.Client(base_url=api.server.url) as client:
            assert client.get("/alive").status_code == 200
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.get("/alive")
            assert client.get("/alive").status_code == 200

    def test_a_websocket(self, api: Api) -> None:
        one = api.start_v1("hello")
        one.rest()
        add(api, "close_websocket", after=2, code=1013, times=1)
        with one.stream(resend_all=True) as stream:
            stream.next()
            stream.next()
            assert stream.ending() == (1013, "")
        add(api, "close_websocket", code=None, times=1)
        with one.stream() as stream, pytest.raises(ConnectionClosed) as closed:
            stream.next()
        assert closed.value.rcvd is None
        add(api, "slow_handshake", seconds=60, times=1)
        url = api.server.agent_url.replace("http", "ws", 1)
        with pytest.raises(TimeoutError):
            connect(f"{url}/sockets/events/{one.id}?session_api_key={one.key}", open_timeout=0.3)

    def test_socketio(self, api: Api) -> None:
        conversation_id = api.create_v0(initial_user_msg="hello")
        api.wait_agent_state(conversation_id, "finished")
        add(api, "close_socketio", after=2, times=1)
        with listening(api.server.url, conversation_id=conversation_id) as ear:
            assert len(ear.rest()) == 2

    def test_a_pending_delay_does_not_hold_up_the_end(self) -> None:
        for backend in ("gunicorn", "werkzeug"):
            with served("--backend", backend, "--enable-control") as server, api_of(server) as api:
                add(api, "delay", seconds=60, match={"path": "/alive"})
                with ThreadPoolExecutor(1) as waiting:
                    found = waiting.submit(httpx.get, f"{server.url}/alive", timeout=30)
                    eventually(lambda api=api: api.app.get("/_control/faults").json()[0]["hits"])
                    began = time.monotonic()
                    assert server.end() == 0
                    assert time.monotonic() - began < 3
                    assert isinstance(found.exception(10), httpx.TransportError)


class TestJournal:
    def test_it_can_be_searched(self, embedded: Api) -> None:
        embedded.app.get("/alive")
        embedded.app.get(LIST)
        found = embedded.app.get("/_control/journal", params={"path": "/api/**", "method": "get"}).json()
        assert [(one["path"], one["operation"], one["status"]) for one in found] == [
            (LIST, "listConversations", 200)
        ]
        assert len(embedded.app.get("/_control/journal", params={"limit": 1}).json()) == 1
        assert embedded.app.get("/_control/journal", params={"status": 404}).json() == []
        assert embedded.app.get("/_control/journal", params={"path_regex": "("}).status_code == 422
        assert embedded.app.delete("/_control/journal").json() == {"success": True}
        assert embedded.app.get("/_control/journal").json() == []

    def test_waiting(self, api: Api) -> None:
        wish = {"match": {"path": "/health"}, "count": 2, "timeout": 10}
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(
                httpx.post, f"{api.server.url}/_control/journal/wait", json=wish, timeout=20
            )
            for _ in range(2):
                api.app.get("/health")
            answer = found.result(10)
        assert (answer.status_code, answer.json()["count"]) == (200, 2)

    def test_waiting_in_vain(self, api: Api) -> None:
        wish = {"match": {"path": "/nowhere"}, "timeout": 0.05}
        answer = api.app.post("/_control/journal/wait", json=wish)
        assert (answer.status_code, answer.json()["count"]) == (408, 0)
        assert "0 of 1" in answer.json()["detail"]

    def test_control_itself_is_not_in_it(self, embedded: Api) -> None:
        embedded.server.add_fault(faults.Drop())
        assert embedded.app.get("/_control/journal").json() == []


class TestClock:
    def test_an_idle_conversation_is_stopped_without_waiting(self) -> None:
        with serving(close_delay=3600) as api:
            conversation_id = api.create_v0()
            with listening(api.server.url, conversation_id=conversation_id) as ear:
                ear.next()
            eventually(lambda: api.wait_v0(conversation_id, "RUNNING")["num_connections"] == 0)
            api.server.advance(3599)
            assert api.ok("GET", f"{LIST}/{conversation_id}")["status"] == "RUNNING"
            api.server.advance(2)
            assert api.ok("GET", f"{LIST}/{conversation_id}")["status"] == "STOPPED"

    def test_a_slow_agent_finishes_step_by_step(self, api: Api) -> None:
        def now() -> str:
            return str(api.ok("GET", "/_control/clock")["now"])

        before = now()
        after = api.ok("POST", "/_control/clock/advance", json={"seconds": 86400})["now"]
        assert before[:10] < after[:10] <= now()[:10]
        assert api.app.post("/_control/clock/advance", json={"seconds": -1}).status_code == 422

    def test_everything_on_the_way_happens_in_order(self) -> None:
        script = AgentScript(acts=lambda *_: [Run("one", seconds=1000), Run("two", seconds=1000)])
        with serving(script=script) as api:
            one = api.start_v1()
            one.say("go")
            one.wait("running")
            api.server.advance(2500)
            commands = [
                event["action"]["command"] for event in one.events() if event["kind"] == "ActionEvent"
            ]
            assert commands[:2] == ["one", "two"]
            assert one.status == "finished"

    def test_the_end_of_the_server_ends_it(self) -> None:
        script = AgentScript(acts=lambda *_: (Run("again", seconds=0.001) for _ in count()))
        with serving(script=script) as api, ThreadPoolExecutor(1) as turning:
            one = api.start_v1()
            one.say("go")
            one.wait("running")
            turned = turning.submit(api.server.advance, 10**9)
            began = time.monotonic()
            api.server.stop()
            assert time.monotonic() - began < 5
            turned.result(5)


class TestReset:
    def test_nothing_is_left_and_clients_are_let_go(self, api: Api) -> None:
        one = api.start_v1()
        v0 = api.create_v0()
        add(api, "answer", match={"path": "/health"})
        api.app.post("/_control/clock/advance", json={"seconds": 10**6})
        with one.stream() as stream, listening(api.server.url, conversation_id=v0) as ear:
            stream.next()
            ear.next()
            assert api.app.post("/_control/reset").json() == {"success": True}
            assert stream.ending()[0] == 1001
            ear.rest()
        assert api.app.get("/health").status_code == 200
        assert api.ok("GET", LIST)["results"] == []
        assert [entry["path"] for entry in api.ok("GET", "/_control/journal")] == ["/health", LIST]
        assert abs(time.time() - _seconds(api.ok("GET", "/_control/clock")["now"])) < 60
        assert len(api.start_v1("hello").rest()) == 9

    def test_also_of_what_is_kept_on_disk(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            api.create_v0()
            api.start_v1()
            api.server.reset()
            assert api.ok("GET", LIST)["results"] == []
            kept = api.create_v0()
        with serving(data_dir=tmp_path) as api:
            assert [one["conversation_id"] for one in api.ok("GET", LIST)["results"]] == [kept]

    def test_a_delay_in_progress_ends(self, embedded: Api) -> None:
        embedded.server.add_fault(faults.Delay(60))
        with ThreadPoolExecutor(1) as waiting:
            found = waiting.submit(httpx.get, f"{embedded.server.url}/alive", timeout=30)
            eventually(lambda: embedded.server.faults[0].hits)
            embedded.server.reset()
            assert isinstance(found.exception(5), httpx.RemoteProtocolError)
        assert embedded.app.get("/alive").status_code == 200


class TestAccess:
    @pytest.mark.parametrize(
        "path", ["/_control/faults", "/_control", "/_control/openapi.json", "/ns/a/alive"]
    )
    def test_without_control_there_is_nothing(self, path: str) -> None:
        with serving() as api:
            got = api.app.get(path)
            assert (got.status_code, got.json()) == (404, {"detail": "Not Found"})
        with pytest.raises(ValueError, match="control=True"), ReferenceServer() as server:
            server.namespace("a")

    def test_nor_on_the_command_line_nor_at_the_agent_server(self, embedded: Api) -> None:
        with served() as server:
            assert httpx.get(f"{server.url}/_control/faults").status_code == 404
            assert httpx.get(f"{server.url}/ns/a/alive").status_code == 404
        assert httpx.get(f"{embedded.server.agent_url}/_control/faults").status_code == 404

    def test_a_token_is_wanted_where_there_is_one(self) -> None:
        with served("--enable-control", OPENHANDS_CONTROL_TOKEN=TOKEN) as server:
            for headers in ({}, {"X-Control-Token": ""}, {"X-Control-Token": TOKEN + "x"}):
                got = httpx.get(f"{server.url}/_control/faults", headers=headers)
                assert got.status_code == 401
                assert TOKEN not in got.text
            good = {"X-Control-Token": TOKEN}
            assert httpx.get(f"{server.url}/_control/faults", headers=good).json() == []
            assert httpx.get(f"{server.url}/ns/a/_control/faults").status_code == 401
            assert httpx.get(f"{server.url}/_control/openapi.json").status_code == 200
            assert httpx.get(f"{server.url}{LIST}").status_code == 200, "other routes do not want it"

    def test_others_may_not_reach_it_without_a_token(self) -> None:
        ended = run("--host", ANYWHERE, "--enable-control", "--i-know-this-is-open")
        assert ended.returncode == 2
        assert "OPENHANDS_CONTROL_TOKEN" in ended.stderr

    def test_its_document(self, embedded: Api) -> None:
        document = embedded.app.get("/_control/openapi.json").json()
        assert document["info"]["title"] == "OpenHands reference server, control"
        assert "addFault" in embedded.app.get("/_control/docs").text
        assert embedded.app.get("/_control/nope").json() == {"detail": "Not Found"}
        assert embedded.app.put("/_control/reset").status_code == 405


class TestUsers:
    """The controls of a server are those of all its users' worlds."""

    def test_the_clock_of_all_and_of_tokens_is_one(self) -> None:
        with serving(users=USERS, oauth=True, token_lifetime=60) as api:
            first = _authorize(api)
            api.server.advance(59)
            assert api.app.get(LIST).status_code == 200
            api.server.advance(2)
            assert api.app.get(LIST).status_code == 401
            assert _authorize(api) != first
            assert api.app.get(LIST).status_code == 200
            kept = str(api.server.journal)
            assert first not in kept
            assert "s3cret" not in kept

    def test_a_reset_empties_all_of_them(self, tmp_path: Path) -> None:
        with serving(users=USERS, oauth=True, data_dir=tmp_path) as api:
            _authorize(api)
            api.create_v0()
            api.server.reset()
            assert api.app.get(LIST).status_code == 401, "tokens are gone too"
            _authorize(api)
            assert api.ok("GET", LIST)["results"] == []
        assert not list((tmp_path / "users").glob("*/conversations/*"))

    def test_namespaces_have_users_of_their_own(self) -> None:
        with serving(users=USERS, oauth=True, control=True) as api:
            _authorize(api)
            elsewhere = f"{api.server.namespace('other').url}{LIST}"
            headers = {"Authorization": api.app.headers["Authorization"]}
            assert api.app.get(LIST).status_code == 200
            assert httpx.get(elsewhere, headers=headers).status_code == 401


CLIENT = {"client_id": "ci", "client_secret": "s3cret"}
USERS = {"users": [{"id": "bob", "oauth_clients": [CLIENT]}]}


def _authorize(api: Api) -> str:
    answer = httpx.post(api.server.token_url, data={"grant_type": "client_credentials", **CLIENT})
    token = str(answer.raise_for_status().json()["access_token"])
    api.app.headers["Authorization"] = f"Bearer {token}"
    return token


def test_pages_from_elsewhere_may_not_control_it(embedded: Api) -> None:
    """A browser sends such a request for any page, and only hides the answer."""
    evil, local = {"Origin": "http://evil.test"}, {"Origin": "http://localhost:5173"}
    embedded.create_v0()
    assert embedded.app.post("/_control/reset", headers=evil).status_code == 403
    assert len(embedded.ok("GET", LIST)["results"]) == 1
    assert embedded.app.post("/_control/reset", headers=local).status_code == 200


def test_python_and_http_control_the_same(embedded: Api) -> None:
    rule = embedded.server.add_fault(faults.Answer(500), Match(path="/alive"))
    assert embedded.app.get("/_control/faults").json()[0]["id"] == rule.id
    add(embedded, "drop")
    assert [one.effect.kind for one in embedded.server.faults] == ["answer", "drop"]
    assert embedded.app.post("/_control/tokens/expire").json() == {"expired": 0}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
