"""An HTTP proxy that cuts connections, by seed: before a request arrives, after it was handled, or amid an answer.

Clients come by way of HTTP_PROXY, so that app server and agent servers, whose addresses only the app server
tells, are all behind it. Plain requests are forwarded; WebSockets come through CONNECT, as a tunnel.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

PIECE = 64 * 1024
Fate = Literal["pass", "cut before", "cut after", "cut amid"]


@dataclass(frozen=True)
class Shears:
    """How likely each cut is, for one exchange of request and answer; and for one piece of a WebSocket's."""

    before: float = 0.05
    after: float = 0.05
    amid: float = 0.05
    socket: float = 0.05


@dataclass
class CuttingProxy:
    """``url`` is its address; ``counts`` says what it did to how many exchanges."""

    shears: Shears
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, from its first request to the end or the cut."""
        sides = [writer]
        try:
            with suppress(OSError, EOFError, _Cut):
                await self._connect(reader, writer, sides)
        finally:
            for side in sides:
                side.transport.abort()
            for side in sides:
                with suppress(OSError):
                    await side.wait_closed()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sides: list[asyncio.StreamWriter]
    ) -> None:
        """Find out where the first request leads, and copy both ways. Adds the server's side to ``sides``."""
        first = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = first.split(b" ", 2)
        tunnel = method == b"CONNECT"
        parts = urlsplit(f"//{target.decode()}" if tunnel else target.decode())
        answers, upstream = await asyncio.open_connection(parts.hostname, parts.port or 80)
        sides.append(upstream)
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _Connection(self, reader, writer, answers, upstream).run(b"" if tunnel else first)

    def fate(self) -> Fate:
        """What happens to the next exchange."""
        shears, number = self.shears, self._random.random()
        fates: list[tuple[Fate, float]] = [
            ("cut before", shears.before),
            ("cut after", shears.after),
            ("cut amid", shears.amid),
        ]
        self.counts["exchanges"] += 1
        for fate, likely in fates:
            number -= likely
            if number < 0:
                self.counts[fate] += 1
                return fate
        return "pass"

    def cuts_socket(self) -> bool:
        """Whether a WebSocket is cut at this piece."""
        cut = self._random.random() < self.shears.socket
        self.counts["pieces of WebSockets"] += 1
        self.counts["WebSockets cut"] += cut
        return cut


class _Cut(Exception):
    """Both ends are to be closed now."""


class _Connection:
    """Copies both ways. What the client sends after an answer began is the next exchange."""

    def __init__(
        self,
        proxy: CuttingProxy,
        requests: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._requests, self._client = requests, client
        self._answers, self._server = answers, server
        self._asking = False
        self._fate: Fate = "pass"
        self._socket = False

    async def run(self, first: bytes) -> None:
        """Until one side hangs up. Raises _Cut."""
        if first:
            await self._forward(first)
        copying = [asyncio.create_task(self._ask()), asyncio.create_task(self._answer())]
        try:
            done, _ = await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in copying:
                task.cancel()
            await asyncio.gather(*copying, return_exceptions=True)

    async def _ask(self) -> None:
        while piece := await self._requests.read(PIECE):
            await self._forward(piece)

    async def _forward(self, piece: bytes) -> None:
        if not self._asking and not self._socket:
            self._asking = True
            self._fate = self._proxy.fate()
            self._upgrading = b"upgrade: websocket" in piece.lower()
            piece = _in_origin_form(piece)
        if self._fate == "cut before":
            raise _Cut
        self._server.write(piece)
        await self._server.drain()

    async def _answer(self) -> None:
        while piece := await self._answers.read(PIECE):
            self._asking = False
            if self._fate == "cut after" or (self._socket and self._proxy.cuts_socket()):
                raise _Cut
            if self._fate == "cut amid":
                self._client.write(piece[: len(piece) // 2])
                await self._client.drain()
                raise _Cut
            self._socket = self._socket or (self._upgrading and b" 101 " in piece[:20])
            self._client.write(piece)
            await self._client.drain()


def _in_origin_form(piece: bytes) -> bytes:
    """What goes to a proxy names the server in its first line; not every server takes that."""
    line, end, rest = piece.partition(b"\r\n")
    method, target, version = line.split(b" ", 2)
    if target.startswith(b"/"):
        return piece
    parts = urlsplit(target.decode())
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return b" ".join((method, path.encode(), version)) + end + rest


@contextmanager
def cutting_proxy(shears: Shears, seed: int) -> Iterator[CuttingProxy]:
    """Run one in a thread of its own, on a free port of loopback."""
    proxy = CuttingProxy(shears, seed)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="cutting-proxy")
    thread.start()
    try:
        ready.wait(30)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
