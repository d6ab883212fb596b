"""Live events of V1 conversations: the WebSocket of their agent server."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.streams import Frame, JsonStream, ids
from openhands_contract.lab.v1 import RESTING, Started, user_message
from openhands_contract.outcome import NotReached, Skipped

BASH_EVENTS = "/sockets/bash-events"


def knock(bench: Bench, started: Started, identifier: str, **query: Any) -> JsonStream:
    """Ask for the WebSocket of a conversation, whatever comes of it."""
    return JsonStream(bench, "agent-server", f"{started.origin}/sockets/events/{identifier}", query)


def listen(bench: Bench, started: Started, *, resend_all: bool = False) -> JsonStream:
    """Listen to a conversation, with everything that one may expect."""
    asked = {"resend_all": "true"} if resend_all else {}
    stream = knock(bench, started, started.dashed, session_api_key=started.key, **asked)
    if not stream.accepted:
        raise NotReached(f"prerequisite: the WebSocket of a conversation was refused with {stream.status}")
    with bench.arranging("the first frame of a WebSocket"):
        stream.until(lambda: stream.frames, "a first frame comes")
    return stream


def _played(bench: Bench) -> Started:
    """The conversation that these checks share; its agent has answered a message."""

    def make(bench: Bench) -> Started:
        started = bench.v1.beside(initial_message=user_message("Say hello and finish."))
        with bench.arranging("a V1 conversation whose agent has finished"):
            bench.v1.await_rest(started)
        return started

    return bench.shared("live V1 conversation", make)


def _mark(bench: Bench, started: Started, *streams: JsonStream) -> str:
    """Store a message that no agent acts on, and wait until all have heard it: then nothing before it is to come."""
    text = f"Mark {secrets.token_hex(8)}"
    with bench.arranging("a message that is stored"):
        bench.v1.agent(started).post(f"{started.path}/events", user_message(text, run=False)).needs(200)
    for stream in streams:
        stream.until(partial(_has, stream, text), "a message that was stored reaches who listens")
    return text


def _has(stream: JsonStream, text: str) -> bool:
    return any(says(event, text) for event in stream.events)


def says(event: Frame, text: str) -> bool:
    """Whether an event is the user's message with this text."""
    if event.get("kind") != "MessageEvent" or event.get("source") != "user":
        return False
    content = (event.get("llm_message") or {}).get("content") or []
    return any(isinstance(item, dict) and item.get("text") == text for item in content)


def _came(bench: Bench, started: Started, stream: JsonStream) -> list[Frame]:
    """What a stream has brought until now."""
    mark = _mark(bench, started, stream)
    return _before(stream.events, mark)


def _before(events: Sequence[Frame], text: str) -> list[Frame]:
    """The events before a message."""
    end = next(index for index, event in enumerate(events) if says(event, text))
    return list(events[:end])


def _turn(bench: Bench, started: Started, *streams: JsonStream) -> tuple[list[Frame], list[list[Frame]]]:
    """Let the agent work on a message; return what was stored of that, and what each stream brought of it."""
    with bench.arranging("a turn of the agent"):
        known = {event["id"] for event in bench.v1.events(started)}
        bench.v1.agent(started).post(f"{started.path}/events", user_message("Go on.", run=True)).needs(200)
        bench.until(
            lambda: any(_rests(event) for event in _since(bench, started, known)) or None,
            "the agent comes to rest",
        )
    mark = _mark(bench, started, *streams)
    stored = _before(_since(bench, started, known), mark)
    return stored, [_before(stream.events, mark) for stream in streams]


def _since(bench: Bench, started: Started, known: set[str]) -> list[Frame]:
    return [event for event in bench.v1.events(started) if event["id"] not in known]


def _rests(event: Frame) -> bool:
    return event.get("key") == "execution_status" and event.get("value") in RESTING - {"idle"}


def _replay(bench: Bench) -> tuple[JsonStream, list[Frame], list[Frame]]:
    """Have everything sent again; return the connection, what was stored, and what came."""
    started = _played(bench)
    stored: list[Frame] = [*bench.v1.events(started)]
    stream = listen(bench, started, resend_all=True)
    return stream, stored, _came(bench, started, stream)


