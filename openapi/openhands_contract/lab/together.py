"""Requests that reach a server at the same time, as those of several clients do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from openhands_contract.lab.bench import Answer


def at_once(number: int, send: Callable[[int], Answer]) -> list[Answer]:
    """Send so many requests at the same time, each told its number; return their answers."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(send, range(number)))
