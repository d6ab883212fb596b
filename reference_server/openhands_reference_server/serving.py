"""Two sockets, two applications, one process: Werkzeug's threaded server with an end one can rely on.

Werkzeug's own server forgets its handler threads and connections. This one knows them, so that after
`stop` none is left: no thread, no socket, whatever a client has been doing.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from openhands_reference_server.control.resets import is_doomed

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_POLL_SECONDS = 0.01
_GRACE_SECONDS = 0.06
_BACKLOG = 128


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is in use, or not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def port_of(listener: socket.socket) -> int:
    """The port a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


class _Handler(WSGIRequestHandler):
    """Quiet, prompt, and JSON even where HTTP itself is broken."""

    disable_nagle_algorithm = True
    error_message_format = '{"detail":"%(message)s"}'
    error_content_type = "application/json"

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """Do not look for another request on it."""
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """No access log: it would hold the keys in the queries of WebSockets."""

    def log_error(self, format: str, *args: Any) -> None:
        """Clients that do not speak HTTP are no news."""


class _Server(ThreadedWSGIServer):
    """A threaded server that knows its connections and waits for its handlers."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, listener: socket.socket, app: Wsgi) -> None:
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, app, _Handler, fd=listener.fileno())
        listener.close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        if is_doomed(request):
            self.close_request(request)  # without the orderly end that is sent first
        else:
            super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()

    def end_connections(self) -> None:
        """Let handlers finish what they are saying; then let them see the end of their connection."""
        with self._changed:
            self._changed.wait_for(lambda: not self._connections, _GRACE_SECONDS)
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class BackgroundServer:
    """One application on one socket, served from threads of this process."""

    def __init__(self, name: str, listener: socket.socket, app: Wsgi) -> None:
        self.port = port_of(listener)
        self._server = _Server(listener, app)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _POLL_SECONDS},
            name=f"openhands-{name}",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop_accepting(self) -> None:
        """Take no new connections."""
        with suppress(OSError):  # where the system cannot wake it so, it looks after a moment
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()

    def stop(self) -> None:
        """End all connections and wait for their handlers."""
        self.stop_accepting()
        self._server.end_connections()
        self._thread.join()
