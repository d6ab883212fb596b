"""Sends the kit's own requests: plain HTTP, one attempt each, with an end in sight whatever the server does.

A server under judgement may hang, drip, stream for ever, redirect elsewhere, or not speak HTTP at all. So
every request has a deadline and every answer a size limit, redirects are not followed, and what is cut off
becomes an exchange without an answer instead of a traceback. Requests are repeated that were refused with 429,
because the server never looked at them, and, once, when the server hung up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from openhands_contract.documents import DocumentName
from openhands_contract.exchange import Exchange

_LARGEST_ANSWER = 64 * 1024 * 1024
_MOST_REFUSALS = 20
_LONGEST_PATIENCE = 30.0
_SLOWEST_PACE = 1.0
_FIRST_PACE = 0.1
# Idle connections are given up before common servers (2 s and more) do so. It can still happen that a server closes
# one just when it is used again, as one does that has not read the body of a request it refused. RFC 9112, 9.3.1
# blames nobody for that. The request is sent once more, also a POST: a server that really hangs up does so again.
_LIMITS = httpx.Limits(keepalive_expiry=1.0)
_HUNG_UP = frozenset({"RemoteProtocolError: Server disconnected without sending a response."})

Query = Mapping[str, Any] | list[tuple[str, Any]]


class Interrupted(Exception):
    """The run is being ended; nothing more is sent."""


@dataclass
class Pacer:
    """Keeps all requests of a run together below the rate the server tolerates, once it has said that there is one."""

    _interval: float = 0.0
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    refusals: int = 0

    def wait(self, cancelled: threading.Event) -> None:
        """Wait for this request's turn.

        Raises:
            Interrupted: the run is being ended.
        """
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if cancelled.wait(max(0.0, turn - now)):
            raise Interrupted

    def refused(self, retry_after: str | None) -> None:
        """Slow everybody down after a 429."""
        try:
            seconds = min(max(float(retry_after or 1), 0.0), _LONGEST_PATIENCE)
        except ValueError:
            seconds = 1.0
        with self._lock:
            self.refusals += 1
            self._interval = min(max(self._interval * 1.5, _FIRST_PACE), _SLOWEST_PACE)
            self._next = max(self._next, time.monotonic() + seconds)


@dataclass(frozen=True)
class Traffic:
    """What all connections of a run share.

    Attributes:
        seen: is told of every exchange.
        timeout: seconds an answer may take, if the request does not say otherwise.
        cancelled: set when the run is being ended.
    """

    seen: Callable[[Exchange], None]
    timeout: float
    pacer: Pacer = field(default_factory=Pacer)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Wire:
    """A connection to one server, as one user or as nobody."""

    def __init__(self, server: DocumentName, url: str, headers: Mapping[str, str], traffic: Traffic) -> None:
        self.server: DocumentName = server
        self.url = url.rstrip("/")
        self.headers = dict(headers)
        self._traffic = traffic
        self._clients = [self._connected()]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    @property
    def _client(self) -> httpx.Client:
        return self._clients[-1]

    def _connected(self) -> httpx.Client:
        # trust_env: a proxy from the environment would be another host.
        return httpx.Client(
            follow_redirects=False, trust_env=False, timeout=self._traffic.timeout, limits=_LIMITS
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        content: bytes | None = None,
        files: Any = None,
        headers: Mapping[str, str | None] | None = None,
        timeout: float | None = None,
        retry_refused: bool = True,
    ) -> Exchange:
        """Send a request and return what came of it.

        Args:
            path: already percent-encoded.
            headers: added to those of this connection; None takes one away.
            timeout: seconds until the answer must be complete.
            retry_refused: send it again when it is refused with 429.

        Raises:
            Interrupted: the run is being ended.
        """
        merged = {**self.headers, **(headers or {})}
        request = self._client.build_request(
            method,
            f"{self.url}{path}",
            params=query,
            json=json,
            content=content,
            files=files,
            headers={name: value for name, value in merged.items() if value is not None},
        )
        request.read()
        attempts = _MOST_REFUSALS if retry_refused else 1
        while True:
            attempts -= 1
            self._traffic.pacer.wait(self._traffic.cancelled)
            exchange = self._once(request, timeout or self._traffic.timeout)
            if exchange.failure in _HUNG_UP:
                self._clients.append(self._connected())
                exchange = self._once(request, timeout or self._traffic.timeout)
            self._traffic.seen(exchange)
            if exchange.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                # Some servers reset the connection after a failure, which is no fault of the next request.
                # The old client is closed at the end: others may be waiting for answers on it.
                self._clients.append(self._connected())
            if exchange.status != HTTPStatus.TOO_MANY_REQUESTS or not attempts:
                return exchange
            self._traffic.pacer.refused(exchange.headers.get("retry-after"))

    def _once(self, request: httpx.Request, timeout: float) -> Exchange:
        started = time.monotonic()
        deadline = started + timeout
        request.extensions = {**request.extensions, "timeout": httpx.Timeout(timeout).as_dict()}
        status, headers, body, failure = 0, {}, b"", None
        try:
            response = self._client.send(request, stream=True)
            try:
                status, headers = response.status_code, {n.lower(): v for n, v in response.headers.items()}
                body = _read(response, deadline)
            finally:
                response.close()
        except httpx.TimeoutException:
            status, failure = 0, f"nothing within {timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _CutOff) as error:
            status, failure = 0, f"{type(error).__name__.lstrip('_')}: {error}"
        return Exchange(
            server=self.server,
            method=request.method,
            url=str(request.url),
            request_headers={name.lower(): value for name, value in request.headers.items()},
            request_body=request.content,
            status=status,
            headers=headers,
            body=body,
            seconds=time.monotonic() - started,
            failure=failure,
        )


class _CutOff(Exception):
    """The answer was not read to its end."""


def _read(response: httpx.Response, deadline: float) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise _CutOff(f"the answer is longer than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise _CutOff("the answer was still coming when the time was up")
    return b"".join(parts)
