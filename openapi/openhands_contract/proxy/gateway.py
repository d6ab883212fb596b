"""Passes requests on to the servers behind the proxy, and their answers back, both while they arrive.

Each request gets a connection of its own to the server: none may meet one that the server has just given up,
which would be an error that the client would not have seen without the proxy.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from itertools import count

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from openhands_contract.proxy.addresses import Addresses, Upstream
from openhands_contract.proxy.rewriting import Rewriter
from openhands_contract.proxy.tunnel import Refusal, Tunnel
from openhands_contract.traffic import (
    Answer,
    Body,
    Clipping,
    Exchange,
    Fact,
    Headers,
    Request,
    Server,
    SocketOpened,
)

Listener = Callable[[Fact], None]
"""Is told each fact when it is complete; must be quick."""

_KEPT_BYTES = 8 * 1024 * 1024
_WHOLE_BYTES = 1024 * 1024
_LONGEST_LINE = 128 * 1024
_CONNECT_SECONDS = 30.0
_refusals: ContextVar[list[Refusal]] = ContextVar("refusals")


class _Answer(web.StreamResponse):
    """An answer with the headers it was given, and no others."""

    def __init__(self, status: int, headers: list[tuple[str, str]], reason: str | None = None) -> None:
        super().__init__(status=status, reason=reason, headers=CIMultiDict(headers))
        self.given = frozenset(name.lower() for name, _ in headers)


class Gateway:
    """The requests of all clients, on both ports.

    Args:
        addresses: which servers there are.
        tell: is told what passed.
    """

    def __init__(self, addresses: Addresses, tell: Listener) -> None:
        self._addresses = addresses
        self._tell = tell
        self._numbers = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Be ready to reach the servers."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(_keep_refusal)
        trace.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            trace_configs=[trace],
        )

    async def close(self) -> None:
        """Leave no connection behind."""
        if self._session is not None:
            await self._session.close()

    def application(self, server: Server) -> web.Application:
        """What answers on one of the two ports."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(server, request)

        application = web.Application()
        application.router.add_route("*", r"/{anything:[\s\S]*}", handle)
        application.on_response_prepare.append(_add_nothing)
        return application

    async def _serve(self, server: Server, request: web.Request) -> web.StreamResponse:
        asked = Request(request.method, request.raw_path, _texts(request.raw_headers))
        upstream = self._addresses.upstream(server, asked)
        number, began = next(self._numbers), time.time()
        if upstream is None:
            return await _send_problem(
                request,
                "The proxy knows no agent server yet: none was named in an answer of the app server. "
                "Ask the app server for the conversation first, through the proxy.",
            )
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._carry(number, asked, upstream, request, began)
        return await self._forward(number, asked, upstream, request, began)

    # -- requests -----------------------------------------------------------------------------------

    async def _forward(
        self, number: int, asked: Request, upstream: Upstream, request: web.Request, began: float
    ) -> web.StreamResponse:
        sent = Clipping(_KEPT_BYTES)

        def done(answer: Answer | None, error: str = "") -> None:
            full = Request(asked.method, asked.target, asked.headers, sent.body())
            took = time.time() - began
            self._tell(Exchange(number, upstream.server, full, answer, error, began, took))

        try:
            answer = await self._session_open().request(
                asked.method,
                URL(upstream.url(asked.target), encoded=True),
                headers=self._addresses.for_upstream(asked, upstream),
                data=_noted(request.content, sent) if request.body_exists else None,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = _why_unreachable(upstream, error)
            done(None, reason)
            return await _send_problem(request, reason)
        except asyncio.CancelledError:
            done(None, "the client did not wait for the answer")
            raise
        async with answer:
            return await self._answer(asked, upstream, request, answer, done)

    async def _answer(
        self,
        asked: Request,
        upstream: Upstream,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        done: Callable[[Answer], None],
    ) -> web.StreamResponse:
        """Pass an answer on; break off where the server breaks off."""
        headers = _texts(answer.raw_headers)
        shown = self._addresses.for_client(headers, asked, upstream)
        response = _Answer(answer.status, shown, answer.reason)
        rewriter = self._rewriter(asked, upstream, answer)
        came, passed = Clipping(_KEPT_BYTES), Clipping(_KEPT_BYTES)
        broken = False
        try:
            length = answer.content_length
            if rewriter is not None and length is not None and length <= _WHOLE_BYTES:
                came.take(await answer.read())
                passed.take(rewriter.whole(came.body().data))
                await _send_whole(request, response, passed.body().data)
            else:
                await _stream(request, response, _noted(answer.content, came), rewriter, passed)
        except (aiohttp.ClientError, TimeoutError) as error:
            broken = True
            if isinstance(error, aiohttp.ClientConnectionResetError):  # it is the client that has gone
                raise
            _break_off(request)
        finally:
            if upstream.server is Server.APP and rewriter is not None:
                self._addresses.agents.learn_keys(came.body().data)
            body = passed.body()
            told = headers if rewriter is None or request.method == "HEAD" else _measured(headers, body)
            done(Answer(answer.status, told, body, broken))
        return response

    def _rewriter(
        self, asked: Request, upstream: Upstream, answer: aiohttp.ClientResponse
    ) -> Rewriter | None:
        """What changes the addresses in an answer; None when it can hold none."""
        is_text = answer.content_type == "application/json" or (
            answer.content_type == "text/plain" and "/socket.io" in asked.path
        )
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        return self._addresses.rewriter(upstream.server, asked) if is_text and not encoded else None

    # -- WebSockets ---------------------------------------------------------------------------------

    async def _carry(
        self, number: int, asked: Request, upstream: Upstream, request: web.Request, began: float
    ) -> web.StreamResponse:
        refusals: list[Refusal] = []
        _refusals.set(refusals)
        try:
            behind = await self._session_open().ws_connect(
                URL(upstream.url(asked.target), encoded=True),
                headers=self._addresses.for_upstream(asked, upstream),
                protocols=_protocols(asked),
                autoclose=False,
                autoping=False,
                max_msg_size=0,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            took = time.time() - began
            if not refusals:
                reason = _why_unreachable(upstream, error)
                self._tell(Exchange(number, upstream.server, asked, None, reason, began, took))
                return await _send_problem(request, reason)
            answer = refusals[0].answer
            self._tell(Exchange(number, upstream.server, asked, answer, "", began, took))
            shown = self._addresses.for_client(answer.headers, asked, upstream)
            return await _send_whole(request, _Answer(answer.status, shown), answer.body.data)
        async with behind:
            chosen = (behind.protocol,) if behind.protocol else ()
            front = web.WebSocketResponse(
                protocols=chosen, autoclose=False, autoping=False, max_msg_size=0, compress=False
            )
            await front.prepare(request)
            accepted = Answer(101, tuple((name, value) for name, value in front.headers.items()))
            self._tell(SocketOpened(number, upstream.server, asked, accepted, began))
            rewriter = self._addresses.rewriter(upstream.server, asked)
            await Tunnel(number, front, behind, self._tell, rewriter.whole, began).run()
            if request.transport is not None:
                request.transport.close()
        return front

    def _session_open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("The proxy is not running")
        return self._session


async def _noted(content: aiohttp.StreamReader, kept: Clipping) -> AsyncIterator[bytes]:
    """A body while it arrives."""
    async for chunk in content.iter_any():
        kept.take(chunk)
        yield chunk


async def _send_whole(request: web.Request, response: _Answer, body: bytes) -> web.StreamResponse:
    """Send an answer that was read as a whole, and may have another length now."""
    if request.method != "HEAD":
        response.content_length = len(body)
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(body)
    await response.write_eof()
    return response


async def _stream(
    request: web.Request,
    response: web.StreamResponse,
    content: AsyncIterator[bytes],
    rewriter: Rewriter | None,
    passed: Clipping,
) -> None:
    """Send an answer while it arrives."""
    if rewriter is not None:
        response.headers.popall("Content-Length", None)
    has_body = response.status not in (204, 304) and request.method != "HEAD"
    if has_body and "Content-Length" not in response.headers and request.version >= aiohttp.HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    async for chunk in content:
        await _send(response, rewriter.feed(chunk) if rewriter else chunk, passed)
    if rewriter is not None:
        await _send(response, rewriter.finish(), passed)
    await response.write_eof()


async def _send(response: web.StreamResponse, chunk: bytes, passed: Clipping) -> None:
    if chunk:
        passed.take(chunk)
        await response.write(chunk)


def _measured(headers: Headers, body: Body) -> Headers:
    """The headers of an answer whose length has become another one with its addresses."""
    return tuple(
        (name, str(body.size) if name.lower() == "content-length" else value) for name, value in headers
    )


def _break_off(request: web.Request) -> None:
    """Let the client see the end of the connection instead of the end of the answer."""
    if request.transport is not None:
        request.transport.abort()


async def _send_problem(request: web.Request, reason: str) -> web.StreamResponse:
    """Send the proxy's own answer when there is none from behind it."""
    body = json.dumps({"detail": reason}).encode()
    return await _send_whole(request, _Answer(502, [("Content-Type", "application/json")]), body)


def _why_unreachable(upstream: Upstream, error: Exception) -> str:
    return f"{upstream.origin} gave no answer: {str(error) or type(error).__name__}"


async def _add_nothing(request: web.Request, response: web.StreamResponse) -> None:
    """Take back the headers that aiohttp adds on its own."""
    if isinstance(response, _Answer):
        for name in ("Server", "Date", "Content-Type"):
            if name.lower() not in response.given:
                response.headers.popall(name, None)


async def _keep_refusal(
    session: aiohttp.ClientSession, context: object, end: aiohttp.TraceRequestEndParams
) -> None:
    """Keep what a server answers instead of accepting a WebSocket; `ws_connect` would throw it away."""
    answer, refusals = end.response, _refusals.get(None)
    if refusals is not None and answer.status != 101:
        body = Body.of(await answer.read())
        refusals.append(Refusal(Answer(answer.status, _texts(answer.raw_headers), body)))


async def _refuse_redirect(
    session: aiohttp.ClientSession, context: object, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    """A WebSocket is not followed to where a server sends it; that is the client's decision.

    Raises:
        ClientError: always.
    """
    answer = redirect.response
    _refusals.get().append(Refusal(Answer(answer.status, _texts(answer.raw_headers))))
    raise aiohttp.ClientError("redirected")


def _protocols(asked: Request) -> tuple[str, ...]:
    listed = asked.header("Sec-WebSocket-Protocol").split(",")
    return tuple(name.strip() for name in listed if name.strip())


def _texts(raw: tuple[tuple[bytes, bytes], ...]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in raw)
