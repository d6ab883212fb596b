"""The live streams of the agent server: `/sockets/events/{conversation_id}` and `/sockets/bash-events`.

flask-sock (simple-websocket) reads frames on a thread of its own and sends them on whoever calls
`send`. Three things it leaves to its users are done here: two threads that send (a pong may be due
while an event is on its way) must not mix their bytes, the sending thread has to be woken when the
reading one has seen the end, and a peer that does not answer must keep neither.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

from flask import Flask, Response, g, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.frame_protocol import CloseReason

from openhands_reference_server import agent_side, broadcast, sandboxes
from openhands_reference_server.broadcast import Subscription
from openhands_reference_server.dialects import Dialect
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import (
    BashDisabled,
    ConversationNotFound,
    FileMissing,
    PathNotAbsolute,
    PathOutside,
    SandboxPaused,
)
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.faults import CloseWebSocket
from openhands_reference_server.http.answers import dumps
from openhands_reference_server.http.application import validator
from openhands_reference_server.http.connections import SOCKET_KEYS, Connection
from openhands_reference_server.http.injection import fault_of_stream
from openhands_reference_server.http.session import accept_key, conversation_of_key, sandbox_of_request
from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.world import World

_logger = logging.getLogger(__name__)
_MAX_FRAME_BYTES = 4 * 1024 * 1024
_PING_SECONDS = 25
_FAREWELL = 0.5
_SHORT_FAREWELL = 0.05
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
    """

    watch: Callable[[Callable[[], None]], tuple[list[Event], Subscription]]
    unwatch: Callable[[Subscription], None]
    take: Callable[[bytes], None]


def install(app: Flask, world: World) -> None:
    """Add the streams to the agent server."""
    app.config["SOCK_SERVER_OPTIONS"] = {
        "thread_class": partial(threading.Thread, daemon=True),
        "max_message_size": _MAX_FRAME_BYTES,
        "ping_interval": _PING_SECONDS,
    }

    def stream(ws: Server, conversation_id: str) -> None:
        connection = cast(Connection, ws.sock)
        connection.on_end = ws.event.set
        try:
            conversation = conversation_of_key(world, conversation_id)
        except ConversationNotFound:
            _say_goodbye(ws, *_NOT_FOUND)
            return
        except SandboxPaused:
            _say_goodbye(ws, *_GOODBYES[sandboxes.SUSPENDED])
            return
        _carry(ws, connection, _events_of(world, conversation))

    def bash_stream(ws: Server) -> None:
        connection = cast(Connection, ws.sock)
        connection.on_end = ws.event.set
        _carry(ws, connection, _bash_events_of(world, sandbox_of_request()))

    sock = Sock(app)
    sock.route("/sockets/events/<conversation_id>", endpoint="socket")(stream)
    sock.route("/sockets/bash-events", endpoint="bashSocket")(bash_stream)


def refusal(world: World) -> Response | None:
    """Refuse an upgrade before it is accepted; prepare the connection when it may be.

    Raises:
        SandboxPaused: there is nobody to answer.
    """
    named = request.view_args or {}
    is_uuid = "conversation_id" not in named or _is_uuid(named["conversation_id"])
    if not accept_key(world, request.args.get("session_api_key", "")) or not is_uuid:
        refused = Response(status=403)
        del refused.headers["Content-Type"]
        return refused
    world.sandboxes.check_running(g.sandbox_id)
    for key in SOCKET_KEYS:
        if key in request.environ:
            request.environ[key] = Connection(request.environ[key])
    return None


def _resend_all() -> bool:
    return request.args.get("resend_all", "").lower() in ("true", "1")


def _events_of(world: World, conversation: V1Conversation) -> _Feed:
    """The events of a conversation; a message of the client always runs the agent."""

    def take(frame: bytes) -> None:
        message = _validated(world.dialect, "sendEvent", frame, conversation_id=conversation.id)
        role, items = message.get("role", "user"), message.get("content", [])
        world.agents.send_message(conversation.id, items, role=role, run=True)

    resend_all, wanted = _resend_all(), conversation.id
    return _Feed(
        lambda notify: world.agents.watch(wanted, resend_all=resend_all, notify=notify),
        partial(world.agents.unwatch, wanted),
        take,
    )


def _bash_events_of(world: World, sandbox_id: str) -> _Feed:
    """Commands and outputs of a sandbox; what the client sends is a command to start."""

    def take(frame: bytes) -> None:
        world.bash.start(sandbox_id, _validated(world.dialect, "startBashCommand", frame))

    resend_all = _resend_all()
    return _Feed(
        lambda notify: world.bash.watch(sandbox_id, resend_all=resend_all, notify=notify),
        partial(world.bash.unwatch, sandbox_id),
        take,
    )


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
                _take(feed, frame)
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


def _take(feed: _Feed, frame: str | bytes) -> None:
    """What makes no sense or cannot be done is ignored, as in the real server."""
    try:
        feed.take(frame.encode() if isinstance(frame, str) else frame)
    except (RequestInvalid, BashDisabled, PathOutside, PathNotAbsolute, FileMissing) as error:
        _logger.debug("ignored a frame: %s", error)


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


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
