"""`openhands-reference-server serve`: what it prints, refuses, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from openhands_reference_server.storage.lock import DirectoryLock

from .commands import api_of, run, served
from .conftest import story

BACKENDS = ["gunicorn", "werkzeug"]
ANYWHERE = "0.0.0.0"  # noqa: S104  # the point of the tests that use it


@pytest.mark.parametrize("backend", BACKENDS)
class TestServing:
    def test_the_banner_and_a_whole_conversation(self, backend: str, tmp_path: Path) -> None:
        with served("--backend", backend, "--data-dir", str(tmp_path)) as server, api_of(server) as api:
            assert server.banner[-1] == f"ready {server.url}"
            assert str(tmp_path) in "\n".join(server.banner)
            one = api.start_v1("hello")
            with one.stream(resend_all=True) as stream:
                stream.next()
                history = stream.until("stats")
                assert story(history) == story(one.events())
                stream.say("more")
                assert story(stream.until("stats"))[:2] == ["idle", "user says"]
            v0 = api.create_v0(initial_user_msg="hello")
            api.wait_agent_state(v0, "finished")
        assert server.process.returncode == 0

    def test_the_stream_is_not_held_back(self, backend: str) -> None:
        with served("--backend", backend) as server, api_of(server) as api:
            with api.app.stream("POST", "/api/v1/app-conversations/stream-start", json={}) as answer:
                chunks = list(answer.iter_raw())
            assert json.loads(b"".join(chunks))[-1]["status"] == "READY"
            assert len(chunks) > 4, "the stages came together"

    def test_each_port_has_its_own_paths(self, backend: str) -> None:
        with served("--backend", backend) as server:
            assert httpx.get(f"{server.url}/api/v1/sandboxes/search").status_code == 200
            assert httpx.get(f"{server.agent_url}/api/v1/sandboxes/search").status_code == 404
            assert httpx.get(f"{server.agent_url}/server_info").json()["title"] == "OpenHands Agent Server"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_at_once_whatever_is_open(self, backend: str, number: int) -> None:
        with served("--backend", backend) as server, api_of(server) as api:
            one = api.start_v1("hello")
            with (
                one.stream() as stream,
                socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0)),
            ):
                stream.next()
                began = time.monotonic()
                server.process.send_signal(number)
                assert stream.ending() == (1001, "Server is shutting down")
                assert server.process.wait(10) == 0
                took = time.monotonic() - began
        assert took < 1.5, f"it took {took:.2f} s"

    def test_many_watchers_one_after_the_other(self, backend: str) -> None:
        """A WebSocket gives its thread back."""
        with served("--backend", backend) as server, api_of(server) as api:
            one = api.start_v1()
            for _ in range(40):
                with one.stream() as stream:
                    stream.next()
            assert api.ok("GET", "/alive") == {"status": "ok"}

    def test_what_is_not_http(self, backend: str) -> None:
        with served("--backend", backend) as server:
            for request in (b"NOT HTTP AT ALL\r\n\r\n", b"GET / HTTP/1.1\r\nbroken header\r\n\r\n"):
                with socket.create_connection(
                    ("127.0.0.1", httpx.URL(server.url).port or 0), timeout=5
                ) as raw:
                    raw.sendall(request)
                    received = b"".join(iter(lambda: raw.recv(4096), b""))
                if b"broken" in request and backend == "werkzeug":
                    assert b" 404 " in received, "it reads over broken headers"
                assert json.loads(received.rpartition(b"\r\n\r\n")[2])["detail"]

    def test_errors_look_the_same(self, backend: str) -> None:
        with served("--backend", backend) as server:
            missing = httpx.get(f"{server.url}/nope")
            assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
            encoded = httpx.get(f"{server.url}/api/conversations/a%2Fb")
            assert encoded.json() == {"detail": "Conversation ID contains invalid path characters"}
            headers = {"content-type": "application/json"}
            for body in (b" " * (11 << 20), (b" " * (1 << 20) for _ in range(11))):
                large = httpx.post(f"{server.url}/api/conversations", content=body, headers=headers)
                assert (large.status_code, large.json()) == (413, {"detail": "Request Entity Too Large"})
            ids = {"ids": [f"00000000-0000-0000-0000-{number:012d}" for number in range(100)]}
            many = httpx.get(f"{server.url}/api/v1/app-conversations", params=ids)
            assert (many.status_code, many.json()) == (200, [None] * 100)
            assert httpx.head(f"{server.url}/api/conversations").status_code == 405


class TestAccess:
    def test_the_key_comes_from_the_environment_and_is_never_shown(self) -> None:
        with served(SESSION_API_KEY="a-secret-key") as server:
            assert "a-secret-key" not in "\n".join(server.banner)
            url = f"{server.url}/api/conversations"
            assert httpx.get(url).status_code == 401
            assert httpx.get(url, headers={"X-Session-API-Key": "a-secret-key"}).status_code == 200

    def test_open_means_open(self) -> None:
        with served("--auth", "open", SESSION_API_KEY="a-secret-key") as server:
            assert httpx.get(f"{server.url}/api/conversations").status_code == 200

    def test_a_key_is_needed_for_session_key(self) -> None:
        refused = run("--auth", "session-key")
        assert refused.returncode == 2
        assert "SESSION_API_KEY" in refused.stderr

    @pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1", "example.org"])
    def test_an_open_server_stays_on_loopback(self, host: str) -> None:
        refused = run("--host", host)
        assert refused.returncode == 2
        assert "--i-know-this-is-open" in refused.stderr

    def test_unless_somebody_insists(self) -> None:
        with served("--host", ANYWHERE, "--i-know-this-is-open") as server:
            url = server.url.replace(ANYWHERE, "127.0.0.1")
            task = httpx.post(f"{url}/api/v1/app-conversations", json={}).json()
            while task["status"] != "READY":
                [task] = httpx.get(
                    f"{url}/api/v1/app-conversations/start-tasks", params={"ids": task["id"]}
                ).json()
            assert task["agent_server_url"] == server.agent_url.replace(ANYWHERE, "127.0.0.1")


class TestRefusals:
    @pytest.mark.parametrize("option", ["--port", "--agent-port"])
    def test_a_busy_port(self, option: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = str(busy.getsockname()[1])
            refused = run("--port", "0", "--agent-port", "0", option, port)
        assert refused.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
        assert option in refused.stderr
        assert "Traceback" not in refused.stderr

    def test_a_busy_directory(self, tmp_path: Path) -> None:
        lock = DirectoryLock(tmp_path)
        refused = run("--port", "0", "--agent-port", "0", "--data-dir", str(tmp_path))
        lock.release()
        assert refused.returncode == 2
        assert "in use by another reference server" in refused.stderr
        assert "Traceback" not in refused.stderr

    @pytest.mark.parametrize(
        "arguments", [["--workers", "2"], ["--memory", "--data-dir", "x"], ["--port", "70000"]]
    )
    def test_impossible_wishes(self, arguments: list[str]) -> None:
        refused = run(*arguments)
        assert refused.returncode == 2
        assert refused.stderr.startswith("Usage:")
