"""Many at the same time, in threads; the twin of ``async_crowd.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def crowd(action: Callable[[], T], size: int) -> list[T]:
    """The results of so many calls at once."""
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(lambda _: action(), range(size)))


def take_a_moment() -> None:
    """What every answer takes; meanwhile others go on."""
    time.sleep(0.01)
