"""Live events of V0 conversations: Socket.IO."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

import engineio.packet
import engineio.payload
import socketio.packet

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.streams import Frame, V0Stream, ids, is_v0_event
from openhands_contract.lab.v0 import RESTING, path, unknown_id
from openhands_contract.outcome import NotReached, Skipped

_PATH = "/socket.io/"
_PROTOCOL = {"EIO": "4"}
# Of what the environment observes, this is told live.
_TOLD = frozenset({"agent_state_changed", "recall", "run", "error"})
# What makes an event what it is; other fields may be there only live, or only in what is stored.
_SAYING = ("action", "observation", "message", "args", "content", "extras", "cause")


def knock(bench: Bench, **query: Any) -> V0Stream:
    """Try to connect, and wait for a yes or a no."""
    wire = bench.lab.wire()
    asked = {**_PROTOCOL, "transport": "websocket", **query}
    stream = V0Stream(bench, "app-server", f"{wire.url}{_PATH}", asked, _headers(bench))
    if stream.accepted:
        stream.until(stream.answered, "the server lets the client in, or says why not")
    return stream


def _key(bench: Bench) -> str | None:
    return bench.lab.access.key or None


def _headers(bench: Bench) -> Mapping[str, str]:
    """Servers that take bearer tokens read them from a header."""
    return bench.lab.access.headers if bench.lab.access.bearer else {}


def listen(bench: Bench, conversation: str, **query: Any) -> V0Stream:
    """Listen to a conversation, with everything that one may expect."""
    with bench.arranging("a Socket.IO connection"):
        stream = knock(bench, conversation_id=conversation, session_api_key=_key(bench), **query)
        if not stream.confirmed:
            raise NotReached(f"prerequisite: Socket.IO was refused: {stream.refusal or stream.status}")
    return stream


def _played(bench: Bench) -> str:
    """The conversation that these checks share; its agent has answered a message, and it runs."""

    def make(bench: Bench) -> str:
        body = {"initial_user_msg": "Say something worth hearing."}
        with bench.arranging("a V0 conversation whose agent has finished"):
            identifier: str = bench.app.post("/api/conversations", body).needs(200).pick("conversation_id")
            bench.v0.await_status(identifier, "RUNNING")
            bench.v0.await_rest(identifier)
        return identifier

    identifier = bench.shared("live V0 conversation", make)
    _awake(bench, identifier)
    return identifier


def _awake(bench: Bench, identifier: str) -> None:
    """Servers stop conversations that nobody listens to."""
    with bench.arranging("a conversation that runs"):
        info = bench.v0.status(identifier).needs(200)
        if str(info.pick("url") or "").startswith("http"):
            raise Skipped("the conversation has a runtime of its own")
        if info.pick("status") != "RUNNING":
            bench.app.post(path(identifier, "/start"), {}).needs(200)
            bench.v0.await_status(identifier, "RUNNING")
            bench.v0.await_rest(identifier)


def _sent_again(events: Sequence[Frame], after: int = -1) -> list[Frame]:
    """The stored events that a client gets that knows all up to `after`, in their order."""
    unknown = [event for event in events if event["id"] > after and not _is_left_out(event)]
    states = [event for event in unknown if _is_state(event)]
    return [event for event in unknown if not _is_state(event)] + states[-1:]


def _is_left_out(event: Frame) -> bool:
    return "null" in (event.get("action"), event.get("observation")) or event.get("action") == "recall"


def _is_state(event: Frame) -> bool:
    return event.get("observation") == "agent_state_changed"


def _rests(event: Frame) -> bool:
    return _is_state(event) and event.get("extras", {}).get("agent_state") in RESTING


def _replay(bench: Bench, **query: Any) -> tuple[V0Stream, list[Frame], list[Frame]]:
    """Connect to a conversation at rest; return the connection, what is stored, and what came."""
    identifier = _played(bench)
    stored: list[Frame] = [*bench.v0.events(identifier)]
    stream = listen(bench, identifier, **query)
    stream.until(lambda: any(map(_is_state, stream.events)), "the agent's last state comes")
    stream.settle()
    return stream, stored, stream.events


def _say(bench: Bench, identifier: str, text: str) -> None:
    with bench.arranging("a message"):
        bench.app.post(path(identifier, "/message"), {"message": text}).needs(200)


def _turn(bench: Bench, identifier: str, *streams: V0Stream) -> tuple[list[Frame], list[list[Frame]]]:
    """Let the agent work on a message; return what was stored of that, and what each stream brought of it."""
    with bench.arranging("a conversation at rest"):
        last = bench.v0.events(identifier)[-1]["id"]
    _say(bench, identifier, "Go on.")
    with bench.arranging("a turn of the agent"):
        events = bench.v0.await_rest(identifier, last)
    end = next(event["id"] for event in events if event["id"] > last and _rests(event))
    stored: list[Frame] = [event for event in events if last < event["id"] <= end]
    for stream in streams:
        stream.until(partial(_has, stream, end), "the state in which the agent comes to rest is heard")
    return stored, [[event for event in stream.events if event["id"] > last] for stream in streams]


def _has(stream: V0Stream, event_id: int) -> bool:
    return event_id in ids(stream.events)


def _told_live(event: Frame) -> bool:
    if _is_left_out(event):
        return event.get("action") == "recall"
    return event.get("source") != "environment" or event.get("observation") in _TOLD


@checks("V0-LIVE-01")
def lets_in(bench: Bench) -> None:
    """Connects to a conversation."""
    stream = knock(bench, conversation_id=_played(bench), session_api_key=_key(bench))
    stream.expect(stream.confirmed, "the connection is confirmed", stream.refusal or str(stream.status))


@checks("V0-LIVE-02")
def sends_everything_again(bench: Bench) -> None:
    """Connects to a conversation at rest, and compares the ids with those of the stored events."""
    stream, stored, came = _replay(bench, latest_event_id=-1)
    _all_once(stream, _sent_again(stored), came)


def _all_once(stream: V0Stream, wanted: Sequence[Frame], came: Sequence[Frame]) -> None:
    missing = [name for name in ids(wanted) if name not in ids(came)]
    stream.expect(not missing, "every event that is due is sent", f"missing: {missing}")
    surplus = sorted(name for name in ids(came) if name not in ids(wanted))
    stream.expect(not surplus, "only events that are due are sent", f"surplus: {surplus}")
    twice = sorted({name for name in ids(came) if ids(came).count(name) > 1})
    stream.expect(not twice, "each event is sent once", f"more than once: {twice}")


@checks("V0-LIVE-03")
def keeps_the_order(bench: Bench) -> None:
    """Connects to a conversation at rest, and looks at the order of what comes."""
    stream, _, came = _replay(bench)
    others = [event["id"] for event in came if not _is_state(event)]
    stream.expect(others == sorted(others), "the ids rise", others)
    stream.expect(_is_state(came[-1]), "the agent's state comes last", came[-1])


@checks("V0-LIVE-04")
def sends_what_is_stored(bench: Bench) -> None:
    """Connects to a conversation at rest, and compares each event with the stored one."""
    stream, stored, came = _replay(bench)
    # What just happens is told live, where older servers call the environment the agent.
    fields = ("source", *_SAYING) if bench.lab.site.dialect == "docs" else _SAYING
    _same(stream, stored, came, fields)


def _same(stream: V0Stream, stored: Sequence[Frame], came: Sequence[Frame], fields: Sequence[str]) -> None:
    kept = {event["id"]: event for event in stored}
    for event in came:
        wanted = kept.get(event["id"], {})
        other = [name for name in fields if event.get(name) != wanted.get(name)]
        stream.expect(
            not other, "each event says what the stored one says", f"other {', '.join(other)}: {event}"
        )


@checks("V0-LIVE-05")
def sends_what_is_unknown(bench: Bench) -> None:
    """Connects with each of several `latest_event_id`s, and compares what comes with the stored events after it."""
    identifier = _played(bench)
    stored = bench.v0.events(identifier)
    state = [event["id"] for event in stored if _is_state(event)][-1]
    for latest in sorted({0, 1, stored[len(stored) // 2]["id"], state - 1}):
        stream, stored_now, came = _replay(bench, latest_event_id=latest)
        _all_once(stream, _sent_again(stored_now, latest), came)


@checks("V0-LIVE-06")
def no_number(bench: Bench) -> None:
    """Connects with a `latest_event_id` that is a word."""
    stream, stored, came = _replay(bench, latest_event_id="yesterday")
    _all_once(stream, _sent_again(stored), came)


def _refused(stream: V0Stream, reason: str) -> None:
    stream.expect(not stream.confirmed, f"the client is refused with `{reason}`", "it is let in")
    stream.expect(
        stream.refusal == reason, f"the client is refused with `{reason}`", stream.refusal or stream.status
    )


@checks("V0-LIVE-07")
def names_no_conversation(bench: Bench) -> None:
    """Connects without a conversation."""
    _refused(knock(bench, session_api_key=_key(bench)), "No conversation_id in query params")


@checks("V0-LIVE-08")
def names_an_unknown_conversation(bench: Bench) -> None:
    """Connects to a conversation that nobody has made, and reads it."""
    identifier = unknown_id()
    _refused(knock(bench, conversation_id=identifier, session_api_key=_key(bench)), "Conversation not found")
    bench.v0.status(identifier).must(404)


@checks("V0-LIVE-09")
def wrong_key(bench: Bench) -> None:
    """Connects with keys that are nearly right, and with one that is not."""
    key = _needed_key(bench)
    identifier = _played(bench)
    for wrong in (key[:-1], f"{key}x", "nonsense"):
        _refused(knock(bench, conversation_id=identifier, session_api_key=wrong), "invalid_session_api_key")


def _needed_key(bench: Bench) -> str:
    key = _key(bench)
    if not key:
        raise Skipped("the server was said to need no key: --api-key")
    if bench.lab.access.bearer:
        raise Skipped("the server takes bearer tokens")
    return key


@checks("V0-LIVE-10")
def no_key(bench: Bench) -> None:
    """Connects without a key, with an empty one, and with the text `null`."""
    _needed_key(bench)
    identifier = _played(bench)
    for key in (None, "", "null"):
        _refused(knock(bench, conversation_id=identifier, session_api_key=key), "invalid_session_api_key")


@checks("V0-LIVE-11")
def unknown_provider(bench: Bench) -> None:
    """Connects with a provider that does not exist beside one that does."""
    identifier = _played(bench)
    asked = {"conversation_id": identifier, "session_api_key": _key(bench)}
    _refused(knock(bench, **asked, providers_set="github,nobody"), "Unknown provider: nobody")


@checks("V0-LIVE-12")
def hears_what_happens(bench: Bench) -> None:
    """Listens while the agent works on a message, and compares the ids with those of the stored events."""
    identifier = _played(bench)
    stream = listen(bench, identifier)
    stored, (came,) = _turn(bench, identifier, stream)
    missing = [event["id"] for event in stored if _told_live(event) and event["id"] not in ids(came)]
    stream.expect(not missing, "everything that is told live is heard", f"missing: {missing}")


@checks("V0-LIVE-13")
def live_in_order(bench: Bench) -> None:
    """Listens while the agent works on a message, and looks at the ids."""
    identifier = _played(bench)
    stream = listen(bench, identifier)
    _, (came,) = _turn(bench, identifier, stream)
    stream.expect(ids(came) == sorted(set(ids(came))), "the ids rise, each comes once", ids(came))


@checks("V0-LIVE-14")
def live_is_stored(bench: Bench) -> None:
    """Listens while the agent works on a message, and compares each event with the stored one."""
    identifier = _played(bench)
    stream = listen(bench, identifier)
    stored, (came,) = _turn(bench, identifier, stream)
    kept = ids(stored)
    stream.expect(set(ids(came)) <= set(kept), "every event that is heard is stored", ids(came))
    _same(stream, stored, came, _SAYING)
    source = {event["id"]: event["source"] for event in stored}
    for event in came:
        wanted = "agent" if source[event["id"]] == "environment" else source[event["id"]]
        stream.expect(event.get("source") == wanted, f"the source is `{wanted}`", event)


@checks("V0-LIVE-15")
def two_hear_the_same(bench: Bench) -> None:
    """Listens twice while the agent works on a message, and compares the two."""
    identifier = _played(bench)
    first, second = listen(bench, identifier), listen(bench, identifier)
    _, (one, other) = _turn(bench, identifier, first, second)
    second.expect(one == other, "both get the same events in the same order", f"{ids(one)} and {ids(other)}")


def _acts(bench: Bench, name: str) -> None:
    identifier = _played(bench)
    stream = listen(bench, identifier)
    text = f"Said over the socket {secrets.token_hex(4)}"
    last = bench.v0.events(identifier)[-1]["id"]
    stream.act({"action": "message", "args": {"content": text}}, name)
    bench.until(
        lambda: any(_says(event, text) for event in bench.v0.events(identifier, start_id=last + 1)) or None,
        "the message is among the stored events, as one of the user",
    )
    bench.v0.await_rest(identifier, last)


def _says(event: Frame, text: str) -> bool:
    return event.get("action") == "message" and event.get("source") == "user" and _text(event) == text


def _text(event: Frame) -> Any:
    return (event.get("args") or {}).get("content")


@checks("V0-LIVE-16")
def takes_actions(bench: Bench) -> None:
    """Sends a message as `oh_user_action`, and waits for it and for the agent's rest among the stored events."""
    _acts(bench, "oh_user_action")


