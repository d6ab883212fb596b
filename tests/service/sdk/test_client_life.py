"""How clients live and end: unclosed, closed under a stream, in many threads, loops and pickles."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from openhands_client import (
    APIConnectionError,
    AsyncOpenHands,
    ClientClosedError,
    OAuth2Auth,
    OpenHands,
    OpenHandsError,
    StartTaskTimeout,
)
from openhands_client._async.transport import AT_ONCE
from openhands_reference_server import ReferenceServer

both = pytest.mark.parametrize("kind", [OpenHands, AsyncOpenHands], ids=["sync", "async"])
generations = pytest.mark.parametrize("api", ["v1", "v0"])


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def close(client: Any) -> None:
    await settled(client.close() if isinstance(client, OpenHands) else client.aclose())


# Warnings


def complaints_about(make_garbage: Callable[[], object]) -> list[str]:
    """The warnings that come of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_garbage()
        gc.collect()
    return [f"{warning.category.__name__}: {warning.message}" for warning in caught]


def test_a_client_that_was_used_and_not_closed_is_a_warning(server: ReferenceServer) -> None:
    [complaint] = complaints_about(lambda: OpenHands(server.url).alive())
    assert complaint == (
        "ResourceWarning: an OpenHands client was not closed. "
        "Use it in «with OpenHands(…) as client:», or call «client.close()»"
    )


def test_an_async_client_that_was_used_and_not_closed_is_a_warning(server: ReferenceServer) -> None:
    async def use() -> None:
        assert await AsyncOpenHands(server.url).alive()

    [complaint] = complaints_about(lambda: asyncio.run(use()))
    assert complaint == (
        "ResourceWarning: an AsyncOpenHands client was not closed. "
        "Use it in «async with AsyncOpenHands(…) as client:», or call «await client.aclose()»"
    )


def test_clients_that_were_closed_or_never_used_are_no_warning(server: ReferenceServer) -> None:
    def use_and_close() -> None:
        with OpenHands(server.url) as client:
            list(client.conversations.create("Hello", api="v1").events())

    async def use_and_close_async() -> None:
        async with AsyncOpenHands(server.url) as client:
            conversation = await client.conversations.create("Hello", api="v1")
            assert [event async for event in conversation.events()]

    assert complaints_about(lambda: OpenHands(server.url)) == []
    assert complaints_about(lambda: AsyncOpenHands(server.url)) == []
    assert complaints_about(use_and_close) == []
    assert complaints_about(lambda: asyncio.run(use_and_close_async())) == []


def test_a_pool_of_yours_is_yours_to_close(server: ReferenceServer) -> None:
    with httpx.Client() as pool:
        assert complaints_about(lambda: OpenHands(server.url, http_client=pool).alive()) == []
        assert not pool.is_closed


# Closing


@both
async def test_closing_twice_is_closing_once(server: ReferenceServer, kind: Any) -> None:
    client = kind(server.url)
    assert await settled(client.alive())
    await close(client)
    await close(client)


@both
async def test_a_closed_client_says_so(server: ReferenceServer, kind: Any) -> None:
    client = kind(server.url)
    conversation = await settled(client.conversations.create("Hello", api="v1"))
    await close(client)
    for call in (client.alive, conversation.refresh, conversation.wait, client.with_options(timeout=1).alive):
        with pytest.raises(ClientClosedError, match="this client is closed"):
            await settled(call())
    assert issubclass(ClientClosedError, OpenHandsError)


@generations
def test_closing_ends_a_stream_in_another_thread(server: ReferenceServer, api: Any) -> None:
    client = OpenHands(server.url)
    conversation = client.conversations.create("Hello", api=api)
    conversation.wait(30)
    stored = len(list(conversation.history()))
    listening = threading.Event()

    def follow() -> None:
        for count, _ in enumerate(conversation.events(until="forever"), 1):
            if count == stored:
                listening.set()

    with ThreadPoolExecutor() as threads:
        following = threads.submit(follow)
        assert listening.wait(30)
        client.close()
        with pytest.raises(ClientClosedError):
            following.result(10)


