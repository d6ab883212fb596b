"""What the sync side and the async side cannot share. Its twin is ``_async/compat.py``; both by hand."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

T = TypeVar("T")
F = TypeVar("F")

Stream: TypeAlias = Generator[T, None, None]


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's. Raises TypeError for a coroutine function, which nobody would await."""
    result = function(*arguments)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(f"{function!r} is a coroutine function; use it with the async client")
    return result


def connect_websocket(url: str, **options: Any) -> AbstractContextManager[ClientConnection]:
    """Open a WebSocket. The library is loaded here, because many programs never need it."""
    from websockets.sync.client import connect

    opening: AbstractContextManager[ClientConnection] = connect(url, **options)
    return opening


def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    return connection.recv(timeout)


def together(run: Callable[[F], T], flows: Sequence[F], limit: int) -> list[T]:
    """Run all flows, one after the other: the sync side starts no threads that nobody asked for."""
    return [run(flow) for flow in flows]


class Locks:
    """One lock for each owner, for as long as the owner lives."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[object, threading.Lock] = WeakKeyDictionary()
        self._guard = threading.Lock()

    def of(self, owner: object) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(owner, threading.Lock())
