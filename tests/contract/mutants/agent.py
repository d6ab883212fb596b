"""Wrong agent servers: conversations, events, confirmation, files, git, streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from openhands_reference_server.domain import confirmation, v0_live
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.http import sockets
from openhands_reference_server.world.agent_side import AgentSide
from openhands_reference_server.world.broadcast import Subscription
from openhands_reference_server.world.live import Follower
from tests.contract.mutants.machinery import (
    AGENT,
    CONVERSATION,
    Reply,
    before,
    inside,
    on,
    send_with,
    sent_with,
    set_query,
)

EVENTS = f"{CONVERSATION}/events"


@on(
    f"POST {EVENTS}",
    "A message is answered, and not stored.",
    "AGENT-DOCUMENT-02",
    "AGENT-EVENTS-11",
    server=AGENT,
)
def message_answered_with_itself(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, {"role": "user", "content": []})


@inside("A message with `run: false` runs the agent.", "AGENT-EVENTS-12")
def run_false_runs() -> Iterator[object]:
    send = AgentSide.send_message

    def eager(self: AgentSide, conversation_id: str, items: Any, *, role: str, run: bool) -> None:
        send(self, conversation_id, items, role=role, run=True)

    with patch.object(AgentSide, "send_message", eager):
        yield


@inside("A message that is to run the agent does not.", "AGENT-EVENTS-11", "AGENT-EVENTS-18")
def run_true_does_not_run() -> Iterator[object]:
    send = AgentSide.send_message

    def lazy(self: AgentSide, conversation_id: str, items: Any, *, role: str, run: bool) -> None:
        send(self, conversation_id, items, role=role, run=False)

    with patch.object(AgentSide, "send_message", lazy):
        yield


@inside("A confirmation policy is taken, and nothing is asked.", "AGENT-CONV-08", "AGENT-CONV-09")
def confirmation_ignored() -> Iterator[object]:
    with patch.object(confirmation, "asks", lambda policy, risk: False):
        yield


@inside("A rejected action is done anyway.", "AGENT-CONV-09")
def rejection_ignored() -> Iterator[object]:
    confirm = AgentSide.confirm

    def always(self: AgentSide, conversation_id: str, *, accept: bool, reason: str, **more: Any) -> None:
        confirm(self, conversation_id, accept=True, reason=reason, **more)

    with patch.object(AgentSide, "confirm", always):
        yield


@before(
    f"GET {EVENTS}/search",
    "Events of the agent server always come oldest first.",
    "AGENT-EVENTS-01",
    server=AGENT,
)
def agent_order_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, sort_order=None)


@before(f"GET {EVENTS}/(search|count)", "The filter by kind is ignored.", "AGENT-EVENTS-03", server=AGENT)
def agent_kind_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, kind=None)


@on(f"GET {EVENTS}/search", "The first event of every later page is lost.", "AGENT-EVENTS-02", server=AGENT)
def agent_pages_lose_one(reply: Reply) -> None:
    if reply.is_ok and "page_id" in reply.request.args:
        del reply.json["items"][:1]


@on(f"GET {EVENTS}/count", "The count of events is not what a search finds.", "AGENT-EVENTS-07", server=AGENT)
def agent_events_miscounted(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.json + 1)


@on(f"GET {EVENTS}", "Missing events are left out of a batch.", "AGENT-EVENTS-10", server=AGENT)
def missing_events_are_left_out(reply: Reply) -> None:
    if reply.is_ok and isinstance(reply.json, list):
        reply.answer(200, [one for one in reply.json if one])


@on(
    f"GET {EVENTS}/[^/]+",
    "An unknown event is a server error.",
    "AGENT-EVENTS-09",
    "GEN-ANSWERS-01",
    "HTTP-ERRORS-05",
    server=AGENT,
)
def unknown_event_crashes(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(500, {"detail": "Internal Server Error", "exception": "KeyError: 'event'"})


@on(
    "GET /api/git/changes/.*",
    "Git changes have the statuses of V0.",
    "AGENT-GIT-01",
    "AGENT-DOCUMENT-03",
    server=AGENT,
)
def git_statuses_of_v0(reply: Reply) -> None:
    if reply.is_ok:
        for change in reply.json:
            change["status"] = change["status"][0]


@on(
    "GET /api/file/download/.*",
    "Downloads lose their last byte.",
    "AGENT-FILES-01",
    "AGENT-FILES-02",
    server=AGENT,
)
def download_lacks_a_byte(reply: Reply) -> None:
    if reply.is_ok:
        reply.body = reply.body[:-1]


@before(
    "POST /api/file/upload/.*",
    "Uploads lose what is no ASCII.",
    "AGENT-FILES-02",
    "AGENT-FILES-01",
    server=AGENT,
)
def upload_corrupts_bytes(environ: dict[str, Any]) -> None:
    send_with(environ, bytes(byte if byte < 128 else 63 for byte in sent_with(environ)))


# -- WebSockets -------------------------------------------------------------------------------------

First = Callable[[list[Event]], list[Event]]


def _replayed(change: First) -> Any:
    """Another first part of a stream: the state, and what is resent."""
    watch = AgentSide.watch

    def changed(self: AgentSide, conversation_id: str, **more: Any) -> Any:
        first, subscription = watch(self, conversation_id, **more)
        return first[:1] + change(first[1:]), subscription

    return patch.object(AgentSide, "watch", changed)


@inside("One event is missing from what is resent.", "AGENT-LIVE-03", "AGENT-LIVE-19")
def replay_loses_an_event() -> Iterator[object]:
    with _replayed(lambda events: events[:1] + events[2:]):
        yield


@inside("Two resent events change places.", "AGENT-LIVE-04")
def replay_out_of_order() -> Iterator[object]:
    with _replayed(lambda events: [*events[:-2], *reversed(events[-2:])]):
        yield


@inside("`resend_all` is ignored.", "AGENT-LIVE-03", "AGENT-LIVE-19")
def nothing_is_resent() -> Iterator[object]:
    with _replayed(lambda events: []):
        yield


@inside("Everything is resent, whether asked for or not.", "AGENT-LIVE-06", "AGENT-LIVE-07")
def everything_is_resent() -> Iterator[object]:
    with patch.object(sockets, "_resend_all", lambda: True):
        yield


def _drained(change: Callable[[list[Any]], list[Any]]) -> Any:
    """Other news than those that were published to agent servers' streams."""
    drain = Subscription.drain

    def changed(self: Subscription) -> list[Any]:
        messages = drain(self)
        return change(messages) if messages and "kind" in messages[0] else messages

    return patch.object(Subscription, "drain", changed)


