"""What the sync side and the async side cannot share. Its twin is ``_async/compat.py``; both by hand."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

T = TypeVar("T")

Stream: TypeAlias = Generator[T, None, None]

__all__ = ["ClientConnection", "Stream", "call", "connect_websocket", "receive", "sleep"]


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's. Raises TypeError for a coroutine function, which nobody would await."""
    result = function(*arguments)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(f"{function!r} is a coroutine function; use it with the async client")
    return result


def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    return connection.recv(timeout)
