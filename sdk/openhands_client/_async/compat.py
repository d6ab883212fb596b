"""What the async side and the sync side cannot share. Its twin is ``_sync/compat.py``, written by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

T = TypeVar("T")
F = TypeVar("F")

Stream: TypeAlias = AsyncGenerator[T, None]


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's, which may be a coroutine function."""
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


def connect_websocket(url: str, **options: Any) -> AbstractAsyncContextManager[ClientConnection]:
    """Open a WebSocket on entering. The library is loaded here, because many programs never need it."""
    from websockets.asyncio.client import connect

    opening: AbstractAsyncContextManager[ClientConnection] = connect(url, **options)
    return opening


async def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    async with asyncio.timeout(timeout):
        return await connection.recv()


async def together(run: Callable[[F], Awaitable[T]], flows: Sequence[F], limit: int) -> list[T]:
    """Run all flows, at most ``limit`` at once. When one fails, the others are cancelled and waited for."""
    gate = asyncio.Semaphore(limit)

    async def one(flow: F) -> T:
        async with gate:
            return await run(flow)

    tasks = [asyncio.ensure_future(one(flow)) for flow in flows]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Reading:
    """How long reading from one connection may take."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def within(self, seconds: float | None) -> asyncio.Timeout:
        """Let what is read meanwhile arrive in time, else raise TimeoutError."""
        return asyncio.timeout(seconds)

    def end(self) -> None:
        """Leave the connection as it was."""


class Locks:
    """One lock for each owner, for as long as the owner lives."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[object, asyncio.Lock] = WeakKeyDictionary()

    def of(self, owner: object) -> asyncio.Lock:
        return self._locks.setdefault(owner, asyncio.Lock())
