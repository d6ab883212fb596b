"""What was recorded through the proxy is answered again by the reference server, and holds no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openhands_contract.recording.files import SCHEMA, Heading, RecordingFile, read
from openhands_reference_server import ReferenceServer
from tests.contract.proxying import proxying
from tests.service.server.conftest import eventually
from tests.service.server.listening import POLLING, WEBSOCKET, listening, word

KEY = "the-key-of-the-app-server"
SECRET = "a custom secret: ä/+"


@contextmanager
def recording(server: ReferenceServer, path: Path) -> Iterator[tuple[str, str]]:
    """The addresses of a proxy that records."""
    with RecordingFile(path) as file, proxying(server.url, file.take) as proxy:
        file.begin(Heading(server.url, proxy.url, proxy.agent_url))
        yield proxy.url, proxy.agent_url


def play_rest(url: str, agent_url: str, key: str) -> tuple[list[str], list[Any]]:
    """A V1 conversation from its start to its end; the keys it was given, and the rest of what it learns."""
    keys: list[str] = []
    told: list[Any] = []
    with httpx.Client(base_url=url, headers={"X-Session-API-Key": key}) as app:
        message = {"content": [{"type": "text", "text": "hello"}], "run": True}
        stream = app.post("/api/v1/app-conversations/stream-start", json={"initial_message": message})
        told.append([task["status"] for task in stream.json()])
        conversation_id = stream.json()[-1]["app_conversation_id"]
        [info] = app.get("/api/v1/app-conversations", params={"ids": conversation_id}).json()
        assert info["conversation_url"].startswith(agent_url)
        keys.append(info["session_api_key"])
        agent = {"X-Session-API-Key": info["session_api_key"]}
        base = info["conversation_url"]
        told.append(httpx.post(f"{base}/run", headers=agent).json())
        told.append(httpx.get(f"{base}/events/search", headers=agent).json())
        query = f"session_api_key={info['session_api_key']}&resend_all=true"
        with connect(f"{agent_url.replace('http', 'ws')}/sockets/events/{conversation_id}?{query}") as socket:
            first = [json.loads(socket.recv(timeout=10)) for _ in range(3)]
            said = {"role": "user", "content": [{"type": "text", "text": "more"}], "run": True}
            httpx.post(f"{base}/events", json=said, headers=agent)
            heard: list[str] = []
            while len([text for text in heard if '"value":"finished"' in text]) < 2:
                heard.append(str(socket.recv(timeout=10)))
        told += [first[1:], heard]
        told.append(app.patch(f"/api/conversations/{conversation_id}", json={"title": "New"}).json())
        told.append(app.get(f"/api/conversations/{conversation_id}").json()["title"])
        secret = {"name": "TOKEN", "value": SECRET}
        told.append(app.post("/api/secrets", json=secret).json())
        told.append(app.delete(f"/api/conversations/{conversation_id}").json())
        told.append(app.get(f"/api/conversations/{conversation_id}").json())
    return keys, told


def test_rest_and_websocket_are_answered_as_they_were_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ReferenceServer(session_api_key=KEY) as server, recording(server, path) as (url, agent_url):
        _, recorded = play_rest(url, agent_url, KEY)
    with ReferenceServer(replay=path) as replayed:
        _, again = play_rest(replayed.url, replayed.agent_url, "another-key")
    assert json.loads(json.dumps(again)) == json.loads(json.dumps(recorded))


def test_a_recording_keeps_to_its_schema_and_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ReferenceServer(session_api_key=KEY) as server, recording(server, path) as (url, agent_url):
        told = play_rest(url, agent_url, KEY)
    text = path.read_text()
    for secret in (KEY, SECRET, json.dumps(SECRET)[1:-1], *told[0]):
        assert secret not in text
    assert "redacted-1" in text
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    for line in text.splitlines():
        validator.validate(json.loads(line))


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING, [*POLLING, *WEBSOCKET]])
def test_socketio_is_answered_as_it_was_recorded(tmp_path: Path, transports: list[str]) -> None:
    path = tmp_path / "run.jsonl"

    def play(url: str) -> list[str]:
        created = httpx.post(f"{url}/api/conversations", json={"initial_user_msg": "hello"}).json()
        identifier = created["conversation_id"]
        eventually(lambda: httpx.get(f"{url}/api/conversations/{identifier}").json()["status"] == "RUNNING")
        with listening(url, transports, conversation_id=identifier) as ear:
            heard = [word(frame) for frame in ear.until("is finished")]
            ear.say("again")
            return heard + [word(frame) for frame in ear.until("is finished")]

    with ReferenceServer() as server, recording(server, path) as (url, _):
        recorded = play(url)
    with ReferenceServer(replay=path) as replayed:
        assert play(replayed.url) == recorded


def test_what_was_not_recorded_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ReferenceServer() as server, recording(server, path) as (url, _):
        httpx.get(f"{url}/api/conversations?limit=5")
    with ReferenceServer(replay=path) as replayed:
        assert httpx.get(f"{replayed.url}/api/conversations?limit=5").json()["results"] == []
        answer = httpx.get(f"{replayed.url}/api/conversations?limit=6")
        assert answer.status_code == 501
        detail = answer.json()["detail"]
        assert "not recorded: GET /api/conversations." in detail
        assert "nearest recorded request is: GET /api/conversations?limit=5" in detail


def test_answers_come_in_order_and_the_last_one_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    counts = []
    with ReferenceServer() as server, recording(server, path) as (url, _):
        for number in range(3):
            counts.append(len(httpx.get(f"{url}/api/conversations").json()["results"]))
            httpx.post(f"{url}/api/conversations", json={"initial_user_msg": str(number)})
    with ReferenceServer(replay=path) as replayed:
        seen = [len(httpx.get(f"{replayed.url}/api/conversations").json()["results"]) for _ in range(5)]
    assert counts == [0, 1, 2]
    assert seen == [0, 1, 2, 2, 2]


def test_ids_that_a_client_makes_stand_for_those_that_were_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    def play(url: str, wanted: str) -> list[str]:
        request = {"conversation_id": wanted, "title": "Mine"}
        tasks = httpx.post(f"{url}/api/v1/app-conversations/stream-start", json=request).json()
        [info] = httpx.get(f"{url}/api/v1/app-conversations", params={"ids": wanted}).json()
        bare = wanted.replace("-", "")
        assert (tasks[-1]["app_conversation_id"], info["id"]) == (bare, bare)
        assert info["conversation_url"].endswith(bare)
        return [info["title"], httpx.get(f"{url}/api/conversations/{bare}").json()["status"]]

    with ReferenceServer() as server, recording(server, path) as (url, _):
        recorded = play(url, str(uuid4()))
    with ReferenceServer(replay=path) as replayed:
        assert play(replayed.url, str(uuid4())) == recorded


def test_a_close_code_is_played_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"

    def code(url: str, agent_url: str) -> int:
        stream = httpx.post(f"{url}/api/v1/app-conversations/stream-start", json={})
        [info] = httpx.get(
            f"{url}/api/v1/app-conversations", params={"ids": stream.json()[-1]["app_conversation_id"]}
        ).json()
        missing = f"{agent_url.replace('http', 'ws')}/sockets/events/00000000-0000-0000-0000-000000000001"
        with (
            connect(f"{missing}?session_api_key={info['session_api_key']}") as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(timeout=10)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    with ReferenceServer() as server, recording(server, path) as (url, agent_url):
        assert code(url, agent_url) == 4004
    with ReferenceServer(replay=path) as replayed:
        assert code(replayed.url, replayed.agent_url) == 4004


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ReferenceServer() as server, recording(server, path) as (url, _):
        httpx.get(f"{url}/alive")
        httpx.get(f"{url}/health")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    torn = read(path)
    assert (len(torn.facts), torn.is_torn) == (1, True)
    with ReferenceServer(replay=path) as replayed:
        assert httpx.get(f"{replayed.url}/alive").json() == {"status": "ok"}
        assert httpx.get(f"{replayed.url}/health").status_code == 501


def test_a_replaying_server_has_no_world(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RecordingFile(path) as file:
        file.begin(Heading("http://a", "http://b", "http://c"))
    with ReferenceServer(replay=path) as replayed, pytest.raises(RuntimeError, match="no world"):
        _ = replayed.world
