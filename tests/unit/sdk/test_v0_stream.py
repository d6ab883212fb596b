"""V0 events: the log is read without gaps, whether a socket says when or nobody does."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core import socketio
from openhands_client._core.commands import (
    Command,
    Connect,
    Receive,
    Send,
    SocketClosed,
    SocketRefused,
    Transmit,
)
from openhands_client._core.resting import V0_REST
from openhands_client._core.streaming import RECONNECTS, V0Stream
from openhands_client._core.timing import Deadline
from tests.unit.sdk.playing import PATIENT, Clock, Player, answer, line_of, query_of, session_on, text

ID = "c0de" * 8
EVENTS = f"GET /api/conversations/{ID}/events"
INFO = f"GET /api/conversations/{ID}"
LATENCY = 0.01
PAGE = 4  # events on a page

Event = dict[str, Any]
MESSAGE: Event = {"source": "user", "action": "message", "args": {"content": "hello"}}
RUN: Event = {"source": "agent", "action": "run", "args": {"command": "true"}}


def state(name: str) -> Event:
    return {"source": "environment", "observation": "agent_state_changed", "extras": {"agent_state": name}}


TURN = [state("loading"), MESSAGE, state("running"), RUN, state("finished")]


class V0Server:
    """A V0 conversation with sparse event ids, and a socket that may say nothing, nonsense, or goodbye."""

    def __init__(self, *stored: Event, status: str = "RUNNING") -> None:
        self.clock = Clock()
        self.status = status
        self.log: list[Event] = []
        self.gap = 1
        self.plan: list[tuple[float, int, Callable[[], Any]]] = []
        self.turns = itertools.count()
        self.connects: list[Any] = []
        self.greeting: list[str] = ['0{"sid":"s"}', '40{"sid":"s"}']
        self.frames: list[Any] = []
        self.sent: list[str] = []
        self.open = False
        self.requests_fail: list[Any] = []
        for event in stored:
            self.store(event)

    @property
    def ids(self) -> list[int]:
        return [event["id"] for event in self.log]

    def at(self, seconds: float, happens: Callable[[], Any]) -> None:
        heapq.heappush(self.plan, (self.clock.now + seconds, next(self.turns), happens))

    def settle(self) -> None:
        while self.plan and self.plan[0][0] <= self.clock.now:
            heapq.heappop(self.plan)[2]()

    def store(self, event: Event, *, told: bool = True, gap: int | None = None) -> None:
        last = self.log[-1]["id"] if self.log else -1
        self.log.append({"id": last + (gap or self.gap), **event})
        if self.open and told:
            self.frames.append("42" + json.dumps(["oh_event", self.log[-1]]))

    def close(self, status: str | None = None) -> None:
        self.status = status or self.status
        self.say(SocketClosed(1006))

    def say(self, frame: Any) -> None:
        if self.open:
            self.frames.append(frame)

    def __call__(self, command: Command) -> Any:
        match command:
            case Send(request):
                self.clock.advance(LATENCY)
                self.settle()
                return self._answer(request)
            case Connect():
                self.clock.advance(LATENCY)
                self.settle()
                return self._connect()
            case Receive(_, timeout):
                return self._receive(timeout)
            case Transmit(_, frame):
                self.sent.append(frame)
                return None
        raise AssertionError(command)

    def _connect(self) -> Any:
        fate = self.connects.pop(0) if self.connects else None
        if isinstance(fate, Exception) and not isinstance(fate, SocketClosed):
            return fate
        self.open = True
        self.frames = [fate] if fate is not None else list(self.greeting)
        return object()

    def _receive(self, timeout: float) -> Any:
        until = self.clock.now + timeout
        while True:
            self.settle()
            if self.frames:
                frame = self.frames.pop(0)
                self.open = not isinstance(frame, SocketClosed)
                return frame
            if not self.plan or self.plan[0][0] > until:
                self.clock.now = max(self.clock.now, until)
                return None
            self.clock.now = max(self.clock.now, self.plan[0][0])

    def _answer(self, request: Any) -> Any:
        if self.requests_fail and (failure := self.requests_fail.pop(0)) is not None:
            return failure
        if line_of(request) == INFO:
            return answer({"conversation_id": ID, "status": self.status})
        assert line_of(request) == EVENTS
        query = query_of(request)
        if query.get("reverse") == ["true"]:
            return answer({"events": self.log[::-1][:100], "has_more": False})
        found = [event for event in self.log if event["id"] >= int(query["start_id"][0])]
        return answer({"events": found[:PAGE], "has_more": len(found) > PAGE})


@pytest.fixture(params=["socket", "polling"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio, "available", lambda: request.param == "socket")


both_ways = pytest.mark.usefixtures("_way")


class Watching:
    def __init__(
        self, server: V0Server, *, timeout: float | None = 600.0, history: bool = False, **options: Any
    ) -> None:
        session = session_on(server.clock)
        deadline = Deadline.after(server.clock, timeout)
        stream = V0Stream(session, ID, session.endpoint, deadline=deadline, **options)
        self.player = Player(server, server.clock)
        self.began = server.clock.now
        self.result: Any
        try:
            self.result = self.player.play(stream.history() if history else stream.run())
        except errors.OpenHandsError as failure:
            self.result = failure
        self.took = server.clock.now - self.began

    @property
    def ids(self) -> list[int]:
        return [event.id for event in self.player.emitted]


# Any life

busy = st.sampled_from([RUN, state("loading"), state("running"), MESSAGE])


@st.composite
def lives(draw: st.DrawFn) -> V0Server:
    """A past, a future, ids with gaps, and trouble with the socket."""
    server = V0Server()
    for event in draw(st.lists(busy, max_size=12)):
        server.store(event, gap=draw(st.integers(1, 4)))
    moment = 0.0
    for event in draw(
        st.lists(busy | st.sampled_from([state(name) for name in sorted(V0_REST)]), max_size=8)
    ):
        moment += draw(st.sampled_from([0.0, 0.005, 0.011, 0.3, 2.0, 25.0]))
        told, gap = draw(st.booleans()), draw(st.integers(1, 4))
        server.at(moment, lambda event=event, told=told, gap=gap: server.store(event, told=told, gap=gap))
    for _ in range(draw(st.integers(0, 3))):
        when = draw(st.floats(0, moment + 1))
        trouble = draw(
            st.sampled_from([server.close, lambda: server.say("nonsense"), lambda: server.say("41")])
        )
        server.at(when, trouble)
    server.at(moment + 1, lambda: server.store(state("finished")))
    server.end = moment + 1  # type: ignore[attr-defined]
    return server


@pytest.mark.parametrize("listens", [True, False])
@given(lives())
@settings(PATIENT, max_examples=120)
def test_every_event_is_emitted_once_and_in_order(listens: bool, server: V0Server) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socketio, "available", lambda: listens)
        watching = Watching(server, until="forever", timeout=server.end + 40)  # type: ignore[attr-defined]
    assert isinstance(watching.result, errors.APITimeoutError)
    assert watching.ids == server.ids


@pytest.mark.parametrize("listens", [True, False])
@given(lives())
@settings(PATIENT, max_examples=120)
def test_the_stream_ends_with_the_state_that_ends_it(listens: bool, server: V0Server) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socketio, "available", lambda: listens)
        watching = Watching(server, timeout=None)
    assert watching.result in V0_REST
    assert watching.ids == server.ids[: len(watching.ids)]
    states = [event.agent_state for event in watching.player.emitted if event.agent_state]
    assert watching.result == states[-1]
    last_message = max(
        (index for index, event in enumerate(watching.player.emitted) if event.action == "message"),
        default=-1,
    )
    assert any(event.agent_state for event in watching.player.emitted[last_message + 1 :])


@both_ways
@pytest.mark.parametrize("cut", range(5))
def test_a_stream_is_resumed_without_repeat_or_loss(cut: int) -> None:
    server = V0Server()
    server.gap = 3
    for event in TURN:
        server.store(event)
    for history in (True, False):
        watching = Watching(server, after=server.ids[cut], history=history)
        assert watching.ids == server.ids[cut + 1 :]


# The rules, one by one


def test_history_is_what_is_stored() -> None:
    server = V0Server(*TURN, *TURN)
    watching = Watching(server, history=True)
    assert watching.ids == server.ids
    assert set(watching.player.lines) == {EVENTS}


@both_ways
def test_an_agent_at_rest_ends_the_stream_at_once() -> None:
    watching = Watching(V0Server(*TURN))
    assert watching.result == "finished"
    assert (watching.player.slept, INFO in watching.player.lines) == ([], False)


@both_ways
def test_a_turn_is_followed_to_its_end() -> None:
    server = V0Server(*TURN[:2])
    for moment, event in enumerate(TURN[2:]):
        server.at(1.0 + moment, lambda event=event: server.store(event))
    watching = Watching(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids
    assert watching.took < 5.0


@both_ways
def test_a_message_that_is_not_yet_answered_does_not_let_the_stream_end() -> None:
    server = V0Server(*TURN, MESSAGE)
    server.at(15.0, lambda: server.store(state("running")))
    server.at(16.0, lambda: server.store(state("awaiting_user_input")))
    watching = Watching(server)
    assert watching.result == "awaiting_user_input"
    assert watching.ids == server.ids


@both_ways
@pytest.mark.parametrize(
    ("status", "result"), [("STOPPED", "stopped"), ("ARCHIVED", "stopped"), ("ERROR", "error")]
)
def test_a_conversation_that_is_not_up_says_nothing_more(status: str, result: str) -> None:
    server = V0Server(*TURN[:3], status=status)
    watching = Watching(server)
    assert watching.result == result
    assert watching.ids == server.ids
    assert server.sent == []


@both_ways
def test_a_conversation_that_is_stopped_meanwhile_ends_the_stream_with_its_last_events() -> None:
    server = V0Server(*TURN[:3])
    server.at(10.0, lambda: server.store(RUN, told=False))
    server.at(10.0, lambda: server.close("STOPPED"))
    watching = Watching(server)
    assert watching.result == "stopped"
    assert watching.ids == server.ids


@both_ways
def test_a_conversation_that_is_stopped_without_a_goodbye_ends_the_stream() -> None:
    server = V0Server(*TURN[:3])
    server.at(10.0, lambda: setattr(server, "status", "STOPPED"))
    watching = Watching(server)
    assert watching.result == "stopped"
    assert watching.took < 60.0


@both_ways
def test_a_resumed_stream_knows_the_state_from_before() -> None:
    server = V0Server(*TURN)
    watching = Watching(server, after=server.ids[-1])
    assert (watching.result, watching.ids) == ("finished", [])


@both_ways
def test_at_the_deadline_the_stream_ends_with_a_timeout() -> None:
    watching = Watching(V0Server(*TURN[:3]), timeout=30.0)
    assert isinstance(watching.result, errors.APITimeoutError)
    assert 30.0 <= watching.took < 31.0


@both_ways
def test_a_deadline_holds_for_requests_that_hang() -> None:
    server = V0Server(*TURN[:3])

    def hang(command: Command) -> Any:
        if isinstance(command, Send) and server.clock.now > 1005.0:
            server.clock.advance(command.request.timeout or 3600)
            return errors.APITimeoutError("slow")
        return server(command)

    session = session_on(server.clock)
    stream = V0Stream(session, ID, session.endpoint, deadline=Deadline.after(server.clock, 30.0))
    with pytest.raises(errors.APITimeoutError):
        Player(hang, server.clock).play(stream.run())
    assert server.clock.now < 1032.0


@both_ways
def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    server = V0Server(*TURN[:3])
    server.requests_fail = [None, errors.APIConnectionError("refused"), *[text("", 502)] * 6]
    server.at(20.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


@both_ways
def test_a_server_that_stays_away_ends_the_stream_with_a_word_where_to_resume() -> None:
    server = V0Server(*TURN[:3])
    server.requests_fail = [None, *[errors.APIConnectionError("refused")] * 1000]
    watching = Watching(server, timeout=None)
    assert isinstance(watching.result, errors.StreamError)
    assert watching.result.last_event_id == server.ids[-1]


@both_ways
def test_a_conversation_that_is_deleted_is_not_found() -> None:
    server = V0Server(*TURN[:3])
    gone = answer({"detail": "Conversation not found"}, 404)
    server.requests_fail = [None, None, gone, gone, gone]
    assert isinstance(Watching(server).result, errors.NotFoundError)


# The socket


@pytest.fixture
def _listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socketio, "available", lambda: True)


listening = pytest.mark.usefixtures("_listening")


@listening
def test_the_socket_is_asked_for_what_is_missing_and_shown_the_key() -> None:
    server = V0Server(*TURN[:3])
    server.at(5.0, lambda: server.store(state("finished")))
    session = session_on(server.clock, base_url="https://app.test/base", session_api_key="key")
    stream = V0Stream(session, ID, session.endpoint, deadline=Deadline.after(server.clock, 60.0))
    urls: list[str] = []

    def noting(command: Command) -> Any:
        if isinstance(command, Connect):
            urls.append(command.url)
        if isinstance(command, Send):
            path = command.request.url.replace("https://app.test/base", "http://app.test")
            command = Send(type(command.request)(command.request.method, path, command.request.headers))
        return server(command)

    assert Player(noting, server.clock).play(stream.run()) == "finished"
    [url] = urls
    assert url.startswith("wss://app.test/base/socket.io/?")
    for part in (
        "EIO=4",
        "transport=websocket",
        f"conversation_id={ID}",
        "latest_event_id=2",
        "session_api_key=key",
    ):
        assert part in url
    assert server.sent[0] == "40"


@listening
def test_while_the_socket_is_silent_the_log_is_left_alone() -> None:
    server = V0Server(*TURN[:3])
    server.at(300.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert watching.player.lines.count(EVENTS) < 40
    assert watching.took < 301.0


@listening
def test_pings_are_answered() -> None:
    server = V0Server(*TURN[:3])
    server.at(5.0, lambda: server.say("2"))
    server.at(6.0, lambda: server.store(state("finished")))
    Watching(server)
    assert server.sent == ["40", "3"]


STRANGE = [
    "",
    "9",
    "42",
    "42[",
    "42[]",
    "42null",
    "42{}",
    '42["oh_event"]',
    '42["oh_event", 5]',
    '42["oh_event", {}]',
    '42["oh_event", {"id": null}]',
    '42["oh_event", {"status_update": true, "type": "info", "id": "STATUS$READY", "message": ""}]',
    '42["oh_event", {"status_update": true, "type": "info", "conversation_title": "New"}]',
    '42["oh_event", {"error": true, "message": "no"}]',
    "bAAA",
    "\ufffd",
]


@listening
@pytest.mark.parametrize("frame", STRANGE)
def test_a_frame_that_is_no_event_changes_nothing(frame: str) -> None:
    server = V0Server(*TURN[:3])
    server.at(5.0, lambda: server.say(frame))
    server.at(6.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


@given(st.text())
@PATIENT
def test_any_frame_is_heard(frame: str) -> None:
    assert socketio.hear(frame).kind


@listening
def test_events_may_come_before_the_socket_is_confirmed() -> None:
    server = V0Server(*TURN[:3])
    server.greeting.insert(1, '42["oh_event", {"id": 2}]')
    server.at(5.0, lambda: server.store(state("finished")))
    assert Watching(server).result == "finished"


REFUSALS: list[Any] = [
    ['44{"message":"invalid_session_api_key"}'],
    ['0{"sid":"s"}', '44{"message":"Settings not found"}'],
    ['0{"sid":"s"}', '44"no"'],
    ['0{"sid":"s"}'],
    [],
]


@listening
@pytest.mark.parametrize("greeting", REFUSALS, ids=range(len(REFUSALS)))
def test_where_the_socket_is_refused_the_log_is_polled(greeting: list[str]) -> None:
    server = V0Server(*TURN[:3])
    server.greeting = greeting
    server.at(60.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert len([command for command in watching.player.asked if isinstance(command, Connect)]) == 1
    assert watching.player.opened == []


@listening
@pytest.mark.parametrize(
    "trouble",
    [SocketRefused(404), SocketRefused(503), errors.APIConnectionError("refused"), SocketClosed(1006)],
    ids=repr,
)
def test_a_socket_that_cannot_be_had_is_given_up_for_polling(trouble: Any) -> None:
    server = V0Server(*TURN[:3])
    server.connects = [trouble] * 1000
    server.at(120.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert (
        len([command for command in watching.player.asked if isinstance(command, Connect)]) == RECONNECTS + 1
    )
    assert watching.player.opened == []


@listening
@pytest.mark.parametrize(
    "goodbye", [SocketClosed(1006), "41", '44{"message": "Settings not found"}', "1"], ids=repr
)
def test_a_socket_that_never_lasts_is_given_up_for_polling(goodbye: Any) -> None:
    """Each one opens well and closes at once."""
    server = V0Server(*TURN[:3])
    server.greeting.append(goodbye)
    server.at(120.0, lambda: server.store(state("finished")))
    watching = Watching(server)
    assert watching.result == "finished"
    assert (
        len([command for command in watching.player.asked if isinstance(command, Connect)]) <= RECONNECTS + 1
    )
    assert watching.player.opened == []


@listening
def test_a_stopped_conversation_is_not_started_by_listening() -> None:
    server = V0Server(*TURN, status="STOPPED")
    watching = Watching(server, until="forever", timeout=20.0)
    assert isinstance(watching.result, errors.APITimeoutError)
    assert not any(isinstance(command, Connect) for command in watching.player.asked)
    assert len(watching.player.requests) < 80


@listening
def test_a_conversation_that_is_started_again_is_listened_to() -> None:
    server = V0Server(*TURN, status="STOPPED")
    server.at(10.0, lambda: setattr(server, "status", "RUNNING"))
    server.at(15.0, lambda: server.store(MESSAGE))
    watching = Watching(server, until="forever", timeout=30.0)
    assert watching.ids == server.ids
    assert any(isinstance(command, Connect) for command in watching.player.asked)
