"""Connections that are kept, one request at a time on each, and whom to blame when one ends without an answer.

A server may close a connection that nobody uses, or one on which it has just refused a request that it did not read
to the end, and it can happen that the next request is already on its way then. RFC 9112, 9.3.1 and 9.5, blames
nobody for that. Whoever drops a request on a new connection, or on one in the middle of its use, has lost it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from ssl import SSLContext
from typing import Any

import httpx

# Idle connections are given up before common servers (2 s and more) do so.
_LIMITS = httpx.Limits(max_connections=1, keepalive_expiry=1.0)
# No server gives a connection up that it has used this many seconds ago.
_IN_USE = 0.25
_CONNECTING = "connection.connect_tcp.started"


class Lane:
    """A connection that is opened when it is needed, and again when it is gone.

    Attributes:
        usable: it may carry one more request.
    """

    def __init__(self) -> None:
        self.client = new_client()
        self.usable = True
        self._is_new = True
        self._answered_at = 0.0
        self._has_refused = False
        self._idle = 0.0

    def send(self, request: httpx.Request, timeout: float) -> httpx.Response:
        """Send a request; the answer is a stream.

        Raises:
            httpx.HTTPError: as httpx does.
        """
        self._is_new, self._idle = False, time.monotonic() - self._answered_at
        limits = httpx.Timeout(timeout).as_dict()
        request.extensions = {**request.extensions, "timeout": limits, "trace": self._notice}
        return self.client.send(request, stream=True)

    def answered(self, status: int) -> None:
        """Note that an answer has come to its end."""
        self._answered_at = time.monotonic()
        self._has_refused = status >= HTTPStatus.BAD_REQUEST
        # Some servers reset the connection after a failure, which is no fault of the next request.
        self.usable = status < HTTPStatus.INTERNAL_SERVER_ERROR

    def is_nobodys_fault(self) -> bool:
        """Could the connection that was used last have been closed before the request arrived?"""
        return may_have_been_closed(None if self._is_new else self._idle, has_refused=self._has_refused)

    def close(self) -> None:
        self.client.close()

    def _notice(self, event: str, info: Mapping[str, Any]) -> None:
        self._is_new = self._is_new or event == _CONNECTING


def may_have_been_closed(idle: float | None, *, has_refused: bool) -> bool:
    """Whether a server may close a connection without a word, so that a request is lost on its way.

    Args:
        idle: seconds since the last answer on it; None when there was none.
        has_refused: whether that answer was a refusal.
    """
    return idle is not None and (has_refused or idle >= _IN_USE)


class Lanes:
    """As many connections as are needed at the same time."""

    def __init__(self) -> None:
        self._free: list[Lane] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[Lane]:
        """A connection for one request: the one that was used last, or a new one."""
        with self._lock:
            lane = self._free.pop() if self._free else Lane()
        lane.usable = False
        try:
            yield lane
        finally:
            with self._lock:
                kept = lane.usable and not self._closed
                if kept:
                    self._free.append(lane)
            if not kept:
                lane.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for lane in free:
            lane.close()


def new_client() -> httpx.Client:
    """A client that goes only where it is sent: no redirects, and no proxy from the environment."""
    return httpx.Client(follow_redirects=False, trust_env=False, limits=_LIMITS, verify=_certificates())


@cache
def _certificates() -> SSLContext:
    """What is trusted; reading it takes longer than most requests."""
    return httpx.create_ssl_context(trust_env=False)
