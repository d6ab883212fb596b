"""The only module that knows the HTTP library: plain requests in, plain responses and our errors out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from time import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from openhands_client._core.commands import Request, Response
from openhands_client.errors import APIConnectionError, APITimeoutError, UnsafeURLError

from .compat import Reading

CONNECT_TIMEOUT = 10.0


class AsyncStreamedBody:
    """An answer whose body is still arriving, over a connection that is not used for anything afterwards."""

    def __init__(self, request: Request, response: httpx.Response, reading: Reading) -> None:
        self.head = Response(response.status_code, _plain(response.headers), b"")
        self._request = request
        self._response = response
        self._reading = reading
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()

    async def read(self, timeout: float | None = None) -> bytes:
        """The next piece; empty at the end. Raises APIConnectionError.

        It is waited for no longer than ``timeout`` seconds, and than the request said.
        """
        with _failures_of(self._request):
            async with self._reading.within(timeout):
                return await anext(self._pieces, b"")

    async def aclose(self) -> None:
        await self._response.aclose()


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
    """Sends requests over a pool of connections, which is opened when first needed."""

    def __init__(self, http_client: httpx.AsyncClient | None = None) -> None:
        self._client = http_client
        self._owns_client = http_client is None
        self._closed = False
        self._opening = Lock()  # threads that start together must not open a pool each

    @property
    def owns_client(self) -> bool:
        return self._owns_client

    async def send(self, request: Request) -> Response:
        """Send a request and read the whole answer. Raises APIConnectionError."""
        with _failures_of(request):
            response, reading = await self._reach(request, keep=True)
            try:
                async with reading.within(request.limit):
                    content = await response.aread()
            finally:
                await response.aclose()
        return Response(response.status_code, _plain(response.headers), content, time())

    async def open(self, request: Request) -> AsyncStreamedBody:
        """Send a request and read only the head of the answer. Raises APIConnectionError."""
        with _failures_of(request):
            return AsyncStreamedBody(request, *await self._reach(request, keep=False))

    async def aclose(self) -> None:
        """Close the pool, unless it was given to us."""
        self._closed = True
        if self._client is not None and self._owns_client:
            await self._client.aclose()

    async def _reach(self, request: Request, *, keep: bool) -> tuple[httpx.Response, Reading]:
        """The answer, with its body still to be read. ``keep``: its connection may serve further requests.

        It may not after a failure of the server: agent servers reset the connection after one that they did
        not foresee, and the pool may notice only when the next request is on its way.
        """
        client = self._open_client()
        response = await client.send(_build(client, request), stream=True, follow_redirects=False)
        keep = keep and response.status_code < 500
        connection = response.extensions.get("network_stream")  # None where it came over no network
        if connection is None or (keep and request.limit is None):
            return response, Reading(None)
        reading = Reading(connection)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = AsyncTendedBytes(response.stream, reading, connection, keep)
        return response, reading

    def _open_client(self) -> httpx.AsyncClient:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._client is None:
            with self._opening:
                self._client = self._client or httpx.AsyncClient()
        return self._client


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
    except httpx.RequestError as failure:
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
