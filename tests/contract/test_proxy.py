"""Through the proxy, plain clients see what they see without it: httpx, websockets, python-socketio."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from werkzeug.wrappers import Request, Response

from openhands_contract.proxy.running import RunningProxy
from openhands_contract.traffic import Direction, Exchange, Fact, Frame, SocketOpened
from openhands_reference_server import ReferenceServer
from tests.contract.proxying import proxying, upstream
from tests.service.server.conftest import eventually
from tests.service.server.listening import POLLING, WEBSOCKET, listening, refusal, word

MISSING = "00000000-0000-0000-0000-000000000001"
_OF_A_CONNECTION = {"connection", "date"}


@dataclass
class Stage:
    """A reference server, the proxy before it, and what passed."""

    server: ReferenceServer
    proxy: RunningProxy
    facts: list[Fact] = field(default_factory=list)

    def both(self, method: str, path: str, **kwargs: Any) -> tuple[httpx.Response, httpx.Response]:
        """The answers to a request, through the proxy and without it."""
        through = httpx.request(method, self.proxy.url + path, **kwargs)
        return through, httpx.request(method, self.server.url + path, **kwargs)

    def start_v1(self, text: str) -> dict[str, Any]:
        """A V1 conversation, as the app server shows it through the proxy."""
        message = {"content": [{"type": "text", "text": text}], "run": True}
        started = httpx.post(
            f"{self.proxy.url}/api/v1/app-conversations/stream-start", json={"initial_message": message}
        )
        ready = started.json()[-1]
        assert ready["status"] == "READY"
        assert ready["agent_server_url"] == self.proxy.agent_url
        query = {"ids": ready["app_conversation_id"]}
        [info] = httpx.get(f"{self.proxy.url}/api/v1/app-conversations", params=query).json()
        found: dict[str, Any] = info
        return found

    def create_v0(self, text: str) -> str:
        created = httpx.post(f"{self.proxy.url}/api/conversations", json={"initial_user_msg": text})
        conversation_id: str = created.json()["conversation_id"]
        return conversation_id


@pytest.fixture
def stage() -> Iterator[Stage]:
    facts: list[Fact] = []
    with ReferenceServer() as server, proxying(server.url, facts.append) as proxy:
        yield Stage(server, proxy, facts)


def headers(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.multi_items() if name not in _OF_A_CONNECTION]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/alive"),
        ("GET", "/health"),
        ("HEAD", "/alive"),
        ("GET", "/api/conversations?limit=0"),
        ("GET", "/api/conversations/a%2Fb%2e%2e"),
        ("GET", "/api/conversations/%0a"),
        ("DELETE", f"/api/conversations/{MISSING}"),
        ("GET", "/nowhere/%C3%BC?a=%20&a=+&=b"),
        ("PUT", "/alive"),
        ("OPTIONS", "/alive"),
        ("PROPFIND", "/alive"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ],
)
def test_answers_are_the_same_byte_for_byte(stage: Stage, method: str, path: str) -> None:
    through, direct = stage.both(method, path)
    assert through.status_code == direct.status_code
    assert through.content == direct.content
    assert headers(through) == headers(direct)


def test_bodies_reach_the_server_as_they_were_sent(stage: Stage) -> None:
    for content in (b"{", b"", b'{"initial_user_msg": "\xc3\xa4"}', b"\xff"):
        through, direct = stage.both(
            "POST", "/api/conversations", content=content, headers={"Content-Type": "application/json"}
        )
        assert through.status_code == direct.status_code
        if direct.status_code != 200:
            assert through.content == direct.content


def test_a_v1_conversation_passes_with_its_agent_server(stage: Stage) -> None:
    info = stage.start_v1("hello")
    assert info["conversation_url"] == f"{stage.proxy.agent_url}/api/conversations/{info['id']}"
    key = {"X-Session-API-Key": info["session_api_key"]}
    path = f"/api/conversations/{info['id']}/events/search"
    through = httpx.get(stage.proxy.agent_url + path, headers=key)
    direct = httpx.get(stage.server.agent_url + path, headers=key)
    assert through.content == direct.content
    assert httpx.get(stage.proxy.agent_url + path).status_code == 401


def test_the_sandbox_names_the_proxy_too(stage: Stage) -> None:
    stage.start_v1("hello")
    [sandbox] = httpx.get(f"{stage.proxy.url}/api/v1/sandboxes/search").json()["items"]
    urls = {item["name"]: item["url"] for item in sandbox["exposed_urls"]}
    assert urls["AGENT_SERVER"] == stage.proxy.agent_url


def test_frames_pass_both_ways_with_pings_and_close_codes(stage: Stage) -> None:
    info = stage.start_v1("hello")
    base = f"{stage.proxy.agent_url.replace('http', 'ws')}/sockets/events"
    key = info["session_api_key"]
    with connect(f"{base}/{info['id']}?session_api_key={key}&resend_all=true") as socket:
        assert json.loads(socket.recv(timeout=5))["key"] == "full_state"
        assert socket.ping().wait(5)
        socket.send(json.dumps({"role": "user", "content": [{"type": "text", "text": "more"}]}))
        texts = []
        while "more" not in "".join(texts):
            texts.append(str(socket.recv(timeout=5)))
    with connect(f"{base}/{MISSING}?session_api_key={key}") as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "Conversation not found")
    eventually(lambda: [f for f in stage.facts if isinstance(f, Frame) and f.code == 4004])
    assert Direction.TO_SERVER in {f.direction for f in stage.facts if isinstance(f, Frame)}


def test_a_refused_socket_is_refused_as_without_the_proxy(stage: Stage) -> None:
    info = stage.start_v1("hello")
    answers = []
    for origin in (stage.proxy.agent_url, stage.server.agent_url):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{origin.replace('http', 'ws')}/sockets/events/{info['id']}?session_api_key=wrong")
        answers.append((refused.value.response.status_code, refused.value.response.body))
    assert answers[0] == answers[1]
    assert not [fact for fact in stage.facts if isinstance(fact, SocketOpened)]


def test_what_the_client_closes_with_reaches_the_server(stage: Stage) -> None:
    info = stage.start_v1("hello")
    base = f"{stage.proxy.agent_url.replace('http', 'ws')}/sockets/events"
    with connect(f"{base}/{info['id']}?session_api_key={info['session_api_key']}") as socket:
        socket.recv(timeout=5)
        socket.close(3999, "enough")

    def close_frame() -> list[Frame]:
        frames = [fact for fact in stage.facts if isinstance(fact, Frame)]
        return [f for f in frames if f.kind == "close" and f.direction is Direction.TO_SERVER]

    [frame] = eventually(close_frame)
    assert (frame.code, frame.data) == (3999, b"enough")


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING, [*POLLING, *WEBSOCKET]])
def test_socketio_clients_hear_what_they_would_hear_without_the_proxy(
    stage: Stage, transports: list[str]
) -> None:
    conversation_id = stage.create_v0("hello")
    events = f"{stage.server.url}/api/conversations/{conversation_id}/events"
    eventually(lambda: '"agent_state":"finished"' in httpx.get(events).text)
    heard = []
    for url in (stage.proxy.url, stage.server.url):
        with listening(url, transports, conversation_id=conversation_id) as ear:
            heard.append([word(frame) for frame in ear.until("is finished")])
    assert heard[0] == heard[1]
    with listening(stage.proxy.url, transports, conversation_id=conversation_id) as ear:
        ear.until("is finished")
        ear.say("again")
        assert "user message" in [word(frame) for frame in ear.until("is finished")]
    assert refusal(stage.proxy.url, transports) == "No conversation_id in query params"


def test_a_stream_is_passed_on_while_it_comes() -> None:
    go_on = threading.Event()

    def answer(request: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            yield b'[\n{"status":"WORKING"}'
            assert go_on.wait(10)
            yield b',\n{"status":"READY"}]'

        return Response(chunks(), mimetype="application/json", direct_passthrough=True)

    path = "/api/v1/app-conversations/stream-start"
    with upstream(answer) as url, proxying(url) as proxy, httpx.stream("POST", proxy.url + path) as stream:
        pieces = stream.iter_raw()
        assert next(pieces) == b'[\n{"status":"WORKING"}'
        go_on.set()
        assert b"".join(pieces) == b',\n{"status":"READY"}]'


def test_large_bodies_pass_and_are_kept_only_in_part() -> None:
    size = 48 * 1024 * 1024
    block = bytes(range(256)) * 4096
    facts: list[Fact] = []

    def answer(request: Request) -> Response:
        digest = hashlib.sha256()
        while chunk := request.stream.read(1024 * 1024):
            digest.update(chunk)
        body = (block for _ in range(size // len(block)))
        return Response(body, headers={"X-Digest": digest.hexdigest()}, mimetype="application/octet-stream")

    def upload() -> Iterator[bytes]:
        yield from (block for _ in range(size // len(block)))

    with upstream(answer) as url, proxying(url, facts.append) as proxy:
        length = {"Content-Length": str(size)}
        with httpx.stream("POST", f"{proxy.url}/upload", content=upload(), headers=length) as stream:
            digest = hashlib.sha256()
            for chunk in stream.iter_raw():
                digest.update(chunk)
            assert digest.hexdigest() == stream.headers["X-Digest"]
    [exchange] = facts
    assert isinstance(exchange, Exchange)
    assert exchange.answer is not None
    assert (exchange.request.body.size, exchange.answer.body.size) == (size, size)
    assert len(exchange.answer.body.data) < size // 2


def test_hop_by_hop_headers_stay_on_their_hop_and_names_are_translated() -> None:
    def answer(request: Request) -> Response:
        seen = {name.lower(): value for name, value in request.headers.items()}
        here = f"http://{request.host}"
        told = {"Location": f"{here}/there", "X-Hop": "1", "Connection": "x-hop", "Set-Cookie": "a=b"}
        return Response(json.dumps(seen), 307, headers=told, mimetype="application/json")

    with upstream(answer) as url, proxying(url) as proxy:
        sent = {"Connection": "keep-alive, x-mine", "X-Mine": "1", "Origin": proxy.url, "Cookie": "c=d"}
        came = httpx.get(f"{proxy.url}/here", headers=sent)
        seen = came.json()
        assert came.headers["Location"] == f"{proxy.url}/there"
        assert came.headers["Set-Cookie"] == "a=b"
        assert "X-Hop" not in came.headers
        assert "x-mine" not in seen
        assert seen["host"] == url.removeprefix("http://")
        assert seen["origin"] == url
        assert seen["cookie"] == "c=d"


def test_a_path_before_the_api_is_kept() -> None:
    with upstream(lambda request: Response(request.path)) as url, proxying(f"{url}/ns/one/") as proxy:
        assert httpx.get(f"{proxy.url}/alive").text == "/ns/one/alive"


def test_several_agent_servers_stand_behind_one_port() -> None:
    def agent(name: str) -> Any:
        return upstream(lambda request: Response(json.dumps(name), mimetype="application/json"))

    with agent("one") as one, agent("two") as two:
        told = [
            {"conversation_url": f"{url}/api/conversations/{number:032x}", "session_api_key": f"key-{number}"}
            for number, url in enumerate((one, two), start=1)
        ]

        def app(request: Request) -> Response:
            return Response(json.dumps(told), mimetype="application/json")

        with upstream(app) as url, proxying(url) as proxy:
            assert httpx.get(f"{proxy.agent_url}/alive").status_code == 502
            seen = httpx.get(f"{proxy.url}/api/v1/app-conversations").json()
            assert {item["conversation_url"].partition("/api")[0] for item in seen} == {proxy.agent_url}
            for number, name in ((1, "one"), (2, "two")):
                by_id = httpx.get(f"{proxy.agent_url}/api/conversations/{number:032x}/events/count")
                key = {"X-Session-API-Key": f"key-{number}"}
                by_key = httpx.get(f"{proxy.agent_url}/api/git/changes/x", headers=key)
                assert (by_id.json(), by_key.json()) == (name, name)


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    facts: list[Fact] = []
    with proxying("http://127.0.0.1:9", facts.append) as proxy:
        answer = httpx.get(f"{proxy.url}/alive")
        assert answer.status_code == 502
        assert answer.headers["Content-Type"] == "application/json"
        assert "http://127.0.0.1:9 gave no answer" in answer.json()["detail"]
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{proxy.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket")
        assert refused.value.response.status_code == 502
    assert [fact.answer for fact in facts if isinstance(fact, Exchange)] == [None, None]


def test_an_answer_that_breaks_off_breaks_off_for_the_client() -> None:
    def answer(request: Request) -> Response:
        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise ConnectionError

        return Response(chunks(), headers={"Content-Length": "8"}, direct_passthrough=True)

    facts: list[Fact] = []
    with (
        upstream(answer) as url,
        proxying(url, facts.append) as proxy,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"{proxy.url}/alive")
    [exchange] = facts
    assert isinstance(exchange, Exchange)
    assert exchange.answer is not None
    assert exchange.answer.broken
