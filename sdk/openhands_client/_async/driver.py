"""Performs flows: sends what they ask to send, waits where they ask to wait, throws failures back into them.

A resource that a flow opened lives as long as the flow: however it ends, by return, failure, cancellation
or a loop that was left, the driver closes what is still open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from openhands_client._core.commands import (
    Alone,
    Call,
    Close,
    Command,
    Connect,
    Emit,
    Flow,
    Open,
    Read,
    Receive,
    Send,
    Sleep,
    Together,
    Transmit,
)
from openhands_client._core.session import Session

from .compat import Locks, Stream, call, together
from .sockets import AsyncSocket
from .transport import AsyncStreamedBody, AsyncTransport

T = TypeVar("T")

Resource = AsyncStreamedBody | AsyncSocket

TURNS = Locks()  # of all clients: they may share what renews their tokens


class AsyncDriver:
    """A session and the connections to live it."""

    def __init__(self, session: Session, transport: AsyncTransport) -> None:
        self.session = session
        self.transport = transport

    def sharing(self, session: Session) -> AsyncDriver:
        """The same connections for another session."""
        return AsyncDriver(session, self.transport)

    async def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end and return its result."""
        opened: list[Resource] = []
        step: Callable[[], Command] = partial(next, flow)
        try:
            while True:
                step = await self._perform(step(), flow, opened)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            await self._close_all(flow, opened)

    async def iterate(
        self,
        flow: Flow[T],
        *,
        each: Callable[[Any], Any] | None = None,
        at_end: Callable[[T], None] | None = None,
    ) -> Stream[Any]:
        """Perform a flow and hand out ``each`` thing it emits; ``at_end`` gets its result."""
        opened: list[Resource] = []
        step: Callable[[], Command] = partial(next, flow)
        try:
            while True:
                command = step()
                if isinstance(command, Emit):
                    yield command.value if each is None else each(command.value)
                    step = partial(flow.send, None)
                else:
                    step = await self._perform(command, flow, opened)
        except StopIteration as stop:
            if at_end is not None:
                at_end(stop.value)
        finally:
            await self._close_all(flow, opened)

    async def _perform(
        self, command: Command, flow: Flow[Any], opened: list[Resource]
    ) -> Callable[[], Command]:
        """Do what the flow asked for; the result is the flow's next step, with the reply or the failure."""
        try:
            if not isinstance(command, Close):
                self.transport.check_open()
            reply = await self._do(command, opened)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the flow decides
            return partial(flow.throw, failure)
        return partial(flow.send, reply)

    async def _do(self, command: Command, opened: list[Resource]) -> Any:
        match command:
            case Send(request):
                return await self.transport.send(request)
            case Sleep(seconds):
                return await self.transport.sleep(seconds)
            case Call(function, arguments):
                return await call(function, arguments)
            case Alone(owner, inner):
                async with TURNS.of(owner):
                    return await self.run(inner)
            case Together(flows, limit, threads):
                return await together(self.run, flows, limit, threads=threads)
            case Open(request):
                body = await self.transport.open(request)
                opened.append(body)
                return body
            case Read(AsyncStreamedBody() as body, timeout):
                return await body.read(timeout)
            case Connect(url, timeout, headers):
                socket = await self.transport.connect(url, timeout, headers)
                opened.append(socket)
                return socket
            case Receive(AsyncSocket() as socket, timeout):
                return await socket.receive(timeout)
            case Transmit(AsyncSocket() as socket, frame):
                return await socket.send(frame)
            case Close(AsyncStreamedBody() | AsyncSocket() as resource):
                opened.remove(resource)
                return await self.transport.release(resource)
            case _:
                raise TypeError(
                    f"a flow asked for {type(command).__name__}, which this driver cannot perform"
                )

    async def _close_all(self, flow: Flow[Any], opened: list[Resource]) -> None:
        flow.close()
        for resource in reversed(opened):
            await self.transport.release(resource)
