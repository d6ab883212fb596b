"""Both ports of a server that answers from a recording."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, cast

import simple_websocket
from simple_websocket import ConnectionClosed
from werkzeug.wrappers import Request as WerkzeugRequest
from wsproto.frame_protocol import CloseReason

from openhands_contract.recording.files import Recording
from openhands_contract.traffic import Answer, Body, Direction, Exchange, Frame, Headers, Request, Server
from openhands_reference_server.domain.identifiers import dashed
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.connections import SOCKET_KEYS, Connection
from openhands_reference_server.replay.repertoire import Pace, RecordedSocket, Repertoire
from openhands_reference_server.serving import Wsgi

_logger = logging.getLogger(__name__)
_PATIENCE = 5.0
_POLL_SECONDS = 20.0
_FAREWELL = 0.5
_NOT_REPLAYED = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)
_NO_CONTENT = (204, 304)
_NOTHING_NEW = Answer(200, (("Content-Type", "text/plain; charset=UTF-8"),), Body.of(b"6"))


class ReplayFront:
    """Answers what was recorded; takes the place of a `Front`.

    Args:
        recording: what to answer.
        agent_address: where clients find the agent server.
    """

    def __init__(self, recording: Recording, agent_address: AgentAddress) -> None:
        self._recording = recording
        self._agent_address = agent_address
        self._repertoire = Repertoire(recording)
        self._pace = Pace(self._repertoire.writes(), _PATIENCE)
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self.app_server: Wsgi = partial(self._serve, Server.APP)
        self.agent_server: Wsgi = partial(self._serve, Server.AGENT)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request for the port it came in on."""
        to_agent_server = environ["SERVER_PORT"] == str(self._agent_address.port)
        return (self.agent_server if to_agent_server else self.app_server)(environ, start_response)

    def close(self) -> None:
        """End everything; who waits is let go. May be called more than once."""
        self._pace.end()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def _serve(
        self, server: Server, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        addresses = self._addresses(server, environ)
        request = addresses.recorded_request(_request_of(environ))
        recorded, is_new = self._repertoire.next(server, request)
        addresses = self._addresses(server, environ)  # this request may have brought new ids
        if recorded is None:
            return self._not_recorded(server, request, start_response)
        if isinstance(recorded, RecordedSocket):
            self._play_socket(recorded, addresses, environ)
        return self._play_exchange(recorded, is_new, addresses, start_response)

    def _play_exchange(
        self,
        recorded: Exchange,
        is_new: bool,
        addresses: _Addresses,
        start_response: Callable[..., Any],
    ) -> Iterable[bytes]:
        answer = recorded.answer
        if _is_poll(recorded):
            if is_new and answer is not None:
                self._pace.wait_until(recorded.at + recorded.seconds, recorded.at)
            else:
                self._pace.rest(_POLL_SECONDS)
                answer = _NOTHING_NEW
        else:
            self._pace.note(recorded)
        if answer is None:
            return _problem(start_response, "502 Bad Gateway", recorded.error)
        return _answer(answer, addresses, start_response)

    def _not_recorded(
        self, server: Server, request: Request, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        asked = f"{request.method} {request.path}"
        nearest = self._repertoire.nearest(server, request)
        hint = f"The nearest recorded request is: {nearest}" if nearest else "The recording holds no request."
        return _problem(
            start_response, "501 Not Implemented", f"This request was not recorded: {asked}. {hint}"
        )

    def _addresses(self, server: Server, environ: dict[str, Any]) -> _Addresses:
        host = environ.get("HTTP_HOST", "")
        agent_url = f"http://{host}" if server is Server.AGENT and host else self._agent_address_url(environ)
        recorded = self._recording.heading
        app = [(recorded.app_url, f"http://{host}")] if server is Server.APP and host else []
        ids = [pair for before, now in self._repertoire.ids.items() for pair in _spellings(before, now)]
        return _Addresses(((recorded.agent_url, agent_url), *app, *ids))

    def _agent_address_url(self, environ: dict[str, Any]) -> str:
        asked = WerkzeugRequest(environ).host.rpartition(":")[0] or "127.0.0.1"
        return self._agent_address.url_for(asked)

    # -- sockets ------------------------------------------------------------------------------------

    def _play_socket(
        self, recorded: RecordedSocket, addresses: _Addresses, environ: dict[str, Any]
    ) -> NoReturn:
        """Play a WebSocket to its end.

        Raises:
            ConnectionError: it has ended; so Werkzeug writes no answer.
            StopIteration: the same for gunicorn.
        """
        key = next(key for key in SOCKET_KEYS if key in environ)
        connection = environ[key] = Connection(environ[key])
        ws = simple_websocket.Server(
            environ,
            thread_class=cast(Any, partial(threading.Thread, daemon=True)),  # any factory will do
        )
        connection.on_end = ws.event.set
        with self._lock:
            self._connections.add(connection)
        try:
            self._play(recorded, addresses, ws, connection)
        except (ConnectionClosed, OSError) as end:
            _logger.debug("a replayed socket has ended: %s", end)
        finally:
            with self._lock:
                self._connections.discard(connection)
            cast(threading.Thread, ws.thread).join(_FAREWELL)
            connection.close()
            cast(threading.Thread, ws.thread).join(_FAREWELL)
        raise StopIteration if ws.mode == "gunicorn" else ConnectionError

    def _play(
        self,
        recorded: RecordedSocket,
        addresses: _Addresses,
        ws: simple_websocket.Server,
        connection: Connection,
    ) -> None:
        for frame in recorded.frames:
            if frame.direction is Direction.TO_SERVER:
                if frame.kind in ("text", "binary"):
                    ws.receive()
                elif frame.kind in ("close", "drop"):
                    break  # from here on it is the client who ends it
                continue
            self._pace.wait_until(recorded.opened.at + frame.after, recorded.opened.at)
            if not _say(frame, addresses, ws, connection):
                return
        while True:
            ws.receive()


@dataclass(frozen=True, slots=True)
class _Addresses:
    """The addresses and ids in the recording, and those that stand for them now."""

    pairs: tuple[tuple[str, str], ...]

    def now(self, data: bytes) -> bytes:
        """What was recorded, with the addresses of this server."""
        for recorded, present in self.pairs:
            data = data.replace(recorded.encode(), present.encode())
        return data

    def recorded_request(self, request: Request) -> Request:
        """What is asked now, with the addresses of the recording."""
        data, target = request.body.data, request.target
        for recorded, present in self.pairs:
            data = data.replace(present.encode(), recorded.encode())
            target = target.replace(present, recorded)
        return Request(request.method, target, request.headers, Body.of(data))


def _spellings(before: str, now: str) -> list[tuple[str, str]]:
    """Two ids without dashes and with them."""
    return [(before, now), (dashed(before), dashed(now))]


def _say(frame: Frame, addresses: _Addresses, ws: simple_websocket.Server, connection: Connection) -> bool:
    """Send a frame that the server sent. Returns whether it goes on."""
    match frame.kind:
        case "text":
            ws.send(addresses.now(frame.data).decode())
        case "binary":
            ws.send(frame.data)
        case "close":
            # Any code will do; the stubs know only the registered ones.
            ws.close(cast(CloseReason, frame.code or 1000), frame.data.decode())
            return False
        case "drop":
            connection.close()
            return False
        case _:
            return True  # pings and pongs are about a connection that was
    return True


def _request_of(environ: dict[str, Any]) -> Request:
    asked = WerkzeugRequest(environ)
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or asked.full_path
    is_socket = asked.headers.get("Upgrade", "").lower() == "websocket"
    body = b"" if is_socket else asked.get_data()
    return Request(asked.method, target, tuple(asked.headers.items()), Body.of(body))


def _is_poll(exchange: Exchange) -> bool:
    """Is it a GET of Socket.IO that waits for news?"""
    query = dict(exchange.request.query)
    return exchange.request.method == "GET" and query.get("transport") == "polling" and "sid" in query


def _answer(answer: Answer, addresses: _Addresses, start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not answer.body.is_whole and not answer.broken:
        kept = f"{len(answer.body.data)} of {answer.body.size}"
        reason = f"The recorded answer is too long: the recording keeps {kept} bytes of it."
        return _problem(start_response, "501 Not Implemented", reason)
    body = addresses.now(answer.body.data)
    headers = [
        (name, addresses.now(value.encode("utf-8", "surrogateescape")).decode("latin-1"))
        for name, value in answer.headers
        if name.lower() not in _NOT_REPLAYED
    ]
    if answer.status not in _NO_CONTENT:
        length = len(body) + 1 if answer.broken else _length(answer.headers, body)
        headers.append(("Content-Length", str(length)))
    start_response(f"{answer.status} Recorded", headers)
    return _broken(body) if answer.broken else [body]


def _length(headers: Headers, body: bytes) -> int:
    """How long an answer is; that to a HEAD says so without having any."""
    said = next((value for name, value in headers if name.lower() == "content-length"), "")
    return int(said) if not body and said.isdigit() else len(body)


def _broken(body: bytes) -> Iterator[bytes]:
    """An answer that breaks off where the recorded one did."""
    yield body
    raise ConnectionError("the recorded answer ended here")


def _problem(start_response: Callable[..., Any], status: str, reason: str) -> Iterable[bytes]:
    body = json.dumps({"detail": reason}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]
