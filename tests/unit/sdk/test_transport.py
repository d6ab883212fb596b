"""The edge to the HTTP and WebSocket libraries, on both sides: their exceptions in, ours out, and
nothing left open. No socket is opened: respx and scripted connections stand for the network."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Barrier
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import pytest
import respx
from websockets import Headers
from websockets.exceptions import ConnectionClosedError, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Close
from websockets.http11 import Response as HandshakeResponse

from openhands_client import AsyncOpenHands, OpenHands, errors
from openhands_client._async import compat as async_compat
from openhands_client._async import sockets as async_sockets
from openhands_client._async.sockets import AsyncSocket
from openhands_client._async.transport import AsyncTransport
from openhands_client._core.commands import Request, SocketClosed, SocketRefused
from openhands_client._sync import compat as sync_compat
from openhands_client._sync import sockets as sync_sockets
from openhands_client._sync.sockets import Socket
from openhands_client._sync.transport import Transport

SECRET = "hunter2-hunter2"
URL = "http://app.test:3000/server_info"


class Side(NamedTuple):
    """The same things on the sync and the async side."""

    transport: Any
    client: Any
    http_client: Any
    sockets: Any
    socket: Any
    compat: Any

    def __str__(self) -> str:
        return str(self.transport.__name__)


SYNC = Side(Transport, OpenHands, httpx.Client, sync_sockets, Socket, sync_compat)
ASYNC = Side(AsyncTransport, AsyncOpenHands, httpx.AsyncClient, async_sockets, AsyncSocket, async_compat)
both_sides = pytest.mark.parametrize("side", [SYNC, ASYNC], ids=["sync", "async"])


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def until(happened: Callable[[], bool]) -> None:
    """Let the event loop turn until it happened; an async generator, for one, is closed by its loop."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0)


async def closed(thing: Any) -> None:
    await settled(thing.aclose() if hasattr(thing, "aclose") else thing.close())


def unverified(side: Side) -> Any:
    """A transport over a pool without certificates, because loading them takes longer than most tests."""
    return side.transport(side.http_client(verify=False))


def request(**changes: Any) -> Request:
    return Request(**{"method": "GET", "url": URL, "headers": {}, "timeout": 5.0, **changes})


# HTTP


