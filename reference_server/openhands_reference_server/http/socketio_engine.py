"""python-socketio on threads that come to an end.

The library's own threading mode leaves sleeping threads behind (one per ping, one that watches), waits
for peers that do not read, and sends the replay a handler makes before the packet that confirms the
connection. Here every thread is known and can be woken, every WebSocket can be ended, and the
application hears when a connection is confirmed.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, NoReturn, cast

import simple_websocket
import socketio
from engineio.exceptions import EngineIOError
from engineio.packet import CLOSE, Packet
from socketio.exceptions import SocketIOError

from openhands_reference_server.control.faults import CloseSocketIO
from openhands_reference_server.http.connections import SOCKET_KEYS, Connection
from openhands_reference_server.http.injection import fault_of_stream
from openhands_reference_server.http.journaling import recording_of

_logger = logging.getLogger(__name__)
_NAMESPACE = "/"
_MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
_PACKETS_PER_POLL = 16
_FAREWELL = 0.5
_SHORT_FAREWELL = 0.05
_LOOK = 0.01
_CONNECTED, _EVENT = "40", "42"  # how these packets of Socket.IO begin

Frame = dict[str, Any]


class Engine(socketio.Server):
    """A Socket.IO server that ends when it is told to.

    Args:
        allows_origin: may a page of this origin connect? Gets the origin and the WSGI environment.
        confirmed: called with the id of a client when it has been told that it is connected.
    """

    def __init__(
        self,
        *,
        allows_origin: Callable[[str, Mapping[str, Any]], bool],
        confirmed: Callable[[str], None],
    ) -> None:
        options: dict[str, Any] = {
            "async_mode": "threading",
            "async_handlers": False,  # actions of a client are taken in their order
            "max_http_buffer_size": _MAX_PAYLOAD_BYTES,
            "cors_allowed_origins": allows_origin,
            "logger": _logger,
            "engineio_logger": _logger,
        }
        super().__init__(**options)
        self._confirmed = confirmed
        self._tasks = _Tasks()
        self._connections: dict[str, Connection] = {}
        self.eio._async = {
            **self.eio._async,
            "thread": self._tasks.new,
            "sleep": self._tasks.sleep,
            "event": lambda: self._tasks.ended,
            "queue": _Packets,
            "websocket": partial(_WebSocket, connections=self._connections, fault_of=self._fault_of),
        }

    def close(self) -> None:
        """Say goodbye to all clients, end all connections, and return when no thread is left."""
        for client in list(self.eio.sockets.values()):
            client.close(wait=False, reason=self.reason.SERVER_DISCONNECT)
        self._tasks.end()
        if not self._tasks.join(_SHORT_FAREWELL):
            for connection in list(self._connections.values()):
                connection.close()  # its peer does not read
            self._tasks.join(_FAREWELL)

    def carried(self, sid: str, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The frames that reach a client: all of them, or those before a fault closes its transport."""
        eio_sid = self.manager.eio_sid_from_sid(sid, _NAMESPACE) or ""
        fault = self._fault_of(eio_sid)
        if fault is None:
            yield from frames
            return
        yield from islice(frames, fault.after)
        client = self.eio.sockets.get(eio_sid)
        if client is not None and not client.upgraded:  # a WebSocket ends itself with the last event
            while not client.queue.empty() and not client.closed:
                self._tasks.sleep(_LOOK)  # until a poll has taken them
            client.close(wait=False)

    def _fault_of(self, eio_sid: str) -> CloseSocketIO | None:
        return fault_of_stream(self.environ.get(eio_sid, {}), CloseSocketIO)

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        try:
            super()._handle_connect(eio_sid, namespace, data)
        finally:
            self._settle(eio_sid)

    def _settle(self, eio_sid: str) -> None:
        """A client was let in: go on with it, unless its connection has ended in the meantime."""
        sid = self.manager.sid_from_eio_sid(eio_sid, _NAMESPACE)
        if sid is None:
            return
        if eio_sid in self.environ:
            self._confirmed(sid)
        else:
            self._handle_disconnect(eio_sid, _NAMESPACE, self.reason.TRANSPORT_CLOSE)

    def _handle_disconnect(self, eio_sid: str, namespace: str | None, reason: str | None = None) -> None:
        """A client that leaves by itself has no use for its connection; a poll of it may be waiting."""
        super()._handle_disconnect(eio_sid, namespace, reason)
        client = self.eio.sockets.get(eio_sid)
        if client is not None and reason == self.reason.CLIENT_DISCONNECT:
            client.close(wait=False, reason=reason)

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        super()._handle_eio_disconnect(eio_sid, reason)
        self._tasks.end(of=eio_sid)
        connection = self._connections.get(eio_sid)
        if connection is not None and reason == self.reason.PING_TIMEOUT:
            connection.close()  # whoever sends to it may be stuck


class _Task(threading.Thread):
    """A thread of the engine: of one connection, or of all."""

    def __init__(self, target: Callable[..., Any], args: Any, kwargs: Any) -> None:
        super().__init__(name=f"openhands-socketio-{getattr(target, '__name__', 'task')}", daemon=True)
        self.connection_id = _connection_of(target)
        self.stopping = threading.Event()
        self._work = partial(target, *args, **kwargs)

    @property
    def over(self) -> bool:
        """It was started, and has ended."""
        return self.ident is not None and not self.is_alive()

    def run(self) -> None:
        try:
            self._work()
        except (OSError, KeyError, EngineIOError, SocketIOError) as error:
            _logger.debug("a connection ended under its thread: %r", error)