@checks("V0-LIVE-17")
def takes_actions_by_their_old_name(bench: Bench) -> None:
    """Sends a message as `oh_action`, and waits for it and for the agent's rest among the stored events."""
    _acts(bench, "oh_action")


@checks("V0-LIVE-18")
def refuses_actions(bench: Bench) -> None:
    """Sends actions that there are not, waits for the answers, and sends a message afterwards."""
    identifier = _played(bench)
    stream, _, _ = _replay(bench)
    before = bench.v0.events(identifier)
    for number, action in enumerate(({"action": "no such action"}, {"args": {}}, "no action"), 1):
        stream.act(action)
        stream.until(partial(_has_errors, stream, number), "an error is answered")
    stream.expect(
        all(frame.get("message") for frame in _errors(stream)), "the errors say why", _errors(stream)
    )
    after = bench.v0.events(identifier)
    stream.expect(after == before, "nothing is stored", f"{len(after) - len(before)} more events")
    _turn(bench, identifier, stream)


def _has_errors(stream: V0Stream, number: int) -> bool:
    return len(_errors(stream)) >= number


def _errors(stream: V0Stream) -> list[Frame]:
    return [frame for frame in stream.frames if frame.get("error") is True]


@checks("V0-LIVE-19")
def stopping_disconnects(bench: Bench) -> None:
    """Listens to a conversation and stops it."""
    identifier = _played(bench)
    stream = listen(bench, identifier)
    with bench.arranging("a stop"):
        bench.app.post(path(identifier, "/stop")).needs(200)
    stream.until_closed("the server disconnects")


