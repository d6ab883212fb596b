"""V1 events against a simulated agent server whose socket may do anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core.commands import Emit, Receive, Send, SocketClosed
from openhands_client._core.resting import V1_REST
from openhands_client._core.streaming import RECONNECT, RECONNECTS, SETTLE, V1Stream
from openhands_client._core.timing import Deadline
from tests.unit.sdk.agent_server import (
    AGENT_INFO,
    AGENT_URL,
    APP_INFO,
    EVENTS,
    GOOD,
    ID,
    KEY,
    LOST,
    AgentServer,
    Event,
    Fate,
    action,
    key_of,
    message,
    stats,
    status,
)
from tests.unit.sdk.playing import PATIENT, Clock, Player, answer, line_of, session_on, text

TURN = [message(), status("running"), action(), action(), status("finished"), stats()]


@dataclass
class Watching:
    """A stream, the server it watches, and what came of it."""

    server: AgentServer
    player: Player
    result: Any = None
    by_rest: set[str] = field(default_factory=set)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.player.emitted]

    @property
    def lines(self) -> list[str]:
        return self.player.lines


def world(stored: Any = (), *, state: str = "idle") -> AgentServer:
    return AgentServer(Clock(), stored, state=state)


def watch(
    server: AgentServer, *, timeout: float | None = 600.0, history: bool = False, **options: Any
) -> Watching:
    """Stream the events of the server's conversation; the result is the state or the failure."""
    session = session_on(server.clock)
    endpoint = session.endpoint.agent(AGENT_URL, KEY)
    deadline = Deadline.after(server.clock, timeout)
    stream = V1Stream(session, ID, endpoint, deadline=deadline, **options)
    watching = Watching(server, Player(server, server.clock))
    try:
        watching.result = watching.player.play(stream.history() if history else stream.run())
    except errors.OpenHandsError as failure:
        watching.result = failure
    source: Any = None
    for command in watching.player.asked:
        if isinstance(command, Emit):
            if isinstance(source, Send):
                watching.by_rest.add(command.value.id)
        else:
            source = command
    return watching


# Any socket at all

fates = st.one_of(
    st.just(GOOD),
    st.just(LOST),
    st.builds(Fate, st.lists(st.floats(0, 8), min_size=1, max_size=3).map(tuple)),
)
gaps = st.sampled_from([0.0, 0.001, LATENCY := 0.011, 0.5, 1.9, 2.1, 5.0, 21.0]) | st.floats(0, 30)
troubles = st.sampled_from(["close", "refuse", "connection", "server error", "full state", "full state"])


@st.composite
def turns(draw: st.DrawFn) -> list[Event]:
    """What the agent does with one message."""
    events: list[Event] = [message()]
    if draw(st.booleans()):
        events.insert(0, status("idle"))  # so does a real server where the conversation was finished
    events.append(status("running"))
    events += draw(st.lists(st.sampled_from([action(), stats(), message()]), max_size=4))
    events.append(status(draw(st.sampled_from(sorted(V1_REST)))))
    if draw(st.booleans()):
        events.append(stats())
    return events


@st.composite
def lives(draw: st.DrawFn, *, lossless: bool = False) -> AgentServer:
    """A server with a past and a future, and trouble on the way."""
    past = [event for turn in draw(st.lists(turns(), max_size=2)) for event in turn]
    server = world()
    for event in past:
        server.store(event, LOST)
    moment = 0.0
    for turn in draw(st.lists(turns(), max_size=2)):
        moment += draw(gaps)
        for event in turn:
            moment += draw(st.sampled_from([0.0, 0.001, 0.011, 0.5, 1.5]))
            fate = GOOD if lossless else draw(fates)
            server.at(moment, lambda event=event, fate=fate: server.store(event, fate))
    for _ in range(draw(st.integers(0, 3))):
        when = draw(st.floats(0, moment + 5))
        match draw(troubles):
            case "close":
                code = draw(st.sampled_from([1000, 1001, 1006, 1011, 1013]))
                server.at(when, lambda code=code: server.close(code))
            case "full state":
                server.at(when, server.say_everything)
            case "refuse":
                server.at(when, lambda: server.connects.append(503))
                server.at(when, server.close)
            case "connection":
                failure = errors.APIConnectionError("reset")
                server.at(when, lambda failure=failure: server.requests_fail.append(failure))
                server.at(when, server.close)
            case _:
                server.at(when, lambda: server.requests_fail.extend([text("", 500)] * 3))
                server.at(when, server.close)
    server.end = moment  # type: ignore[attr-defined]
    return server


