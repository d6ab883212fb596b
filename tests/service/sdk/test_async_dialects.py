"""The SDK against the reference server playing real server lines: a whole life, and what only line 1.11 has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from openhands_client import APIStatusError, AsyncOpenHands, UnsupportedOperationError
from openhands_client import models as m
from openhands_reference_server import ReferenceServer
from tests.scenarios.async_life import bury, live

NOBODY = "0" * 32


@pytest.fixture(scope="module")
def newer() -> Iterator[ReferenceServer]:
    with ReferenceServer(dialect="openhands-1.11") as server:
        yield server


class Place(NamedTuple):
    """A conversation at rest, and where its agent server is."""

    id: str
    sandbox_id: str
    url: str
    key: str


async def started(client: AsyncOpenHands, message: str = "Say hello") -> Place:
    conversation = await client.conversations.create(message)
    await conversation.wait(timeout=30)
    [info] = await client.v1.batch_get_app_conversations([conversation.id])
    assert info is not None
    assert info.sandbox_id is not None
    assert info.conversation_url is not None
    assert info.session_api_key is not None
    return Place(info.id, info.sandbox_id, info.conversation_url, info.session_api_key)


@pytest.mark.parametrize(
    ("dialect", "api"), [("openhands-1.0", "v0"), ("openhands-1.0", "v1"), ("openhands-1.11", "v1")]
)
async def test_a_whole_life(
    dialect: Literal["openhands-1.0", "openhands-1.11"], api: Literal["v0", "v1"]
) -> None:
    with ReferenceServer(dialect=dialect, max_concurrent_conversations=100) as server:
        async with AsyncOpenHands(server.url) as client:
            conversation = await live(client, api, timeout=30)
            await bury(client, conversation)


async def test_what_is_known_of_a_conversation(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        assert (await client.v1.update_conversation(place.id, {"title": "Renamed"})).title == "Renamed"
        shown = await client.v1.update_conversation_public_flag(place.id, True)
        assert (shown.title, shown.model_extra and shown.model_extra["public"]) == ("Renamed", True)
        told = await client.v1.update_conversation_repository(place.id, "acme/app", "main", "GITHUB")
        assert (told.selected_repository, told.selected_branch) == ("acme/app", "main")
        assert (await client.v1.update_conversation_repository(place.id, None)).selected_repository is None
        with pytest.raises(APIStatusError, match="unknown_app_conversation"):
            await client.v1.update_conversation(NOBODY, {"title": "x"})
        assert (await client.v1.delete_conversation(place.id)).success
        with pytest.raises(APIStatusError, match="Conversation not found"):
            await client.v1.delete_conversation(place.id)


async def test_messages_through_the_app_server(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        message = m.SendMessageRequest.model_validate({"content": [{"type": "text", "text": "And again"}]})
        assert (await client.v1.send_app_message(place.id, message)).success
        conversation = await client.conversations.get(place.id)
        assert await conversation.wait(timeout=30) == "finished"
        assert await client.v1.get_final_response(place.id, place.url, place.key)
        await client.sandboxes.pause_sandbox(place.sandbox_id)
        with pytest.raises(APIStatusError, match="Sandbox is PAUSED") as refused:
            await client.v1.send_app_message(place.id, message)
        assert refused.value.status_code == 409


async def test_messages_that_wait_for_a_conversation(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        wanted = "5" * 32
        message = m.SendMessageRequest.model_validate({"content": [{"type": "text", "text": "Good morning"}]})
        positions = [(await client.v1.add_pending_message(wanted, message))["position"] for _ in range(2)]
        assert positions == [1, 2]
        task = await client.v1.start(m.AppConversationStartRequest(conversation_id=wanted))
        while task.status not in ("READY", "ERROR"):
            [task] = [one for one in await client.v1.batch_get_start_tasks([task.id]) if one is not None]
        conversation = await client.conversations.get(wanted)
        assert await conversation.wait(timeout=30) == "finished"
        said = [event async for event in conversation.history() if event.kind == "MessageEvent"]
        assert len([one for one in said if getattr(one, "source", "") == "user"]) == 2


async def test_skills_hooks_and_git_through_the_app_server(newer: ReferenceServer, tmp_path: Path) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        skill, hooks = tmp_path / "release.md", tmp_path / "hooks.json"
        skill.write_text("---\ntriggers: [release]\n---\nTag it.\n")
        stop = [{"matcher": "*", "hooks": [{"type": "command", "command": "make lint"}]}]
        hooks.write_text(json.dumps({"hooks": {"stop": stop}}))
        for source, target in ((skill, "microagents/release.md"), (hooks, "hooks.json")):
            path = f"/workspace/.openhands/{target}"
            assert (await client.v1.upload_file(place.url, place.key, source, path)).success
        skills = (await client.v1.get_skills(place.id))["skills"]
        assert [(one["name"], one["type"], one["content"]) for one in skills] == [
            ("release", "knowledge", "Tag it.")
        ]
        assert (await client.v1.get_hooks(place.id))["hooks"] == [{"event_type": "stop", "matchers": stop}]
        changes = await client.git.get_app_git_changes(place.id, "/workspace")
        assert ".openhands/hooks.json" in [one.path for one in changes]
        diff = await client.git.get_app_git_diff(place.id, "/workspace/.openhands/hooks.json")
        assert (diff.original, diff.modified) == ("", hooks.read_text())
        zipped = await client.v1.download_conversation(place.id, tmp_path / "all.zip")
        assert zipped.read_bytes().startswith(b"PK")
        with pytest.raises(APIStatusError) as unknown:
            await client.v1.get_skills(NOBODY)
        assert unknown.value.status_code == 404


async def test_files_by_query(newer: ReferenceServer, tmp_path: Path) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        (tmp_path / "source").write_text("# Plan\n")
        path = "/workspace/PLAN.md"
        assert (await client.v1.upload_file(place.url, place.key, tmp_path / "source", path)).success
        target = await client.v1.download_file(path, tmp_path / "plan", place.url, place.key)
        assert target.read_bytes() == b"# Plan\n"
        changes = await client.git.get_git_changes(place.url, place.key, "/workspace")
        assert ("A", "PLAN.md") in [(one.status, one.path) for one in changes]
        diff = await client.git.get_git_change_diff(place.url, place.key, path)
        assert (diff.original, diff.modified) == ("", "# Plan\n")
        assert await client.git.get_git_changes(place.url, place.key, "/workspace/nowhere") == []
        with pytest.raises(APIStatusError, match="File not found"):
            await client.v1.download_file("/workspace/nope", tmp_path / "nope", place.url, place.key)


async def test_events_below_their_conversation(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        page = await client.event_service.search_events(conversation_id__eq=place.id, kind__eq="MessageEvent")
        assert [event.kind for event in page.items] == ["MessageEvent"]
        assert await client.event_service.count_events(conversation_id__eq=place.id) > 5
        [first, nothing] = await client.event_service.batch_get_events(
            [str(page.items[0].id), "12345678-1234-1234-1234-123456789012"], place.id
        )
        assert first is not None
        assert (first.id, nothing) == (page.items[0].id, None)


async def test_forks_goals_and_interruptions(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        copy = await client.v1.fork(place.id, place.url, place.key, {"title": "Another way"})
        assert (copy.title, copy.execution_status) == ("Another way", "idle")
        [here] = [one for one in await client.v1.batch_get_app_conversations([place.id]) if one]
        assert here.execution_status == "finished"
        assert (await client.v1.start_goal(place.id, {"objective": "Tidy up"}, place.url, place.key)).success
        conversation = await client.conversations.get(place.id)
        assert await conversation.wait(timeout=30) == "finished"
        goals = [
            getattr(event, "value", {})
            async for event in conversation.history()
            if getattr(event, "key", "") == "goal"
        ]
        assert [goal["status"] for goal in goals] == ["running", "complete"]
        assert (await client.v1.stop_goal(place.id, place.url, place.key)).success
        with pytest.raises(APIStatusError, match="no_resumable_goal"):
            await client.v1.resume_goal(place.id, place.url, place.key)
        assert (await client.v1.interrupt(place.id, place.url, place.key)).success


async def test_what_line_1_11_has_no_more(newer: ReferenceServer) -> None:
    async with AsyncOpenHands(newer.url) as client:
        place = await started(client)
        with pytest.raises(UnsupportedOperationError, match="generate_title"):
            await client.v1.generate_title(place.id, place.url, place.key)
        with pytest.raises(UnsupportedOperationError, match=r"/api/options/config"):
            await client.settings.get_config()
