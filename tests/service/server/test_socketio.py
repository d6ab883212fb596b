"""Socket.IO: who is let in, what is replayed, what comes live, what clients may do."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from socketio.exceptions import ConnectionError as NotConnected

from openhands_reference_server import AgentScript, Fail, Finish, ManualClock, Say

from .commands import api_of, served
from .conftest import MISSING, Api, eventually, serving
from .listening import POLLING, WEBSOCKET, Ear, listening, refusal, word

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


@pytest.fixture(params=[WEBSOCKET, POLLING], ids=lambda given: given[0])
def transports(request: pytest.FixtureRequest) -> list[str]:
    given: list[str] = request.param
    return given


def answer(text: str, number: int) -> Iterator[Any]:
    """Speaks, fails or finishes, as the model did when the samples were recorded."""
    if text.startswith("TEXT"):
        yield Say("A plain text answer.")
    elif text.startswith("ERR"):
        yield Fail()
    else:
        yield Finish("All done! What's next on the agenda?")


@pytest.fixture
def recorded_agent() -> Iterator[Api]:
    """A server whose agent does what the recorded one did, and whose time stands still at first."""
    with serving(script=AgentScript(acts=answer), clock=ManualClock()) as api:
        yield api


def advance(api: Api, seconds: float = 1.0) -> None:
    """Let time pass, and everything happen that is due by then."""
    world = api.server.world
    for _ in range(20):
        world.clock.advance(seconds / 20)  # type: ignore[attr-defined]  # a ManualClock
        assert world.core.scheduler.settle()


def recorded(name: str, scenario: str) -> list[dict[str, Any]]:
    """The frames of a recording that carried something, without what only an incorrect server sends."""
    lines = map(json.loads, (SAMPLES / name).read_text().splitlines())
    frames = [
        line["event"][1]
        for line in lines
        if line["scenario"] == scenario and line["dir"] == "recv" and "event" in line
    ]
    seen: set[int] = set()
    once = []
    for frame in frames:
        if not isinstance(frame.get("id"), int) or frame["id"] not in seen:
            once.append(frame)
            seen.add(frame.get("id", -1))
    return once


def story(frames: list[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """The kinds of the frames, with id and source where they have one."""
    return [(word(one), one["id"] if "source" in one else None, one.get("source")) for one in frames]


def sequence(frames: list[dict[str, Any]]) -> list[str]:
    return [word(one) for one in frames]


class TestRecordings:
    def test_replay(self, recorded_agent: Api, transports: list[str]) -> None:
        api = recorded_agent
        body = {"initial_user_msg": "Say hello and finish."}
        one = api.ok("POST", "/api/conversations", json=body)["conversation_id"]
        advance(api)
        for latest, scenario in ((-1, "replay_finished_conversation"), (4, "replay_from_latest_event_id_4")):
            with listening(api.server.url, transports, conversation_id=one, latest_event_id=latest) as ear:
                expected = recorded("v0-socketio-frames.jsonl", scenario)
                assert story([ear.next() for _ in expected]) == story(expected)

    def test_a_live_conversation(self, recorded_agent: Api, transports: list[str]) -> None:
        api, expected = recorded_agent, recorded("v0-socketio-frames.jsonl", "live_conversation")
        one = api.ok("POST", "/api/conversations", json={})["conversation_id"]
        with listening(api.server.url, transports, conversation_id=one) as ear:
            frames = ear.until("info STATUS$STARTING_RUNTIME")
            advance(api)
            frames += ear.until("is awaiting_user_input")
            ear.say("Please say hello.")
            frames += ear.until("got recall")
            advance(api)
            frames += ear.until("is finished")
            api.ok("PATCH", f"/api/conversations/{one}", json={"title": "Renamed conversation"})
            frames += ear.until("title")
            ear.act({"action": "change_agent_state", "args": {"agent_state": "stopped"}})
            frames += ear.until("is stopped")
        # The recorded server sent the first event twice; once, from the store, is right.
        assert story(frames)[1:] == story(expected)[1:]
        assert (frames[0]["id"], word(frames[0])) == (0, "is loading")
        titles = [frame["conversation_title"] for frame in frames if word(frame) == "title"]
        assert titles[-1] == "Renamed conversation"
        with listening(api.server.url, transports, conversation_id=one, latest_event_id="x") as ear:
            expected = recorded("v0-socketio-frames.jsonl", "bad_latest_event_id")
            assert story([ear.next() for _ in expected]) == story(expected)

    def test_what_rest_does_is_heard(self, recorded_agent: Api) -> None:
        api, expected = recorded_agent, recorded("v0-socketio-frames-rest-driven.jsonl", "rest_driven")
        body = {"initial_user_msg": "TEXT hello"}
        one = api.ok("POST", "/api/conversations", json=body)["conversation_id"]
        advance(api)
        path = f"/api/conversations/{one}"
        with listening(api.server.url, conversation_id=one) as ear:
            ear.until("is awaiting_user_input")
            actions: list[tuple[str, Any, str]] = [
                ("TEXT via events", None, "is awaiting_user_input"),
                ("TEXT via message", "message", "is awaiting_user_input"),
                ("echo user-run", {"action": "run", "args": {"command": "echo user-run"}}, "got run"),
                ("ERR401 please", "message", "is error"),
                (
                    "stopped",
                    {"action": "change_agent_state", "args": {"agent_state": "stopped"}},
                    "is stopped",
                ),
            ]
            for text, how, last in actions:
                if how == "message":
                    api.ok("POST", f"{path}/message", json={"message": text})
                else:
                    action = how or {"action": "message", "args": {"content": text}}
                    api.ok("POST", f"{path}/events", json=action)
                advance(api)
                heard = [frame for frame in ear.until(last) if word(frame) != "title"]
                begin = next(
                    position
                    for position, frame in enumerate(expected)
                    if frame.get("message", "").endswith(text) and frame.get("source") == "user"
                )
                assert sequence(heard) == sequence(expected[begin : begin + len(heard)])


class TestRefusals:
    def test_a_missing_conversation_id(self, api: Api, transports: list[str]) -> None:
        assert refusal(api.server.url, transports) == "No conversation_id in query params"
        assert refusal(api.server.url, transports, conversation_id="") == "No conversation_id in query params"

    @pytest.mark.parametrize("wanted", [MISSING, "../etc/passwd", "x" * 200, "\x00", "ö"])
    def test_an_unknown_conversation(self, api: Api, wanted: str) -> None:
        assert refusal(api.server.url, conversation_id=wanted) == "Conversation not found"

    def test_a_conversation_of_the_other_generation(self, api: Api) -> None:
        assert refusal(api.server.url, conversation_id=api.start_v1().id) == "Conversation not found"

    def test_an_unknown_provider(self, api: Api) -> None:
        one = api.create_v0()
        for given in ("github,x", ["github", "x"], "x"):
            reason = refusal(api.server.url, conversation_id=one, providers_set=given)
            assert reason == "Unknown provider: x"
        for given in ("", "github,gitlab", ["bitbucket", "azure_devops"], "enterprise_sso,"):
            with listening(api.server.url, conversation_id=one, providers_set=given) as ear:
                ear.next()

    def test_a_wrong_key(self, transports: list[str]) -> None:
        headers = {"X-Session-API-Key": "the-key"}
        with serving(session_api_key="the-key") as api:
            api.app.headers.update(headers)
            one = api.create_v0()
            for query in (
                {},
                {"session_api_key": "null"},
                {"session_api_key": "wrong"},
                {"session_api_key": "ö"},
            ):
                reason = refusal(api.server.url, transports, conversation_id=one, **query)
                assert reason == "invalid_session_api_key"
            with listening(api.server.url, transports, conversation_id=one, session_api_key="the-key") as ear:
                ear.next()
            assert eventually(lambda: api.wait_v0(one, "RUNNING")["num_connections"] == 0)

    def test_no_key_is_needed_where_there_is_none(self, api: Api) -> None:
        one = api.create_v0()
        for key in ("null", "any"):
            with listening(api.server.url, conversation_id=one, session_api_key=key) as ear:
                ear.next()

    def test_another_namespace(self, api: Api) -> None:
        one = api.create_v0()
        ear = Ear("/other")
        with pytest.raises(NotConnected):
            ear.client.connect(f"{api.server.url}?conversation_id={one}", namespaces=["/other"])
        ear.client.disconnect()
        assert ear.refusal == "Unable to connect"

    def test_what_is_no_socketio(self, api: Api) -> None:
        url = f"{api.server.url}/socket.io/"
        assert httpx.get(url).status_code == 400
        assert httpx.get(url, params={"EIO": "4", "transport": "polling", "sid": "none"}).status_code == 400
        broken = {"Connection": "Upgrade", "Upgrade": "websocket"}
        answered = httpx.get(url, params={"EIO": "4", "transport": "websocket"}, headers=broken)
        assert answered.status_code == 400
        foreign = {"Origin": "http://elsewhere.example"}
        assert httpx.get(url, params={"EIO": "4", "transport": "polling"}, headers=foreign).status_code == 400


class TestActions:
    def test_both_names_and_all_effects(self, api: Api, transports: list[str]) -> None:
        one = api.create_v0()
        with listening(api.server.url, transports, conversation_id=one) as ear:
            ear.act({"action": "message", "args": {"content": "by the old name"}}, name="oh_action")
            ear.until("is finished")
            ear.act({"action": "run", "args": {"command": "echo hello"}})
            assert ear.until("got run")[-1]["content"] == "hello\n"
        assert [event["message"] for event in api.v0_events(one) if event.get("action") == "message"] == [
            "by the old name"
        ]

    @pytest.mark.parametrize(
        "action",
        [
            {"action": "bogus_action", "args": {}},
            {"nothing": 1},
            {},
            None,
            "message",
            [1],
            17,
            {"action": "message", "args": {"content": 5}},
            {"action": "message", "args": {"content": b"binary"}},
            {"role": "user", "content": [{"type": "text", "text": "V1"}]},
        ],
    )
    def test_an_invalid_action_is_refused_and_the_connection_stays(self, api: Api, action: Any) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.act(action)
            refused = ear.until("refused")[-1]
            assert set(refused) == {"error", "message"}
            assert refused["message"]
            ear.say("still here")
            ear.until("is finished")

    def test_messages_arrive_in_their_order(self, api: Api) -> None:
        one, texts = api.create_v0(), [f"message {number}" for number in range(30)]
        with listening(api.server.url, conversation_id=one) as ear:
            for text in texts:
                ear.say(text)
            said: list[str] = []
            while len(said) < len(texts):
                frame = ear.next()
                if word(frame) == "user message":
                    said.append(frame["message"])
        assert said == texts


class TestNothingIsLostOrRepeated:
    def test_between_replay_and_live(self, api: Api, transports: list[str]) -> None:
        """Clients that join while much happens hear each event once, and the live part in order."""
        one = api.create_v0()
        stop = threading.Event()

        def talk() -> None:
            with httpx.Client(base_url=api.server.url) as client:
                while not stop.is_set():
                    action = {"action": "run", "args": {"command": "echo x"}}
                    client.post(f"/api/conversations/{one}/events", json=action).raise_for_status()

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            for _ in range(5):
                latest = len(api.v0_events(one)) - 1
                with listening(
                    api.server.url, transports, conversation_id=one, latest_event_id=latest
                ) as ear:
                    ids = [ear.next()["id"] for _ in range(40)]
                assert ids == list(range(latest + 1, latest + 41))
        finally:
            stop.set()
            talker.join()


def join(connection: socket.socket, conversation_id: str) -> None:
    """Follow a conversation by hand, over a WebSocket."""
    lines = [
        f"GET /socket.io/?EIO=4&transport=websocket&conversation_id={conversation_id} HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    assert b" 101 " in connection.recv(100)
    connection.sendall(b"\x81\x82\0\0\0\x0040")  # a masked text frame that says `40`


class TestEndings:
    @pytest.mark.parametrize("verb", ["stop", "pause"])
    def test_stopping_disconnects(self, api: Api, transports: list[str], verb: str) -> None:
        one = api.create_v0()
        with (
            listening(api.server.url, transports, conversation_id=one) as ear,
            listening(api.server.url, transports, conversation_id=one) as other,
        ):
            assert api.wait_v0(one, "RUNNING")["num_connections"] == 2
            api.ok("POST", f"/api/conversations/{one}/{verb}")
            for heard in (ear.rest(), other.rest()):
                assert word(heard[-1]) in ("is stopped", "is paused")
        assert eventually(lambda: api.wait_v0(one, "STOPPED")["num_connections"] == 0)

    def test_deleting_disconnects(self, api: Api, transports: list[str]) -> None:
        one = api.create_v0()
        with listening(api.server.url, transports, conversation_id=one) as ear:
            api.ok("DELETE", f"/api/conversations/{one}")
            ear.rest()

    def test_the_end_of_the_server(self, transports: list[str]) -> None:
        before = set(threading.enumerate())
        with serving() as api:
            one = api.create_v0()
            with (
                listening(api.server.url, transports, conversation_id=one) as ear,
                listening(api.server.url, transports, conversation_id=one) as other,
            ):
                api.server.stop()
                ear.rest()
                other.rest()
        assert not [thread for thread in set(threading.enumerate()) - before if "openhands" in thread.name]

    def test_a_client_that_does_not_read_holds_nobody_up(self) -> None:
        before = set(threading.enumerate())
        with serving() as api:
            one = api.create_v0()
            address = urlsplit(api.server.url)
            with socket.create_connection((address.hostname or "", address.port or 0)) as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                join(deaf, one)
                eventually(lambda: api.wait_v0(one, "RUNNING")["num_connections"] == 1)
                action = {"action": "think", "args": {"thought": "x" * 200_000}}
                for _ in range(40):
                    api.ok("POST", f"/api/conversations/{one}/events", json=action)
                begin = time.perf_counter()
                api.server.stop()
                assert time.perf_counter() - begin < 2
        assert not [thread for thread in set(threading.enumerate()) - before if "openhands" in thread.name]

    def test_clients_that_vanish_without_a_word_are_forgotten(self, api: Api) -> None:
        one = api.create_v0()
        address = urlsplit(api.server.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as rude:
            join(rude, one)
            eventually(lambda: api.wait_v0(one, "RUNNING")["num_connections"] == 1)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: api.wait_v0(one, "RUNNING")["num_connections"] == 0)

    def test_a_reconnection_goes_on_where_it_was(self, api: Api) -> None:
        one = api.create_v0(initial_user_msg="hello")
        with listening(api.server.url, conversation_id=one) as ear:
            known = ear.until("is finished")[-1]["id"]
        with listening(api.server.url, conversation_id=one, latest_event_id=known) as ear:
            ear.say("again")
            assert ear.next()["id"] == known + 1


@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_the_command_serves_it_too(backend: str, transports: list[str]) -> None:
    with served("--backend", backend) as server, api_of(server) as api:
        one = api.create_v0()
        with listening(server.url, transports, conversation_id=one) as ear:
            ear.say("hello")
            ear.until("is finished")
            assert server.end() == 0
            ear.rest()