@checks("V0-LIVE-20")
def pausing_and_deleting_disconnect(bench: Bench) -> None:
    """Listens to a conversation and pauses it; listens to it again and deletes it."""
    identifier = bench.v0.running()
    stream = listen(bench, identifier)
    with bench.arranging("a pause"):
        bench.app.post(path(identifier, "/pause")).needs(200)
    stream.until_closed("the server disconnects when the conversation is paused")
    stream = listen(bench, identifier)
    with bench.arranging("a deletion"):
        bench.app.delete(path(identifier)).needs(200)
    stream.until_closed("the server disconnects when the conversation is deleted")


@checks("V0-LIVE-21")
def hears_of_titles(bench: Bench) -> None:
    """Listens to a conversation and renames it."""
    identifier = _played(bench)
    stream = listen(bench, identifier)
    title = f"Renamed {secrets.token_hex(4)}"
    with bench.arranging("a new title"):
        bench.app.patch(path(identifier), {"title": title}).needs(200)

    def told() -> bool:
        return any(frame.get("conversation_title") == title for frame in stream.frames)

    stream.until(told, "the title is told")
    update = next(frame for frame in stream.frames if frame.get("conversation_title") == title)
    shown = update.get("status_update"), update.get("type"), update.get("message")
    stream.expect(shown == (True, "info", identifier), "it is a status update about the conversation", update)


