"""Whom the kit blames for a request that was dropped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from openhands_contract.exchange import Exchange
from openhands_contract.lab.lanes import may_have_been_closed
from openhands_contract.lab.wire import Traffic, Wire

FINE, REFUSED, DROPPED, FAILED = "200 OK", "404 Not Found", "", "500 Internal Server Error"
PATIENCE = 5.0


@pytest.mark.parametrize(
    ("idle", "has_refused", "excused"),
    [
        (None, False, False),  # a new connection
        (0.01, False, False),  # one in the middle of its use
        (0.01, True, True),  # perhaps it did not read the request it refused
        (0.9, False, True),  # perhaps its time was up
    ],
)
def test_a_server_may_close_what_nobody_uses(idle: float | None, has_refused: bool, excused: bool) -> None:
    assert may_have_been_closed(idle, has_refused=has_refused) is excused


class Server:
    """Answers one request after the other as it is told to, on as many connections as that takes."""

    def __init__(self, answers: Sequence[str]) -> None:
        self.requests: list[str] = []
        self.connections = 0
        self._answers = iter(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        self._listener.settimeout(PATIENCE)
        self._thread.start()
        try:
            yield self
        finally:
            self._thread.join()
            self._listener.close()

    def _serve(self) -> None:
        answer: str | None = next(self._answers, None)
        while answer is not None:
            connection, _ = self._listener.accept()
            connection.settimeout(PATIENCE)
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                while answer is not None and (line := stream.readline()):
                    self.requests.append(line.split()[0].decode())
                    while stream.readline().strip():
                        """The rest of the request."""
                    current, answer = answer, next(self._answers, None)
                    if not current:
                        break
                    connection.sendall(f"HTTP/1.1 {current}\r\nContent-Length: 2\r\n\r\n{{}}".encode())


def sent(answers: Sequence[str], *methods: str) -> tuple[list[Exchange], list[Exchange], Server]:
    """Send requests; return what came of each, what was told to be lost, and the server."""
    lost: list[Exchange] = []
    with Server(answers).running() as server:
        wire = Wire("app-server", server.url, {}, Traffic(lambda exchange: None, lost.append, PATIENCE))
        try:
            exchanges = [wire.send(method, "/alive") for method in methods]
        finally:
            wire.close()
    return exchanges, lost, server


def test_connections_are_kept() -> None:
    exchanges, lost, server = sent([FINE, REFUSED, FINE], "GET", "POST", "GET")
    assert [one.status for one in exchanges] == [200, 404, 200]
    assert (server.connections, lost) == (1, [])


@pytest.mark.parametrize("before", [[], [FINE]], ids=["new connection", "connection in use"])
def test_a_read_that_was_dropped_is_told_and_sent_again(before: list[str]) -> None:
    exchanges, lost, server = sent([*before, DROPPED, FINE], *["GET"] * len(before), "GET")
    assert exchanges[-1].status == 200
    assert [one.status for one in lost] == [0]
    assert server.requests == ["GET"] * (len(before) + 2)


@pytest.mark.parametrize("before", [[], [FINE]], ids=["new connection", "connection in use"])
def test_a_change_that_was_dropped_is_not_sent_again(before: list[str]) -> None:
    exchanges, lost, server = sent([*before, DROPPED], *["GET"] * len(before), "POST")
    assert not exchanges[-1].answered
    assert lost == []
    assert server.requests[-1:] == ["POST"]
    assert server.requests.count("POST") == 1


def test_what_is_lost_behind_a_refusal_is_nobodys_fault() -> None:
    exchanges, lost, server = sent([REFUSED, DROPPED, FINE], "POST", "POST")
    assert [one.status for one in exchanges] == [404, 200]
    assert (server.connections, lost) == (2, [])


def test_a_connection_is_not_used_behind_a_failure() -> None:
    exchanges, lost, server = sent([FAILED, FINE], "POST", "POST")
    assert [one.status for one in exchanges] == [500, 200]
    assert (server.connections, lost) == (2, [])
