"""Slows clients down that ask too often, and refuses those that do not stop: in front of the app server.

Socket.IO is not counted, as on the real server; everything else is, `/alive` too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from openhands_reference_server.users.rates import RateLimiter
from openhands_reference_server.world.core import Core

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_BODY = json.dumps({"message": "Too many requests"}, separators=(",", ":")).encode()
_LOOK_SECONDS = 0.2


class RateLimit:
    """A WSGI layer.

    Args:
        app: serves what is admitted.
        limiter: decides; several applications may share it.
        core: on whose clock a delayed request waits.
    """

    def __init__(self, app: Wsgi, limiter: RateLimiter, core: Core) -> None:
        self._app = app
        self._limiter = limiter
        self._core = core

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request, at once, later or not at all."""
        ruling = self._limiter.admit(environ.get("REMOTE_ADDR", ""))
        if ruling.retry_after is not None:
            start_response(
                "429 Too Many Requests",
                [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(_BODY))),
                    ("Retry-After", str(ruling.retry_after)),
                ],
            )
            return [_BODY]
        if ruling.delay:
            self._wait(ruling.delay)
        return self._app(environ, start_response)

    def _wait(self, seconds: float) -> None:
        """Wait on the server's clock; not longer than the server lives."""
        passed = threading.Event()
        self._core.scheduler.after(seconds, passed.set)
        while not passed.wait(_LOOK_SECONDS) and not self._core.closed:
            continue
