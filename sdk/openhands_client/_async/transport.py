"""The only module that knows the HTTP library: plain requests in, plain responses and our errors out."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from time import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from openhands_client._core.commands import Request, Response
from openhands_client.errors import APIConnectionError, APITimeoutError, ClientClosedError, UnsafeURLError
from openhands_client.processes import leave_to_parent
from openhands_client.tls import trust

from .compat import ELSEWHERE, Alarm, Gate, Pools, Reading, close_all, place
from .sockets import AsyncSocket

CONNECT_TIMEOUT = 10.0
AT_ONCE = 64  # requests; the HTTP library looks through all that wait whenever one comes or goes
UNCLOSED = (
    "an AsyncOpenHands client was not closed. "
    "Use it in «async with AsyncOpenHands(…) as client:», or call «await client.aclose()»"
)


class AsyncStreamedBody:
    """An answer whose body is still arriving, over a connection that is not used for anything afterwards.

    ``leave`` is called when it is closed.
    """

    def __init__(
        self, request: Request, response: httpx.Response, reading: Reading, leave: Callable[[], None]
    ) -> None:
        self.head = Response(response.status_code, _plain(response.headers), b"")
        self._request = request
        self._response = response
        self._reading = reading
        self._leave = leave
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        self._place = place()

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece; empty at the end. Raises APIConnectionError.

        It is waited for no longer than ``timeout`` seconds, and than the request said.
        """
        if self._place != place():
            raise APIConnectionError(f"the answer of {_origin(self._request)} arrives {ELSEWHERE}")
        with _failures_of(self._request):
            async with self._reading.within(timeout):
                return await anext(self._pieces, b"")

    async def aclose(self) -> None:
        if self._place != place():
            leave_to_parent(self._response)
            return
        await self._response.aclose()
        self._leave()


class AsyncTendedBytes(httpx.AsyncByteStream):
    """A body that gives its connection back to the pool as it was, or closed."""

    def __init__(self, body: httpx.AsyncByteStream, reading: Reading, connection: Any, keep: bool) -> None:
        self._body = body
        self._reading = reading
        self._connection = connection
        self._keep = keep

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece

    async def aclose(self) -> None:
        self._reading.end()
        if not self._keep:
            await self._connection.aclose()
        await self._body.aclose()


class AsyncTransport:
    """Sends requests over a pool of connections, which is opened when first needed.

    It knows all open WebSockets, so that closing the client ends its streams.
    """

    def __init__(self, http_client: httpx.AsyncClient | None = None) -> None:
        self._closed = False
        self._given = http_client
        self._pools = Pools(_pool, httpx.AsyncClient.aclose)
        self._gate = Gate(AT_ONCE)
        self._sockets: set[AsyncSocket] = set()
        self._closing = Alarm()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._pools.open:
            try:
                warn(UNCLOSED, ResourceWarning, source=self)
            finally:
                self._pools.drop()

    @property
    def owns_client(self) -> bool:
        return self._given is None

    async def send(self, request: Request) -> Response:
        """Send a request and read the whole answer. Raises APIConnectionError."""
        client = await self._enter()
        try:
            async with self._gate.passed(request.limit):
                with _failures_of(request):
                    response, reading = await _reach(client, request, keep=True)
                    try:
                        async with reading.within(request.limit):
                            content = await response.aread()
                    finally:
                        await response.aclose()
        finally:
            self._leave()
        return Response(response.status_code, _plain(response.headers), content, time())

    async def open(self, request: Request) -> AsyncStreamedBody:
        """Send a request and read only the head of the answer. Raises APIConnectionError."""
        client = await self._enter()
        try:
            with _failures_of(request):
                return AsyncStreamedBody(request, *await _reach(client, request, keep=False), self._leave)
        except BaseException:
            self._leave()
            raise

    async def sleep(self, seconds: float) -> None:
        """Raises ClientClosedError as soon as the client is closed."""
        await self._closing.sleep(seconds)
        self.check_open()

    async def connect(self, url: str, timeout: float, headers: Mapping[str, str]) -> AsyncSocket:
        """Open a WebSocket, which ends with the client. Raises what ``AsyncSocket.connect`` does."""
        socket = await AsyncSocket.connect(url, timeout, headers)
        self._sockets.add(socket)
        return socket

    async def release(self, resource: AsyncSocket | AsyncStreamedBody) -> None:
        """Close what is needed no more."""
        if isinstance(resource, AsyncSocket):
            self._sockets.discard(resource)
        await resource.aclose()

    def check_open(self) -> None:
        """Raises ClientClosedError."""
        if self._closed:
            raise ClientClosedError("this client is closed; make a new one")

    async def aclose(self) -> None:
        """Close all WebSockets; and the pool, unless that was given to us.

        Requests that other threads wait for are let finish.
        """
        self._closed = True
        self._closing.ring()
        sockets, self._sockets = self._sockets, set()
        await close_all(sockets)
        await self._pools.aclose()

    async def _enter(self) -> httpx.AsyncClient:
        self.check_open()
        return self._given or await self._pools.enter()

    def _leave(self) -> None:
        if self._given is None:
            self._pools.leave()


