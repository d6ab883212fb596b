# Generated from sdk/openhands_client/_async/driver.py by scripts/unasync.py. Do not edit.
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
from .sockets import Socket
from .transport import StreamedBody, Transport

T = TypeVar("T")

Resource = StreamedBody | Socket

TURNS = Locks()  # of all clients: they may share what renews their tokens


class Driver:
    """A session and the connections to live it."""

    def __init__(self, session: Session, transport: Transport) -> None:
        self.session = session
        self.transport = transport

    def sharing(self, session: Session) -> Driver:
        """The same connections for another session."""
        return Driver(session, self.transport)

    def run(self, flow: Flow[T]) -> T:
        """Perform a flow to its end and return its result."""
        opened: list[Resource] = []
        step: Callable[[], Command] = partial(next, flow)
        try:
            while True:
                step = self._perform(step(), flow, opened)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            self._close_all(flow, opened)

    def iterate(
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
                    step = self._perform(command, flow, opened)
        except StopIteration as stop:
            if at_end is not None:
                at_end(stop.value)
        finally:
            self._close_all(flow, opened)

    def _perform(self, command: Command, flow: Flow[Any], opened: list[Resource]) -> Callable[[], Command]:
        """Do what the flow asked for; the result is the flow's next step, with the reply or the failure."""
        try:
            if not isinstance(command, Close):
                self.transport.check_open()
            reply = self._do(command, opened)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the flow decides
            return partial(flow.throw, failure)
        return partial(flow.send, reply)

    def _do(self, command: Command, opened: list[Resource]) -> Any:
        match command:
            case Send(request):
                return self.transport.send(request)
            case Sleep(seconds):
                return self.transport.sleep(seconds)
            case Call(function, arguments):
                return call(function, arguments)
            case Alone(owner, inner):
                with TURNS.of(owner):
                    return self.run(inner)
            case Together(flows, limit, threads):
                return together(self.run, flows, limit, threads=threads)
            case Open(request):
                body = self.transport.open(request)
                opened.append(body)
                return body
            case Read(StreamedBody() as body, timeout):
                return body.read(timeout)
            case Connect(url, timeout, headers):
                socket = self.transport.connect(url, timeout, headers)
                opened.append(socket)
                return socket
            case Receive(Socket() as socket, timeout):
                return socket.receive(timeout)
            case Transmit(Socket() as socket, frame):
                return socket.send(frame)
            case Close(StreamedBody() | Socket() as resource):
                opened.remove(resource)
                return self.transport.release(resource)
            case _:
                raise TypeError(
                    f"a flow asked for {type(command).__name__}, which this driver cannot perform"
                )

    def _close_all(self, flow: Flow[Any], opened: list[Resource]) -> None:
        flow.close()
        for resource in reversed(opened):
            self.transport.release(resource)
