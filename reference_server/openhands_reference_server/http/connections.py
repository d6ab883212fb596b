"""The raw socket of a request: asked whether somebody is there, cut, reset, shared by two threads."""

from __future__ import annotations

import errno
import logging
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from openhands_reference_server.control.resets import doom

_logger = logging.getLogger(__name__)

SOCKET_KEYS = ("werkzeug.socket", "gunicorn.socket")
"""Where the web servers put the raw socket of a request."""

# Look without taking and without waiting; not to be had on Windows.
_PEEK: int | None = socket.MSG_PEEK | socket.MSG_DONTWAIT if hasattr(socket, "MSG_DONTWAIT") else None
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


class Dropped(BrokenPipeError):
    """The connection of the present request has been ended; both web servers then say no more on it."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the connection was ended on purpose")


def raw_socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """The socket a request came over; None under a web server that does not show it."""
    return next((environ[key] for key in SOCKET_KEYS if key in environ), None)


def has_hung_up(connection: socket.socket) -> bool:
    """Has the client ended the connection? Where one cannot look: no."""
    if _PEEK is None:
        return False
    try:
        return connection.recv(1, _PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def cut(connection: socket.socket) -> None:
    """End a connection: what has been sent arrives, then its end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        _logger.debug("the connection has ended already: %s", error)


def reset(connection: socket.socket) -> None:
    """End a connection with a reset, which its client gets as an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    socket.close(connection.detach())


def reset_behind(response: Response) -> None:
    """Let the connection of the present request be reset when this response is through."""
    raw = raw_socket(request.environ)
    if raw is not None:
        response.call_on_close(lambda: doom(raw))


class Connection:
    """The socket of a WebSocket, as simple-websocket uses it, safe for two threads."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._sending = threading.Lock()
        self.on_end: Callable[[], None] = lambda: None
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._raw.fileno()

    def recv(self, size: int) -> bytes:
        """Receive."""
        return self._raw.recv(size)

    def send(self, data: bytes) -> int:
        """Send all of it; not mixed with what another thread sends."""
        with self._sending:
            self._raw.sendall(data)
        return len(data)

    def close(self) -> None:
        """End the connection for both threads; the web server closes the socket itself."""
        cut(self._raw)
        self.on_end()
