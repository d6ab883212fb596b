"""``watch()``: many conversations in one stream, and failures that stay where they belong."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing
from typing import Any

from openhands_client import AsyncOpenHands, OpenHandsError, watch
from openhands_reference_server import ReferenceServer


async def test_both_generations_are_watched_to_their_rest(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        requests = [{"message": f"Hello {number}", "api": ("v1", "v0")[number % 2]} for number in range(6)]
        conversations = [one.unwrap() for one in await client.conversations.create_many(requests)]
        seen: dict[str, list[Any]] = defaultdict(list)
        ended: set[str] = set()
        async for news in watch(conversations):
            assert news.error is None
            assert news.conversation.id not in ended
            if news.event is None:
                ended.add(news.conversation.id)
            else:
                seen[news.conversation.id].append(news.event.id)
        for conversation in conversations:
            ids = [event.id async for event in conversation.history()]
            assert seen[conversation.id] == ids[: len(seen[conversation.id])]
            assert conversation.agent_state == "finished"
    assert len(ended) == 6
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_fails_does_not_end_the_others(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        gone, there = [await client.conversations.create("Hello", api="v1") for _ in range(2)]
        await gone.delete()
        ends = {news.conversation.id: news.error async for news in watch([gone, there]) if news.event is None}
    assert isinstance(ends[gone.id], OpenHandsError)
    assert ends[there.id] is None


async def test_a_watch_that_is_left_leaves_nothing(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        conversations = [await client.conversations.create("Hello", api="v1") for _ in range(3)]
        async with aclosing(watch(conversations, until="forever")) as news_of_all:
            async for _ in news_of_all:
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nobody_to_watch(server: ReferenceServer) -> None:
    assert [news async for news in watch([])] == []