@checks("V0-LIVE-22")
def connecting_starts(bench: Bench) -> None:
    """Stops a conversation, connects to it, and polls it until it runs."""
    identifier = _played(bench)
    with bench.arranging("a stopped conversation"):
        bench.app.post(path(identifier, "/stop")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
    stream = knock(bench, conversation_id=identifier, session_api_key=_key(bench))
    stream.expect(stream.confirmed, "the client is let in", stream.refusal or str(stream.status))
    bench.v0.await_status(identifier, "RUNNING")


@checks("V0-LIVE-23")
def polling(bench: Bench) -> None:
    """Connects with long polling, and compares the events with the stored ones."""
    identifier = _played(bench)
    wanted = _sent_again(bench.v0.events(identifier))
    came = _polled(bench, identifier)
    missing = [name for name in ids(wanted) if name not in ids(came)]
    bench.expect(not missing, "every event that is due is sent", f"missing: {missing}")
    order = [event["id"] for event in came if event["id"] in ids(wanted)]
    bench.expect(order == ids(wanted), "they come in their order, each once", order)


def _polled(bench: Bench, identifier: str) -> list[Frame]:
    """The events that a polling client gets until the agent's last state."""
    asked = {"conversation_id": identifier, "session_api_key": _key(bench) or "null"}
    query = {**_PROTOCOL, "transport": "polling", **asked}
    opened = bench.app.get(_PATH, query).must(200)
    handshake: Any = engineio.payload.Payload(encoded_payload=opened.text).packets[0].data
    query["sid"] = handshake["sid"]
    bench.app.request("POST", _PATH, query, content=b"40", headers={"Content-Type": "text/plain"}).must(200)
    events: list[Frame] = []
    while not any(map(_is_state, events)):
        answer = bench.app.get(_PATH, query).must(200)
        for packet in engineio.payload.Payload(encoded_payload=answer.text).packets:
            events += _events_in(packet)
    bench.app.request(
        "POST", f"{_PATH}?{urlencode(query)}", content=b"41", headers={"Content-Type": "text/plain"}
    )
    return events


def _events_in(packet: Any) -> list[Frame]:
    if packet.packet_type != engineio.packet.MESSAGE:
        return []
    message = socketio.packet.Packet(encoded_packet=str(packet.data))
    match message.packet_type, message.data:
        case socketio.packet.EVENT, ["oh_event", dict(frame)] if is_v0_event(frame):
            return [frame]
    return []


@checks("V0-LIVE-24")
def deleted_lets_nobody_in(bench: Bench) -> None:
    """Deletes a conversation and connects to it."""
    identifier = bench.v0.new()
    with bench.arranging("a deletion"):
        bench.app.delete(path(identifier)).needs(200)
    _refused(knock(bench, conversation_id=identifier, session_api_key=_key(bench)), "Conversation not found")


@checks("V0-LIVE-25")
def to_nobody_else(bench: Bench) -> None:
    """Listens to one conversation while another gets a title and a message, and then lets its own agent work."""
    here, there = _played(bench), bench.v0.running()
    stream, other = listen(bench, here), listen(bench, there)
    text = f"Only there {secrets.token_hex(8)}"
    with bench.arranging("a title"):
        bench.app.patch(path(there), {"title": text}).needs(200)
    _say(bench, there, text)
    other.until(lambda: any(_says(event, text) for event in other.events), "the message is heard")
    _turn(bench, here, stream)
    overheard = [frame for frame in stream.frames if text in (frame.get("conversation_title"), _text(frame))]
    stream.expect(not overheard, "nothing of another conversation is heard", overheard)


@checks("V0-LIVE-26")
def connects_again(bench: Bench) -> None:
    """Leaves while the agent works on a message, and connects again with the last id it has heard."""
    identifier = _played(bench)
    last = bench.v0.events(identifier)[-1]["id"]
    first = listen(bench, identifier, latest_event_id=last)
    _say(bench, identifier, "Work while I am away.")
    first.until(lambda: first.events, "something is heard")
    first.close()
    heard = ids(first.events)
    with bench.arranging("a turn of the agent"):
        stored = bench.v0.await_rest(identifier, last)
    second = listen(bench, identifier, latest_event_id=max(heard))
    second.until(lambda: any(map(_rests, second.events)), "the state in which the agent came to rest is sent")
    wanted = [event["id"] for event in _sent_again(stored, max(heard))]
    missing = [name for name in wanted if name not in ids(second.events)]
    second.expect(not missing, "what was missed is sent", f"missing: {missing}")


@checks("V0-LIVE-02")
def sends_long_histories_again(bench: Bench) -> None:
    """Connects to a conversation with more than a hundred events, and compares the ids with the stored events'."""
    if bench.lab.site.dialect == "docs":
        _replay_of_the_long_one(bench, -1)


@checks("V0-LIVE-05")
def knows_the_first_event(bench: Bench) -> None:
    """Connects with the id 0 as `latest_event_id` to a conversation that begins with a message."""
    if bench.lab.site.dialect == "docs":
        _replay_of_the_long_one(bench, 0)


def _replay_of_the_long_one(bench: Bench, latest: int) -> None:
    identifier, _ = bench.v0.long()
    _awake(bench, identifier)
    stored = bench.v0.events(identifier)
    stream = listen(bench, identifier, latest_event_id=latest)
    stream.until(lambda: any(map(_is_state, stream.events)), "the agent's last state comes")
    stream.settle()
    _all_once(stream, _sent_again(stored, latest), stream.events)


@checks("V0-LIVE-27")
def counts_connections(bench: Bench) -> None:
    """Listens twice, leaves once and again, and reads `num_connections` in between."""
    identifier = _played(bench)

    def become(number: int) -> None:
        bench.until(
            lambda: bench.v0.status(identifier).must(200).pick("num_connections") == number,
            f"`num_connections` becomes {number}",
        )

    become(0)
    streams = [listen(bench, identifier), listen(bench, identifier)]
    become(2)
    for left, stream in enumerate(streams):
        stream.close()
        become(len(streams) - left - 1)


@checks("V0-LIVE-28")
def leaves_alone(bench: Bench) -> None:
    """Listens twice, leaves once, and looks whether the other hears what the agent does."""
    identifier = _played(bench)
    leaving, staying = listen(bench, identifier), listen(bench, identifier)
    leaving.close()
    stored, (came,) = _turn(bench, identifier, staying)
    missing = [event["id"] for event in stored if _told_live(event) and event["id"] not in ids(came)]
    staying.expect(not missing, "who stays hears everything", f"missing: {missing}")


@checks("V0-LIVE-29")
def hears_after_a_restart(bench: Bench) -> None:
    """Stops and starts a conversation, and listens while its agent works on a message."""
    identifier = _played(bench)
    with bench.arranging("a stop and a second start"):
        bench.app.post(path(identifier, "/stop")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
    _awake(bench, identifier)
    stream = listen(bench, identifier)
    stored, (came,) = _turn(bench, identifier, stream)
    missing = [event["id"] for event in stored if _told_live(event) and event["id"] not in ids(came)]
    stream.expect(not missing, "everything that is told live is heard", f"missing: {missing}")
