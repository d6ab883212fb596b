"""Many at the same time, in tasks; the twin of ``sync_crowd.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def crowd(action: Callable[[], Awaitable[T]], size: int) -> list[T]:
    """The results of so many calls at once."""
    return list(await asyncio.gather(*(action() for _ in range(size))))


async def take_a_moment() -> None:
    """What every answer takes; meanwhile others go on."""
    await asyncio.sleep(0.01)
