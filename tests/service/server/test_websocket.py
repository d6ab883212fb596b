"""The live stream, seen with a plain WebSocket client."""

from __future__ import annotations

import math
import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from openhands_reference_server import AgentScript, Finish, Run

from .conftest import MISSING, V1, Api, eventually, serving, story

TURN = [
    "running",
    "TerminalAction",
    "TerminalObservation",
    "FinishAction",
    "FinishObservation",
    "finished",
    "stats",
]


class TestRefusals:
    @pytest.mark.parametrize("key", ["", "wrong", "box.wrong"])
    def test_without_the_key_the_upgrade_is_refused(self, api: Api, key: str) -> None:
        with pytest.raises(InvalidStatus) as refused, api.start_v1().stream(key=key):
            pass
        assert refused.value.response.status_code == 403
        assert refused.value.response.body == b""

    def test_an_id_that_is_no_uuid_is_refused_likewise(self, api: Api) -> None:
        with pytest.raises(InvalidStatus) as refused, api.start_v1().stream(path="/sockets/events/nope"):
            pass
        assert refused.value.response.status_code == 403

    def test_an_unknown_conversation_is_accepted_and_closed(self, api: Api) -> None:
        with api.start_v1().stream(path=f"/sockets/events/{MISSING}") as stream:
            assert stream.ending() == (4004, "Conversation not found")

    def test_another_sandbox_is_unknown(self, api: Api) -> None:
        one, other = api.start_v1(), api.start_v1()
        one.key = other.key
        with one.stream() as stream:
            assert stream.ending() == (4004, "Conversation not found")

    def test_a_paused_sandbox_does_not_answer(self, api: Api) -> None:
        one = api.start_v1()
        api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
        with pytest.raises(InvalidStatus) as refused, one.stream():
            pass
        assert refused.value.response.status_code == 503

    def test_what_is_no_websocket(self, api: Api) -> None:
        url = f"{api.server.agent_url}/sockets/events/{api.start_v1().id}"
        assert httpx.get(url).json() == {"detail": "Bad Request"}
        broken = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "1"}
        one = api.start_v1()
        got = httpx.get(
            f"{api.server.agent_url}/sockets/events/{one.id}",
            params={"session_api_key": one.key},
            headers=broken,
        )
        assert (got.status_code, got.json()) == (400, {"detail": "Bad Request"})


