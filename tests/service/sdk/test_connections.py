"""What happens to connections when a server fails, resets, or falls silent: over real sockets, both sides."""

from __future__ import annotations

import inspect
import time
from typing import Any

import pytest

from openhands_client import AsyncOpenHands, OpenHands, errors
from openhands_client._core.ordering import user_message
from tests.service.sdk.raw_server import Peer, RawServer, head

TASK = b'{"id": "t", "status": "WORKING"}'
SOON = 0.3  # seconds
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