@checks("AGENT-LIVE-01")
def opens_with_the_state(bench: Bench) -> None:
    """Opens a WebSocket with the sandbox's key, and looks at the first frame."""
    started = _played(bench)
    stream = knock(bench, started, started.dashed, session_api_key=started.key)
    stream.until(lambda: stream.frames, "the connection is opened, and a first frame comes")
    first = stream.frames[0]
    shown = first.get("kind"), first.get("key")
    stream.expect(
        shown == ("ConversationStateUpdateEvent", "full_state"), "the first frame is the full state", shown
    )


@checks("AGENT-LIVE-02")
def states_are_not_stored(bench: Bench) -> None:
    """Opens two WebSockets one after the other, compares the ids of their first frames, and looks for them."""
    started = _played(bench)
    first, second = (listen(bench, started).frames[0].get("id") for _ in range(2))
    bench.expect(first != second, "each connection's first frame has an id of its own", first)
    kept = {event["id"] for event in bench.v1.events(started)}
    bench.expect(not {first, second} & kept, "the first frame is not among the stored events")


@checks("AGENT-LIVE-03")
def sends_everything_again(bench: Bench) -> None:
    """Listens with `resend_all=true`, and compares the ids with those of the stored events."""
    stream, stored, came = _replay(bench)
    missing = [name for name in ids(stored) if name not in ids(came)]
    stream.expect(not missing, "every stored event is sent again", f"missing: {missing}")
    more_than_once = [name for name in ids(stored) if ids(came).count(name) > 1]
    stream.expect(not more_than_once, "each event is sent once", f"more than once: {more_than_once}")


@checks("AGENT-LIVE-04")
def keeps_the_order(bench: Bench) -> None:
    """Listens with `resend_all=true`, and compares the order of the ids with that of the stored events."""
    stream, stored, came = _replay(bench)
    order = [name for name in ids(stored) if name in ids(came)]
    again = [name for name in ids(came) if name in order]
    stream.expect(again == order, "the events come in the order they happened", f"they came as {again}")


@checks("AGENT-LIVE-05")
def sends_what_is_stored(bench: Bench) -> None:
    """Listens with `resend_all=true`, and compares each event with the stored one."""
    stream, stored, came = _replay(bench)
    _same(stream, stored, came)


def _same(stream: JsonStream, stored: Sequence[Frame], came: Sequence[Frame]) -> None:
    kept = {event["id"]: event for event in stored}
    other = [event for event in came if event.get("id") in kept and event != kept[event["id"]]]
    stream.expect(not other, "each event is the stored one", f"other than stored: {other[:1]}")


@checks("AGENT-LIVE-06")
def nothing_old(bench: Bench) -> None:
    """Listens without `resend_all` to a conversation with a history, and looks at what comes before a new event."""
    started = _played(bench)
    known = {event["id"] for event in bench.v1.events(started)}
    stream = listen(bench, started)
    old = [name for name in ids(_came(bench, started, stream)) if name in known]
    stream.expect(not old, "nothing comes but what is new", f"old: {old}")


@checks("AGENT-LIVE-07")
def everything_new_once(bench: Bench) -> None:
    """Listens while the agent works on a message, and compares the ids with those of the stored events."""
    started = _played(bench)
    stream = listen(bench, started)
    stored, (came,) = _turn(bench, started, stream)
    missing = [name for name in ids(stored) if name not in ids(came)]
    stream.expect(not missing, "every event that is stored is heard", f"missing: {missing}")
    more_than_once = [name for name in ids(stored) if ids(came).count(name) > 1]
    stream.expect(not more_than_once, "each event is heard once", f"more than once: {more_than_once}")


