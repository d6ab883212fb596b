"""A server made of bare sockets, for what no HTTP server would do."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Handler = Callable[["Peer"], None]
PATIENCE = 30.0  # seconds that a test may take


class Peer:
    """One connection, seen from the server. ``number`` counts connections from 0."""

    def __init__(self, number: int, connection: socket.socket, over: threading.Event) -> None:
        self.number = number
        self.over = over
        self._connection = connection
        self._file = connection.makefile("rb")

    def next_request(self) -> str | None:
        """Method and path of the next request; None when the client is gone."""
        first = self._file.readline()
        length = 0
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self._file.read(length)
        return " ".join(first.decode().split()[:2]) or None

    def write(self, content: bytes) -> None:
        self._connection.sendall(content)

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """A whole answer in JSON."""
        content = json.dumps(body).encode()
        self.write(head(status, {"content-length": str(len(content)), **headers}) + content)

    def reset(self) -> None:
        """Break the connection off, as a crashed server does."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()
        self._file.close()

    def close(self) -> None:
        self._file.close()
        self._connection.close()


def head(status: int, headers: dict[str, str]) -> bytes:
    fields = {"content-type": "application/json", **headers}
    lines = [
        f"HTTP/1.1 {status} Reason",
        *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class RawServer:
    """Runs ``handle`` in a thread for each connection, until the test is over."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._listen)]
        self._peers: list[Peer] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        return len(self._peers)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            connection.settimeout(PATIENCE)
            peer = Peer(len(self._peers), connection, self._over)
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            self._handle(peer)
        except OSError:  # the client left
            return
        finally:
            peer.close()
