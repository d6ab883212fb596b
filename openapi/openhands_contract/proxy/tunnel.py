"""Passes the frames of a WebSocket on in both directions, whatever they are.

Pings are answered, and connections closed, by the ends of the conversation: the proxy passes on what they say,
so that close codes, and connections that end without one, look to each as they would without it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import WSMsgType, web

from openhands_contract.traffic import Answer, Direction, Fact, Frame, FrameKind

_logger = logging.getLogger(__name__)
_CLOSING_SECONDS = 10.0
_KINDS: dict[WSMsgType, FrameKind] = {
    WSMsgType.TEXT: "text",
    WSMsgType.BINARY: "binary",
    WSMsgType.PING: "ping",
    WSMsgType.PONG: "pong",
    WSMsgType.CLOSE: "close",
}
_OPCODES = {kind: opcode for opcode, kind in _KINDS.items()}
_End = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server answered instead of accepting a WebSocket."""

    answer: Answer


@dataclass(slots=True)
class Tunnel:
    """One WebSocket, which is two connections.

    Attributes:
        number: which socket it is.
        front: the connection to the client.
        behind: the connection to the server.
        tell: is told each frame.
        rewrite: changes the addresses in what the server says.
        began: when it was opened, in seconds since 1970.
    """

    number: int
    front: web.WebSocketResponse
    behind: aiohttp.ClientWebSocketResponse
    tell: Callable[[Fact], None]
    rewrite: Callable[[bytes], bytes]
    began: float

    async def run(self) -> None:
        """Carry frames until both ends have said goodbye, or one is gone."""
        ways = {
            asyncio.create_task(self._carry(self.front, self.behind, Direction.TO_SERVER)),
            asyncio.create_task(self._carry(self.behind, self.front, Direction.TO_CLIENT)),
        }
        try:
            done, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if all(way.result() for way in done):  # a goodbye: the other end has time to answer it
                await asyncio.wait(pending, timeout=_CLOSING_SECONDS)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            _drop(self.behind)

    async def _carry(self, source: _End, target: _End, direction: Direction) -> bool:
        """Carry one way. Returns whether it ended with a close frame."""
        while True:
            message = await source.receive()
            kind = _KINDS.get(message.type)
            if kind is None:
                self._tell(direction, "drop", b"", 0)
                _drop(target)
                return False
            payload, code = _payload(message)
            if direction is Direction.TO_CLIENT and kind == "text":
                payload = self.rewrite(payload)
            self._tell(direction, kind, payload, code)
            try:
                await target.send_frame(
                    _with_code(payload, code) if kind == "close" else payload, _OPCODES[kind]
                )
            except ConnectionError as error:
                _logger.debug("a WebSocket ended under a frame: %s", error)
                return kind == "close"
            if kind == "close":
                return True

    def _tell(self, direction: Direction, kind: FrameKind, data: bytes, code: int) -> None:
        self.tell(Frame(self.number, direction, kind, data, code, time.time() - self.began))


def _payload(message: aiohttp.WSMessage) -> tuple[bytes, int]:
    """What a frame holds, and the code of a close frame."""
    if message.type is WSMsgType.CLOSE:
        return (message.extra or "").encode(), int(message.data or 0)
    data = message.data
    return (data.encode() if isinstance(data, str) else bytes(data)), 0


def _with_code(reason: bytes, code: int) -> bytes:
    """The payload of a close frame; empty when it has no code."""
    return code.to_bytes(2, "big") + reason if code else b""


def _drop(end: _End) -> None:
    """End a connection without a word, as it ended on the other side."""
    raw = end.get_extra_info("socket")
    if raw is None:
        return
    try:
        raw.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        _logger.debug("the connection has ended already: %s", error)
