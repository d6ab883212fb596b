"""What the async side and the sync side cannot share. Its twin is ``_sync/compat.py``, written by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias, TypeVar

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

T = TypeVar("T")

Stream: TypeAlias = AsyncGenerator[T, None]

__all__ = ["ClientConnection", "Stream", "call", "connect_websocket", "receive", "sleep"]


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's, which may be a coroutine function."""
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


async def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    async with asyncio.timeout(timeout):
        return await connection.recv()
