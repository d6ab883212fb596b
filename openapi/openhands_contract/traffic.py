"""What passes between a client and a server, as plain values: exchanges, sockets, frames.

The proxy makes them, recordings keep them, the observer judges them. None of the three knows the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal
from urllib.parse import parse_qsl, unquote

Headers = tuple[tuple[str, str], ...]


class Server(StrEnum):
    """Which of the two servers was asked."""

    APP = "app-server"
    AGENT = "agent-server"


class Direction(StrEnum):
    """Who sent a frame."""

    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"


FrameKind = Literal["text", "binary", "ping", "pong", "close", "drop"]
"""`close` is a close frame; `drop` the end of a connection without one."""


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a message.

    Attributes:
        data: what was kept of it.
        size: how long it was, in bytes; more than `data` holds when it was cut.
    """

    data: bytes = b""
    size: int = 0

    @property
    def is_whole(self) -> bool:
        return len(self.data) == self.size

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body that was kept as a whole."""
        return cls(data, len(data))


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked.

    Attributes:
        target: path and query, encoded as they were sent.
    """

    method: str
    target: str
    headers: Headers = ()
    body: Body = Body()

    @property
    def path(self) -> str:
        """The path, still encoded."""
        return self.target.partition("?")[0]

    @property
    def decoded_path(self) -> str:
        return unquote(self.path)

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    def header(self, name: str) -> str:
        """The first header of that name; empty when there is none."""
        return header(self.headers, name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to it.

    Attributes:
        broken: the connection ended before the answer did.
    """

    status: int
    headers: Headers = ()
    body: Body = Body()
    broken: bool = False

    def header(self, name: str) -> str:
        """The first header of that name; empty when there is none."""
        return header(self.headers, name)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        number: counts exchanges and sockets in the order in which they began.
        answer: None when the server gave none; `error` says why.
        at: when it began, in seconds since 1970.
        seconds: how long it took.
    """

    number: int
    server: Server
    request: Request
    answer: Answer | None
    error: str = ""
    at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SocketOpened:
    """A WebSocket that was accepted; one that was refused is an `Exchange`."""

    number: int
    server: Server
    request: Request
    answer: Answer
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A WebSocket frame.

    Attributes:
        socket: the number of its socket.
        data: its payload; the reason of a `close`.
        code: the code of a `close`; 0 when it had none.
        after: seconds since the socket was opened.
    """

    socket: int
    direction: Direction
    kind: FrameKind
    data: bytes = b""
    code: int = 0
    after: float = 0.0


Fact = Exchange | SocketOpened | Frame


@dataclass(slots=True)
class Clipping:
    """Keeps the beginning of a body that streams past.

    Attributes:
        limit: how many bytes are kept at most.
    """

    limit: int
    size: int = 0
    _kept: bytearray = field(default_factory=bytearray)

    def take(self, chunk: bytes) -> None:
        """Note the next piece."""
        self.size += len(chunk)
        self._kept += chunk[: max(0, self.limit - len(self._kept))]

    def body(self) -> Body:
        """What there was so far."""
        return Body(bytes(self._kept), self.size)


def header(headers: Iterable[tuple[str, str]], name: str) -> str:
    """The first header of that name, whatever its case; empty when there is none."""
    return next((value for key, value in headers if key.lower() == name.lower()), "")
