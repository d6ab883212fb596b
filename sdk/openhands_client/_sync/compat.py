"""What the sync side and the async side cannot share. Its twin is ``_async/compat.py``; both by hand."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

T = TypeVar("T")
F = TypeVar("F")

Stream: TypeAlias = Generator[T, None, None]

SHORTEST_READ = 0.001  # seconds; what has arrived already is still taken


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


class Reading:
    """How long reading from one connection may take.

    The HTTP library fixes that when it begins to read a body, which is too early to know the rest of a
    deadline; so the stream of bytes below it is given the time. ``end()`` before anybody else reads from it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._moment: float | None = None
        if connection is not None:
            self._read = connection.read
            connection.read = self._read_in_time

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """Let what is read meanwhile arrive in time, else raise the HTTP library's timeout."""
        self._moment = None if seconds is None else time.monotonic() + seconds
        yield

    def end(self) -> None:
        """Leave the connection as it was."""
        if self._connection is not None:
            vars(self._connection).pop("read", None)

    def _read_in_time(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._moment is not None:
            left = max(SHORTEST_READ, self._moment - time.monotonic())
            timeout = left if timeout is None else min(timeout, left)
        received: bytes = self._read(max_bytes, timeout)
        return received


class Locks:
    """One lock for each owner, for as long as the owner lives."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[object, threading.Lock] = WeakKeyDictionary()
        self._guard = threading.Lock()

    def of(self, owner: object) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(owner, threading.Lock())
