"""Many lives at once, in tasks and in threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from openhands_client import AsyncOpenHands, Auth, OpenHands, RetryPolicy
from openhands_reference_server.domain.script import Act, AgentScript, Finish, Run

from . import async_lives, sync_lives
from .life import Api, Life

SEED = int(os.environ.get("OPENHANDS_TEST_SEED", "1"))
STEPS = 12  # commands in a turn: some two dozen events
TASKS_AT_ONCE, THREADS_AT_ONCE = 32, 12
LIFE_TIMEOUT = 240.0  # seconds
PATIENT = RetryPolicy(max_retries=12, initial=0.02, maximum=0.3)  # one request in four fails


def _work(message: str, number: int) -> Iterator[Act]:
    """A turn of several steps."""
    for step in range(STEPS):
        yield Run(f"echo {step}", output=str(step))
    yield Finish()


BUSY = AgentScript(acts=_work, step_delay=0.005)


def draw(
    count: int, apis: tuple[Api, ...] = ("v1", "v0"), *, repository: str | None = "acme/app"
) -> list[Life]:
    """Lives of these generations by turns."""
    return [Life(number, apis[number % len(apis)], SEED, repository) for number in range(count)]


def live_all(
    url: str,
    lives: list[Life],
    found: Counter[str],
    auth: Auth | None = None,
    *,
    at_once: int = TASKS_AT_ONCE,
) -> None:
    """One half of them in tasks, the other in threads. What hung or was left of tasks is counted."""
    half = len(lives) // 2
    asyncio.run(_in_tasks(url, lives[:half], found, auth, at_once))
    _in_threads(url, lives[half:], found, auth, min(at_once, THREADS_AT_ONCE))


async def _in_tasks(
    url: str, lives: list[Life], found: Counter[str], auth: Auth | None, at_once: int
) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one(client: AsyncOpenHands, life: Life) -> None:
        async with gate:
            try:
                async with asyncio.timeout(LIFE_TIMEOUT):
                    await async_lives.live(client, life, timeout=LIFE_TIMEOUT)
            except TimeoutError:
                found["lives that hung"] += 1

    async with AsyncOpenHands(url, auth=auth, retry=PATIENT) as client:
        await asyncio.gather(*(one(client, life) for life in lives))
    found["tasks left"] += len(asyncio.all_tasks()) - 1


def _in_threads(url: str, lives: list[Life], found: Counter[str], auth: Auth | None, at_once: int) -> None:
    def one(life: Life) -> None:
        began = time.monotonic()
        sync_lives.live(client, life, timeout=LIFE_TIMEOUT)
        found["lives that hung"] += time.monotonic() - began > LIFE_TIMEOUT

    with OpenHands(url, auth=auth, retry=PATIENT) as client, ThreadPoolExecutor(at_once) as threads:
        list(threads.map(one, lives))