class _Tasks:
    """All threads of an engine, as engineio wants to have threads, sleep and events."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._tasks: list[_Task] = []
        self._lock = threading.Lock()

    def new(self, target: Callable[..., Any], args: Any = (), kwargs: Any = None) -> _Task:
        """A thread to be started."""
        task = _Task(target, args, kwargs or {})
        with self._lock:
            self._tasks = [other for other in self._tasks if not other.over]
            self._tasks.append(task)
            if self.ended.is_set():
                task.stopping.set()
        return task

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the connection one works for."""
        task = threading.current_thread()
        waking = task.stopping if isinstance(task, _Task) else self.ended
        waking.wait(seconds)

    def end(self, of: str | None = None) -> None:
        """Wake those who sleep for a connection, or all for good."""
        if of is None:
            self.ended.set()
        with self._lock:
            for task in self._tasks:
                if of is None or task.connection_id == of:
                    task.stopping.set()

    def join(self, seconds: float) -> bool:
        """Wait until no thread runs any more; False when that takes longer."""
        deadline = time.monotonic() + seconds
        with self._lock:
            started = [task for task in self._tasks if task.ident is not None]
        for task in started:
            task.join(max(0.0, deadline - time.monotonic()))
        return all(task.over for task in started)


def _connection_of(method: Callable[..., Any]) -> str | None:
    """The id of the engineio socket whose method this is."""
    return getattr(getattr(method, "__self__", None), "sid", None)


class _Packets(queue.Queue[Any]):
    """Packets for a client, as many at a time as python-engineio's own client takes from one poll.

    The last one has a poll of its own: that client acts on it before it has looked at those before it.
    """

    _taken = 0

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next packet; none when a poll is full."""
        if not block and (self._taken >= _PACKETS_PER_POLL or self._says_goodbye()):
            raise queue.Empty
        self._taken = 1 if block else self._taken + 1
        return super().get(block, timeout)

    def _says_goodbye(self) -> bool:
        with self.mutex:
            following = self.queue[0] if self.queue else None
            return isinstance(following, Packet) and following.packet_type == CLOSE


class _WebSocket:
    """A WebSocket as engineio wants to have it, and whose end nobody misses."""

    def __init__(
        self,
        handler: Callable[[_WebSocket], Any],
        server: Any,
        *,
        connections: dict[str, Connection],
        fault_of: Callable[[str], CloseSocketIO | None],
    ) -> None:
        self._handler = handler
        self._connection_id = _connection_of(handler) or ""
        self._connections = connections
        fault = fault_of(self._connection_id)
        self._events_left = math.inf if fault is None else fault.after

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> NoReturn:
        """Serve the connection until it ends.

        Raises:
            ConnectionError: it has ended; so Werkzeug writes no answer.
            StopIteration: the same for gunicorn.
            RemoteProtocolError: it is no WebSocket.
        """
        key = next(key for key in SOCKET_KEYS if key in environ)
        self._connection = environ[key] = Connection(environ[key])
        self._recording = recording_of(environ)
        self._ws = simple_websocket.Server(
            environ,
            max_message_size=_MAX_PAYLOAD_BYTES,
            thread_class=cast(Any, partial(threading.Thread, daemon=True)),  # any factory will do
        )
        self._connection.on_end = self._ws.event.set
        self._connections[self._connection_id] = self._connection
        if self._recording is not None:
            self._recording.upgrade()
        try:
            self._handler(self)
        finally:
            self._wait_for_reader(_FAREWELL)
            self._connection.close()
            self._wait_for_reader(_FAREWELL)
            self._connections.pop(self._connection_id, None)
        raise StopIteration if self._ws.mode == "gunicorn" else ConnectionError

    def wait(self) -> str | bytes | None:
        """The next frame; None at the end."""
        try:
            return self._ws.receive()
        except simple_websocket.ConnectionClosed:
            return None

    def send(self, frame: str | bytes) -> None:
        """Send a frame.

        Raises:
            OSError: the connection has ended.
        """
        try:
            self._ws.send(frame)
        except simple_websocket.ConnectionClosed as error:
            raise ConnectionResetError("the WebSocket is closed") from error
        if isinstance(frame, str) and frame.startswith((_CONNECTED, _EVENT)):
            self._note(is_event=frame.startswith(_EVENT))

    def _note(self, *, is_event: bool) -> None:
        if is_event and self._recording is not None:
            self._recording.send_event()
        self._events_left -= is_event
        if self._events_left <= 0:
            self._connection.close()  # a fault: it ends here, without a word

    def close(self) -> None:
        """Say goodbye, and let the thread that waits for frames see the end."""
        try:
            self._ws.close()
        except (OSError, simple_websocket.ConnectionClosed) as error:
            _logger.debug("the WebSocket has ended already: %s", error)
        self._ws.event.set()

    def _wait_for_reader(self, seconds: float) -> None:
        cast(threading.Thread, self._ws.thread).join(seconds)
