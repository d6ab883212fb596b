"""The live streams of the agent server: `/sockets/events/{conversation_id}` and `/sockets/bash-events`.

flask-sock (simple-websocket) reads frames on a thread of its own and sends them on whoever calls
`send`. Three things it leaves to its users are done here: two threads that send (a pong may be due
while an event is on its way) must not mix their bytes, the sending thread has to be woken when the
reading one has seen the end, and a peer that does not answer must keep neither.
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

from flask import Flask, Response, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.frame_protocol import CloseReason

from openhands_reference_server.control.faults import CloseWebSocket
from openhands_reference_server.dialects import Dialect
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import (
    BashDisabled,
    ConversationNotFound,
    FileMissing,
    PathNotAbsolute,
    PathOutside,
    SandboxPaused,
    UserRoleExpected,
)
from openhands_reference_server.domain.event_log import EventFilter
from openhands_reference_server.domain.times import parse, zoneless
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.http.answers import dumps
from openhands_reference_server.http.application import validator
from openhands_reference_server.http.connections import SOCKET_KEYS, Connection
from openhands_reference_server.http.injection import fault_of_stream
from openhands_reference_server.http.journaling import recording_of
from openhands_reference_server.http.session import (
    KEY_HEADER,
    accept_key,
    conversation_of_key,
    running_sandbox,
    sandbox_of_request,
)
from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.world import World, agent_side, broadcast, sandboxes
from openhands_reference_server.world.broadcast import Subscription

_logger = logging.getLogger(__name__)
_MAX_FRAME_BYTES = 4 * 1024 * 1024
_PING_SECONDS = 25
_FAREWELL = 0.5
_SHORT_FAREWELL = 0.05
_FIRST_FRAME_SECONDS = 10
_NO_KEY = (4001, "Authentication failed")
_NOT_FOUND = (4004, "Conversation not found")
_GOODBYES = {
    broadcast.OVERFLOW: (1013, "Too slow"),
    broadcast.SHUTDOWN: (1001, "Server is shutting down"),
    agent_side.DELETED: _NOT_FOUND,
    sandboxes.SUSPENDED: (1001, "Sandbox is not running"),
}


@dataclass(frozen=True, slots=True)
class _Feed:
    """What one connection carries.

    Attributes:
        watch: given what to call when there is news: what to show first, and the subscription to the rest.
        unwatch: ends the subscription.
        take: does what the client says.
        complain: what to answer when that cannot be done; None ignores it, as the real server did at first.
    """

    watch: Callable[[Callable[[], None]], tuple[list[Event], Subscription]]
    unwatch: Callable[[Subscription], None]
    take: Callable[[bytes], None]
    complain: Callable[[Exception], Event] | None = None


def install(app: Flask, world: World) -> None:
    """Add the streams to the agent server."""
    app.config["SOCK_SERVER_OPTIONS"] = {
        "thread_class": partial(threading.Thread, daemon=True),
        "max_message_size": _MAX_FRAME_BYTES,
        "ping_interval": _PING_SECONDS,
    }

    def stream(ws: Server, conversation_id: str) -> None:
        connection = _opened(ws)
        try:
            if not _shows_key(world, ws):
                _say_goodbye(ws, *_NO_KEY)
                return
            conversation = conversation_of_key(world, conversation_id)
        except ConversationNotFound:
            _say_goodbye(ws, *_NOT_FOUND)
            return
        except SandboxPaused:
            _say_goodbye(ws, *_GOODBYES[sandboxes.SUSPENDED])
            return
        _carry(ws, connection, _events_of(world, conversation))

    def bash_stream(ws: Server) -> None:
        connection = _opened(ws)
        try:
            if not _shows_key(world, ws):
                _say_goodbye(ws, *_NO_KEY)
                return
            sandbox_id = running_sandbox(world)
        except SandboxPaused:
            _say_goodbye(ws, *_GOODBYES[sandboxes.SUSPENDED])
            return
        _carry(ws, connection, _bash_events_of(world, sandbox_id))

    sock = Sock(app)
    sock.route("/sockets/events/<conversation_id>", endpoint="socket")(stream)
    sock.route("/sockets/bash-events", endpoint="bashSocket")(bash_stream)


def refusal(world: World) -> Response | None:
    """Refuse an upgrade before it is accepted; prepare the connection when it may be.

    Raises:
        SandboxPaused: there is nobody to answer.
    """
    if not _is_as_described() or not _may_be_let_in(world):
        refused = Response(status=403)
        del refused.headers["Content-Type"]
        return refused
    if _has_key():
        world.sandboxes.check_running(sandbox_of_request())
    for key in SOCKET_KEYS:
        if key in request.environ:
            request.environ[key] = Connection(request.environ[key])
    return None


def _opened(ws: Server) -> Connection:
    """The connection of a WebSocket that has just been opened."""
    recording = recording_of(request.environ)
    if recording is not None:
        recording.upgrade()
    connection = cast(Connection, ws.sock)
    connection.on_end = ws.event.set
    return connection


def _is_as_described() -> bool:
    """Are the id and the time in the request what they are to be?"""
    named = request.view_args or {}
    since = request.args.get("after_timestamp")
    return ("conversation_id" not in named or _is_uuid(named["conversation_id"])) and (
        since is None or _is_time(since)
    )


def _may_be_let_in(world: World) -> bool:
    """Does the request show the right key, or, where that will do, none yet?"""
    late = world.dialect.key_in_first_frame
    key = request.args.get("session_api_key", request.headers.get(KEY_HEADER) if late else None)
    return late if key is None else accept_key(world, key)


def _has_key() -> bool:
    return "sandbox_id" in g


def _shows_key(world: World, ws: Server) -> bool:
    """Has the client shown its key? If not yet, wait for its first frame: it has to be in there."""
    if _has_key():
        return True
    frame = ws.receive(timeout=_FIRST_FRAME_SECONDS)
    try:
        said = json.loads(frame) if frame is not None else None
    except ValueError:
        return False
    return isinstance(said, dict) and _shows(said) and accept_key(world, str(said.get("session_api_key", "")))


def _shows(said: Any) -> bool:
    """Is this the frame that shows a key?"""
    return isinstance(said, dict) and said.get("type") == "auth"


def _resend(dialect: Dialect) -> EventFilter | None:
    """Which stored events a client wants to see again; None: none."""
    mode = request.args.get("resend_mode") if dialect.newer_fields else None
    if mode == "since":
        since = request.args.get("after_timestamp")
        return None if since is None else EventFilter(since=since)
    return EventFilter() if mode == "all" or _resend_all() else None


def _resend_all() -> bool:
    return request.args.get("resend_all", "").lower() in ("true", "1")


def _events_of(world: World, conversation: V1Conversation) -> _Feed:
    """The events of a conversation; a message of the client always runs the agent."""

    def take(frame: bytes) -> None:
        message = _validated(world.dialect, "sendEvent", frame, conversation_id=conversation.id)
        role, items = message.get("role", "user"), message.get("content", [])
        world.agents.send_message(conversation.id, items, role=role, run=True)

    resend, wanted = _resend(world.dialect), conversation.id
    return _Feed(
        lambda notify: world.agents.watch(wanted, resend=resend, notify=notify),
        partial(world.agents.unwatch, wanted),
        take,
        _complain if world.dialect.answers_bad_frames else None,
    )


def _bash_events_of(world: World, sandbox_id: str) -> _Feed:
    """Commands and outputs of a sandbox; what the client sends is a command to start."""

    def take(frame: bytes) -> None:
        world.bash.start(sandbox_id, _validated(world.dialect, "startBashCommand", frame))

    resend_all = _resend(world.dialect) is not None
    return _Feed(
        lambda notify: world.bash.watch(sandbox_id, resend_all=resend_all, notify=notify),
        partial(world.bash.unwatch, sandbox_id),
        take,
        _complain_of_command if world.dialect.answers_bad_frames else None,
    )


def _complain(error: Exception) -> Event:
    """What a client hears of a frame that makes no sense."""
    at = zoneless(datetime.now(UTC))
    event = {"kind": "ServerErrorEvent", "id": str(uuid4()), "timestamp": at, "source": "environment"}
    return {**event, **_described(error)}


def _complain_of_command(error: Exception) -> Event:
    """What a client hears of a command that cannot be run."""
    at = zoneless(datetime.now(UTC))
    return {"kind": "BashError", "id": str(uuid4()), "timestamp": at, **_described(error)}


def _described(error: Exception) -> dict[str, str]:
    said = (error.body or {}).get("detail") if isinstance(error, RequestInvalid) else None
    code = "ValidationError" if isinstance(error, RequestInvalid) else type(error).__name__
    return {"code": code, "detail": dumps(said) if said else str(error)}


def _carry(ws: Server, connection: Connection, feed: _Feed) -> None:
    """Serve a feed until one side ends it; leave neither the connection nor its reader behind."""
    try:
        _serve(ws, connection, feed)
    finally:
        connection.close()
        _wait_for_reader(ws, _FAREWELL)


class _CutShort(Exception):
    """A fault ends the stream here."""


class _Speaker:
    """Sends events, until a fault cuts it short.

    Args:
        ws: where to.
        fault: what is going to happen.
    """

    def __init__(self, ws: Server, fault: CloseWebSocket | None) -> None:
        self._ws = ws
        self._recording = recording_of(request.environ)
        self._left = math.inf if fault is None else fault.after

    def check(self) -> None:
        """Go on, if there is no reason to stop.

        Raises:
            _CutShort: there is.
        """
        if self._left <= 0:
            raise _CutShort

    def say(self, event: Event) -> None:
        """Send an event.

        Raises:
            _CutShort: it was the last one.
        """
        self._ws.send(dumps(event))
        self._left -= 1
        if self._recording is not None:
            self._recording.send_event()
        self.check()


def _serve(ws: Server, connection: Connection, feed: _Feed) -> None:
    """Send what is there, then what comes; take what the client says."""

    def notify() -> None:
        if subscription is not None and subscription.closed == broadcast.OVERFLOW:
            connection.close()  # the sending thread may be stuck in a peer that does not read
        ws.event.set()

    fault = fault_of_stream(request.environ, CloseWebSocket)
    speaker = _Speaker(ws, fault)
    subscription: Subscription | None = None
    first, subscription = feed.watch(notify)
    try:
        speaker.check()
        for event in first:
            speaker.say(event)
        while True:
            # Receiving clears the event; draining comes second, so nothing published in between is missed.
            while (frame := ws.receive(timeout=0)) is not None:
                _take(ws, feed, frame)
            for event in subscription.drain():
                speaker.say(event)
            if subscription.closed is not None:
                _say_goodbye(ws, *_GOODBYES[subscription.closed])
                return
            ws.event.wait()
            ws.event.clear()
    except _CutShort:
        if fault is not None and fault.code is not None:
            _say_goodbye(ws, fault.code, fault.reason)
    except OSError as error:
        _logger.debug("a subscriber is gone: %s", error)
    finally:
        feed.unwatch(subscription)


def _take(ws: Server, feed: _Feed, frame: str | bytes) -> None:
    """Do what the client says; what makes no sense or cannot be done is ignored, or complained of."""
    data = frame.encode() if isinstance(frame, str) else frame
    try:
        if feed.complain is None or not _shows_again(data):
            feed.take(data)
    except (
        RequestInvalid,
        UserRoleExpected,
        BashDisabled,
        PathOutside,
        PathNotAbsolute,
        FileMissing,
    ) as error:
        _logger.debug("a frame cannot be taken: %s", error)
        if feed.complain is not None:
            ws.send(dumps(feed.complain(error)))


def _shows_again(data: bytes) -> bool:
    """A key that was shown before needs no answer."""
    try:
        return _shows(json.loads(data))
    except ValueError:
        return False


def _validated(dialect: Dialect, operation: str, data: bytes, **path: str) -> dict[str, Any]:
    """The frame as the body of an operation, whose schema describes it."""
    valid = validator("agent-server", dialect).validate(
        operation,
        path=path,
        query=[],
        headers={},
        content_type="application/json",
        body=data or b"null",
    )
    body: dict[str, Any] = valid.body
    return body


def _say_goodbye(ws: Server, code: int, reason: str) -> None:
    """Close, and give the peer a moment to answer, so that it sees the code and no reset."""
    ws.close(cast(CloseReason, code), reason)  # any code will do; the stubs know only the registered ones
    _wait_for_reader(ws, _SHORT_FAREWELL if code == _GOODBYES[broadcast.SHUTDOWN][0] else _FAREWELL)


def _wait_for_reader(ws: Server, seconds: float) -> None:
    cast(threading.Thread, ws.thread).join(seconds)


def _is_time(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
