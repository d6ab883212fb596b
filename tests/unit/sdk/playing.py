"""Plays the driver: runs a flow against a scripted peer, on a clock that only a Sleep moves.

A *peer* maps commands to replies; a reply that is an exception is thrown into the flow, as a driver
would. ``Script`` answers in order, ``Routes`` by method and path. Whatever a flow did is kept by the
player, to be asserted on: what was sent, slept, emitted, and which resources were left open.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from hypothesis import settings

from openhands_client._core.auth import Auth, Endpoint
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
    Request,
    Response,
    Send,
    Sleep,
    Together,
)
from openhands_client._core.retry import RetryPolicy
from openhands_client._core.session import Session

T = TypeVar("T")

BASE = "http://app.test"
PATIENT = settings(deadline=None)  # machines are slow at times; what is tested is not speed
LONGEST_PLAY = 20_000  # commands; a flow that asks for more would never end


class Clock:
    """Stands still unless it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Player:
    """Plays flows with ``peer`` on the other side."""

    peer: Callable[[Command], Any]
    clock: Clock = field(default_factory=Clock)
    asked: list[Command] = field(default_factory=list)
    emitted: list[Any] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)

    def play(self, flow: Flow[T]) -> T:
        """Run the flow to its end: its result, or its failure."""
        step: Callable[[], Command] = partial(next, flow)
        while True:
            try:
                command = step()
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.asked.append(command)
            assert len(self.asked) < LONGEST_PLAY, "this flow does not end"
            try:
                reply = self._perform(command)
            except Exception as failure:  # noqa: BLE001 - whatever it is, the flow decides
                step = partial(flow.throw, failure)
            else:
                step = partial(flow.send, reply)

    def _perform(self, command: Command) -> Any:
        match command:
            case Emit(value):
                self.emitted.append(value)
                return None
            case Sleep(seconds):
                assert seconds >= 0
                self.clock.advance(seconds)
                return None
            case Call(function, arguments):
                return function(*arguments)
            case Alone(_, inner):
                return self.play(inner)
            case Together(flows, _):
                return [self.play(inner) for inner in flows]
            case Close(resource):
                self.opened.remove(resource)
                return None
        reply = self.peer(command)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(command, (Open, Connect)):
            self.opened.append(reply)
        return reply

    @property
    def requests(self) -> list[Request]:
        """All that was sent over HTTP, in order."""
        return [command.request for command in self.asked if isinstance(command, (Send, Open))]

    @property
    def lines(self) -> list[str]:
        """Method and path of every request."""
        return [line_of(request) for request in self.requests]

    @property
    def slept(self) -> list[float]:
        return [command.seconds for command in self.asked if isinstance(command, Sleep)]


class Script:
    """Replies in the given order. A callable among them is asked for its reply to the command."""

    def __init__(self, *replies: Any) -> None:
        self._replies = list(replies)

    def __call__(self, command: Command) -> Any:
        assert self._replies, f"nothing is scripted for {command}"
        reply = self._replies.pop(0)
        return reply(command) if callable(reply) else reply

    @property
    def left(self) -> int:
        return len(self._replies)


class Routes:
    """Replies by ``"METHOD /path"``; a list of replies is used up until its last, which stays.

    A path it does not know is answered as servers do: 404 ``{"detail": "Not Found"}``. A callable gets the
    request. Bodies (see ``Pieces``) and sockets are driven by themselves.
    """

    def __init__(self, routes: Mapping[str, Any]) -> None:
        self._routes = {
            line: list(reply) if isinstance(reply, list) else reply for line, reply in routes.items()
        }

    def __call__(self, command: Command) -> Any:
        match command:
            case Send(request):
                return self.answer(request)
            case Open(request):
                reply = self.answer(request)
                return Pieces(reply.content, head=reply) if isinstance(reply, Response) else reply
            case Read(Pieces() as pieces):
                return pieces.read()
            case Receive(socket, timeout):
                return socket.receive(timeout)  # type: ignore[attr-defined]  # a socket of the test's making
            case Connect(url):
                return self._reply(f"CONNECT {urlsplit(url).path}", command)
        raise AssertionError(f"nobody answers {command}")

    def answer(self, request: Request) -> Any:
        return self._reply(line_of(request), request)

    def _reply(self, line: str, asked: Any) -> Any:
        if line not in self._routes:
            return answer({"detail": "Not Found"}, 404)
        reply = self._routes[line]
        if isinstance(reply, list):
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        return reply(asked) if callable(reply) else reply


class Pieces:
    """A body that arrives in pieces; an exception among them is what reading it fails with."""

    def __init__(self, *pieces: bytes | Exception | Callable[[], Any], head: Response | None = None) -> None:
        self.head = head or answer([])
        self._pieces = list(pieces)

    def read(self) -> Any:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        return piece() if callable(piece) else piece


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer; header names are written with underscores."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"content-type": "application/json", **fields}, json.dumps(body).encode())


def page(status: int = 200) -> Response:
    """What a single-page application answers to every path."""
    return Response(
        status, {"content-type": "text/html; charset=utf-8"}, b"<!doctype html><title>App</title>"
    )


def text(content: str, status: int) -> Response:
    return Response(status, {"content-type": "text/plain; charset=utf-8"}, content.encode())


def redirect(location: str, status: int = 307) -> Response:
    return Response(status, {"location": location}, b"")


def line_of(request: Request) -> str:
    return f"{request.method} {urlsplit(request.url).path}"


def query_of(request: Request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.url).query, keep_blank_values=True)


def body_of(request: Request) -> Any:
    return None if request.content is None else json.loads(request.content)


def session_on(
    clock: Clock,
    *,
    base_url: str = BASE,
    api_key: str | None = None,
    session_api_key: str | None = None,
    auth: Auth | None = None,
    headers: Mapping[str, str] | None = None,
    max_retries: int = 2,
    timeout: float | None = 60.0,
    api: Any = "auto",
) -> Session:
    """A session that lives on the test's clock."""
    endpoint = Endpoint.app(
        base_url, api_key=api_key, session_api_key=session_api_key, auth=auth, headers=headers
    )
    policy = RetryPolicy(max_retries=max_retries)
    return Session(endpoint, timeout, policy, api, clock=clock, luck=lambda: 1.0)


def cut(content: bytes, at: Iterable[int]) -> list[bytes]:
    """``content`` in pieces, cut at these offsets; none of them empty."""
    edges = sorted({0, len(content), *(offset for offset in at if 0 < offset < len(content))})
    return [content[start:end] for start, end in itertools.pairwise(edges)]
