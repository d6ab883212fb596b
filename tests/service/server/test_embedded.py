"""The server inside a test: quick, clean, and as many as one likes."""

from __future__ import annotations

import gc
import math
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from openhands_reference_server import AgentScript, ReferenceServer, Run

from .conftest import Api, serving


def open_sockets() -> set[str]:
    return {link for link in map(_target, Path("/proc/self/fd").iterdir()) if link.startswith("socket:")}


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_it_leaves_no_thread_and_no_socket() -> None:
    """Whatever clients are doing: resting, running, streaming, watching, or saying nothing at all."""
    gc.collect()
    threads, sockets = set(threading.enumerate()), open_sockets()
    with serving(script=AgentScript(acts=lambda *_: [Run("x", seconds=math.inf)])) as api:
        one = api.start_v1("go")
        silent = socket.create_connection(("127.0.0.1", urlsplit(api.server.url).port or 0))
        half = socket.create_connection(("127.0.0.1", urlsplit(api.server.url).port or 0))
        half.sendall(b"POST /api/conversations HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(one.request("POST", "/run").status_code))
        with one.stream() as stream:
            stream.next()
            waiting.start()
            stream.until("full_state")
            began = time.perf_counter()
            api.server.stop()
            assert time.perf_counter() - began < 1
            stream.ending()
        waiting.join(5)
        assert answers == [503], "the run has not ended"
        silent.close()
        half.close()
    gc.collect()
    assert set(threading.enumerate()) <= threads
    assert open_sockets() <= sockets


def test_two_at_once_know_nothing_of_each_other() -> None:
    with serving() as one, serving() as other:
        conversation_id = one.create_v0()
        assert other.app.get(f"/api/conversations/{conversation_id}").status_code == 404
        a, b = one.start_v1(), other.start_v1()
        a.key = b.key
        assert a.request("GET").status_code == 401


def test_one_object_may_be_started_again() -> None:
    server = ReferenceServer()
    for _ in range(2):
        with server:
            assert httpx.get(f"{server.url}/alive").json() == {"status": "ok"}
    with server, pytest.raises(RuntimeError, match="running already"):
        server.start()


def test_a_stopped_server_says_so() -> None:
    server = ReferenceServer()
    for name in ("url", "agent_url", "world"):
        with pytest.raises(RuntimeError, match="not running"):
            getattr(server, name)
    server.stop()


def test_it_serves_many_at_once(api: Api) -> None:
    def live(_: int) -> int:
        return len(api.start_v1("hello").rest())

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(live, range(80))) == [9] * 80
    assert api.ok("GET", "/api/v1/app-conversations/count") == 80


def test_what_arrives_while_it_stops_is_refused_not_lost(api: Api) -> None:
    api.server.world.close()
    got = api.app.post("/api/conversations", json={})
    assert (got.status_code, got.json()) == (503, {"detail": "The server is shutting down"})
