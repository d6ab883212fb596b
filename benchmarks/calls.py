"""A typed `get_start_task` against a bare httpx GET and `.json()`, sync and async, on one loopback server."""

from __future__ import annotations

import asyncio
import time

import httpx

from benchmarks.figures import Figure, ratio
from benchmarks.loopback import TASK_ID, loopback_server
from openhands_client import AsyncOpenHands, OpenHands

GOAL = 1.10
WARM_UP = 50
"""Calls before the clock starts: connections are opened, models are compiled, caches are filled."""


def measure(samples: int) -> list[Figure]:
    with loopback_server() as base_url:
        return [
            ratio("get_start_task, sync", _sync(base_url, samples), goal=GOAL),
            ratio("get_start_task, async", asyncio.run(_async(base_url, samples)), goal=GOAL),
        ]


def _url(base_url: str) -> str:
    return f"{base_url}/api/v1/app-conversations/start-tasks?ids={TASK_ID}"


def _sync(base_url: str, samples: int) -> list[tuple[float, float]]:
    url = _url(base_url)
    with OpenHands(base_url) as client, httpx.Client() as bare:

        def ours() -> float:
            start = time.perf_counter()
            client.v1.get_start_task(TASK_ID)
            return time.perf_counter() - start

        def peers() -> float:
            start = time.perf_counter()
            bare.get(url).json()
            return time.perf_counter() - start

        for _ in range(WARM_UP):
            ours()
            peers()
        pairs = []
        for sample in range(samples):
            # Each goes first in every other pair: what the second one gains or loses by that evens out.
            if sample % 2:
                pairs.append((ours(), peers()))
            else:
                peer = peers()
                pairs.append((ours(), peer))
        return pairs


async def _async(base_url: str, samples: int) -> list[tuple[float, float]]:
    url = _url(base_url)
    async with AsyncOpenHands(base_url) as client, httpx.AsyncClient() as bare:

        async def ours() -> float:
            start = time.perf_counter()
            await client.v1.get_start_task(TASK_ID)
            return time.perf_counter() - start

        async def peers() -> float:
            start = time.perf_counter()
            (await bare.get(url)).json()
            return time.perf_counter() - start

        for _ in range(WARM_UP):
            await ours()
            await peers()
        pairs = []
        for sample in range(samples):
            if sample % 2:
                pairs.append((await ours(), await peers()))
            else:
                peer = await peers()
                pairs.append((await ours(), peer))
        return pairs