@checks("AGENT-LIVE-08")
def live_in_order(bench: Bench) -> None:
    """Listens while the agent works on a message, and compares the order with that of the stored events."""
    started = _played(bench)
    stream = listen(bench, started)
    stored, (came,) = _turn(bench, started, stream)
    order = [name for name in ids(stored) if name in ids(came)]
    heard = [name for name in dict.fromkeys(ids(came)) if name in order]
    stream.expect(
        heard == order, "the events come in the order in which they are stored", f"they came as {heard}"
    )


@checks("AGENT-LIVE-09")
def live_is_stored(bench: Bench) -> None:
    """Listens while the agent works on a message, and compares each event with the stored one."""
    started = _played(bench)
    stream = listen(bench, started)
    stored, (came,) = _turn(bench, started, stream)
    unknown = [name for name in ids(came) if name not in ids(stored)]
    stream.expect(not unknown, "every event that is heard is stored", f"not stored: {unknown}")
    _same(stream, stored, came)


@checks("AGENT-LIVE-10")
def two_hear_the_same(bench: Bench) -> None:
    """Listens twice while the agent works on a message, and compares the two."""
    started = _played(bench)
    first, second = listen(bench, started), listen(bench, started)
    _, (one, other) = _turn(bench, started, first, second)
    second.expect(one == other, "both get the same events in the same order", f"{ids(one)} and {ids(other)}")


@checks("AGENT-LIVE-11")
def speaks(bench: Bench) -> None:
    """Sends a message over a WebSocket, and waits for it and for the agent's rest among the stored events."""
    started = _played(bench)
    text = f"Said over the socket {secrets.token_hex(4)}"
    known = {event["id"] for event in bench.v1.events(started)}
    listen(bench, started).say(user_message(text))
    bench.until(
        lambda: any(says(event, text) for event in _since(bench, started, known)) or None,
        "the message is among the stored events",
    )
    bench.until(
        lambda: any(_rests(event) for event in _since(bench, started, known)) or None,
        "the agent works on the message and comes to rest",
    )


@checks("AGENT-LIVE-12")
def ignores_other_frames(bench: Bench) -> None:
    """Sends frames that are no messages, and looks whether anything is stored and the connection still open."""
    started = _played(bench)
    known = {event["id"] for event in bench.v1.events(started)}
    stream = listen(bench, started)
    for frame in (
        "this is no JSON",
        "[1, 2]",
        '{"role": "nobody", "content": [{"type": "text", "text": "x"}]}',
    ):
        stream.send(frame)
    mark = _mark(bench, started, stream)
    stored = _before(_since(bench, started, known), mark)
    said = [event for event in stored if event["kind"] != "ConversationStateUpdateEvent"]
    stream.expect(not said, "nothing is stored", said)


@checks("AGENT-LIVE-13")
def without_a_key(bench: Bench) -> None:
    """Asks for a WebSocket without a key."""
    started = _played(bench)
    _refused(knock(bench, started, started.dashed))


@checks("AGENT-LIVE-14")
def with_a_wrong_key(bench: Bench) -> None:
    """Asks for a WebSocket with keys that are nearly right, and with one that is not."""
    started = _played(bench)
    for key in (started.key[:-1], f"{started.key}x", started.key.swapcase(), "nonsense"):
        _refused(knock(bench, started, started.dashed, session_api_key=key))


def _refused(stream: JsonStream) -> None:
    stream.expect(stream.status == 403, "the upgrade is refused with 403", stream.status)


@checks("AGENT-LIVE-15")
def no_uuid(bench: Bench) -> None:
    """Asks for the WebSocket of an id that is no UUID, with the right key."""
    started = _played(bench)
    _refused(knock(bench, started, "no-uuid", session_api_key=started.key))


@checks("AGENT-LIVE-16")
def unknown_conversation(bench: Bench) -> None:
    """Asks for the WebSocket of a conversation that nobody has made."""
    started = _played(bench)
    stream = knock(bench, started, str(uuid.uuid4()), session_api_key=started.key)
    ending = stream.until_closed("the connection is accepted and closed with 4004")
    found = ending.code, ending.reason
    stream.expect(
        found == (4004, "Conversation not found"), "the code is 4004 `Conversation not found`", str(ending)
    )


