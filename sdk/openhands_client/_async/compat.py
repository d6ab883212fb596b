"""What the async side and the sync side cannot share. Its twin is ``_sync/compat.py``, written by hand."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from openhands_client._core.commands import Flow
from openhands_client.errors import APITimeoutError
from openhands_client.processes import PerProcess

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

T = TypeVar("T")

Stream: TypeAlias = AsyncGenerator[T, None]
Loop: TypeAlias = asyncio.AbstractEventLoop


ELSEWHERE = "in another process or event loop"


class Closable(Protocol):
    async def aclose(self) -> None: ...


def place() -> object:
    """Where a connection can be used: in the process and the event loop that it was opened in."""
    return os.getpid(), asyncio.get_running_loop()


class Alarm:
    """Wakes all who sleep, in whichever event loop."""

    def __init__(self) -> None:
        self._sleepers: set[asyncio.Future[None]] = set()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or when the alarm rings."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await asyncio.wait([sleeper], timeout=seconds)
        finally:
            self._sleepers.discard(sleeper)
            sleeper.cancel()

    def ring(self) -> None:
        for sleeper in list(self._sleepers):
            if not sleeper.get_loop().is_closed():
                sleeper.get_loop().call_soon_threadsafe(sleeper.cancel)


class Pools(Generic[T]):
    """A pool of connections for each event loop, because they cannot leave theirs.

    A loop that shuts down closes its pool; the client can go on in another loop.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._homes: PerProcess[dict[Loop, tuple[T, Stream[T]]]] = PerProcess(dict)

    @property
    def open(self) -> bool:
        """Whether this process has opened one, and nobody has closed it."""
        return bool(self._homes.mine)

    async def enter(self) -> T:
        """The pool of the running loop, opened when first needed."""
        homes, loop = self._homes.mine, asyncio.get_running_loop()
        if loop not in homes:
            life = _life(self._make, self._close)
            homes[loop] = (await anext(life), life)
            _forget_closed(homes)
        return homes[loop][0]

    def leave(self) -> None:
        """Of no consequence here: whoever waits in a pool that is closed is woken by the loop."""

    async def aclose(self) -> None:
        """Close the pools of all loops. Where a loop stands still, its own end has to do."""
        homes = self._homes.mine
        while homes:
            loop, (pool, life) = homes.popitem()
            if loop is asyncio.get_running_loop():
                await self._end(pool, life)
            elif loop.is_running():
                ending = asyncio.run_coroutine_threadsafe(self._end(pool, life), loop)
                await asyncio.wrap_future(ending)

    def drop(self) -> None:
        """Nobody needs them any more. Their loops close them when the generators are collected."""
        self._homes.mine.clear()

    async def _end(self, pool: T, life: Stream[T]) -> None:
        await self._close(pool)
        with suppress(RuntimeError):  # says that its loop, which shuts down, is just doing the same
            await life.aclose()


async def _life(make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> Stream[T]:
    """Hand out a pool, and close it in the end: a loop that shuts down ends all its generators."""
    pool = make()
    try:
        yield pool
    finally:
        await close(pool)


def _forget_closed(by_loop: dict[Loop, Any]) -> None:
    for loop in [loop for loop in by_loop if loop.is_closed()]:
        del by_loop[loop]


async def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function of the user's, which may be a coroutine function."""
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result


def in_background(function: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """The same function, for a ``Call``, done in a thread because it would hold up the event loop."""
    return partial(asyncio.to_thread, function)


def connect_websocket(url: str, **options: Any) -> AbstractAsyncContextManager[ClientConnection]:
    """Open a WebSocket on entering. The library is loaded here, because many programs never need it."""
    from websockets.asyncio.client import connect

    class Direct(connect):
        """Follows no redirect, as the sync one does: the headers and the query hold our credentials."""

        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    opening: AbstractAsyncContextManager[ClientConnection] = Direct(url, **options)
    return opening


async def receive(connection: ClientConnection, timeout: float) -> str | bytes:
    """The next frame. Raises TimeoutError after ``timeout`` seconds."""
    async with asyncio.timeout(timeout):
        return await connection.recv()


async def close_all(sockets: Iterable[Closable]) -> None:
    """Close so many at once."""
    await asyncio.gather(*(socket.aclose() for socket in sockets))


async def together(
    run: Callable[[Flow[T]], Awaitable[T]], flows: Sequence[Flow[T]], limit: int, *, threads: bool
) -> list[T]:
    """Run all flows, at most ``limit`` at once. When one fails, the others are cancelled and waited for.

    Tasks do here what the sync side needs ``threads`` for.
    """
    gate = asyncio.Semaphore(limit)
    failed = False

    async def one(flow: Flow[T]) -> T:
        nonlocal failed
        async with gate:
            if failed:  # the cancellation is on its way
                raise asyncio.CancelledError
            try:
                return await run(flow)
            except BaseException:
                failed = True
                raise

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


class Gate:
    """Lets ``size`` at a time pass, in each event loop; there can be thousands of tasks."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._homes: dict[Loop, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def passed(self, seconds: float | None) -> Stream[None]:
        """Raises APITimeoutError when the turn has not come after so many seconds."""
        loop = asyncio.get_running_loop()
        if loop not in self._homes:
            _forget_closed(self._homes)
            self._homes[loop] = asyncio.Semaphore(self._size)
        gate = self._homes[loop]
        try:
            async with asyncio.timeout(seconds):
                await gate.acquire()
        except TimeoutError:
            reason = "too many requests were under way before this one"
            raise APITimeoutError(reason, request_sent=False) from None
        try:
            yield
        finally:
            gate.release()


class Locks:
    """One lock for each owner, for as long as the owner lives; in each event loop, which locks cannot leave."""

    def __init__(self) -> None:
        self._homes: dict[Loop, WeakKeyDictionary[object, asyncio.Lock]] = {}

    def of(self, owner: object) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if loop not in self._homes:
            _forget_closed(self._homes)
            self._homes[loop] = WeakKeyDictionary()
        return self._homes[loop].setdefault(owner, asyncio.Lock())