@given(lives())
@settings(PATIENT, max_examples=150)
def test_every_stored_event_is_emitted_exactly_once(server: AgentServer) -> None:
    watching = watch(server, until="forever", timeout=server.end + 60)  # type: ignore[attr-defined]
    assert isinstance(watching.result, errors.APITimeoutError)
    assert sorted(watching.ids) == server.ids
    from_rest = [id_ for id_ in watching.ids if id_ in watching.by_rest]
    assert from_rest == sorted(from_rest)


@given(lives(lossless=True))
@settings(PATIENT, max_examples=100)
def test_without_loss_the_order_is_that_of_the_log(server: AgentServer) -> None:
    watching = watch(server, until="forever", timeout=server.end + 60)  # type: ignore[attr-defined]
    assert watching.ids == server.ids


@given(lives(), st.booleans())
@settings(PATIENT, max_examples=150)
def test_the_state_that_ends_the_stream_comes_after_all_that_led_to_it(
    server: AgentServer, first_frame: bool
) -> None:
    server.first_frame = first_frame
    watching = watch(server, timeout=None)
    assert watching.result in V1_REST
    emitted = watching.ids
    assert len(set(emitted)) == len(emitted)
    assert set(emitted) <= set(server.ids)
    # What was emitted of the log without a gap ends in the state that ended the stream.
    complete = takewhile(lambda event: event["id"] in emitted, server.log)
    states = [event["value"] for event in complete if event.get("key") == "execution_status"]
    assert watching.result == (states[-1] if states else "idle")


@given(st.lists(turns(), min_size=1, max_size=3), st.data())
@PATIENT
def test_a_stream_is_resumed_without_repeat_or_loss(lived: list[list[Event]], data: st.DataObject) -> None:
    stored = [event for turn in lived for event in turn]
    cut = data.draw(st.integers(0, len(stored) - 1))
    for history in (True, False):
        server = world(stored)
        watching = watch(server, after=server.ids[cut], history=history)
        assert watching.ids == server.ids[cut + 1 :]


# The rules, one by one


def test_history_is_what_is_stored() -> None:
    watching = watch(world(TURN), history=True)
    assert watching.ids == watching.server.ids
    assert set(watching.lines) == {EVENTS}
    assert watching.server.urls == []


def test_an_agent_at_rest_ends_the_stream_after_its_history() -> None:
    watching = watch(world(TURN))
    assert watching.result == "finished"
    assert watching.ids == watching.server.ids
    assert watching.player.slept == []


def test_a_conversation_without_any_event_is_idle() -> None:
    watching = watch(world(state="idle"))
    assert (watching.result, watching.ids) == ("idle", [])


def test_a_live_turn_is_followed_to_its_end() -> None:
    server = world([message()])
    for moment, event in enumerate(TURN[1:]):
        server.at(0.5 + moment, lambda event=event: server.store(event))
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids[:5]


