"""Lets faults happen to requests: one WSGI layer in front of an application.

`faults.Faults` decides; this module delays, answers, cuts and resets. It works below Werkzeug and below
gunicorn, both of which show the raw socket of a request and say no more on it after `Dropped`. What
happens to a stream once it is open is only announced here (`fault_of_stream`): the modules that carry
its events let it happen.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from werkzeug.datastructures import Headers
from werkzeug.wsgi import get_input_stream

from openhands_reference_server.control.faults import (
    UNHARMED,
    Answer,
    CloseSocketIO,
    CloseWebSocket,
    Drop,
    Effect,
    Faults,
    HtmlPage,
    MalformedJson,
    ResetAfterAnswer,
    Stall,
    Truncate,
    Verdict,
)
from openhands_reference_server.control.journal import Recording
from openhands_reference_server.http.answers import dumps
from openhands_reference_server.http.connections import Dropped, cut, has_hung_up, raw_socket, reset
from openhands_reference_server.http.journaling import Environ, StartResponse, Wsgi, recording_of

StreamFault = TypeVar("StreamFault", CloseWebSocket, CloseSocketIO)

_STREAM_FAULT = "openhands.stream_fault"
_LOOK_SECONDS = 0.2
_PIECE = 64 * 1024
_BODILESS = (204, 304)


class Patience:
    """Waits for one server, until the time is up or nobody has any reason to wait longer."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        """Let all who wait now wait no longer."""
        ended, self._ended = self._ended, threading.Event()
        ended.set()

    def wait(self, seconds: float, client: socket.socket | None) -> bool:
        """Wait so many seconds; False when the server, or the client, ended in the meantime."""
        ended, until = self._ended, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if ended.wait(min(left, _LOOK_SECONDS)) or (client is not None and has_hung_up(client)):
                return False
        return True

    def wait_for_data(self, client: socket.socket) -> None:
        """Wait until the client sends something, or hangs up, or the server ends."""
        ended = self._ended
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            while not ended.is_set() and not selector.select(_LOOK_SECONDS):
                continue


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for an answer."""

    recording: Recording
    connection: socket.socket | None

    def hang_up(self, how: Callable[[socket.socket], None] = cut) -> NoReturn:
        """End the connection.

        Raises:
            Dropped: always, for the web server to know.
        """
        self.recording.end()
        if self.connection is not None:
            how(self.connection)
        raise Dropped


