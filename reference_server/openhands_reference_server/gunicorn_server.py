"""`serve` on gunicorn: one gthread worker that serves both ports of one world.

The arbiter process holds the sockets and the data directory's lock; the worker holds the world. Two
things gunicorn does not do for us: a worker whose arbiter was killed must be gone at once (it would
hold ports and lock), and open WebSockets must be told to end before the worker waits for them.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, cast

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from openhands_reference_server.front import Frontage

# Each open WebSocket takes a thread of the pool, which grows only as far as it is needed.
_logger = logging.getLogger(__name__)
_THREADS = 2000
_CONNECTIONS = 4000
_GRACE_SECONDS = 5
_LAST_WORDS_SECONDS = 0.3
_PROTOCOL_ERRORS: dict[type[BaseException], tuple[int, str]] = {
    LimitRequestLine: (414, "URI Too Long"),
    LimitRequestHeaders: (431, "Request Header Fields Too Large"),
}
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _leave_signals_to_others() -> set[int]:
    """Let the present thread, and those it starts, not be the one that a signal interrupts."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


class Worker(ThreadWorker):
    """A worker that ends its world before it waits for its connections, and waits for answers only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answering = 0
        self._answered = threading.Condition()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Threads that leave signals to the main one, which would not wake up for them otherwise."""
        return ThreadPoolExecutor(self.cfg.threads, initializer=_leave_signals_to_others)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: let everybody go. In a thread, because this is a signal handler."""
        threading.Thread(target=_front_of(self).close, name="openhands-closing").start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT, SIGQUIT: the same."""
        self.handle_exit(sig, frame)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Serve one request, and know that it is being served."""
        with self._answered:
            self._answering += 1
        try:
            return super().handle_request(req, conn)
        finally:
            with self._answered:
                self._answering -= 1
                self._answered.notify_all()

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what is not even HTTP, or what no application caught: in JSON, as everything else."""
        status, reason = _PROTOCOL_ERRORS.get(type(exc), (400, "Bad Request"))
        if not isinstance(exc, (ParseException, OSError)):
            _logger.error("a request failed outside the application", exc_info=exc)
            status, reason = 500, "Internal Server Error"
        body = f'{{"detail":"{reason}"}}'
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        try:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        except OSError as error:
            _logger.debug("nobody there to be told: %s", error)

    def run(self) -> None:
        """Serve until told to stop; then see the answers out that are being written, and nothing else.

        Connections without a request, and threads that wait on them, would keep a regular exit waiting.
        """
        self.cfg.set("graceful_timeout", 0)
        super().run()
        _front_of(self).close()
        with self._answered:
            self._answered.wait_for(lambda: self._answering == 0, _LAST_WORDS_SECONDS)
        sys.stdout.flush()
        os._exit(0)


def _front_of(worker: Worker) -> Frontage:
    return cast("GunicornServer", worker.app).front


class GunicornServer(BaseApplication):
    """The arbiter's view: how to configure it, and how a worker makes its application.

    Args:
        listeners: the bound sockets; gunicorn takes them over.
        open_front: makes the world and the applications, in the worker.
        ready: called in the worker when it is about to serve.
    """

    front: Frontage

    def __init__(
        self, listeners: list[socket.socket], open_front: Callable[[], Frontage], ready: Callable[[], None]
    ) -> None:
        self._listeners = listeners
        self._open_front = open_front
        self._ready = ready
        self._life_line = os.pipe()
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn; it reads no file and no command line here."""
        settings: dict[str, Any] = {
            "bind": [f"fd://{listener.detach()}" for listener in self._listeners],
            "worker_class": Worker,
            "workers": 1,
            "threads": _THREADS,
            "worker_connections": _CONNECTIONS,
            "graceful_timeout": _GRACE_SECONDS,
            "timeout": 0,
            "loglevel": "warning",
            "limit_request_line": 0,  # a hundred ids do not fit into the default
            "control_socket_disable": True,
            "post_fork": lambda arbiter, worker: self._die_with_the_arbiter(),
            "post_worker_init": lambda worker: self._ready(),
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """In the worker: open the world."""
        mask = _leave_signals_to_others()
        try:
            self.front = self._open_front()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self.front.wsgi

    def _die_with_the_arbiter(self) -> None:
        """Watch a pipe whose other end only the arbiter holds: it closes when the arbiter is gone."""
        reading, writing = self._life_line
        os.close(writing)

        def watch() -> None:
            _leave_signals_to_others()
            os.read(reading, 1)
            os._exit(1)

        threading.Thread(target=watch, name="openhands-life-line", daemon=True).start()
