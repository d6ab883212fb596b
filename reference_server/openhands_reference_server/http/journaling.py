"""Writes down what goes over the wire: the outermost WSGI layer of a server that is under control."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from openhands_reference_server.control.journal import Journal, Recording
from openhands_reference_server.control.matching import Asked, ServerName
from openhands_reference_server.control.redaction import environ_headers

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]
OperationOf = Callable[[Mapping[str, Any]], str | None]

_RECORDING = "openhands.recording"


class Journaling:
    """Notes every request to an application and its answer.

    Args:
        app: answers.
        server: which server it is.
        journal: keeps the notes.
        operation_of: the `operationId` of a request, if it has one.
    """

    def __init__(self, app: Wsgi, server: ServerName, journal: Journal, operation_of: OperationOf) -> None:
        self._app = app
        self._server: ServerName = server
        self._journal = journal
        self._operation_of = operation_of

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        asked = describe(environ, self._server, self._operation_of)
        recording = self._journal.begin(asked, environ.get("QUERY_STRING", ""), environ_headers(environ))
        environ[_RECORDING] = recording
        environ["wsgi.input"] = _Tapped(environ["wsgi.input"], recording)
        length = _Length()

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            recording.answer(int(status[:3]), headers)
            length.read(headers)
            return start_response(status, headers, *more)

        try:
            return _Watched(self._app(environ, start), recording, length)
        except BaseException:
            recording.end()
            raise


def recording_of(environ: Mapping[str, Any]) -> Recording | None:
    """The recording of a request, if there is a journal."""
    recording: Recording | None = environ.get(_RECORDING)
    return recording


def describe(environ: Mapping[str, Any], server: ServerName, operation_of: OperationOf) -> Asked:
    """What of a request can be matched."""
    method, path = (
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
    )
    upgrade = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    if path.startswith("/socket.io/"):
        opens = "sid" not in parse_qs(environ.get("QUERY_STRING", ""))
        return Asked(server, "socketio", method, path, None, upgrade, opens)
    return Asked(
        server, "websocket" if upgrade else "http", method, path, operation_of(environ), upgrade, upgrade
    )


class _Length:
    """How long the answer says it is; None while it does not say."""

    value: int | None = None

    def read(self, headers: Iterable[tuple[str, str]]) -> None:
        for name, value in headers:
            if name.lower() == "content-length" and value.isdigit():
                self.value = int(value)


class _Tapped:
    """The body of a request; what is read of it is noted."""

    def __init__(self, stream: Any, recording: Recording) -> None:
        self._stream = stream
        self._recording = recording

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def read(self, *size: int) -> bytes:
        return self._noted(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._noted(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._noted(line) for line in self._stream.readlines(*hint)]

    def readinto(self, buffer: Any) -> int:
        """Not every web server has this for a body; reading does."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _noted(self, data: bytes) -> bytes:
        self._recording.receive(data)
        return data


class _Watched:
    """The body of an answer; it is noted, and the exchange is over when the last of it goes out."""

    def __init__(self, answer: Iterable[bytes], recording: Recording, length: _Length) -> None:
        self._answer = answer
        self._recording = recording
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        said = 0
        try:
            for part in self._answer:
                said += len(part)
                self._recording.send(part)
                if self._length.value is not None and said >= self._length.value:
                    self._recording.end()  # before the client has it, so that who has it finds it noted
                yield part
        finally:
            self._recording.end()

    def close(self) -> None:
        """The web server is done with it."""
        self._recording.end()
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()
