"""What happens to connections when a server fails, resets, or falls silent: over real sockets, both sides."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from openhands_client import AsyncOpenHands, OpenHands, errors
from openhands_client._async.sockets import AsyncSocket
from openhands_client._core.ordering import user_message
from openhands_client._sync.sockets import Socket
from openhands_reference_server import ReferenceServer
from openhands_reference_server.domain.script import Act, AgentScript, Run
from tests.service.sdk.raw_server import Peer, RawServer, head

TASK = b'{"id": "t", "status": "WORKING"}'
SOON = 0.3  # seconds
PATIENCE = 30.0
MESSAGE = user_message("hello", None, run=True)


both_sides = pytest.mark.parametrize("client_class", [OpenHands, AsyncOpenHands])


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def closed(client: Any) -> None:
    await settled(client.aclose() if hasattr(client, "aclose") else client.close())


@both_sides
async def test_after_a_failure_of_the_server_the_next_request_has_its_own_connection(
    client_class: Any,
) -> None:
    """Agent servers reset the connection after a failure; the pool may see that too late."""

    def fail_and_reset(peer: Peer) -> None:
        while request := peer.next_request():
            if peer.number == 0:
                peer.answer({"detail": "Internal Server Error", "exception": ""}, 500)
                assert peer.next_request() is None, "the connection was used again"
                return peer.reset()
            peer.answer({"success": True, "asked": request})
        return None

    with RawServer(fail_and_reset) as server:
        client = client_class(server.url, max_retries=0)
        with pytest.raises(errors.ServerError):
            await settled(client.event_service.send_event("c", server.url, MESSAGE, "key"))
        answer = await settled(client.event_service.send_event("c", server.url, MESSAGE, "key"))
        assert answer.success
        await settled(client.event_service.send_event("c", server.url, MESSAGE, "key"))
        await closed(client)
        assert server.connections == 2  # a connection that served well serves on


@both_sides
async def test_a_start_that_falls_silent_late_ends_at_its_deadline(client_class: Any) -> None:
    """The HTTP library fixes its timeout when a body begins; here, the rest of the deadline counts."""

    def start_and_fall_silent(peer: Peer) -> None:
        peer.next_request()
        peer.write(head(200, {"transfer-encoding": "chunked"}))
        for chunk in (b"[\n", TASK):
            peer.over.wait(SOON / 2)
            peer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        peer.over.wait(20)

    with RawServer(start_and_fall_silent) as server:
        client = client_class(server.url)
        began = time.monotonic()
        with pytest.raises(errors.StartTaskTimeout):
            await settled(client.conversations.create("hello", api="v1", timeout=2 * SOON))
        assert time.monotonic() - began < 2 * SOON + 1.0
        await closed(client)


@both_sides
async def test_an_answer_that_comes_drop_by_drop_gets_no_more_than_its_time(client_class: Any) -> None:
    def dribble(peer: Peer) -> None:
        if "stream" in (peer.next_request() or ""):
            return peer.answer({"detail": "Not Found"}, 404)
        peer.write(head(200, {"content-length": "1000"}))
        while not peer.over.wait(SOON / 10):
            peer.write(b" ")
        return None

    with RawServer(dribble) as server:
        client = client_class(server.url)
        began = time.monotonic()
        with pytest.raises(errors.StartTaskTimeout):
            await settled(client.conversations.create("hello", api="v1", timeout=SOON))
        assert time.monotonic() - began < SOON + 1.0
        await closed(client)


@both_sides
async def test_connections_go_back_to_the_pool_under_a_deadline(client_class: Any) -> None:
    def serve(peer: Peer) -> None:
        while request := peer.next_request():
            if "stream" in request:
                peer.answer({"detail": "Not Found"}, 404)
            elif request == "POST /api/v1/app-conversations":
                peer.answer({"id": "t", "status": "WORKING"})
            elif "start-tasks" in request:
                peer.answer([{"id": "t", "status": "READY", "app_conversation_id": "c"}])
            else:
                peer.answer([{"id": "c", "sandbox_id": "s", "sandbox_status": "RUNNING"}])

    with RawServer(serve) as server:
        client = client_class(server.url)
        conversation = await settled(client.conversations.create("hello", api="v1", timeout=10))
        assert conversation.id == "c"
        await closed(client)
        assert server.connections == 2  # the stream that there is not had its own


# What is left when a call is given up


class Hanging:
    """A start that comes to its first stage and no further. ``left`` is set when the client is gone."""

    def __init__(self) -> None:
        self.left = threading.Event()

    def __call__(self, peer: Peer) -> None:
        peer.next_request()
        chunk = b"[\n" + TASK
        peer.write(head(200, {"transfer-encoding": "chunked"}) + b"%x\r\n%s\r\n" % (len(chunk), chunk))
        assert peer.next_request() is None
        self.left.set()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Heed interrupts also where who started the tests ignores them, as shells do for what runs behind them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    """What Ctrl+C does; sent to the thread, so that it wakes from whatever it waits for."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@contextmanager