def test_a_status_that_overtakes_its_events_waits_for_them() -> None:
    server = world([message(), status("running")])
    server.at(1.0, lambda: server.store(action(), LOST))
    server.at(1.0, lambda: server.store(action(), Fate((3.0,))))
    server.at(1.0, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


@pytest.mark.parametrize("delay", [0.0, 0.5, SETTLE - 0.2])
def test_a_message_that_is_not_yet_answered_does_not_let_the_stream_end(delay: float) -> None:
    server = world([*TURN, message()], state="finished")
    server.at(delay, lambda: server.store(status("running")))
    server.at(delay + 30, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.ids == server.ids
    assert len(server.ids) == len(TURN) + 3


def test_a_message_that_wakes_nobody_lets_the_stream_end_after_a_while() -> None:
    server = world([*TURN, message()], state="finished")
    began = server.clock.now
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids
    assert SETTLE <= server.clock.now - began <= 2 * SETTLE


def test_the_last_events_are_not_missed_when_the_end_is_learnt_by_asking() -> None:
    """The agent finishes while its state is asked for; its frames are still on their way."""
    server = world([message(), status("running")], state="running")
    moment = 20.0 + 5 * 0.01

    def finish() -> None:
        server.store(action(), Fate((1.0,)))
        server.store(status("finished"), Fate((1.0,)))

    for step in range(10):  # whatever the order of the requests is, one of these falls between two of them
        other = world([message(), status("running")], state="running")
        server = other
        other.at(moment - step * 0.01, finish)
        watching = watch(other)
        assert watching.result == "finished"
        assert watching.ids == other.ids


def test_a_second_message_just_when_the_first_is_given_up_is_waited_for() -> None:
    for step in range(12):
        server = world([*TURN, message()], state="finished")
        server.at(SETTLE + step * 0.005, lambda server=server: server.store(message(), Fate((0.5,))))
        server.at(SETTLE + step * 0.005 + 1, lambda server=server: server.store(status("running")))
        server.at(SETTLE + step * 0.005 + 9, lambda server=server: server.store(status("finished")))
        watching = watch(server)
        known = set(watching.ids)
        second = server.ids[len(TURN) + 1] if len(server.ids) > len(TURN) + 1 else None
        if second in known:
            assert watching.ids == server.ids
            assert len(server.ids) == len(TURN) + 4


def test_a_lost_older_state_does_not_end_the_stream_of_an_agent_that_went_on() -> None:
    server = world([message(), status("running")], state="running")
    server.at(1.0, lambda: server.store(status("paused"), LOST))
    server.at(1.1, lambda: server.store(status("running")))
    server.at(2.0, server.close)
    server.at(60.0, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.result == "finished"
    assert sorted(watching.ids) == server.ids
    assert len(server.ids) == 5


def test_a_full_state_that_overtakes_its_events_waits_for_them() -> None:
    server = world([message(), status("running")], state="running")
    server.at(1.0, lambda: server.store(action(), Fate((3.0,))))
    server.at(1.0, lambda: server.store(status("finished"), Fate((3.0,))))
    server.at(1.0, server.say_everything)
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


def test_the_log_is_read_once_where_the_agent_rests_already() -> None:
    server = world([message(), status("finished")])
    watching = watch(server)
    assert watching.lines == [EVENTS]


def test_silence_is_broken_by_looking() -> None:
    server = world([message(), status("running")], state="running")
    server.at(1.0, lambda: server.store(status("finished"), LOST))
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


def test_a_server_that_sends_no_first_frame_is_followed_all_the_same() -> None:
    server = world(TURN)
    server.first_frame = False
    assert watch(server).ids == server.ids


@pytest.mark.parametrize("frame", ["", "{", "[]", "null", "nonsense", '{"kind": 5}', "{}", '{"id": {}}'])
def test_a_strange_frame_does_not_end_the_stream(frame: str) -> None:
    server = world([message(), status("running")], state="running")
    server.at(1.0, lambda: server.say(frame))
    server.at(2.0, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.result == "finished"
    assert [id_ for id_ in watching.ids if id_ in server.ids] == server.ids


def test_the_key_goes_to_the_agent_server_in_the_url() -> None:
    server = world(TURN)
    watching = watch(server)
    [url] = server.urls
    assert url.startswith(f"ws://agent.test:8001/sockets/events/{ID}?")
    assert key_of(url) == KEY
    assert all(request.headers == {"X-Session-API-Key": KEY} for request in watching.player.requests)


def test_an_id_that_leaves_its_segment_is_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError):
        V1Stream(session_on(Clock()), "../x", None, deadline=Deadline(Clock()))  # type: ignore[arg-type]


# Disconnects


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1009, 1011, 1013])
def test_a_disconnect_is_survived(code: int) -> None:
    server = world([message(), status("running")], state="running")
    server.at(1.0, lambda: server.close(code))
    server.at(1.1, lambda: server.store(action()))
    server.at(9.0, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids
    assert len(server.urls) == 2
    assert len(watching.player.opened) == 1


@pytest.mark.parametrize(
    "trouble",
    [503, 500, errors.APIConnectionError("refused"), errors.APITimeoutError("slow"), SocketClosed(1013)],
)
def test_it_gives_up_when_reconnecting_does_not_help(trouble: Any) -> None:
    server = world(TURN)
    server.connects = [trouble] * 100
    watching = watch(server, timeout=None)
    assert isinstance(watching.result, errors.StreamError)
    assert len(server.urls) == RECONNECTS + 1
    assert watching.player.slept == sorted(watching.player.slept)
    assert len(watching.player.slept) == RECONNECTS
    assert watching.player.opened == []


def test_giving_up_says_where_to_resume() -> None:
    server = world([message(), status("running"), action()], state="running")
    server.at(1.0, server.close)
    server.at(0.5, lambda: server.connects.extend([503] * 100))
    watching = watch(server)
    assert isinstance(watching.result, errors.StreamError)
    assert watching.result.last_event_id == server.ids[-1]


def test_a_connection_that_never_lasts_is_given_up_in_the_end() -> None:
    """Each one begins well and breaks at once: that is no progress."""
    server = world([message(), status("running")], state="running")
    for tenth in range(60_000):
        server.at(tenth / 10, server.close)
    watching = watch(server, timeout=None)
    assert isinstance(watching.result, errors.StreamError)
    assert len(server.urls) < 50


def test_a_connection_that_breaks_every_minute_is_kept_up() -> None:
    server = world([message(), status("running")], state="running")
    for minute in range(1, 30):
        server.at(60.0 * minute, server.close)
    server.at(1700.0, lambda: server.store(status("finished")))
    watching = watch(server, timeout=None)
    assert watching.result == "finished"
    assert watching.ids == server.ids


def test_an_unknown_conversation_is_not_found() -> None:
    server = world(TURN)
    server.connects = [SocketClosed(4004, "Conversation not found")]
    watching = watch(server)
    assert isinstance(watching.result, errors.NotFoundError)
    assert ID in str(watching.result)


def test_a_missing_socket_route_is_not_found() -> None:
    server = world(TURN)
    server.connects = [404]
    assert isinstance(watch(server).result, errors.NotFoundError)


@pytest.mark.parametrize("refusal", [401, 403, SocketClosed(4001)])
def test_a_wrong_key_is_an_authentication_error(refusal: Any) -> None:
    server = world(TURN)
    server.connects = [refusal] * 20
    watching = watch(server)
    assert isinstance(watching.result, errors.AuthenticationError)
    assert len(server.urls) <= 2
    assert KEY not in str(watching.result)


@pytest.mark.parametrize("refusal", [401, 403, SocketClosed(4001)])
def test_a_new_key_is_looked_up_when_the_old_one_is_refused(refusal: Any) -> None:
    server = world(TURN)
    server.app_conversation["session_api_key"] = "new-key"
    server.connects = [refusal]
    watching = watch(server)
    assert watching.result == "finished"
    assert [key_of(url) for url in server.urls] == [KEY, "new-key"]


def test_a_new_key_is_looked_up_when_rest_refuses_the_old_one() -> None:
    server = world(TURN)
    server.app_conversation["session_api_key"] = "new-key"
    server.requests_fail = [answer({"detail": "Unauthorized"}, 401)]
    watching = watch(server)
    assert watching.result == "finished"
    assert watching.ids == server.ids


def test_a_wrong_key_for_rest_is_an_authentication_error() -> None:
    server = world(TURN)
    server.requests_fail = [answer({"detail": "Unauthorized"}, 401)] * 20
    assert isinstance(watch(server).result, errors.AuthenticationError)


def test_a_sandbox_that_came_back_elsewhere_is_followed() -> None:
    server = world([message(), status("running")], state="running")
    server.app_conversation["conversation_url"] = AGENT_URL.replace("8001", "8002")
    server.at(1.0, server.close)
    server.at(9.0, lambda: server.store(status("finished")))
    watching = watch(server)
    assert watching.result == "finished"
    assert ":8002/" in server.urls[1]
    assert ":8002/" in watching.player.requests[-1].url


@pytest.mark.parametrize("silent", ["log", "handshake", "look"])
def test_a_paused_sandbox_that_takes_connections_is_named_within_one_timeout(silent: str) -> None:
    """It never answers; three tries of a minute each would only say so much later."""
    server = world([message(), status("running")], state="running")
    silence = errors.APITimeoutError("did not answer")
    paused = {"sandbox_status": "PAUSED", "conversation_url": None, "session_api_key": None}
    if silent == "handshake":
        server.connects = [silence]
        server.app_conversation |= paused
    elif silent == "log":
        server.requests_fail = [silence]
        server.app_conversation |= paused
    else:
        server.at(1.0, lambda: server.app_conversation.update(paused))
        server.at(1.0, lambda: server.requests_fail.append(silence))
    watching = watch(server)
    assert isinstance(watching.result, errors.StreamError)
    assert "PAUSED" in str(watching.result)
    assert "start()" in str(watching.result)
    assert server.requests_fail == []


def test_the_history_of_a_paused_sandbox_says_that_it_is_paused() -> None:
    server = world([message(), status("running")], state="running")
    server.requests_fail = [errors.APITimeoutError("did not answer")]
    server.app_conversation |= {"sandbox_status": "PAUSED", "conversation_url": None, "session_api_key": None}
    player = Player(server, server.clock)
    with pytest.raises(errors.StreamError, match="PAUSED"):
        player.play(stream_of(server).history())


def stream_of(server: AgentServer, luck: float = 1.0) -> V1Stream:
    session = session_on(server.clock)
    session.luck = lambda: luck
    endpoint = session.endpoint.agent(AGENT_URL, KEY)
    return V1Stream(session, ID, endpoint, deadline=Deadline.after(server.clock, None))


def test_clients_that_lost_a_server_do_not_come_back_at_the_same_moment() -> None:
    def pauses(luck: float) -> list[float]:
        server = world([message(), status("running")], state="running")
        server.connects = [503] * 100
        player = Player(server, server.clock)
        with pytest.raises(errors.StreamError):
            player.play(stream_of(server, luck).run())
        return player.slept

    assert pauses(0.0) == [pause / 2 for pause in pauses(1.0)]
    assert pauses(1.0) == sorted(pauses(1.0))
    assert max(pauses(1.0)) <= RECONNECT.longest


@pytest.mark.parametrize("sandbox", ["PAUSED", "ERROR", "MISSING", "STARTING"])
def test_a_sandbox_that_is_not_running_ends_the_stream(sandbox: str) -> None:
    server = world([message(), status("running")], state="running")
    server.app_conversation |= {"sandbox_status": sandbox, "conversation_url": None, "session_api_key": None}
    server.at(1.0, server.close)
    watching = watch(server)
    assert isinstance(watching.result, errors.StreamError)
    assert sandbox in str(watching.result)
    assert watching.result.last_event_id == server.ids[-1]


def test_a_conversation_that_is_deleted_ends_the_stream() -> None:
    server = world([message(), status("running")], state="running")
    server.app_conversation = None
    server.at(1.0, server.close)
    watching = watch(server)
    assert isinstance(watching.result, errors.StreamError)
    assert "deleted" in str(watching.result)


def test_an_app_server_that_cannot_be_asked_does_not_end_the_stream() -> None:
    server = world([message(), status("running")], state="running")
    server.app_conversation = errors.APIConnectionError("refused")
    server.at(1.0, server.close)
    server.at(9.0, lambda: server.store(status("finished")))
    assert watch(server).result == "finished"


# Deadlines


def test_at_the_deadline_the_stream_ends_with_a_timeout() -> None:
    server = world([message(), status("running")], state="running")
    began = server.clock.now
    watching = watch(server, timeout=30.0)
    assert isinstance(watching.result, errors.APITimeoutError)
    assert 30.0 <= server.clock.now - began < 31.0


def test_a_deadline_holds_while_reconnecting() -> None:
    server = world([message(), status("running")], state="running")
    server.connects = [503] * 100
    began = server.clock.now
    watching = watch(server, timeout=1.0)
    assert isinstance(watching.result, errors.APITimeoutError)
    assert server.clock.now - began < 2.0


def test_a_deadline_holds_for_requests_that_hang() -> None:
    """A paused sandbox takes connections and answers nothing."""
    server = world([message(), status("running")], state="running")
    clock, began = server.clock, server.clock.now

    def hanging(command: Any) -> Any:
        if (
            isinstance(command, Send)
            and line_of(command.request) in (EVENTS, AGENT_INFO)
            and clock.now > began + 5
        ):
            clock.advance(command.request.timeout or 3600)
            return errors.APITimeoutError("no answer")
        return server(command)

    session = session_on(clock)
    endpoint = session.endpoint.agent(AGENT_URL, KEY)
    stream = V1Stream(session, ID, endpoint, deadline=Deadline.after(clock, 30.0))
    with pytest.raises(errors.APITimeoutError):
        Player(hanging, clock).play(stream.run())
    assert clock.now - began < 32.0


def test_a_timeout_that_is_not_given_waits_for_ever() -> None:
    server = world([message(), status("running")], state="running")
    server.at(100_000.0, lambda: server.store(status("finished")))
    assert watch(server, timeout=None).result == "finished"


def test_forever_means_beyond_the_agents_rest() -> None:
    server = world(TURN)
    server.at(50.0, lambda: server.store(message()))
    server.at(50.1, lambda: server.store(status("running")))
    server.at(55.0, lambda: server.store(status("finished")))
    watching = watch(server, until="forever", timeout=120.0)
    assert isinstance(watching.result, errors.APITimeoutError)
    assert watching.ids == server.ids


def test_silence_is_waited_out_in_long_steps() -> None:
    server = world([message(), status("running")], state="running")
    server.at(600.0, lambda: server.store(status("finished")))
    watching = watch(server, timeout=None)
    waits = [command for command in watching.player.asked if isinstance(command, Receive)]
    assert len(waits) < 40
    assert APP_INFO not in watching.lines
