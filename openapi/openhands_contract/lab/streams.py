"""Live connections, as a check sees them: each frame in the order it came, and how the connection ended.

Two protocols on WebSockets: an agent server's plain one, and Socket.IO of V0, whose packets are read with
python-socketio's own reader. Its client is not used: it gives every frame a thread, and so loses their order.
Nothing here reconnects or repairs; what a frame should have been is for the checks to say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, Self
from urllib.parse import urlencode

import engineio.packet
import socketio.packet
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from openhands_contract.documents import DocumentName
from openhands_contract.exchange import Exchange
from openhands_contract.json_text import read_json
from openhands_contract.lab.bench import Bench
from openhands_contract.outcome import Failed, NotReached

Frame = Mapping[str, Any]

_LARGEST_FRAME = 64 * 1024 * 1024
_CLOSING = 1.0
_TURN = 0.1
_BREATH = 0.2
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Ending:
    """How a server ended a connection."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".strip()


class Stream:
    """A WebSocket that is open, or was refused.

    Attributes:
        status: of the answer to the upgrade; 101 when the connection was accepted.
        received: the texts that came, in their order.
        ending: how the server closed the connection; None as long as it is open.
    """

    def __init__(
        self,
        bench: Bench,
        server: DocumentName,
        url: str,
        query: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Connect; a refusal is no error.

        Raises:
            NotReached: there is no answer.
        """
        self.bench = bench
        self.received: list[str] = []
        self.ending: Ending | None = None
        self._server: DocumentName = server
        self._url = f"{url}?{urlencode({name: value for name, value in query.items() if value is not None})}"
        self._headers = dict(headers or {})
        bench.lab.redact.learn_wrong(query.get("session_api_key"))
        self._open = ExitStack()
        self._connection: ClientConnection | None = None
        self.status = self._connect()
        bench.later(self.close)

    def _connect(self) -> int:
        try:
            opening = connect(
                self._url.replace("http", "ws", 1),
                additional_headers=self._headers,
                open_timeout=self.bench.lab.site.timeout,
                close_timeout=_CLOSING,
                max_size=_LARGEST_FRAME,
                proxy=None,
            )
            self._connection = self._open.enter_context(opening)
        except InvalidStatus as refusal:
            return refusal.response.status_code
        except (OSError, WebSocketException, EOFError) as error:
            where = self._url.partition("?")[0]
            raise NotReached(f"no WebSocket at {where}: {error or type(error).__name__}") from error
        return HTTPStatus.SWITCHING_PROTOCOLS

    @property
    def accepted(self) -> bool:
        return self._connection is not None

    def close(self) -> None:
        """Say goodbye."""
        self._open.close()

    def send(self, text: str) -> None:
        """Send a frame.

        Raises:
            Failed: the server has closed the connection.
        """
        if self._connection is None:
            self.fail("the connection is open", f"it was refused with {self.status}")
        try:
            self._connection.send(text)
        except ConnectionClosed as closed:
            self._ended(closed)
            self.fail("the connection is open", f"the server closed it: {self.ending}")

    def listen(self, seconds: float = _TURN) -> bool:
        """Take in a frame, if one comes in time; tell whether one came."""
        if self._connection is None or self.ending is not None:
            return False
        try:
            message = self._connection.recv(timeout=seconds)
        except TimeoutError:
            return False
        except ConnectionClosed as closed:
            self._ended(closed)
            return False
        text = message if isinstance(message, str) else message.decode(errors="replace")
        self.received.append(text)
        self._take(text)
        return True

    def until(self, condition: Callable[[], object], expected: str, *, within: float | None = None) -> Self:
        """Take in frames until the condition holds, or fail: this was expected, and never came."""
        patience = within or self.bench.lab.patience
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                self.fail(expected, f"not within {patience:g} s")
            if not self.listen() and (self.ending or not self.accepted):
                self.fail(expected, self._end_in_words())
            self.bench.lab.pause(0)
        return self

    def settle(self) -> None:
        """Take in what is still on its way: frames that follow each other closely."""
        while self.listen(_BREATH):
            self.bench.lab.pause(0)

    def until_closed(self, expected: str) -> Ending:
        """Take in frames until the server closes the connection, or fail: this was expected."""
        deadline = time.monotonic() + self.bench.lab.patience
        while self.ending is None:
            if not self.accepted or time.monotonic() > deadline:
                self.fail(expected, "it is still open" if self.accepted else self._end_in_words())
            self.listen()
            self.bench.lab.pause(0)
        return self.ending

    def expect(self, condition: object, expected: str, found: object = "") -> None:
        """Hold the server to something about this connection."""
        if not condition:
            self.fail(expected, found if isinstance(found, str) else repr(found))

    def fail(self, expected: str, found: str = "") -> NoReturn:
        """This connection is not what is required."""
        raise Failed(self.bench.trail.evidence(expected, found[:400], self.exchange()))

    def exchange(self) -> Exchange:
        """The connection as evidence: the upgrade, and the last frames that came."""
        shown = self.received[-_SHOWN:]
        return Exchange(
            server=self._server,
            method="GET",
            url=self._url,
            request_headers={**self._headers, "upgrade": "websocket"},
            status=self.status,
            body="\n".join(shown).encode(),
        )

    def _take(self, text: str) -> None:
        """Understand a frame."""

    def _ended(self, closed: ConnectionClosed) -> None:
        self.ending = Ending(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Ending(1006)

    def _end_in_words(self) -> str:
        if not self.accepted:
            return f"the connection was refused with {self.status}"
        return f"the server closed the connection: {self.ending}"


class JsonStream(Stream):
    """A WebSocket of an agent server: one JSON value per frame.

    Attributes:
        frames: what came; a text that is no JSON object stands for itself below `text`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.frames: list[Frame] = []
        super().__init__(*args, **options)

    @property
    def events(self) -> list[Frame]:
        """The frames without the snapshots of the whole state, which are not events that are kept."""
        return [frame for frame in self.frames if frame.get("key") != "full_state"]

    def say(self, message: Any) -> None:
        self.send(json.dumps(message))

    def _take(self, text: str) -> None:
        try:
            value = read_json(text)
        except ValueError:
            value = None
        self.frames.append(value if isinstance(value, dict) else {"text": text})


class V0Stream(Stream):
    """A Socket.IO connection over a WebSocket, in the default namespace.

    Attributes:
        frames: the `oh_event`s that came, before or after the connection was confirmed.
        confirmed: whether the server has let us in.
        refusal: what it said when it did not.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.frames: list[Frame] = []
        self.confirmed = False
        self.refusal: str | None = None
        super().__init__(*args, **options)

    @property
    def events(self) -> list[Frame]:
        """The frames that are events of the conversation."""
        return [frame for frame in self.frames if is_v0_event(frame)]

    def answered(self) -> bool:
        """Whether the server has said yes or no."""
        return self.confirmed or self.refusal is not None

    def act(self, action: Any, name: str = "oh_user_action") -> None:
        """Send an action."""
        packet = socketio.packet.Packet(socketio.packet.EVENT, data=[name, action]).encode()
        self.send(_message(packet))

    def _take(self, text: str) -> None:
        try:
            packet = engineio.packet.Packet(encoded_packet=text)
        except (ValueError, RecursionError):
            self.frames.append({"text": text})
            return
        match packet.packet_type:
            case engineio.packet.OPEN:
                self.send(_message(socketio.packet.Packet(socketio.packet.CONNECT).encode()))
            case engineio.packet.PING:
                self.send(str(engineio.packet.Packet(engineio.packet.PONG, packet.data).encode()))
            case engineio.packet.CLOSE:
                self.ending = Ending(1000, "Engine.IO close")
            case engineio.packet.MESSAGE:
                self._take_message(str(packet.data))

    def _take_message(self, text: str) -> None:
        try:
            packet = socketio.packet.Packet(encoded_packet=text)
        except (ValueError, RecursionError):
            self.frames.append({"text": text})
            return
        match packet.packet_type, packet.data:
            case socketio.packet.CONNECT, _:
                self.confirmed = True
            case socketio.packet.CONNECT_ERROR, {"message": reason}:
                self.refusal = str(reason)
            case socketio.packet.CONNECT_ERROR, reason:
                self.refusal = str(reason)
            case socketio.packet.DISCONNECT, _:
                self.ending = Ending(1000, "Socket.IO disconnect")
            case socketio.packet.EVENT, ["oh_event", dict(frame)]:
                self.frames.append(frame)


def is_v0_event(frame: Frame) -> bool:
    """Whether a frame is an event of a conversation, and not a message about it."""
    return isinstance(frame.get("id"), int) and ("action" in frame or "observation" in frame)


def ids(events: Sequence[Frame]) -> list[Any]:
    """The ids of events, in their order."""
    return [event.get("id") for event in events]


def _message(socketio_packet: Any) -> str:
    return str(engineio.packet.Packet(engineio.packet.MESSAGE, socketio_packet).encode())