@checks("AGENT-LIVE-17")
def stays_open(bench: Bench) -> None:
    """Listens while the agent works on a message, and stores one more message afterwards."""
    started = _played(bench)
    stream = listen(bench, started)
    _turn(bench, started, stream)
    _mark(bench, started, stream)


@checks("AGENT-LIVE-18")
def frames_are_events(bench: Bench) -> None:
    """Holds every frame of a replay and of a turn to the schema of events."""
    started = _played(bench)
    stream = listen(bench, started, resend_all=True)
    _turn(bench, started, stream)
    validator = bench.lab.agent_document.schema_validator("Event")
    for frame in stream.frames:
        wrong = next(iter(validator.iter_errors(dict(frame))), None)
        stream.expect(wrong is None, "each frame is an event", f"{wrong and wrong.message}: {frame}")


@checks("AGENT-LIVE-19")
def connects_again(bench: Bench) -> None:
    """Leaves, lets the agent work on a message, and connects again with `resend_all=true`."""
    started = _played(bench)
    listen(bench, started).close()
    missed, _ = _turn(bench, started)
    stream = listen(bench, started, resend_all=True)
    came = _came(bench, started, stream)
    missing = [name for name in ids(missed) if name not in ids(came)]
    stream.expect(not missing, "what was missed is sent", f"missing: {missing}")


@checks("AGENT-LIVE-20")
def to_nobody_else(bench: Bench) -> None:
    """Listens to one conversation of a sandbox while a message is stored in another."""
    here = _played(bench)
    there = bench.shared("another live V1 conversation", lambda bench: bench.v1.beside())
    stream, other = listen(bench, here), listen(bench, there)
    text = _mark(bench, there, other)
    came = _came(bench, here, stream)
    overheard = [event for event in came if says(event, text)]
    stream.expect(not overheard, "nothing of another conversation is heard", overheard)


# ---- bash events ---------------------------------------------------------------------------------------------


def _bash(bench: Bench, started: Started, **query: Any) -> JsonStream:
    return JsonStream(bench, "agent-server", f"{started.origin}{BASH_EVENTS}", query)


def _shell(bench: Bench) -> Started:
    """A sandbox that runs commands."""
    started = bench.v1.workshop()
    answer = bench.v1.agent(started).post("/api/bash/execute_bash_command", {"command": "true"})
    if answer.status == 403:
        raise Skipped("the agent server runs no commands")
    answer.needs(200)
    return started


def _commands(bench: Bench, started: Started, command_id: str) -> list[Frame]:
    """A command and its outputs, as stored."""
    query = {"command_id__eq": command_id}
    return [*bench.v1.all_pages(bench.v1.agent(started), "/api/bash/bash_events/search", query)]


def _ended(events: Sequence[Frame]) -> bool:
    return any(event.get("exit_code") is not None for event in events)


@checks("AGENT-LIVE-21")
def hears_commands(bench: Bench) -> None:
    """Listens to the bash events while a command runs, and compares them with those on record."""
    started = _shell(bench)
    stream = _bash(bench, started, session_api_key=started.key)
    command = {"command": "echo heard"}
    run = bench.v1.agent(started).post("/api/bash/execute_bash_command", command).needs(200)
    command_id = run.pick("command_id")

    def of_the_command() -> list[Frame]:
        return [frame for frame in stream.frames if command_id in (frame.get("id"), frame.get("command_id"))]

    stream.until(lambda: _ended(of_the_command()), "the command's last output is heard")
    stored = _commands(bench, started, command_id)
    stream.expect(of_the_command() == stored, "what is heard is what is on record", of_the_command())


@checks("AGENT-LIVE-22")
def hears_old_commands(bench: Bench) -> None:
    """Runs a command, listens with `resend_all=true`, and compares what comes with what is on record."""
    started = _shell(bench)
    run = bench.v1.agent(started).post("/api/bash/execute_bash_command", {"command": "echo again"}).needs(200)
    stored = _commands(bench, started, run.pick("command_id"))
    stream = _bash(bench, started, session_api_key=started.key, resend_all="true")
    kept = set(ids(stored))
    stream.until(lambda: kept <= set(ids(stream.frames)), "the command and its outputs are sent again")
    again = [frame for frame in stream.frames if frame.get("id") in kept]
    stream.expect(again == stored, "they come as they are on record, in their order", again)


