# Generated from tests/service/sdk/test_async_v0_live.py by scripts/unasync.py. Do not edit.
"""V0 conversations over Socket.IO, on the app server and on runtimes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from openhands_client import NotFoundError, OpenHands
from openhands_reference_server import AgentScript, ReferenceServer, Run
from openhands_reference_server.domain.script import Act, Finish
from openhands_reference_server.http.socketio_server import SocketIO

USER_KEY = "the-key-of-the-user"


def turn(message: str, number: int) -> Iterator[Act]:
    for step in range(5):
        yield Run(f"echo {message} {step}", output=f"{message} {step}")
    yield Finish()


@pytest.fixture
def live() -> Iterator[ReferenceServer]:
    with ReferenceServer(script=AgentScript(acts=turn)) as running:
        yield running


def test_events_come_over_the_socket_each_once_and_in_order(live: ReferenceServer) -> None:
    with OpenHands(live.url) as client:
        conversation = client.conversations.create("first", api="v0")
        ids, finished, connections = [], 0, 0
        events = conversation.events(until="forever")
        for event in events:
            ids.append(event.id)
            connections = live.world.live.connections(conversation.id)
            if event.agent_state == "finished":
                finished += 1
                if finished == 2:
                    break
                conversation.send("second")
        events.close()
        assert connections == 1
        assert ids == list(range(len(ids)))
        stored = [event.id for event in conversation.history()]
        assert ids == stored


def test_a_stream_goes_on_where_another_ended(live: ReferenceServer) -> None:
    with OpenHands(live.url) as client:
        conversation = client.conversations.create("first", api="v0")
        first = [event.id for event in conversation.events()]
        conversation.send("second")
        second = [event.id for event in conversation.events(after=first[-1])]
        assert first + second == list(range(first[-1] + 1 + len(second)))


def test_a_stream_ends_with_its_conversation(live: ReferenceServer) -> None:
    with OpenHands(live.url) as client:
        conversation = client.conversations.create("first", api="v0")
        conversation.wait(timeout=30)
        conversation.stop()
        states = [event.agent_state for event in conversation.events()]
        assert states[-1] == "stopped"


class Wire:
    """Everything that came to one port: headers and queries of requests and handshakes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._requests: list[tuple[str, str, str]] = []
        serve = SocketIO.__call__

        def spy(this: SocketIO, environ: dict[str, Any], start_response: Any) -> Any:
            sent = {
                name: value
                for name, value in environ.items()
                if name.startswith("HTTP_") or name == "QUERY_STRING"
            }
            self._requests.append((environ["SERVER_PORT"], environ["PATH_INFO"], str(sent)))
            return serve(this, environ, start_response)

        monkeypatch.setattr(SocketIO, "__call__", spy)

    def at(self, url: str) -> list[tuple[str, str]]:
        """Paths, and what came with them, at this server."""
        port = url.rpartition(":")[2]
        return [(path, sent) for to, path, sent in self._requests if to == port]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


@pytest.fixture
def nested(wire: Wire) -> Iterator[ReferenceServer]:
    script = AgentScript(acts=turn)
    with ReferenceServer(script=script, nested=True, session_api_key=USER_KEY) as running:
        yield running


def test_a_conversation_lives_on_its_own_runtime(nested: ReferenceServer, wire: Wire) -> None:
    with OpenHands(nested.url, session_api_key=USER_KEY) as client:
        made = client.conversations.create("first", api="v0")
        conversation = client.conversations.get(made.id)
        ids = [event.id for event in conversation.events()]
        conversation.send("second")
        ids += [event.id for event in conversation.events(after=ids[-1])]
        assert ids == list(range(len(ids)))
        assert conversation.trajectory()
        assert conversation.git.changes() == []
        conversation.stop()
    at_runtime = wire.at(nested.agent_url)
    paths = {path.removeprefix(f"/api/conversations/{made.id}") for path, _ in at_runtime}
    assert paths >= {"/events", "/message", "/trajectory", "/git/changes", "/socket.io/"}
    assert not [path for path, sent in at_runtime if USER_KEY in sent]


def test_the_current_conversation(nested: ReferenceServer, wire: Wire) -> None:
    with OpenHands(nested.url, session_api_key=USER_KEY) as client:
        made = client.v0.create_conversation(initial_user_msg="first")
        info = client.v0.get_conversation(made.conversation_id)
        with pytest.raises(NotFoundError):
            client.v0.get_runtime_id(info.conversation_id)
        client.v0.set_current_conversation(info)
        assert client.v0.get_conversation_url(info.conversation_id) == info.url
        assert (client.v0.get_runtime_id(info.conversation_id)).session_id == info.conversation_id
        client.v0.add_message(info.conversation_id, "second")
        assert client.v0.get_files(info.conversation_id) == []
        assert (client.v0.get_trajectory(info.conversation_id)).trajectory
        client.v0.set_current_conversation(None)
        with pytest.raises(NotFoundError):
            client.v0.get_files(info.conversation_id)
    at_runtime = wire.at(nested.agent_url)
    assert at_runtime
    assert not [path for path, sent in at_runtime if USER_KEY in sent]
