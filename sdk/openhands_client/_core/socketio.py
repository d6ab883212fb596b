"""Just enough Socket.IO to listen: Engine.IO 4 over one WebSocket, the default namespace.

The packets are python-socketio's (the extra ``[socketio]``). Its client is not used: it brings HTTP stacks
and threads of its own, and one server line sends events before the packet that confirms the connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlencode

from .auth import Endpoint
from .commands import Flow, Socket, SocketClosed, close, connect, receive, transmit
from .timing import Deadline

if TYPE_CHECKING:
    from socketio.packet import Packet

Kind: TypeAlias = Literal["open", "connected", "refused", "disconnected", "event", "ping", "other"]


class Heard(NamedTuple):
    """One packet. ``data`` is an event's arguments, or the reason of a refusal."""

    kind: Kind
    data: Any = None


class Refused(Exception):
    """The server does not let us listen."""


def available() -> bool:
    """Whether the extra is installed."""
    try:
        import socketio.packet
    except ImportError:
        return False
    return bool(socketio.packet)


def hear(frame: str) -> Heard:
    """Read a text frame of the WebSocket; what is no packet is nothing of ours."""
    try:
        return _read(frame)
    except ValueError:
        return Heard("other")


def _read(frame: str) -> Heard:
    from engineio import packet as engine
    from socketio import packet as protocol

    outer = engine.Packet(encoded_packet=frame)
    if outer.packet_type == engine.OPEN:
        return Heard("open")
    if outer.packet_type == engine.PING:
        return Heard("ping", outer.data)
    if outer.packet_type != engine.MESSAGE:
        return Heard("disconnected" if outer.packet_type == engine.CLOSE else "other")
    inner: Packet = protocol.Packet(encoded_packet=outer.data)
    if inner.packet_type == protocol.CONNECT:
        return Heard("connected")
    if inner.packet_type == protocol.CONNECT_ERROR:
        return Heard("refused", _reason(inner.data))
    if inner.packet_type == protocol.DISCONNECT:
        return Heard("disconnected")
    return Heard("event", inner.data) if inner.packet_type == protocol.EVENT else Heard("other")


def connect_frame() -> str:
    from engineio import packet as engine
    from socketio import packet as protocol

    return str(engine.Packet(engine.MESSAGE, protocol.Packet(protocol.CONNECT).encode()).encode())


def pong_frame(data: Any) -> str:
    from engineio import packet as engine

    return str(engine.Packet(engine.PONG, data or None).encode())


def listen(
    endpoint: Endpoint, conversation_id: str, latest_event_id: int, timeout: float, deadline: Deadline
) -> Flow[Socket]:
    """Open a connection that events of a conversation come over, from the one after ``latest_event_id`` on.

    Servers may send events before they confirm, and may never answer at all; the first packet that is no
    refusal is taken for a yes. Raises Refused, SocketRefused, SocketClosed, APIConnectionError.
    """
    query = {
        "EIO": "4",
        "transport": "websocket",
        "conversation_id": conversation_id,
        "latest_event_id": str(latest_event_id),
        "providers_set": "",
    }
    if endpoint.session_api_key:
        query["session_api_key"] = endpoint.session_api_key
    url = endpoint.socket_url(f"/socket.io/?{urlencode(query)}")
    headers = yield from endpoint.headers()
    socket = yield from connect(url, deadline.cap(timeout), headers)
    try:
        yield from _expect(socket, deadline.cap(timeout))
        yield from transmit(socket, connect_frame())
        yield from _expect(socket, deadline.cap(timeout))
    except (Refused, SocketClosed):
        yield from close(socket)
        raise
    return socket


def next_event(socket: Socket, timeout: float) -> Flow[dict[str, Any] | None]:
    """What the next event carries; None when there is none in ``timeout`` seconds.

    Answers pings on the way. Raises SocketClosed when the server says goodbye.
    """
    while True:
        frame = yield from receive(socket, timeout)
        if frame is None:
            return None
        heard = hear(frame)
        if heard.kind == "ping":
            yield from transmit(socket, pong_frame(heard.data))
        elif heard.kind == "disconnected":
            raise SocketClosed(1000, "the server disconnected the conversation")
        elif heard.kind == "refused":
            raise Refused(heard.data)
        elif heard.kind == "event":
            carried = heard.data[1] if isinstance(heard.data, list) and len(heard.data) > 1 else None
            return carried if isinstance(carried, dict) else {}


def _expect(socket: Socket, timeout: float) -> Flow[None]:
    frame = yield from receive(socket, timeout)
    if frame is None:
        raise Refused("the server opened the socket but said nothing; is the conversation id or key wrong?")
    heard = hear(frame)
    if heard.kind == "refused":
        raise Refused(heard.data)


def _reason(data: Any) -> str:
    message = data.get("message") if isinstance(data, dict) else data
    return str(message or "no reason given")