@checks("AGENT-LIVE-23")
def takes_commands(bench: Bench) -> None:
    """Sends a command to the bash events, and waits for its output."""
    started = _shell(bench)
    stream = _bash(bench, started, session_api_key=started.key)
    word = secrets.token_hex(8)
    stream.say({"command": f"echo {word}"})
    stream.until(
        lambda: any(word in str(frame.get("stdout")) for frame in stream.frames),
        "the command's output is heard",
    )


@checks("AGENT-LIVE-24")
def refuses_keys_for_commands(bench: Bench) -> None:
    """Asks for the bash events without a key and with a wrong one."""
    started = _shell(bench)
    _refused(_bash(bench, started))
    _refused(_bash(bench, started, session_api_key=f"{started.key}x"))


@checks("AGENT-LIVE-03")
def sends_long_histories_again(bench: Bench) -> None:
    """Listens with `resend_all=true` to a conversation with more than a hundred events, and compares the ids."""
    if bench.lab.site.dialect != "docs":
        return
    started, stored = bench.v1.long()
    stream = listen(bench, started, resend_all=True)
    last = stored[-1]["id"]
    stream.until(lambda: last in ids(stream.events), "the last event is sent")
    wanted, came = ids(stored), set(ids(stream.events))
    missing = [name for name in wanted if name not in came]
    stream.expect(not missing, "every stored event is sent again", f"missing: {missing}")


@checks("AGENT-LIVE-06")
def nothing_old_when_told_so(bench: Bench) -> None:
    """Listens with `resend_all=false` to a conversation with a history, and looks at what comes."""
    started = _played(bench)
    known = {event["id"] for event in bench.v1.events(started)}
    stream = knock(bench, started, started.dashed, session_api_key=started.key, resend_all="false")
    with bench.arranging("the first frame of a WebSocket"):
        stream.until(lambda: stream.frames, "a first frame comes")
    old = [name for name in ids(_came(bench, started, stream)) if name in known]
    stream.expect(not old, "nothing comes but what is new", f"old: {old}")


@checks("AGENT-LIVE-26")
def leaves_alone(bench: Bench) -> None:
    """Listens twice, leaves once, and looks whether the other hears what the agent does."""
    started = _played(bench)
    leaving, staying = listen(bench, started), listen(bench, started)
    leaving.close()
    with bench.arranging("a turn of the agent"):
        known = {event["id"] for event in bench.v1.events(started)}
        bench.v1.agent(started).post(f"{started.path}/events", user_message("Go on.", run=True)).needs(200)
        bench.v1.await_rest(started)
        stored = _since(bench, started, known)
    last = stored[-1]["id"]
    staying.until(lambda: last in ids(staying.events), "who stays hears on")


@checks("AGENT-LIVE-27")
def takes_long_messages(bench: Bench) -> None:
    """Sends a message of a hundred thousand characters over a WebSocket, and waits for it."""
    started = bench.v1.beside()
    text = f"{secrets.token_hex(4)} {'and so on ' * 10_000}to the end"
    stream = listen(bench, started)
    stream.say(user_message(text))
    stream.until(lambda: any(says(event, text) for event in stream.events), "the message is heard")


@checks("AGENT-LIVE-28")
def shows_the_present_state(bench: Bench) -> None:
    """Listens to a conversation at rest, and compares the first frame with what the agent server says of it."""
    started = _played(bench)
    with bench.arranging("a conversation at rest"):
        status = bench.v1.await_rest(started)
    first = listen(bench, started).frames[0].get("value") or {}
    shown = first.get("execution_status")
    bench.expect(shown == status, f"`execution_status` is {status!r}", shown)
    named = str(first.get("id")).replace("-", "")
    bench.expect(named == started.id, f"`id` is that of the conversation, {started.id}", first.get("id"))
