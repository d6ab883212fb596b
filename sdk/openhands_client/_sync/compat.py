"""What the sync side and the async side cannot share. Its twin is ``_async/compat.py``; both by hand."""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from openhands_client._core.commands import Flow, guarded
from openhands_client.processes import PerProcess

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

T = TypeVar("T")

Stream: TypeAlias = Generator[T, None, None]

ELSEWHERE = "in another process"
SHORTEST_READ = 0.001  # seconds; what has arrived already is still taken


class Closable(Protocol):
    def close(self) -> None: ...


def place() -> object:
    """Where a connection can be used: in the process that it was opened in."""
    return os.getpid()


class Alarm:
    """Wakes all who sleep."""

    def __init__(self) -> None:
        self._bell = PerProcess(threading.Event)

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or when the alarm rings."""
        self._bell.mine.wait(seconds)

    def ring(self) -> None:
        self._bell.mine.set()


class Pools(Generic[T]):
    """A pool of connections, opened once, however many threads need it first."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self._shared = PerProcess(lambda: _SharedPool(make, close))

    @property
    def open(self) -> bool:
        """Whether this process has opened it, and nobody has closed it."""
        shared = self._shared.mine
        return shared.pool is not None and not shared.closing

    def enter(self) -> T:
        """The pool, opened when first needed; ``leave()`` it when the answer is there."""
        return self._shared.mine.enter()

    def leave(self) -> None:
        self._shared.mine.leave()

    def close(self) -> None:
        """Close the pool when all have left it."""
        self._shared.mine.close()

    drop = close


class _SharedPool(Generic[T]):
    """It is closed by the last thread that leaves it: a socket that is closed while another thread waits for
    it never wakes that thread, and its number may be another socket's by then."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self.pool: T | None = None
        self.closing = False
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._inside = 0

    def enter(self) -> T:
        with self._lock:
            if self.pool is None:
                self.pool = self._make()
            self._inside += 1
            return self.pool

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
        self._close_if_done()

    def close(self) -> None:
        self.closing = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        with self._lock:
            if not self.closing or self._inside or self.pool is None:
                return
            pool, self.pool = self.pool, None
        self._close(pool)


def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's. Raises TypeError for a coroutine function, which nobody would await."""
    result = function(*arguments)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(f"{function!r} is a coroutine function; use it with the async client")
    return result


def in_background(function: Callable[..., T]) -> Callable[..., T]:
    """The same function, for a ``Call``; here, whoever calls waits for it anyway."""
    return function


def connect_websocket(url: str, **options: Any) -> AbstractContextManager[ClientConnection]:
    """Open a WebSocket. The library is loaded here, because many programs never need it."""
    from websockets.sync.client import connect

    opening: AbstractContextManager[ClientConnection] = connect(url, **options)
    return opening


def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    return connection.recv(timeout)


def close_all(sockets: Iterable[Closable]) -> None:
    """Close them one after the other."""
    for socket in sockets:
        socket.close()


def together(run: Callable[[Flow[T]], T], flows: Sequence[Flow[T]], limit: int, *, threads: bool) -> list[T]:
    """Run all flows: with ``threads``, at most ``limit`` at once, else one after the other.

    When one fails, or this thread is interrupted, the others end before their next command, and are waited for.
    """
    if not threads or limit == 1:
        return [run(flow) for flow in flows]
    from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed

    stopping = threading.Event()

    def check() -> None:
        if stopping.is_set():
            raise CancelledError

    def one(flow: Flow[T]) -> T:
        check()
        try:
            return run(guarded(flow, check))
        except BaseException:
            stopping.set()
            raise

    with ThreadPoolExecutor(limit, thread_name_prefix="openhands-client") as pool:
        running = [pool.submit(one, flow) for flow in flows]
        try:
            for done in as_completed(running):
                failure = done.exception()
                if failure is not None and not isinstance(
                    failure, CancelledError
                ):  # else its cause comes yet
                    raise failure
        finally:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return [done.result() for done in running]


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


class Gate:
    """Lets everybody pass: there are never so many threads."""

    def __init__(self, size: int) -> None:
        self._open = nullcontext()

    def passed(self, seconds: float | None) -> AbstractContextManager[None]:
        """No turn is waited for."""
        return self._open


class Locks:
    """One lock for each owner, for as long as the owner lives."""

    def __init__(self) -> None:
        self._locks: PerProcess[WeakKeyDictionary[object, threading.Lock]] = PerProcess(WeakKeyDictionary)
        self._guard = PerProcess(threading.Lock)

    def of(self, owner: object) -> threading.Lock:
        with self._guard.mine:
            return self._locks.mine.setdefault(owner, threading.Lock())
