"""Many conversations watched from one async process; ``make chaos`` takes a thousand. Prints what that costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from openhands_client import AsyncConversation, AsyncOpenHands, Watched, watch

from .judge import table
from .remains import open_sockets

CONVERSATIONS = int(os.environ.get("OPENHANDS_CHAOS_WATCHED", "40"))
AT_ONCE = 16
PATIENCE = 900.0  # seconds for all of it, on a machine that has other things to do
KILOBYTE = 1024


@contextmanager
def server_elsewhere() -> Iterator[str]:
    """In another process, so that what is measured is the client."""
    program = Path(__file__).parent / "server_program.py"
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def resident() -> int:
    """Memory of this process, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if status.exists() else 0


async def test_a_crowd_is_watched_from_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    figures: dict[str, int] = {"conversations": CONVERSATIONS}
    with server_elsewhere() as url:
        async with asyncio.timeout(PATIENCE), AsyncOpenHands(url) as client:
            results = await client.conversations.create_many(
                [{"message": "Hello", "api": "v1"}] * CONVERSATIONS, concurrency=AT_ONCE
            )
            conversations = [result.unwrap() for result in results]
            figures["seconds to create"] = round(time.monotonic() - began)
            seen = await first_turns(conversations)
            await second_turns(conversations, seen, figures)
            for conversation in conversations[:: max(1, CONVERSATIONS // 20)]:
                ids = [event.id async for event in conversation.history()]
                assert seen[conversation.id] == ids[: len(seen[conversation.id])]
        assert asyncio.all_tasks() == {asyncio.current_task()}
    figures["seconds"] = round(time.monotonic() - began)
    with capsys.disabled():
        print(table("Watched from one async process", figures))


async def first_turns(conversations: list[AsyncConversation]) -> dict[str, list[Any]]:
    """The ids of all events up to the rest of each."""
    seen: dict[str, list[Any]] = defaultdict(list)
    ends: Counter[str | None] = Counter()
    async for news in watch(conversations):
        note(news, seen)
        if news.event is None:
            ends[news.conversation.agent_state] += 1
    assert ends == {"finished": len(conversations)}
    return seen


async def second_turns(
    conversations: list[AsyncConversation], seen: dict[str, list[Any]], figures: dict[str, int]
) -> None:
    """Listen to all, send each a message, and go on until the last has finished again. Nothing comes twice."""
    known = {id_ for ids in seen.values() for id_ in ids}
    awaited = set(known)
    tasks, sockets, memory = len(asyncio.all_tasks()), open_sockets(), resident()
    finished: set[str] = set()
    sending = None
    seen.clear()
    async with aclosing(watch(conversations, until="forever")) as news_of_all:
        async for news in news_of_all:
            assert news.error is None
            note(news, seen)
            awaited.discard(getattr(news.event, "id", None))
            if sending is None and not awaited:
                figures["tasks"] = len(asyncio.all_tasks()) - tasks
                figures["sockets"] = open_sockets() - sockets
                figures["memory per conversation, KB"] = (
                    (resident() - memory) // KILOBYTE // len(conversations)
                )
                sending = asyncio.create_task(send_all(conversations))
            if sending is not None and is_finish(news) and news.event.id not in known:
                finished.add(news.conversation.id)
                if len(finished) == len(conversations):
                    break
    assert sending is not None
    await sending


async def send_all(conversations: list[AsyncConversation]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def send(conversation: AsyncConversation) -> None:
        async with gate:
            await conversation.send("And again")

    await asyncio.gather(*(send(conversation) for conversation in conversations))


def note(news: Watched, seen: dict[str, list[Any]]) -> None:
    if news.event is not None:
        assert news.event.id not in seen[news.conversation.id]
        seen[news.conversation.id].append(news.event.id)


def is_finish(news: Watched) -> bool:
    return (
        getattr(news.event, "key", None) == "execution_status"
        and getattr(news.event, "value", None) == "finished"
    )
