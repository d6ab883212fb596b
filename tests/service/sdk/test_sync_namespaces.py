# Generated from tests/service/sdk/test_async_namespaces.py by scripts/unasync.py. Do not edit.
"""Two namespaces of one server, used at the same time: a base URL with a path is kept everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openhands_client import NotFoundError, OpenHands
from openhands_reference_server import Match, ReferenceServer
from openhands_reference_server.control import faults
from openhands_reference_server.domain.script import AgentScript

from .sync_crowd import crowd


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    unhurried = AgentScript(step_delay=0.05)  # so that the streams are followed before it is done
    with ReferenceServer(control=True, script=unhurried, max_concurrent_conversations=1000) as running:
        yield running


def live(client: OpenHands, generation: str) -> tuple[OpenHands, str]:
    """A conversation with everything that has an address of its own: start, stream, files, git, agent server."""
    api = "v0" if generation == "v0" else "v1"
    conversation = client.conversations.create(f"hello {generation}", api=api)
    ids = [event.id for event in conversation.events()]
    assert len(ids) > 3
    conversation.send("and again")
    conversation.wait(timeout=20)
    conversation.files.upload(("a.txt", b"text"))
    assert conversation.files.read("/workspace/a.txt") == "text"
    stored = [event.id for event in conversation.history()]
    assert stored[: len(ids)] == ids
    return client, conversation.id


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_two_at_once_do_not_see_each_other(server: ReferenceServer, generation: str) -> None:
    one, other = server.namespace(f"one-{generation}"), server.namespace(f"other-{generation}")
    with OpenHands(one.url) as first, OpenHands(other.url + "/") as second:
        clients = iter([first, second])
        (a, of_a), (b, of_b) = crowd(lambda: live(next(clients), generation), 2)
        for client, mine, foreign in ((a, of_a, of_b), (b, of_b, of_a)):
            assert [found.id for found in client.conversations.list()] == [mine]
            with pytest.raises(NotFoundError):
                client.conversations.get(foreign)
    streams = "socketio" if generation == "v0" else "websocket"
    for namespace in (one, other):
        assert namespace.wait_for(Match(protocol=streams, path="/s*/**"))[0].status == 101
    assert server.journal == [], "nothing went to the root"


def test_what_goes_wrong_in_one_does_not_in_the_other(server: ReferenceServer) -> None:
    one, other = server.namespace("faulty"), server.namespace("sound")
    one.add_fault(faults.Answer(503, retry_after=0), Match(operation="listConversations"), times=2)
    with OpenHands(one.url) as first, OpenHands(other.url) as second:
        assert [found for found in first.conversations.list(limit=1)] == []
        assert [found for found in second.conversations.list(limit=1)] == []
    assert [rule.hits for rule in one.faults] == [2]
    assert len(one.journal) > len(other.journal)