def _pool() -> httpx.AsyncClient:
    """Connections without limit, because answers that are streamed for long have one each."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=AT_ONCE)
    return httpx.AsyncClient(limits=limits, verify=trust())


async def _reach(
    client: httpx.AsyncClient, request: Request, *, keep: bool
) -> tuple[httpx.Response, Reading]:
    """The answer, with its body still to be read. ``keep``: its connection may serve further requests.

    It may not after a failure of the server: agent servers reset the connection after one that they did
    not foresee, and the pool may notice only when the next request is on its way.
    """
    response = await client.send(_build(client, request), stream=True, follow_redirects=False)
    keep = keep and response.status_code < 500
    connection = _own_connection(response)
    if connection is None or (keep and request.limit is None):
        return response, Reading(None)
    reading = Reading(connection)
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = AsyncTendedBytes(response.stream, reading, connection, keep)
    return response, reading


def _own_connection(response: httpx.Response) -> Any:
    """The stream of bytes under an answer; None where it is shared with others (HTTP/2), or there is none."""
    return response.extensions.get("network_stream") if response.http_version.startswith("HTTP/1") else None


def _build(client: httpx.AsyncClient, request: Request) -> httpx.Request:
    timeout = request.timeout
    connect = CONNECT_TIMEOUT if timeout is None else min(timeout, CONNECT_TIMEOUT)
    return client.build_request(
        request.method,
        _parsed(request.url),
        headers=request.headers,
        content=request.content,
        files=[(part.field, (part.name, part.content)) for part in request.files] or None,
        timeout=httpx.Timeout(timeout, connect=connect),
    )


@lru_cache(maxsize=512)
def _parsed(url: str) -> httpx.URL:
    """Polling asks for the same URL again and again, and parsing it is a good part of a request's cost."""
    return httpx.URL(url)


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Lower-case names and text values; of a repeated header, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.raw}


@contextmanager
def _failures_of(request: Request) -> Iterator[None]:
    """Turn the library's exceptions into ours. Their messages name the server, never a path or a query."""
    try:
        yield
    except httpx.InvalidURL:
        raise UnsafeURLError.because("the URL of a request", "it is no URL") from None
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as failure:
        raise APITimeoutError(_unreachable(request, "no connection in time"), request_sent=False) from failure
    except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as failure:
        raise APIConnectionError(_unreachable(request, str(failure)), request_sent=False) from failure
    except UnicodeError:  # of the resolver
        raise APIConnectionError(_unreachable(request, "no such host name"), request_sent=False) from None
    except (httpx.TimeoutException, TimeoutError) as failure:
        raise APITimeoutError(f"{_origin(request)} did not answer {request.method} in time") from failure
    except httpx.LocalProtocolError:  # it quotes the header it does not like, and that may be a key
        raise APIConnectionError(f"the request to {_origin(request)} is malformed") from None
    except RuntimeError as failure:
        if "loop" not in str(failure):
            raise
        raise APIConnectionError(
            "the http_client given to this client has connections of another event loop. Without an http_client, "
            "a client opens its own in each"
        ) from failure
    except (httpx.RequestError, httpx.StreamError) as failure:
        reason = str(failure) or type(failure).__name__
        raise APIConnectionError(f"the connection to {_origin(request)} broke: {reason}") from failure


def _unreachable(request: Request, reason: str) -> str:
    return (
        f"cannot reach {_origin(request)} ({reason}). Is the server running there? "
        "The address comes from base_url= or OPENHANDS_BASE_URL"
    )


def _origin(request: Request) -> str:
    parts = urlsplit(request.url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