@inside("Live events come twice.", "AGENT-LIVE-07")
def live_events_twice() -> Iterator[object]:
    with _drained(lambda messages: [message for message in messages for _ in range(2)]):
        yield


@inside("Messages of the user are not heard live.", "AGENT-LIVE-07")
def live_lacks_messages() -> Iterator[object]:
    with _drained(lambda messages: [one for one in messages if one["kind"] != "MessageEvent"]):
        yield


@inside("Live events have other ids than stored ones.", "AGENT-LIVE-09", "AGENT-LIVE-07")
def live_ids_differ() -> Iterator[object]:
    with _drained(lambda messages: [{**one, "id": one["id"][::-1]} for one in messages]):
        yield


@inside("A stream of an unknown conversation is closed with another code.", "AGENT-LIVE-16")
def wrong_close_code() -> Iterator[object]:
    with patch.object(sockets, "_NOT_FOUND", (1008, "Conversation not found")):
        yield


@inside("What comes in by the WebSocket is ignored.", "AGENT-LIVE-11")
def frames_are_ignored() -> Iterator[object]:
    with patch.object(sockets, "_take", lambda ws, feed, frame: None):
        yield


# -- Socket.IO --------------------------------------------------------------------------------------


@inside("One event is missing from what Socket.IO resends.", "V0-LIVE-02", "V0-LIVE-05", "V0-LIVE-26")
def socketio_loses_an_event() -> Iterator[object]:
    replay = v0_live.replay

    def shorter(*args: Any, **kwargs: Any) -> list[Event]:
        events = replay(*args, **kwargs)
        return events[:1] + events[2:]

    with patch.object(v0_live, "replay", shorter):
        yield


@inside("`latest_event_id` is ignored.", "V0-LIVE-05", "V0-LIVE-26")
def latest_event_id_ignored() -> Iterator[object]:
    replay = v0_live.replay
    with patch.object(v0_live, "replay", lambda events, latest_event_id=-1: replay(events)):
        yield


@inside("Socket.IO resends in the wrong order.", "V0-LIVE-03")
def socketio_out_of_order() -> Iterator[object]:
    replay = v0_live.replay
    with patch.object(v0_live, "replay", lambda *args, **more: replay(*args, **more)[::-1]):
        yield


@inside("Live events of Socket.IO come twice.", "V0-LIVE-13")
def socketio_twice() -> Iterator[object]:
    frames = v0_live.frames
    with patch.object(v0_live, "frames", lambda *args: [frame for frame in frames(*args) for _ in range(2)]):
        yield


@inside("A new title is not heard.", "V0-LIVE-21")
def title_is_not_heard() -> Iterator[object]:
    frames = v0_live.frames

    def silent(conversation_id: str, record: Any) -> list[Any]:
        return [] if record["record"] == "renamed" else frames(conversation_id, record)

    with patch.object(v0_live, "frames", silent):
        yield


@inside("Socket.IO stays connected when the conversation is stopped.", "V0-LIVE-19", "V0-LIVE-20")
def socketio_stays() -> Iterator[object]:
    with patch.object(v0_live, "ends_connections", lambda record: False):
        yield


@inside("Live events of Socket.IO are not those that are stored.", "V0-LIVE-14", "V0-LIVE-04")
def socketio_tells_something_else() -> Iterator[object]:
    frames = Follower.frames

    def changed(self: Follower) -> Iterator[Any]:
        for frame in frames(self):
            yield {**frame, "message": "something else"} if "id" in frame and "timestamp" in frame else frame

    with patch.object(Follower, "frames", changed):
        yield
