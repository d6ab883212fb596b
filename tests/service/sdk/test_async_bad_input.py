"""What goes wrong, as the user of the SDK sees it: the right error, a message that says what to do, no secret."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from openhands_client import (
    APIConnectionError,
    AsyncOpenHands,
    AuthenticationError,
    BadRequestError,
    InvalidArgumentError,
    NotFoundError,
    OpenHandsError,
    ResponseFormatError,
    StartTaskError,
    StartTaskTimeout,
    UnsupportedOperationError,
    ValidationError,
    models,
)
from openhands_reference_server import ReferenceServer
from openhands_reference_server.domain.script import AgentScript
from tests.service.single_page_app import SinglePageApp

UNKNOWN = "0" * 32
PAUSE = {"action": "change_agent_state", "args": {"agent_state": "paused"}}
HOSTILE = ["", "x" * 101, "../etc/passwd", "a/b", "a\\b", "..", "nul\x00byte", "line\nbreak"]

Action = Callable[[AsyncOpenHands, str], Awaitable[Any]]

ON_A_CONVERSATION: dict[str, Action] = {
    "v0.get_conversation": lambda client, id_: client.v0.get_conversation(id_),
    "v0.start_conversation": lambda client, id_: client.v0.start_conversation(id_),
    "v0.stop_conversation": lambda client, id_: client.v0.stop_conversation(id_),
    "v0.pause_conversation": lambda client, id_: client.v0.pause_conversation(id_),
    "v0.update_conversation": lambda client, id_: client.v0.update_conversation(id_, {"title": "x"}),
    "v0.get_runtime_id": lambda client, id_: client.v0.get_runtime_id(id_),
    "v0.search_events": lambda client, id_: client.v0.search_events(id_),
    "v0.add_message": lambda client, id_: client.v0.add_message(id_, "x"),
    "v0.add_event": lambda client, id_: client.v0.add_event(id_, PAUSE),
    "conversations.get": lambda client, id_: client.conversations.get(id_),
    "conversations.start": lambda client, id_: client.conversations.start(id_),
    "conversations.stop": lambda client, id_: client.conversations.stop(id_),
    "conversations.rename": lambda client, id_: client.conversations.rename(id_, "x"),
    "sandboxes.pause_sandbox": lambda client, id_: client.sandboxes.pause_sandbox(id_),
    "sandboxes.resume_sandbox": lambda client, id_: client.sandboxes.resume_sandbox(id_),
}


@pytest.mark.parametrize("name", ON_A_CONVERSATION)
async def test_an_unknown_conversation(server: ReferenceServer, name: str) -> None:
    async with AsyncOpenHands(server.url) as client:
        with pytest.raises(NotFoundError) as caught:
            await ON_A_CONVERSATION[name](client, UNKNOWN)
        assert caught.value.status_code == 404
        assert "not found" in str(caught.value).lower()


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", ON_A_CONVERSATION)
async def test_a_hostile_id_is_not_even_sent(server: ReferenceServer, name: str, hostile: str) -> None:
    async with AsyncOpenHands(server.url) as client:
        with pytest.raises(InvalidArgumentError, match="nothing was sent") as caught:
            await ON_A_CONVERSATION[name](client, hostile)
        assert isinstance(caught.value, BadRequestError)
        assert isinstance(caught.value, ValueError)


async def test_unknown_things_of_v1_are_none_or_false(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        assert await client.v1.get_start_task(UNKNOWN) is None
        assert await client.v1.batch_get_app_conversations([UNKNOWN] * 120) == [None] * 120
        assert await client.sandboxes.batch_get_sandboxes([UNKNOWN]) == [None]
        assert await client.conversations.delete(UNKNOWN) is False


@pytest.mark.parametrize("limit", [0, 101])
async def test_limits_out_of_bounds(server: ReferenceServer, limit: int) -> None:
    async with AsyncOpenHands(server.url) as client:
        conversation = await client.conversations.create(api="v0")
        with pytest.raises(ValidationError, match="limit"):
            await client.v0.get_user_conversations(limit=limit)
        with pytest.raises(BadRequestError, match="Invalid limit"):
            await client.v0.search_events(conversation.id, limit=limit)
        with pytest.raises(ValidationError, match="limit"):
            await client.v1.search_app_conversations(limit=limit)
        with pytest.raises(ValidationError, match="limit"):
            await client.sandboxes.search_sandboxes(limit=limit)


async def test_wrong_types_and_unknown_words(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        with pytest.raises(ValidationError, match="git_provider"):
            await client.v0.create_conversation(git_provider="sourceforge")
        with pytest.raises(ValidationError, match="initial_user_msg"):
            await client.v0.create_conversation(initial_user_msg=3)  # type: ignore[arg-type]  # the point
        with pytest.raises(ValidationError, match="title"):
            await client.v0.update_conversation(UNKNOWN, {"title": ""})
        with pytest.raises(InvalidArgumentError, match="owner/name"):
            await client.conversations.create(repository="just-a-name")
        with pytest.raises(InvalidArgumentError, match="1 to 200"):
            await client.conversations.create(title="x" * 201)
        with pytest.raises(UnsupportedOperationError, match="llm_model"):
            await client.conversations.create(llm_model="x", api="v0")
        with pytest.raises(UnsupportedOperationError, match="replay_json"):
            await client.conversations.create(replay_json="[]", api="v1")


async def test_a_wrong_key() -> None:
    with ReferenceServer(session_api_key="the right key") as server:
        async with AsyncOpenHands(server.url, session_api_key="not the one") as client:
            for action in (client.conversations.create, client.v0.get_user_conversations):
                with pytest.raises(AuthenticationError) as caught:
                    await action()
                assert caught.value.status_code == 401
                assert "not the one" not in repr(caught.value) + str(caught.value)
            assert "not the one" not in repr(client)
            assert await client.alive()
        async with AsyncOpenHands(server.url, session_api_key="the right key") as client:
            assert (await client.conversations.create()).status == "RUNNING"


async def test_the_server_is_not_there() -> None:
    async with AsyncOpenHands("http://127.0.0.1:9", max_retries=0) as client:
        with pytest.raises(APIConnectionError, match=r"http://127\.0\.0\.1:9 .*OPENHANDS_BASE_URL") as caught:
            await client.conversations.create("Hello")
        assert caught.value.request_sent is False


async def test_a_web_page_instead_of_an_api() -> None:
    with SinglePageApp() as site:
        async with AsyncOpenHands(site.url) as client:
            with pytest.raises(ResponseFormatError, match="web page"):
                await client.v0.get_user_conversations()
            with pytest.raises(UnsupportedOperationError, match="no route to create"):
                await client.conversations.create("Hello")


async def test_a_start_that_fails() -> None:
    script = AgentScript(fail_at="PREPARING_REPOSITORY", failure="acme/app cannot be cloned")
    with ReferenceServer(script=script) as server:
        async with AsyncOpenHands(server.url) as client:
            seen: list[str] = []
            with pytest.raises(StartTaskError, match="acme/app cannot be cloned") as caught:
                await client.conversations.create(on_progress=lambda task: seen.append(str(task.status)))
            assert caught.value.task is not None
            assert caught.value.task.status == "ERROR"
            assert seen[-1] == "ERROR"

            started = await client.conversations.create(wait=False)
            with pytest.raises(StartTaskError, match="acme/app cannot be cloned"):
                await started.wait()


async def test_a_start_that_never_ends() -> None:
    script = AgentScript(stage_delays={"STARTING_CONVERSATION": math.inf})
    with ReferenceServer(script=script) as server:
        async with AsyncOpenHands(server.url) as client:
            with pytest.raises(StartTaskTimeout, match="SETTING_UP_SKILLS"):
                await client.conversations.create(timeout=0.5)
            started = await client.conversations.create(wait=False)
            with pytest.raises(StartTaskTimeout, match="SETTING_UP_SKILLS") as caught:
                await started.wait(timeout=0.5)
            assert caught.value.task is not None
            found = await client.v1.get_start_task(caught.value.task.id)
            assert found is not None
            assert found.status == "SETTING_UP_SKILLS"


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_an_error_in_the_callback_is_the_callers(
    server: ReferenceServer, api: Literal["v0", "v1"]
) -> None:
    def refuse(task: Any) -> None:
        raise KeyError("mine")

    async with AsyncOpenHands(server.url) as client:
        with pytest.raises(KeyError, match="mine"):
            await client.conversations.create(api=api, on_progress=refuse)


async def test_a_stopped_sandbox_says_so(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        conversation = await client.conversations.create("Hello")
        await conversation.wait(timeout=30)
        await conversation.stop()
        with pytest.raises(OpenHandsError, match=r"start\(\) brings it back"):
            await conversation.send("Anybody there?")
        with pytest.raises(OpenHandsError, match=r"start\(\) brings it back"):
            await conversation.wait()
        await conversation.start()
        await conversation.send("Anybody there?")
        assert await conversation.wait(timeout=30) == models.ExecutionStatus.FINISHED
