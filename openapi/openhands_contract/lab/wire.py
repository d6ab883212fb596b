"""Sends the kit's own requests: plain HTTP, one attempt each, with an end in sight whatever the server does.

A server under judgement may hang, drip, stream for ever, redirect elsewhere, or not speak HTTP at all. So
every request has a deadline and every answer a size limit, redirects are not followed, and what is cut off
becomes an exchange without an answer instead of a traceback. Requests are repeated that were refused with 429,
because the server never looked at them, and that were lost for reasons that are nobody's fault. When a server drops
a request that only reads, that is told, and it is sent once more, so that what it is for can still be judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import httpx

from openhands_contract.documents import DocumentName
from openhands_contract.exchange import Exchange
from openhands_contract.lab.lanes import Lanes, new_client

_LARGEST_ANSWER = 64 * 1024 * 1024
_MOST_REFUSALS = 20
_LONGEST_PATIENCE = 30.0
_SLOWEST_PACE = 1.0
_FIRST_PACE = 0.1
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

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

    def refused(self, retry_after: str | None) -> bool:
        """Slow everybody down after a 429; tell whether the server wants no more patience than there is."""
        try:
            wanted = max(float(retry_after or 1), 0.0)
        except ValueError:
            wanted = 1.0
        seconds = min(wanted, _LONGEST_PATIENCE)
        with self._lock:
            self.refusals += 1
            self._interval = min(max(self._interval * 1.5, _FIRST_PACE), _SLOWEST_PACE)
            self._next = max(self._next, time.monotonic() + seconds)
        return wanted <= _LONGEST_PATIENCE


@dataclass(frozen=True)
class Traffic:
    """What all connections of a run share.

    Attributes:
        seen: is told of every exchange.
        lost: is told of every request that the server has dropped and that is sent once more.
        timeout: seconds an answer may take, if the request does not say otherwise.
        cancelled: set when the run is being ended.
    """

    seen: Callable[[Exchange], None]
    lost: Callable[[Exchange], None]
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
        self._builder = new_client()
        self._lanes = Lanes()

    def close(self) -> None:
        self._builder.close()
        self._lanes.close()

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
        request = self._builder.build_request(
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
            exchange = self._sent(request, timeout or self._traffic.timeout)
            self._traffic.seen(exchange)
            if exchange.status != HTTPStatus.TOO_MANY_REQUESTS or not attempts:
                return exchange
            self._traffic.pacer.refused(exchange.headers.get("retry-after"))

    def _sent(self, request: httpx.Request, timeout: float) -> Exchange:
        """Send a request, and once more if it was dropped and that does no harm."""
        exchange, blame = self._once(request, timeout)
        if blame is None or (blame is _Blame.SERVER and request.method not in _READING):
            return exchange
        if blame is _Blame.SERVER:
            self._traffic.lost(exchange)
        return self._once(request, timeout)[0]

    def _once(self, request: httpx.Request, timeout: float) -> tuple[Exchange, _Blame | None]:
        """Send a request; tell what came of it, and whose fault it is if it was dropped."""
        started = time.monotonic()
        deadline = started + timeout
        status, headers, body, failure, blame = 0, {}, b"", None, None
        with self._lanes.one() as lane:
            try:
                response = lane.send(request, timeout)
                try:
                    status, headers = (
                        response.status_code,
                        {n.lower(): v for n, v in response.headers.items()},
                    )
                    body = _read(response, deadline)
                finally:
                    response.close()
                lane.answered(status)
            except httpx.TimeoutException:
                status, failure = 0, f"nothing within {timeout:g} s"
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, _CutOff) as error:
                if isinstance(error, _DROPPED):
                    excused = not status and lane.is_nobodys_fault()
                    blame = _Blame.NOBODY if excused else _Blame.SERVER
                status, failure = 0, f"{type(error).__name__.lstrip('_')}: {error}"
        exchange = Exchange(
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
        return exchange, blame


_DROPPED = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


class _Blame(Enum):
    """Whose fault it is that a connection ended without an answer."""

    SERVER = auto()
    NOBODY = auto()


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