def no_thread_is_left() -> Iterator[None]:
    """Threads may take a moment to end."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread


async def test_a_cancelled_call_leaves_no_task_and_no_connection() -> None:
    hanging, told = Hanging(), asyncio.Event()
    with no_thread_is_left(), RawServer(hanging) as server:
        async with AsyncOpenHands(server.url) as client:
            creating = asyncio.create_task(
                client.conversations.create("hello", api="v1", on_progress=lambda _: told.set())
            )
            await told.wait()
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            assert await asyncio.to_thread(hanging.left.wait, PATIENCE)
            assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_call_leaves_no_thread_and_no_connection() -> None:
    hanging = Hanging()
    interrupting = threading.Timer(SOON, interrupt)
    with no_thread_is_left(), RawServer(hanging) as server:
        with OpenHands(server.url) as client, pytest.raises(KeyboardInterrupt):
            client.conversations.create("hello", api="v1", on_progress=lambda _: interrupting.start())
        assert hanging.left.wait(PATIENCE)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_wait_leaves_no_thread_and_no_socket() -> None:
    def work(message: str, number: int) -> Iterator[Act]:
        yield Run("sleep 1000", seconds=1000)

    with ReferenceServer(script=AgentScript(acts=work)) as server, OpenHands(server.url) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        ours = ("recv_events", "keepalive")  # the threads of a WebSocket
        interrupting = threading.Timer(SOON, interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            conversation.wait()
        interrupting.join()
        for thread in threading.enumerate():
            if any(name in thread.name for name in ours):
                thread.join(PATIENCE)
                assert not thread.is_alive()
        assert conversation.refresh().agent_state == "running"


# Back-pressure

FRAMES = 1500
FRAME = "x" * 32_768


class Flood:
    """Sends many large frames as fast as the client takes them."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, connection: ServerConnection) -> None:
        for number in range(FRAMES):
            connection.send(f"{number} {FRAME}")
            self.sent = number + 1
        connection.recv()


@contextmanager
def flooding() -> Iterator[tuple[Flood, str]]:
    flood = Flood()
    with serve(flood, "127.0.0.1", 0, close_timeout=1, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield flood, f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join(PATIENCE)


def until_it_waits(flood: Flood) -> int:
    """How many frames were sent when no more could be."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < SOON and flood.sent < FRAMES:
        if flood.sent != last:
            last, since = flood.sent, time.monotonic()
        time.sleep(0.01)
    return flood.sent


@pytest.mark.parametrize("kind", [Socket, AsyncSocket])
async def test_a_server_waits_for_a_client_that_reads_slowly(kind: Any) -> None:
    """Nothing is heaped up without a bound, and nothing is lost."""
    with flooding() as (flood, url):
        socket = await settled(kind.connect(url, PATIENCE, {}))
        assert await asyncio.to_thread(until_it_waits, flood) < FRAMES
        for number in range(FRAMES):
            frame = await settled(socket.receive(PATIENCE))
            assert frame is not None
            assert frame.startswith(f"{number} ")
        await closed(socket)
