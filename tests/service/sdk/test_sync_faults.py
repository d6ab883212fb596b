# Generated from tests/service/sdk/test_async_faults.py by scripts/unasync.py. Do not edit.
"""Nothing is lost and nothing is done twice when a server fails: each fault by itself, at the worst place."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from typing import Literal

import pytest

from openhands_client import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    OpenHands,
    OutcomeUnknownError,
    RetryPolicy,
    StartTaskTimeout,
    StreamError,
)
from openhands_reference_server import Match, ReferenceServer
from openhands_reference_server.control.faults import (
    Answer,
    CloseWebSocket,
    Delay,
    Drop,
    Effect,
    MalformedJson,
    ResetAfterAnswer,
    SlowHandshake,
    Stall,
    Truncate,
)
from openhands_reference_server.domain.script import Act, AgentScript, Finish, Run

Api = Literal["v0", "v1"]

QUICK = RetryPolicy(initial=0.01, maximum=0.05)
HANDLED = [
    Drop(handled=True),
    Drop(handled=True, reset=True),
    MalformedJson(),
    Truncate(),
    ResetAfterAnswer(),
]
NOT_HANDLED = [Drop(), Drop(reset=True), Answer(500), Answer(503), Answer(502), Answer(429, retry_after=0)]
CREATE = {"v0": "createConversation", "v1": "streamStartAppConversation"}
SEND = {"v0": "addConversationMessage", "v1": "sendEvent"}

both_apis = pytest.mark.parametrize("api", ["v0", "v1"])


def answer(message: str, number: int) -> Iterator[Act]:
    if message == "ask":
        yield Run("rm -rf build", confirm=True)
        yield Run("rm -rf dist", confirm=True)
    yield Finish("done")


@pytest.fixture(scope="module")
def running() -> Iterator[ReferenceServer]:
    with ReferenceServer(script=AgentScript(acts=answer), max_concurrent_conversations=1000) as server:
        yield server


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """This server does at once what it does."""
    monkeypatch.setattr("openhands_client._core.inquiry.LOOKS", (0.0, 0.02, 0.05))


@pytest.fixture
def faulty(running: ReferenceServer) -> Iterator[ReferenceServer]:
    yield running
    running.clear_faults()


def ids(server: ReferenceServer) -> set[str]:
    """The conversations that there are."""
    with OpenHands(server.url) as client:
        return {one.id for one in client.conversations.list()}


@pytest.mark.parametrize("effect", [*HANDLED, *NOT_HANDLED], ids=repr)
def test_one_order_is_one_conversation(faulty: ReferenceServer, effect: Effect) -> None:
    before = ids(faulty)
    fault = faulty.add_fault(effect, Match(operation=CREATE["v1"]), times=1)
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        texts = [event.gist for event in conversation.history() if event.kind == "MessageEvent"]
    assert faulty.faults[0].hits == 1, fault
    assert texts.count("hello") == 1
    assert ids(faulty) - before == {conversation.id}


@pytest.mark.parametrize("effect", [*HANDLED, *NOT_HANDLED], ids=repr)
def test_one_order_without_a_stream_is_one_conversation(faulty: ReferenceServer, effect: Effect) -> None:
    before = ids(faulty)
    faulty.add_fault(effect, Match(operation="startAppConversation"), times=1)
    with OpenHands(faulty.url, retry=QUICK) as client:
        started = client.conversations.create("hello", api="v1", wait=False)
        conversation = started.wait(timeout=30)
    assert faulty.faults[0].hits == 1
    assert ids(faulty) - before == {conversation.id}


@pytest.mark.parametrize("effect", NOT_HANDLED, ids=repr)
def test_an_order_that_v0_did_not_handle_is_given_again(faulty: ReferenceServer, effect: Effect) -> None:
    before = ids(faulty)
    faulty.add_fault(effect, Match(operation=CREATE["v0"]), times=1)
    with OpenHands(faulty.url, retry=QUICK) as client:
        branch = uuid.uuid4().hex  # else it might be another test's
        started = client.conversations.create("hello", api="v0", branch=branch, wait=False)
        conversation = started.wait(timeout=30)
        assert started.status == "WORKING"
        assert (started.refresh()).status == "READY"
    assert ids(faulty) - before == {conversation.id}


@pytest.mark.parametrize("effect", [Drop(handled=True), MalformedJson(), Truncate()], ids=repr)
def test_an_order_that_v0_may_have_handled_is_named(faulty: ReferenceServer, effect: Effect) -> None:
    before = ids(faulty)
    faulty.add_fault(effect, Match(operation=CREATE["v0"]), times=1)
    with OpenHands(faulty.url, retry=QUICK) as client:
        with pytest.raises(OutcomeUnknownError) as unknown:
            client.conversations.create("hello", api="v0", timeout=30)
    new = ids(faulty) - before
    assert len(new) == 1
    assert new <= set(unknown.value.candidates)


@both_apis
@pytest.mark.parametrize("effect", [*HANDLED, *NOT_HANDLED], ids=repr)
def test_one_message_is_one_message(faulty: ReferenceServer, api: Api, effect: Effect) -> None:
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api=api, timeout=30)
        conversation.wait(30)
        faulty.add_fault(effect, Match(operation=SEND[api]), times=1)
        conversation.send("hello")
        assert conversation.wait(30) == "finished"
        assert faulty.faults[0].hits == 1
        said = [str(event) for event in conversation.history() if event.source == "user"]
        assert len([line for line in said if "hello" in line and "recall" not in line]) == 2


@both_apis
def test_one_answer_confirms_one_action(faulty: ReferenceServer, api: Api) -> None:
    operation = "respondToConfirmation" if api == "v1" else "addConversationEvent"
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("ask", api=api, timeout=30)
        asking = conversation.wait(30)
        faulty.add_fault(Drop(handled=True), Match(operation=operation), times=1)
        conversation.confirm(True)
        assert conversation.wait(30) == asking  # it asks for the second action


@both_apis
def test_what_is_deleted_without_an_answer_is_deleted(faulty: ReferenceServer, api: Api) -> None:
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api=api, timeout=30)
        faulty.add_fault(Drop(handled=True), Match(method="DELETE"), times=1)
        assert conversation.delete() is True
        assert conversation.delete() is False


def test_a_paused_sandbox_that_does_not_answer_is_named(faulty: ReferenceServer) -> None:
    """A handle does not know that somebody else has paused the sandbox."""
    with OpenHands(faulty.url, retry=QUICK, timeout=0.5) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        conversation.wait(30)
        client.conversations.stop(conversation.id)
        faulty.add_fault(Stall(seconds=math.inf), Match(server="agent", protocol="http"))
        with pytest.raises(ConflictError, match=r"PAUSED.*start\(\)"):
            conversation.send("anybody there?")
        assert faulty.faults[0].hits == 1
        assert conversation.status == "STOPPED"  # the handle knows it now
        faulty.clear_faults()
        conversation.start(timeout=30)
        conversation.send("hello")


def test_a_start_that_hangs_ends_at_its_deadline_with_its_id(faulty: ReferenceServer) -> None:
    faulty.add_fault(Delay(20.0, after_handling=True), Match(operation=CREATE["v1"]), times=1)
    with OpenHands(faulty.url) as client:
        with pytest.raises(StartTaskTimeout) as late:
            client.conversations.create("hello", api="v1", timeout=0.5)
        assert late.value.conversation_id is not None
        assert (client.conversations.get(late.value.conversation_id)).version == "v1"


# Streams


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_socket_that_is_cut_loses_nothing(faulty: ReferenceServer, after: int) -> None:
    faulty.add_fault(CloseWebSocket(after=after, code=None), times=2)
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        seen = [event.id for event in conversation.events()]
        assert seen == [event.id for event in conversation.history()]
        assert conversation.agent_state == "finished"


@pytest.mark.parametrize(("code", "kind"), [(4001, AuthenticationError), (4004, NotFoundError)])
def test_a_final_close_code_ends_the_stream(
    faulty: ReferenceServer, code: int, kind: type[Exception]
) -> None:
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        faulty.add_fault(CloseWebSocket(code=code))
        with pytest.raises(kind):
            conversation.wait(30)
        assert faulty.faults[0].hits == 1


def test_a_refused_upgrade_is_an_authentication_error(faulty: ReferenceServer) -> None:
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        faulty.add_fault(Answer(403), Match(server="agent", protocol="websocket"))
        with pytest.raises(AuthenticationError):
            conversation.wait(30)


def test_a_socket_that_cannot_be_had_ends_the_stream_with_a_word_where_to_resume(
    faulty: ReferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openhands_client._core.streaming.HANDSHAKE_TIMEOUT", 0.05)
    monkeypatch.setattr("openhands_client._core.streaming.RECONNECTS", 2)
    faulty.add_fault(SlowHandshake(20.0), Match(server="agent"))
    with OpenHands(faulty.url, retry=QUICK) as client:
        conversation = client.conversations.create("hello", api="v1", timeout=30)
        with pytest.raises(StreamError, match="3 times"):
            conversation.wait(30)