@generations
async def test_closing_ends_a_stream_in_another_task(server: ReferenceServer, api: Any) -> None:
    client = AsyncOpenHands(server.url)
    conversation = await client.conversations.create("Hello", api=api)
    await conversation.wait(30)
    stored = len([event async for event in conversation.history()])
    listening = asyncio.Event()

    async def follow() -> None:
        count = 0
        async for _ in conversation.events(until="forever"):
            count += 1
            if count == stored:
                listening.set()

    following = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        await listening.wait()
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await following
    assert asyncio.all_tasks() == {asyncio.current_task()}


@both
async def test_closing_wakes_who_waits_to_try_again(kind: Any) -> None:
    """The server asked for a minute; nobody waits for that in a closed client."""
    asked = threading.Event()

    def busy(_: httpx.Request) -> httpx.Response:
        asked.set()
        return httpx.Response(429, headers={"retry-after": "59"})

    pool = httpx.Client if kind is OpenHands else httpx.AsyncClient
    async with asyncio.timeout(20):
        client = kind("http://app.test", http_client=pool(transport=httpx.MockTransport(busy)))
        if kind is OpenHands:
            trying = asyncio.create_task(asyncio.to_thread(client.alive))
            await asyncio.to_thread(asked.wait, 10)
        else:
            trying = asyncio.create_task(client.alive())
            while not asked.is_set():  # noqa: ASYNC110 - set by the transport, which knows no event
                await asyncio.sleep(0)
        await close(client)
        with pytest.raises(ClientClosedError):
            await trying


# Threads


def test_many_threads_use_one_client(server: ReferenceServer) -> None:
    with OpenHands(server.url) as client, ThreadPoolExecutor(8) as threads:

        def live(number: int) -> tuple[str, list[str]]:
            conversation = client.conversations.create(f"Hello {number}", api="v1" if number % 2 else "v0")
            ids = [str(event.id) for event in conversation.events()]
            assert ids == [str(event.id) for event in conversation.history()]
            return conversation.id, ids

        lives = list(threads.map(live, range(16)))
    assert len({conversation_id for conversation_id, _ in lives}) == 16


# Event loops


def test_a_client_works_in_one_loop_after_another(server: ReferenceServer) -> None:
    client = AsyncOpenHands(server.url)

    async def use(*, last: bool = False) -> list[Any]:
        conversation = await client.conversations.create("Hello", api="v1")
        events = [event.id async for event in conversation.events()]
        await asyncio.gather(*(conversation.refresh() for _ in range(10)))
        if last:
            await client.aclose()
        return events

    assert complaints_about(lambda: asyncio.run(use()) or asyncio.run(use())) == []
    assert asyncio.run(use(last=True))


def test_a_loop_that_was_never_shut_down_does_not_matter_to_the_next(server: ReferenceServer) -> None:
    client = AsyncOpenHands(server.url)

    def use_carelessly() -> None:
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(client.alive())
        loop.close()

    for complaint in complaints_about(use_carelessly):
        assert complaint.startswith("ResourceWarning: unclosed transport")  # asyncio's, of that loop

    async def use() -> None:
        async with client:
            assert await client.alive()

    complaints_about(lambda: asyncio.run(use()))


def test_a_stream_goes_on_in_another_loop(server: ReferenceServer) -> None:
    client = AsyncOpenHands(server.url)

    async def begin() -> tuple[Any, Any, Any]:
        conversation = await client.conversations.create("Hello", api="v1")
        events = conversation.events()
        return conversation, events, await anext(events)

    async def go_on(conversation: Any, events: Any, first: Any) -> None:
        async with client:
            ids = [first.id, *[event.id async for event in events]]
            assert ids == [event.id async for event in conversation.history()]

    def in_two_loops() -> None:
        loop = asyncio.new_event_loop()  # asyncio.run() would end the stream with its loop
        begun = loop.run_until_complete(begin())
        loop.close()
        asyncio.run(go_on(*begun))

    complaints_about(in_two_loops)


