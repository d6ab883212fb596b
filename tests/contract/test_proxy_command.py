"""`openhands-contract proxy`: what it prints, how it ends, and what it finds in the traffic of plain clients."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import connect
from werkzeug.wrappers import Request, Response

from openhands_contract.proxy.watch import Watch
from openhands_contract.recording.files import read
from openhands_contract.traffic import Fact
from openhands_reference_server import ReferenceServer
from tests.contract.proxying import proxying, upstream
from tests.service.server.conftest import eventually
from tests.service.server.listening import POLLING, listening

SECRET = "a-key-that-nobody-may-see"


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command while it runs, and the address of the proxy."""
    line = [sys.executable, "-c", "from openhands_contract.cli import main; main()", "proxy", *arguments]
    with subprocess.Popen(
        [*line, "--port", "0", "--agent-port", "0"], stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        address = ""
        while not address:
            said = one.stdout.readline()
            assert said, "the command has ended"
            address = said.removeprefix("ready ").strip() if said.startswith("ready ") else ""
        try:
            yield one, address
        finally:
            if one.poll() is None:
                one.kill()


def test_healthy_traffic_conforms_and_is_recorded(tmp_path: Path) -> None:
    path, report = tmp_path / "run.jsonl", tmp_path / "report.json"
    options = ("--record", str(path), "--json", str(report))
    with ReferenceServer(session_api_key=SECRET) as server, command(server.url, *options) as (one, url):
        answer = httpx.get(f"{url}/api/conversations", headers={"X-Session-API-Key": SECRET})
        assert answer.status_code == 200
        one.send_signal(signal.SIGINT)
        said, _ = one.communicate(timeout=20)
    assert one.returncode == 0, said
    assert "Conforms" in said
    assert SECRET not in said + path.read_text() + report.read_text()
    assert len(read(path).facts) == 1
    assert json.loads(report.read_text())


def test_what_is_wrong_is_printed_at_once_and_ends_with_1() -> None:
    def answer(request: Request) -> Response:
        return Response(json.dumps({"results": None, "key": SECRET}), mimetype="application/json")

    with upstream(answer) as url, command(url) as (one, proxy):
        httpx.get(f"{proxy}/api/conversations", headers={"X-Session-API-Key": SECRET})
        assert one.stdout is not None
        line = one.stdout.readline()
        assert line.startswith("MUST V0-DOCUMENT-01  GET /api/conversations: ")
        one.send_signal(signal.SIGTERM)
        said, _ = one.communicate(timeout=20)
    assert one.returncode == 1
    assert "Does not conform" in said
    assert SECRET not in line + said


def test_without_traffic_there_is_no_verdict() -> None:
    with command("http://127.0.0.1:9") as (one, _):
        one.send_signal(signal.SIGINT)
        said, _ = one.communicate(timeout=20)
    assert one.returncode == 2
    assert "nothing that could be judged came through the proxy" in said


@contextmanager
def watching(url: str) -> Iterator[tuple[str, str, set[str]]]:
    """A proxy whose traffic is judged: its addresses, and the requirements that were seen broken."""
    watch, broken = Watch(url, "docs"), set[str]()

    def tell(fact: Fact) -> None:
        broken.update(found.requirement.id for found in watch.take(fact))

    with proxying(url, tell) as proxy:
        yield proxy.url, proxy.agent_url, broken


def test_the_traffic_of_a_whole_conversation_of_each_generation_breaks_nothing() -> None:
    with ReferenceServer() as server, watching(server.url) as (url, agent_url, broken):
        v0 = httpx.post(f"{url}/api/conversations", json={"initial_user_msg": "hello"}).json()[
            "conversation_id"
        ]
        eventually(lambda: httpx.get(f"{url}/api/conversations/{v0}").json()["status"] == "RUNNING")
        with listening(url, POLLING, conversation_id=v0) as ear:
            ear.until("is finished")
            ear.say("again")
            ear.until("is finished")
        httpx.get(f"{url}/api/conversations/{v0}/events")
        httpx.patch(f"{url}/api/conversations/{v0}", json={"title": "New"})
        httpx.get(f"{url}/api/conversations/{v0}")
        tasks = httpx.post(f"{url}/api/v1/app-conversations/stream-start", json={}).json()
        query = {"ids": tasks[-1]["app_conversation_id"]}
        [v1] = httpx.get(f"{url}/api/v1/app-conversations", params=query).json()
        key = v1["session_api_key"]
        stream = f"{agent_url.replace('http', 'ws')}/sockets/events/{v1['id']}?session_api_key={key}"
        with connect(f"{stream}&resend_all=true") as socket:
            said = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
            socket.send(json.dumps(said))
            while '"value":"finished"' not in str(socket.recv(timeout=10)):
                continue
        headers = {"X-Session-API-Key": key}
        httpx.get(f"{agent_url}/api/conversations/{v1['id']}/events/search", headers=headers)
        for identifier in (v0, v1["id"]):
            httpx.delete(f"{url}/api/conversations/{identifier}")
            httpx.get(f"{url}/api/conversations/{identifier}")
        httpx.get(f"{url}/api/conversations")
    assert broken == set()