@both_sides
async def test_a_request_and_its_answer(side: Side, respx_mock: respx.MockRouter) -> None:
    answer = httpx.Response(201, headers={"X-Request-ID": "r", "Content-Type": "application/json"}, json=[1])
    route = respx_mock.post(URL).mock(return_value=answer)
    transport = unverified(side)
    response = await settled(
        transport.send(request(method="POST", headers={"X-A": "b"}, content=b"{}", timeout=5.0))
    )
    await closed(transport)
    assert (response.status_code, response.content) == (201, b"[1]")
    assert type(response.headers) is dict
    assert response.headers["x-request-id"] == "r"
    sent = route.calls.last.request
    assert (sent.content, sent.headers["x-a"]) == (b"{}", "b")
    assert sent.extensions["timeout"] == {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


@both_sides
@pytest.mark.parametrize(("timeout", "connect"), [(None, 10.0), (60.0, 10.0), (2.0, 2.0)])
async def test_connecting_is_never_waited_for_long(
    side: Side, timeout: float | None, connect: float, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get(URL)
    transport = unverified(side)
    await settled(transport.send(request(timeout=timeout)))
    await closed(transport)
    assert route.calls.last.request.extensions["timeout"]["connect"] == connect
    assert route.calls.last.request.extensions["timeout"]["read"] == timeout


@both_sides
async def test_redirects_are_left_to_the_pipeline(side: Side, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(URL).respond(307, headers={"location": "http://evil.test/"})
    transport = unverified(side)
    assert (await settled(transport.send(request()))).status_code == 307
    await closed(transport)


LEFT_OPEN = errors.APIConnectionError, True
FAILURES: dict[type[Exception], tuple[type[Exception], bool]] = {
    httpx.ConnectTimeout: (errors.APITimeoutError, False),
    httpx.PoolTimeout: (errors.APITimeoutError, False),
    httpx.ConnectError: (errors.APIConnectionError, False),
    httpx.UnsupportedProtocol: (errors.APIConnectionError, False),
    httpx.ProxyError: (errors.APIConnectionError, False),
    httpx.LocalProtocolError: (errors.APIConnectionError, True),
    httpx.ReadTimeout: (errors.APITimeoutError, True),
    httpx.WriteTimeout: (errors.APITimeoutError, True),
    httpx.ReadError: LEFT_OPEN,
    httpx.WriteError: LEFT_OPEN,
    httpx.CloseError: LEFT_OPEN,
    httpx.RemoteProtocolError: LEFT_OPEN,
    httpx.DecodingError: LEFT_OPEN,
    UnicodeError: (errors.APIConnectionError, False),  # a host name that cannot be looked up
    httpx.InvalidURL: (errors.UnsafeURLError, False),
}


def failing(library: type[Exception], message: str = "") -> Any:
    """A side effect of respx, which fills in the request where there is one to fill in."""
    if issubclass(library, httpx.RequestError):
        return lambda request: (_ for _ in ()).throw(library(message, request=request))
    return library(message)


@both_sides
@pytest.mark.parametrize("how", ["send", "open"])
@pytest.mark.parametrize("library", FAILURES, ids=lambda library: library.__name__)
async def test_the_librarys_exceptions_become_ours(
    side: Side, how: str, library: type[Exception], respx_mock: respx.MockRouter
) -> None:
    kind, sent = FAILURES[library]
    respx_mock.route(host="app.test").mock(side_effect=failing(library))
    transport = unverified(side)
    secretive = request(url=f"{URL}?session_api_key={SECRET}", headers={"Authorization": SECRET})
    with pytest.raises(errors.OpenHandsError) as raised:
        await settled(getattr(transport, how)(secretive))
    await closed(transport)
    assert type(raised.value) is kind
    assert SECRET not in f"{raised.value!s} {raised.value!r}"
    if isinstance(raised.value, errors.APIConnectionError):
        assert raised.value.request_sent is sent
        assert "http://app.test:3000" in str(raised.value)
        assert "server_info" not in str(raised.value)


@both_sides
async def test_a_header_that_the_library_quotes_is_not_shown(
    side: Side, respx_mock: respx.MockRouter
) -> None:
    quoted = failing(httpx.LocalProtocolError, f"Illegal header value b'Bearer {SECRET}\\n'")
    respx_mock.get(URL).mock(side_effect=quoted)
    transport = unverified(side)
    with pytest.raises(errors.APIConnectionError) as raised:
        await settled(transport.send(request()))
    await closed(transport)
    shown: BaseException | None = raised.value
    while shown is not None:
        assert SECRET not in str(shown)
        shown = shown.__cause__


@both_sides
async def test_a_server_that_is_not_there_is_named_with_advice(
    side: Side, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(URL).mock(side_effect=httpx.ConnectError("[Errno 111] Connection refused"))
    transport = unverified(side)
    with pytest.raises(errors.APIConnectionError, match="Connection refused") as raised:
        await settled(transport.send(request()))
    await closed(transport)
    assert "OPENHANDS_BASE_URL" in str(raised.value)


@both_sides
async def test_a_closed_client_says_so(side: Side) -> None:
    client = side.client("http://app.test:3000")
    await closed(client)
    with pytest.raises(RuntimeError, match="closed"):
        await settled(client.server_info())


class Trickle(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in pieces, and knows whether it was closed."""

    def __init__(self, *pieces: bytes | Exception, endless: bool = False) -> None:
        self._pieces = pieces
        self._endless = endless
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece
        if self._endless:
            await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@both_sides
async def test_an_open_answer_is_read_piece_by_piece(side: Side, respx_mock: respx.MockRouter) -> None:
    body = Trickle(b"[", b"{}", b"]")
    respx_mock.post(URL).mock(return_value=httpx.Response(200, headers={"X-A": "b"}, stream=body))
    transport = unverified(side)
    opened = await settled(transport.open(request(method="POST")))
    assert opened.head.status_code == 200
    assert type(opened.head.headers) is dict
    assert [await settled(opened.read()) for _ in range(5)] == [b"[", b"{}", b"]", b"", b""]
    assert body.closed
    await closed(opened)
    await closed(transport)


@both_sides
@pytest.mark.parametrize("library", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError])
async def test_an_answer_that_breaks_off_is_our_error(
    side: Side, library: type[httpx.RequestError], respx_mock: respx.MockRouter
) -> None:
    body = Trickle(b"[", library("broken"))
    respx_mock.post(URL).mock(return_value=httpx.Response(200, stream=body))
    transport = unverified(side)
    opened = await settled(transport.open(request(method="POST")))
    assert await settled(opened.read()) == b"["
    with pytest.raises(errors.APIConnectionError) as raised:
        await settled(opened.read())
    assert raised.value.request_sent
    await closed(opened)
    assert body.closed
    await closed(transport)


@both_sides
async def test_a_pool_of_ours_is_closed_and_one_of_yours_is_not(side: Side) -> None:
    ours = side.transport()
    pool = await settled(ours._enter())
    ours._leave()
    await closed(ours)
    assert pool.is_closed
    yours = side.http_client()
    await closed(side.transport(yours))
    assert not yours.is_closed
    await closed(yours)


async def test_threads_that_start_together_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    everyone = 4
    together = Barrier(everyone, timeout=10)
    original = httpx.Client.__init__

    def counted(self: httpx.Client, *arguments: Any, **options: Any) -> None:
        made.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(httpx.Client, "__init__", counted)
    transport = Transport()

    def use() -> httpx.Client:
        together.wait()
        try:
            return transport._enter()
        finally:
            transport._leave()

    pools = await asyncio.gather(*(asyncio.to_thread(use) for _ in range(everyone)))
    transport.close()
    assert len(made) == 1
    assert set(pools) == set(made)


# Streams that are left before their end


def start_stream(*, endless: bool = False) -> Trickle:
    task = json.dumps({"id": "t", "status": "WORKING"}).encode()
    return Trickle(b"[\n" + task, b",\n" + task, b",\n" + task, endless=endless)


@both_sides
async def test_leaving_a_loop_closes_the_answer(side: Side, respx_mock: respx.MockRouter) -> None:
    from openhands_client.models import AppConversationStartRequest

    body = start_stream()
    respx_mock.route().mock(return_value=httpx.Response(200, stream=body))
    client = side.client("http://app.test:3000")
    stages = client.v1.stream_start(AppConversationStartRequest())
    if side is SYNC:
        for task in stages:
            assert task.status == "WORKING"
            break
    else:
        async for task in stages:
            assert task.status == "WORKING"
            break
    del stages
    gc.collect()
    await until(lambda: body.closed)
    await closed(client)


async def test_a_cancelled_task_closes_its_answer(respx_mock: respx.MockRouter) -> None:
    body = start_stream(endless=True)
    respx_mock.route().mock(return_value=httpx.Response(200, stream=body))
    told = asyncio.Event()
    async with AsyncOpenHands("http://app.test:3000") as client:
        creating = asyncio.create_task(
            client.conversations.create("hi", on_progress=lambda _: told.set(), timeout=None)
        )
        await told.wait()
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert body.closed


# WebSockets


class Connection:
    """A WebSocket connection that gives out what it was made with, then waits for ever."""

    def __init__(self, *frames: Any, refusal: Exception | None = None) -> None:
        self._frames = list(frames)
        self._refusal = refusal
        self.asked: dict[str, Any] = {}
        self.closed = False

    def opening(self, url: str, **options: Any) -> Self:
        self.asked = {"url": url, **options}
        return self

    def __enter__(self) -> Self:
        if self._refusal is not None:
            raise self._refusal
        return self

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True

    async def __aexit__(self, *exception: Any) -> None:
        self.closed = True

    def next_frame(self) -> Any:
        frame = self._frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame


def connect_to(connection: Connection, side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the WebSocket library open this connection."""

    def receive(connection: Connection, timeout: float) -> Any:
        return connection.next_frame() if connection._frames else _raise(TimeoutError())

    async def receive_later(connection: Connection, timeout: float) -> Any:
        if connection._frames:
            return connection.next_frame()
        return await asyncio.Event().wait()

    monkeypatch.setattr(side.sockets, "connect_websocket", connection.opening)
    monkeypatch.setattr(side.sockets, "receive", receive if side is SYNC else receive_later)


def _raise(failure: Exception) -> None:
    raise failure


WS_URL = f"ws://agent.test:8001/sockets/events/c?session_api_key={SECRET}"


@both_sides
async def test_frames_are_text(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection("one", b"tw\xc3\xb6", b"\xff", TimeoutError())
    connect_to(connection, side, monkeypatch)
    socket = await settled(side.socket.connect(WS_URL, 3.0, {}))
    frames = [await settled(socket.receive(1.0)) for _ in range(4)]
    assert frames == ["one", "twö", "\ufffd", None]
    assert connection.asked["open_timeout"] == 3.0
    await closed(socket)
    assert connection.closed


@both_sides
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ConnectionClosedError(Close(4004, "Conversation not found"), None), 4004),
        (ConnectionClosedError(Close(1000, ""), None), 1000),
        (ConnectionClosedError(None, Close(1011, "keepalive ping timeout")), 1006),
        (ConnectionClosedError(None, None), 1006),
    ],
)
async def test_a_closed_socket_says_with_which_code(
    side: Side, failure: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_to(Connection(failure), side, monkeypatch)
    socket = await settled(side.socket.connect(WS_URL, 3.0, {}))
    with pytest.raises(SocketClosed) as raised:
        await settled(socket.receive(1.0))
    assert raised.value.code == code
    await closed(socket)


@both_sides
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (
            InvalidStatus(HandshakeResponse(403, "Forbidden", Headers())),
            SocketRefused,
        ),
        (TimeoutError(), errors.APITimeoutError),
        (ConnectionRefusedError(111, "Connection refused"), errors.APIConnectionError),
        (EOFError(), errors.APIConnectionError),
        (InvalidHandshake("nonsense"), errors.APIConnectionError),
        (UnicodeError("label too long"), errors.APIConnectionError),
        (InvalidURI(WS_URL, "not a URI"), errors.UnsafeURLError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_a_refused_socket_says_why_and_shows_no_key(
    side: Side, refusal: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_to(Connection(refusal=refusal), side, monkeypatch)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is what is asserted
        await settled(side.socket.connect(WS_URL, 3.0, {}))
    assert type(raised.value) is kind
    assert SECRET not in f"{raised.value!s} {raised.value!r}"
    assert raised.value.__cause__ is None


@both_sides
async def test_the_key_in_the_socket_url_is_not_logged(
    side: Side, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At level DEBUG, the WebSocket library logs the request line, and with it the key."""
    caplog.set_level(logging.DEBUG)
    connection = Connection()
    connect_to(connection, side, monkeypatch)
    await closed(await settled(side.socket.connect(WS_URL, 3.0, {})))
    logger = connection.asked["logger"]
    assert not logger.isEnabledFor(logging.DEBUG)
    assert logger.name.startswith("openhands_client")
    assert SECRET not in caplog.text


# Events that are left before their end

CONVERSATION = {
    "id": "c" * 32,
    "sandbox_id": "s",
    "sandbox_status": "RUNNING",
    "execution_status": "running",
    "conversation_url": f"http://agent.test:8001/api/conversations/{'c' * 32}",
    "session_api_key": SECRET,
}
FULL_STATE = json.dumps(
    {
        "kind": "ConversationStateUpdateEvent",
        "id": "f",
        "timestamp": "2026-11-20T23:23:55",
        "source": "environment",
        "key": "full_state",
        "value": {"execution_status": "running"},
    }
)
STORED = {"kind": "PauseEvent", "id": "e1", "timestamp": "2026-11-20T23:23:55", "source": "user"}


def agent_routes(router: respx.MockRouter) -> None:
    router.get("http://app.test:3000/api/v1/app-conversations").respond(json=[CONVERSATION])
    router.get(host="agent.test", path__regex=r".*/events/search$").respond(json={"items": [STORED]})


@both_sides
async def test_leaving_events_closes_the_socket(
    side: Side, monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter
) -> None:
    agent_routes(respx_mock)
    connection = Connection(FULL_STATE)
    connect_to(connection, side, monkeypatch)
    client = side.client("http://app.test:3000")
    conversation = await settled(client.conversations.get("c" * 32))
    events = conversation.events()
    if side is SYNC:
        for event in events:
            assert event.id == "e1"
            break
    else:
        async for event in events:
            assert event.id == "e1"
            break
    del events
    gc.collect()
    await until(lambda: connection.closed)
    await closed(client)


async def test_a_cancelled_wait_closes_its_socket(
    monkeypatch: pytest.MonkeyPatch, respx_mock: respx.MockRouter
) -> None:
    agent_routes(respx_mock)
    connection = Connection(FULL_STATE)
    connect_to(connection, ASYNC, monkeypatch)
    async with AsyncOpenHands("http://app.test:3000") as client:
        conversation = await client.conversations.get("c" * 32)
        waiting = asyncio.create_task(conversation.wait())
        await until(lambda: bool(connection.asked) and not connection._frames)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert connection.closed


# The user's functions


async def test_a_coroutine_function_is_awaited_by_the_async_side_only() -> None:
    async def later(value: int) -> int:
        return value

    assert await async_compat.call(later, (1,)) == 1
    assert await async_compat.call(lambda value: value, (2,)) == 2
    assert sync_compat.call(lambda value: value, (3,)) == 3
    with pytest.raises(TypeError, match="async client"):
        sync_compat.call(later, (4,))


class Underneath:
    """What an answer came over; it knows whether it was closed."""

    def __init__(self) -> None:
        self.closed: list[bool] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return b""

    def close(self) -> None:
        self.closed.append(True)

    async def aclose(self) -> None:
        self.closed.append(True)


@both_sides
@pytest.mark.parametrize(("version", "is_closed"), [(b"HTTP/1.1", True), (b"HTTP/2", False)])
async def test_a_connection_that_others_share_is_not_closed_after_a_failure(
    side: Side, version: bytes, is_closed: bool, respx_mock: respx.MockRouter
) -> None:
    connection = Underneath()
    extensions = {"http_version": version, "network_stream": connection}
    answer = httpx.Response(500, stream=Trickle(b"no"), extensions=extensions)
    respx_mock.get(URL).mock(return_value=answer)
    transport = unverified(side)
    assert (await settled(transport.send(request()))).content == b"no"
    assert bool(connection.closed) is is_closed
    await closed(transport)