def test_tokens_are_fetched_in_the_second_loop_as_well() -> None:
    """A lock that was waited for in one loop cannot be waited for in another."""
    grants: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            grants.append(f"token-{len(grants)}")
            await asyncio.sleep(0)
            return httpx.Response(200, json={"access_token": grants[-1]})
        believed = (
            grants and request.headers["authorization"] == f"Bearer {grants[-1]}" and len(grants) == wanted
        )
        return httpx.Response(200 if believed else 401, json={})

    auth = OAuth2Auth("https://login.test/token", client_id="me", client_secret="x")
    pool = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = AsyncOpenHands("https://app.test", auth=auth, http_client=pool)

    async def use() -> None:
        assert all(await asyncio.gather(*(client.alive() for _ in range(10))))

    for wanted in (1, 2):
        asyncio.run(use())
        assert len(grants) == wanted


async def test_a_pool_of_yours_from_another_loop_is_a_clear_error() -> None:
    def lost(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("Event loop is closed")  # what asyncio says, where a kept connection is used

    pool = httpx.AsyncClient(transport=httpx.MockTransport(lost))
    client = AsyncOpenHands("http://app.test", http_client=pool, max_retries=0)
    with pytest.raises(APIConnectionError, match="has connections of another event loop"):
        await client.alive()


async def test_loops_in_two_threads_have_connections_each(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        assert await client.alive()
        done, finish = asyncio.Event(), threading.Event()
        here = asyncio.get_running_loop()

        async def elsewhere() -> None:
            assert await client.alive()
            here.call_soon_threadsafe(done.set)
            await asyncio.to_thread(finish.wait, 30)

        other = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
        await done.wait()
        await client.aclose()
        finish.set()
        await other


# Pickles


@both
@generations
async def test_clients_and_handles_are_pickled_after_use(
    server: ReferenceServer, kind: Any, api: Any
) -> None:
    client = kind(server.url, session_api_key="s3cret")
    conversation = await settled(client.conversations.create("Hello", api=api))
    begun = await settled(client.conversations.create("Hello", api=api, wait=False))
    await settled(conversation.wait(30))
    assert conversation.files
    assert conversation.git
    pickled = pickle.dumps((client, conversation, begun))
    await close(client)

    twin, handle, task = pickle.loads(pickled)  # noqa: S301 - our own bytes
    assert "s3cret" not in repr((twin, handle, task))
    assert (handle.id, handle.title, handle.agent_state) == (conversation.id, conversation.title, "finished")
    assert (await settled(handle.refresh())).status == "RUNNING"
    assert (await settled(task.wait(30))).status == "RUNNING"
    assert await settled(twin.alive())
    for owner in (twin, handle._client, task._client):
        await close(owner)


# Thousands of tasks


async def test_a_crowd_of_tasks_does_not_overrun_the_pool() -> None:
    """However many ask at once, so many requests are under way; a deadline is kept by those who wait."""
    under_way = most = 0
    release = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return httpx.Response(200, json={"status": "ok"})

    pool = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    client = AsyncOpenHands("http://app.test", http_client=pool)
    crowd = [asyncio.create_task(client.alive()) for _ in range(3 * AT_ONCE)]
    async with asyncio.timeout(30):
        while under_way < AT_ONCE:  # noqa: ASYNC110 - set by the transport, which knows no event
            await asyncio.sleep(0)
        with pytest.raises(StartTaskTimeout):
            await client.conversations.create("Hello", api="v0", timeout=0.1)
        release.set()
        assert await asyncio.gather(*crowd) == [True] * len(crowd)
    assert most == AT_ONCE