class TestFrames:
    def test_the_first_frame_is_the_state_and_is_not_stored(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream, one.stream() as again:
            first, second = stream.next(), again.next()
        assert first["key"] == "full_state"
        assert first["value"]["execution_status"] == "idle"
        assert first["id"] != second["id"]
        assert first["id"] not in {event["id"] for event in one.events()}

    def test_live_frames_follow_in_order(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            assert story([stream.next()]) == ["full_state"]
            one.say("hello")
            live = stream.until("stats")
        assert story(live) == ["user says", *TURN]
        assert live == one.events()[1:]

    def test_resend_all_brings_the_history_then_what_follows(self, api: Api) -> None:
        one = api.start_v1("one")
        history = one.rest()
        with one.stream(resend_all=True) as stream:
            assert stream.next()["key"] == "full_state"
            assert [stream.next() for _ in history] == history
            one.say("two")
            assert story(stream.until("stats")) == ["idle", "user says", *TURN]

    def test_without_it_nothing_missed_is_sent_again(self, api: Api) -> None:
        one = api.start_v1("one")
        one.rest()
        with one.stream() as stream:
            assert stream.next()["key"] == "full_state"
            one.say("two", run=False)
            assert story([stream.next(), stream.next()]) == ["idle", "user says"]

    def test_a_message_over_the_socket_always_runs(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            stream.next()
            stream.say("hello")
            assert story(stream.until("stats")) == ["user says", *TURN]

    @pytest.mark.parametrize(
        "frame", ["not json", "[]", "", '{"role": "robot"}', '{"content": "x"}', b"\xff\x00"]
    )
    def test_what_is_no_message_is_ignored(self, api: Api, frame: str | bytes) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            stream.next()
            stream.socket.send(frame)
            stream.say("hello")
            assert story([stream.next()]) == ["user says"]
        assert [event["llm_message"]["content"][0]["text"] for event in one.events(kind="MessageEvent")] == [
            "hello"
        ]

    def test_an_empty_message_is_one(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            stream.next()
            stream.socket.send('{"role": "user"}')
            assert story(stream.until("stats")) == ["user says", *TURN]

    def test_two_subscribers_see_the_same(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as first, one.stream() as second:
            first.next()
            second.next()
            first.say("hello")
            assert first.until("stats") == second.until("stats")

    def test_the_state_is_shown_after_run_pause_and_confirmation(self) -> None:
        acts = [Run("a", confirm=True), Finish()]
        with serving(script=AgentScript(acts=lambda *_: acts)) as api:
            one = api.start_v1("go")
            one.wait("waiting_for_confirmation")
            with one.stream() as stream:
                stream.next()
                one.ok("POST", "/events/respond_to_confirmation", json={"accept": True})
                assert story(stream.until("full_state"))[-3:] == ["finished", "stats", "full_state"]
                one.ok("POST", "/pause")
                assert story([stream.next()]) == ["full_state"]
                one.ok("POST", "/run")
                assert story([stream.next(), stream.next()]) == ["full_state", "full_state"]

    def test_many_events_in_one_go(self) -> None:
        """A long run loses nothing and mixes nothing."""
        acts = [Run(f"step {number}", "x" * 2000) for number in range(500)]
        with serving(script=AgentScript(acts=lambda *_: acts, step_delay=0)) as api:
            one = api.start_v1()
            with one.stream() as stream:
                stream.next()
                stream.say("go")
                events = stream.until("stats")
            assert len(events) == 2 + 2 * len(acts) + 2
            commands = [event["action"]["command"] for event in events if event["kind"] == "ActionEvent"]
            assert commands == [act.command for act in acts]


class TestEndings:
    def test_a_deleted_conversation(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            stream.next()
            api.ok("DELETE", f"/api/conversations/{one.id}")
            assert stream.ending() == (4004, "Conversation not found")

    def test_a_paused_sandbox(self, api: Api) -> None:
        one = api.start_v1()
        with one.stream() as stream:
            stream.next()
            api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
            assert stream.ending() == (1001, "Sandbox is not running")

    def test_the_server_stops(self) -> None:
        with serving(script=AgentScript(acts=lambda *_: [Run("x", seconds=math.inf)])) as api:
            one = api.start_v1("go")
            with one.stream() as stream:
                stream.next()
                api.server.stop()
                assert stream.ending() == (1001, "Server is shutting down")

    def test_clients_that_leave_are_forgotten(self, api: Api) -> None:
        one = api.start_v1()
        before = threading.active_count()
        for _ in range(5):
            with one.stream() as stream:
                stream.next()
        eventually(lambda: api.ok("GET", "/alive") and threading.active_count() <= before)

    def test_clients_that_vanish_without_a_word_are_forgotten(self, api: Api) -> None:
        one = api.start_v1()
        before = threading.active_count()
        raw = upgraded(api, one)
        assert b"101" in raw.recv(100)
        raw.close()
        eventually(lambda: api.ok("GET", "/alive") and threading.active_count() <= before)

    def test_a_client_that_does_not_read_is_closed_and_holds_nobody_up(self, api: Api) -> None:
        one = api.start_v1()
        before = threading.active_count()
        topics = api.server.world.core.broadcast
        raw = upgraded(api, one)
        eventually(lambda: api.ok("GET", "/alive") and topics._topics)
        [[subscription]] = topics._topics.values()
        subscription._limit = 20
        for _ in range(200):
            if subscription.closed:
                break
            one.say("x" * 500_000, run=False)
        assert subscription.closed == "the subscriber did not keep up"
        eventually(lambda: api.ok("GET", "/alive") and threading.active_count() <= before)
        raw.close()


def upgraded(api: Api, one: V1) -> socket.socket:
    """A connection that has asked for the stream, and then says and reads nothing."""
    raw = socket.create_connection(("127.0.0.1", urlsplit(api.server.agent_url).port or 0))
    lines = [
        f"GET /sockets/events/{one.id}?session_api_key={one.key} HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    raw.sendall("\r\n".join([*lines, "", ""]).encode())
    return raw
