"""Faked answers: every operation has one, the clients understand them, and tests override what they want."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest
import respx

from openhands_client import AsyncOpenHands, NotFoundError, OpenHands
from openhands_contract import documents
from openhands_testing.respx_router import openhands_router

METHODS = ("get", "put", "post", "delete", "patch")


def operations() -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    for name in get_args(documents.DocumentName):
        origin = "http://localhost:3000" if name == "app-server" else "http://localhost:3001"
        prefix = "" if name == "app-server" else "agent."
        for path, item in documents.load(name)["paths"].items():
            for method in METHODS:
                if method in item:
                    yield prefix + item[method]["operationId"], method, origin, path, item[method]


OPERATIONS = list(operations())


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:  # one for all: its TLS settings take longer than the tests
        yield client


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one[0] for one in OPERATIONS])
def test_every_operation_is_answered_by_its_own_route(operation: Any, http: httpx.Client) -> None:
    name, method, origin, path, described = operation
    filled = re.sub(r"\{(\w+)\}", lambda hole: "a/b.txt" if hole[1] == "path" else "a1b2", path)
    with openhands_router() as router:
        answer = http.request(method.upper(), f"{origin}{filled}", params={"a": "b"})
        assert str(answer.status_code) in described["responses"]
        assert router[name].call_count == 1


@respx.mock(assert_all_mocked=True)
def test_a_router_leaves_nothing_behind() -> None:
    with openhands_router():
        assert httpx.get("http://localhost:3000/alive").status_code == 200
    with pytest.raises(respx.models.AllMockedAssertionError):
        httpx.get("http://localhost:3000/alive")


def test_what_is_no_operation_is_not_answered() -> None:
    with openhands_router(), pytest.raises(respx.models.AllMockedAssertionError):
        httpx.get("http://localhost:3000/api/nothing")


def test_examples_are_what_the_schemas_say() -> None:
    document = documents.load("app-server")
    schema = {"$ref": "#/components/schemas/ConversationInfo", "components": document["components"]}
    with openhands_router():
        answer = httpx.get("http://localhost:3000/api/conversations/2a6b").json()
    assert jsonschema_rs.is_valid(schema, answer)


def test_a_client_gets_from_the_order_to_the_conversation() -> None:
    with openhands_router(), OpenHands() as client:
        conversation = client.conversations.create("Fix the failing test", api="v1")
        assert conversation.status == "RUNNING"
        assert client.v0.get_conversation("2a6b").title == "Fix the failing test"


async def test_an_async_client_is_answered_too() -> None:
    with openhands_router("https://openhands.test", agent_url="https://agents.openhands.test") as router:
        async with AsyncOpenHands("https://openhands.test") as client:
            conversation = await client.conversations.create("Fix the failing test", api="v1")
            await conversation.send("And now?")
        assert router["agent.sendEvent"].calls.last.request.url.host == "agents.openhands.test"


def test_a_single_route_is_overridden() -> None:
    gone = {"status": "error", "message": "Conversation not found", "msg_id": "CONVERSATION$NOT_FOUND"}
    with openhands_router() as router, OpenHands() as client:
        router["getConversation"].respond(404, json=gone)
        with pytest.raises(NotFoundError):
            client.v0.get_conversation("2a6b")
        assert list(client.v0.get_user_conversations().results)


def test_the_fixture_makes_routers(openhands_respx: Any) -> None:
    router = openhands_respx()
    with OpenHands() as client:
        assert client.alive()
    assert router["alive"].called


def test_a_router_can_insist_on_being_asked_everything() -> None:
    with pytest.raises(AssertionError, match="not called"), openhands_router(assert_all_called=True):
        httpx.get("http://localhost:3000/alive")