@dataclass(frozen=True, slots=True)
class Handled:
    """A whole answer of the application."""

    status: str
    headers: Headers
    body: bytes

    @property
    def head(self) -> list[tuple[str, str]]:
        """Its headers, with the length of its body."""
        headers = self.headers.copy()
        if int(self.status[:3]) not in _BODILESS and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(self.body))
        return list(headers)

    def as_bytes(self) -> bytes:
        """It as HTTP/1.1 has it, on a connection that is kept alive."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self.head)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class Injection:
    """Lets faults happen in front of an application.

    Args:
        app: gets what goes on.
        faults: decides.
        patience: waits.
        expire_tokens: what the expiry of tokens means here.
    """

    def __init__(
        self, app: Wsgi, faults: Faults, patience: Patience, expire_tokens: Callable[[], object]
    ) -> None:
        self._app = app
        self._faults = faults
        self._patience = patience
        self._expire_tokens = expire_tokens

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request, or what is left of it."""
        recording = recording_of(environ)
        verdict = UNHARMED
        if self._faults.armed and recording is not None:
            verdict = self._faults.decide(recording.asked)
        if recording is None or verdict is UNHARMED:
            return self._app(environ, start_response)
        recording.hit(verdict.rules)
        return self._harmed(verdict, Caller(recording, raw_socket(environ)), environ, start_response)

    def _harmed(
        self, verdict: Verdict, caller: Caller, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        self._wait(verdict.delay_before, caller)
        if verdict.expire_tokens:
            self._expire_tokens()
        match verdict.effect:
            case Drop(handled=False, reset=with_reset):
                _take_body(environ)
                caller.hang_up(reset if with_reset else cut)
            case Answer() | HtmlPage() as effect:
                _take_body(environ)
                answer = _answer_of(effect)
            case CloseWebSocket() | CloseSocketIO() as effect:
                environ[_STREAM_FAULT] = effect
                return self._app(environ, start_response)
            case None if not verdict.delay_after:
                return self._app(environ, start_response)
            case _:
                answer = self._handled(environ)
        self._wait(verdict.delay_after, caller)
        return self._told(verdict.effect, answer, caller, start_response)

    def _wait(self, seconds: float, caller: Caller) -> None:
        if not self._patience.wait(seconds, caller.connection):
            caller.hang_up()

    def _handled(self, environ: Environ) -> Handled:
        """Let the application handle the request, and keep its answer."""
        said: list[tuple[str, list[tuple[str, str]]]] = []
        parts: list[bytes] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
            said.append((status, headers))
            return parts.append

        answer = self._app(environ, start)
        try:
            parts += answer
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        status, headers = said[-1]
        return Handled(status, Headers(headers), b"".join(parts))

    def _told(
        self, effect: Effect | None, answer: Handled, caller: Caller, start_response: StartResponse
    ) -> Iterable[bytes]:
        """What the client gets to see of an answer."""
        match effect:
            case Drop(reset=with_reset):
                caller.hang_up(reset if with_reset else cut)
            case ResetAfterAnswer() if caller.connection is not None:
                self._answer_and_reset(answer, caller, caller.connection)
            case Truncate() | Stall():
                start_response(answer.status, answer.head)
                return self._piecemeal(effect, answer.body, caller)
            case MalformedJson():
                answer = _malformed(answer)
            case _:
                pass
        start_response(answer.status, answer.head)
        return [answer.body]

    def _answer_and_reset(self, answer: Handled, caller: Caller, connection: socket.socket) -> NoReturn:
        caller.recording.answer(int(answer.status[:3]), answer.head)
        caller.recording.send(answer.body)
        caller.recording.end()
        connection.sendall(answer.as_bytes())
        self._patience.wait_for_data(connection)
        caller.hang_up(reset)

    def _piecemeal(self, effect: Truncate | Stall, body: bytes, caller: Caller) -> Iterator[bytes]:
        """The body up to where something happens to it, and what is left of it then."""
        match effect:
            case Truncate(after=None):
                yield body[: len(body) // 2]
                caller.hang_up()
            case Truncate(after=int(after)):
                yield body[: max(0, min(after, len(body) - 1))]
                caller.hang_up()
            case Stall(after=after, seconds=seconds):
                yield body[:after]
                self._wait(seconds, caller)
                yield body[after:]


def fault_of_stream(environ: Mapping[str, Any], kind: type[StreamFault]) -> StreamFault | None:
    """What is going to happen to the stream that this request opens."""
    fault = environ.get(_STREAM_FAULT)
    return fault if isinstance(fault, kind) else None


def _take_body(environ: Environ) -> None:
    """Read what the client sends: it looks for an answer, or an end, when it has sent all."""
    body = get_input_stream(environ)
    while body.read(_PIECE):
        continue


def _answer_of(effect: Answer | HtmlPage) -> Handled:
    """The answer to a request that the application never sees."""
    if isinstance(effect, HtmlPage):
        headers = Headers({"Content-Type": "text/html; charset=utf-8"})
        return Handled(_status_line(200), headers, effect.html.encode())
    headers = Headers({"Content-Type": "application/json"})
    if effect.text is not None:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    if effect.retry_after is not None:
        headers["Retry-After"] = _retry_after(effect.retry_after)
    for name, value in effect.headers.items():
        headers[name] = value
    return Handled(_status_line(effect.status), headers, _body_of(effect))


def _body_of(effect: Answer) -> bytes:
    if effect.status in _BODILESS:
        return b""
    if effect.text is not None:
        return effect.text.encode()
    return dumps({"detail": _status_line(effect.status)[4:]} if effect.body is None else effect.body).encode()


def _retry_after(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _malformed(answer: Handled) -> Handled:
    """Half of the body, and an end that no JSON has."""
    if not answer.body:
        return answer
    headers = answer.headers.copy()
    headers.pop("Content-Length", None)
    return Handled(answer.status, headers, answer.body[: len(answer.body) // 2] + b",}")
