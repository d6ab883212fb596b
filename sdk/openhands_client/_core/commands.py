"""What a flow may ask for.

A *flow* is a generator. It yields commands, a driver performs them, sends back the reply, and throws a
failure into the flow where the command stands. So a rule is written once, for sync and async callers
alike, and can be tested by playing the driver.

Flows use the helpers below (``response = yield from send(request)``) because a bare ``yield`` has no type.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")


class FilePart(NamedTuple):
    """One file of a multipart form; ``content`` is read as it is sent."""

    field: str
    name: str
    content: bytes | IO[bytes]


@dataclass(slots=True)
class Request:
    """One HTTP request.

    ``timeout`` is the longest silence, ``limit`` the time for the whole answer, both in seconds; None waits
    for ever.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    timeout: float | None = None
    files: Sequence[FilePart] = ()
    limit: float | None = None


@dataclass(slots=True)
class Response:
    """One whole HTTP answer, with lower-case header names. ``received_at`` is in seconds since 1970."""

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    received_at: float | None = field(default=None, repr=False, compare=False)

    @property
    def is_json(self) -> bool:
        return "json" in self.headers.get("content-type", "")

    @property
    def is_html(self) -> bool:
        return "text/html" in self.headers.get("content-type", "")

    @property
    def retry_after(self) -> float | None:
        """The ``Retry-After`` header in seconds; it may be a number or a date (RFC 9110, 10.2.3).

        A date is counted from the server's own ``Date``, so that its clock need not agree with ours.
        """
        value = self.headers.get("retry-after")
        if value is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            then, now = _moment(value), self.sent_at
            return None if then is None or now is None else max(0.0, then - now)

    @property
    def sent_at(self) -> float | None:
        """When the server answered, in seconds since 1970, on its clock where it tells, else on ours."""
        told = _moment(self.headers.get("date", ""))
        return self.received_at if told is None else told


def _moment(date: str) -> float | None:
    """An HTTP date in seconds since 1970; None for anything else."""
    parts = email.utils.parsedate_tz(date)
    try:
        return None if parts is None else float(email.utils.mktime_tz(parts))
    except (ValueError, OverflowError):  # a year that no calendar has
        return None


class Body(Protocol):
    """An answer whose body is still arriving."""

    @property
    def head(self) -> Response: ...


class Socket(Protocol):
    """An open WebSocket."""


class SocketRefused(Exception):
    """The server answered the WebSocket handshake with an HTTP status."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the WebSocket handshake was answered with HTTP {status_code}")
        self.status_code = status_code


class SocketClosed(Exception):
    """The WebSocket is closed. ``code`` 1006 means: without a goodbye."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the WebSocket was closed with code {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


class Send(NamedTuple):
    request: Request


class Open(NamedTuple):
    request: Request


class Read(NamedTuple):
    body: Body
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Connect:
    url: str = field(repr=False)
    timeout: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Receive(NamedTuple):
    socket: Socket
    timeout: float


class Transmit(NamedTuple):
    socket: Socket
    frame: str


class Close(NamedTuple):
    resource: Body | Socket


class Sleep(NamedTuple):
    seconds: float


class Call(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Alone(NamedTuple):
    owner: object
    flow: Flow[Any]


class Together(NamedTuple):
    flows: Sequence[Flow[Any]]
    limit: int
    threads: bool = False


class Emit(NamedTuple):
    value: Any


Command: TypeAlias = (
    Send | Open | Read | Connect | Receive | Transmit | Close | Sleep | Call | Alone | Together | Emit
)
Flow: TypeAlias = Generator[Command, Any, T]


def send(request: Request) -> Flow[Response]:
    """Send a request and read the whole answer. Fails with APIConnectionError."""
    response: Response = yield Send(request)
    return response


def open_body(request: Request) -> Flow[Body]:
    """Send a request and read only the head of the answer. The driver closes it when the flow ends."""
    body: Body = yield Open(request)
    return body


def read(body: Body, timeout: float | None = None) -> Flow[bytes]:
    """The next piece of a body as it arrived; empty at its end. Fails with APIConnectionError.

    After ``timeout`` seconds it fails with APITimeoutError, and earlier where the request said so.
    """
    piece: bytes = yield Read(body, timeout)
    return piece


def connect(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> Flow[Socket]:
    """Open a WebSocket within ``timeout`` seconds. Fails with SocketRefused or APIConnectionError."""
    socket: Socket = yield Connect(url, timeout, headers or {})
    return socket


def receive(socket: Socket, timeout: float) -> Flow[str | None]:
    """The next text frame, or None when there was none in ``timeout`` seconds. Fails with SocketClosed."""
    frame: str | None = yield Receive(socket, timeout)
    return frame


def transmit(socket: Socket, frame: str) -> Flow[None]:
    """Send a text frame. Fails with SocketClosed."""
    yield Transmit(socket, frame)


def close(resource: Body | Socket) -> Flow[None]:
    """Close a body or socket before the flow ends."""
    yield Close(resource)


def sleep(seconds: float) -> Flow[None]:
    yield Sleep(seconds)


def call_back(function: Callable[..., Any], *arguments: Any) -> Flow[Any]:
    """Call a function of the user's; under async, it may be a coroutine function."""
    result: Any = yield Call(function, arguments)
    return result


def alone(owner: object, flow: Flow[T]) -> Flow[T]:
    """The result of a flow that no other flow of the same owner runs beside."""
    result: T = yield Alone(owner, flow)
    return result


def together(flows: Sequence[Flow[T]], limit: int, *, threads: bool = False) -> Flow[list[T]]:
    """The results of several flows, in their order; under async, at most ``limit`` at a time run at once.

    So they do under sync with ``threads``, which is for callers who asked for it; without, one runs after the
    other. None of them may emit. The first failure ends all.
    """
    results: list[T] = yield Together(flows, limit, threads)
    return results


def emit(value: Any) -> Flow[None]:
    """Hand a value to whoever iterates over the flow."""
    yield Emit(value)


def silence(flow: Flow[T]) -> Flow[T]:
    """The same flow, with what it emits dropped."""
    return catch(flow, lambda value: None)


def catch(flow: Flow[T], take: Callable[[Any], object]) -> Flow[T]:
    """The same flow, with what it emits given to ``take`` instead."""

    def taken(command: Command) -> bool:
        if not isinstance(command, Emit):
            return False
        take(command.value)
        return True

    return _relay(flow, taken)


def guarded(flow: Flow[T], check: Callable[[], None]) -> Flow[T]:
    """The same flow, which ends before its next command with what ``check`` raises."""

    def checked(_: Command) -> bool:
        check()
        return False

    return _relay(flow, checked)


def _relay(flow: Flow[T], deal_with: Callable[[Command], bool]) -> Flow[T]:
    """The same flow, with those commands left out that have been dealt with."""
    step: Callable[[], Command] = partial(next, flow)
    try:
        while True:
            command = step()
            if deal_with(command):
                step = partial(flow.send, None)
                continue
            try:
                reply = yield command
            except Exception as failure:  # noqa: BLE001 - whatever it is, the inner flow decides
                step = partial(flow.throw, failure)
            else:
                step = partial(flow.send, reply)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()
