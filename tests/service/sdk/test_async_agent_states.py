"""Where agents come to rest, and what brings them on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from openhands_client import APITimeoutError, AsyncOpenHands
from openhands_reference_server import ReferenceServer
from openhands_reference_server.domain.script import Act, AgentScript, Fail, Finish, GetStuck, Run, Say

Api = Literal["v0", "v1"]


def answer(message: str, number: int) -> Iterator[Act]:
    match message:
        case "ask":
            yield Run("rm -rf build", confirm=True)
            yield Finish("removed")
        case "fail":
            yield Fail()
        case "loop":
            yield GetStuck()
        case "slow":
            yield Run("sleep 60", seconds=60)
            yield Finish()
        case "talk":
            yield Say("Hello there")
        case _:
            yield Finish()


@pytest.fixture(scope="module")
def scripted() -> Iterator[ReferenceServer]:
    with ReferenceServer(script=AgentScript(acts=answer)) as server:
        yield server


@pytest.mark.parametrize(
    ("message", "api", "state"),
    [
        ("ask", "v1", "waiting_for_confirmation"),
        ("ask", "v0", "awaiting_user_confirmation"),
        ("fail", "v1", "error"),
        ("fail", "v0", "error"),
        ("loop", "v1", "stuck"),
        ("loop", "v0", "error"),
        ("talk", "v1", "finished"),
        ("talk", "v0", "awaiting_user_input"),
        (None, "v1", "idle"),
        (None, "v0", "awaiting_user_input"),
    ],
)
async def test_where_an_agent_rests(
    scripted: ReferenceServer, message: str | None, api: Api, state: str
) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create(message, api=api)
        assert await conversation.wait(timeout=30) == state
        assert conversation.agent_state == state
        assert (await conversation.refresh()).agent_state == state


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_a_confirmed_action_is_done(scripted: ReferenceServer, api: Api) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create("ask", api=api)
        await conversation.wait(timeout=30)
        await conversation.confirm(True)
        assert await conversation.wait(timeout=30) == "finished"


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_a_rejected_action_is_not_done(scripted: ReferenceServer, api: Api) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create("ask", api=api)
        await conversation.wait(timeout=30)
        await conversation.confirm(False, "not on a Friday")
        assert await conversation.wait(timeout=30) in ("idle", "awaiting_user_input", "rejected")
        texts = [event.to_json() async for event in conversation.history()]
        assert not any("removed" in text for text in texts)
        if api == "v1":
            assert any("not on a Friday" in text for text in texts)


async def test_a_message_without_a_run_is_stored_and_wakes_nobody(scripted: ReferenceServer) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create("for later", run=False, api="v1")
        assert await conversation.wait(timeout=30) == "idle"
        kinds = [event.kind async for event in conversation.history()]
        assert "MessageEvent" in kinds
        assert "ActionEvent" not in kinds


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_patience_ends(scripted: ReferenceServer, api: Api) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create("slow", api=api)
        with pytest.raises(APITimeoutError, match="come to rest"):
            await conversation.wait(timeout=0.3)


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_a_stream_that_is_left_leaves_nothing(scripted: ReferenceServer, api: Api) -> None:
    async with AsyncOpenHands(scripted.url) as client:
        conversation = await client.conversations.create("slow", api=api)
        events = conversation.events(until="forever")
        async for _ in events:
            break
        await events.aclose()
        assert await client.alive()
