"""The raw socket of a WebSocket connection, safe for the threads that share it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

_logger = logging.getLogger(__name__)

SOCKET_KEYS = ("werkzeug.socket", "gunicorn.socket")
"""Where the web servers put the raw socket of a request."""


class Connection:
    """The socket of a connection, as simple-websocket uses it, safe for two threads."""

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
        try:
            self._raw.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            _logger.debug("the connection has ended already: %s", error)
        self.on_end()
