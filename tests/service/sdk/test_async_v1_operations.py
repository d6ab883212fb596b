"""Every V1 operation of line 1.0, through the SDK, against the reference server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from openhands_client import APIStatusError, AsyncOpenHands
from openhands_client import models as m
from openhands_reference_server import AgentScript, Finish, ReferenceServer, Run
from openhands_reference_server.domain.script import Act


def acts(message: str, number: int) -> Iterator[Act]:
    yield Run("rm -r build", risk="HIGH")
    yield Finish()


@pytest.fixture(scope="module")
def machine() -> Iterator[ReferenceServer]:
    with ReferenceServer(script=AgentScript(acts=acts), enable_bash=True) as server:
        yield server


class Place(NamedTuple):
    """A conversation, and where its agent server is."""

    id: str
    sandbox_id: str
    url: str
    key: str


async def started(client: AsyncOpenHands, **request: object) -> Place:
    wanted = m.AppConversationStartRequest.model_validate(request)
    task = await client.v1.start(wanted)
    while task.status not in ("READY", "ERROR"):
        [task] = [one for one in await client.v1.batch_get_start_tasks([task.id]) if one is not None]
    assert task.app_conversation_id is not None
    [info] = await client.v1.batch_get_app_conversations([task.app_conversation_id])
    assert info is not None
    assert info.sandbox_id is not None
    assert info.conversation_url is not None
    assert info.session_api_key is not None
    return Place(info.id, info.sandbox_id, info.conversation_url, info.session_api_key)


async def test_sandboxes(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        [spec] = (await client.sandboxes.search_sandbox_specs()).items
        assert await client.sandboxes.batch_get_sandbox_specs(["nope", spec.id]) == [None, spec]
        box = await client.sandboxes.start_sandbox(spec.id)
        place = await started(client, sandbox_id=box.id)
        assert place.sandbox_id == box.id
        found = await client.v1.search_conversations_by_sandbox_id(box.id)
        assert [one.id for one in found] == [place.id]
        assert (await client.sandboxes.pause_sandbox(box.id)).success
        with pytest.raises(APIStatusError) as refused:
            await client.v1.list_tools(place.url, place.key)
        assert refused.value.status_code == 503
        assert (await client.sandboxes.resume_sandbox(box.id)).success
        assert "terminal" in await client.v1.list_tools(place.url, place.key)
        assert (await client.sandboxes.delete_sandbox(box.id)).success
        [info] = await client.v1.batch_get_app_conversations([place.id])
        assert info is not None
        assert info.sandbox_status == "MISSING"


async def test_the_user(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        assert (await client.v1.get_current_user())["llm_model"]


async def test_reports(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        place = await started(client)
        fields = {"id": str(uuid4()), "timestamp": "2026-11-20T23:23:55", "source": "user"}
        told = m.PauseEvent.model_validate({"kind": "PauseEvent", **fields})
        assert (await client.event_service.report_events(place.id, [told], place.key)).success
        [event] = await client.event_service.batch_get_events([fields["id"]])
        assert event is not None
        assert event.kind == "PauseEvent"
        about = {"id": place.id, "title": "Reported"}
        assert (await client.v1.report_conversation(about, place.key)).success
        [info] = await client.v1.batch_get_app_conversations([place.id])
        assert info is not None
        assert info.title == "Reported"


async def test_conversations_on_the_agent_server(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        place = await started(client)
        request = {"agent": {"llm": {"model": "openai/gpt-4o"}}, "workspace": {"working_dir": "/workspace"}}
        made = await client.v1.start_agent_conversation(request, place.url, place.key)
        page = await client.v1.search_agent_conversations(place.url, place.key)
        assert page.items[0].id == made.id
        assert await client.v1.count_agent_conversations(place.url, place.key) == 2
        ids = [made.id, "0" * 32]
        found = await client.v1.batch_get_agent_conversations(ids, place.url, place.key)
        assert [one and one.id for one in found] == [made.id, None]
        assert (await client.v1.update_agent_conversation(made.id, "New", place.url, place.key)).success
        assert await client.v1.generate_title(made.id, place.url, place.key) == "New"
        assert "Why?" in await client.v1.ask_agent(made.id, "Why?", place.url, place.key)
        assert (await client.v1.condense(made.id, place.url, place.key)).success
        assert (await client.v1.delete_agent_conversation(made.id, place.url, place.key)).success


async def test_confirmation(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        place = await started(client)
        asks = {"kind": "ConfirmRisky", "threshold": "HIGH"}
        assert (await client.v1.set_confirmation_policy(place.id, asks, place.url, place.key)).success
        analyzer = {"kind": "LLMSecurityAnalyzer"}
        assert (await client.v1.set_security_analyzer(place.id, analyzer, place.url, place.key)).success
        assert (await client.v1.update_secrets(place.id, {"TOKEN": "s3cr3t"}, place.url, place.key)).success
        conversation = await client.conversations.get(place.id)
        await conversation.send("go")
        assert await conversation.wait(timeout=30) == "waiting_for_confirmation"
        await conversation.confirm(True)
        assert await conversation.wait(timeout=30) == "finished"
        state = await client.v1.get_runtime_conversation(place.id, place.url, place.key)
        assert "s3cr3t" not in state.model_dump_json()


async def test_files_and_git(machine: ReferenceServer, tmp_path: Path) -> None:
    async with AsyncOpenHands(machine.url) as client:
        place = await started(client)
        path = "/workspace/project/PLAN.md"
        (tmp_path / "source").write_text("# Plan\n")
        assert (await client.v1.upload_file(place.url, place.key, tmp_path / "source", path)).success
        target = await client.v1.download_file(path, tmp_path / "plan", place.url, place.key)
        assert target.read_bytes() == b"# Plan\n"
        assert await client.v1.read_conversation_file(place.id) == "# Plan\n"
        changes = await client.git.get_git_changes(place.url, place.key, "/workspace")
        assert [(one.status, one.path) for one in changes] == [("A", "project/PLAN.md")]
        diff = await client.git.get_git_change_diff(place.url, place.key, path)
        assert (diff.original, diff.modified) == ("", "# Plan\n")
        zipped = await client.v1.download_trajectory(place.id, tmp_path / "all.zip", place.url, place.key)
        assert zipped.read_bytes().startswith(b"PK")
        assert not (await client.v1.get_vscode_status(place.url, place.key))["enabled"]


async def test_the_shell(machine: ReferenceServer) -> None:
    async with AsyncOpenHands(machine.url) as client:
        place = await started(client)
        output = await client.v1.execute_bash_command("echo hi", place.url, place.key)
        assert (output.stdout, output.exit_code) == ("hi\n", 0)
        command = await client.v1.start_bash_command("true", place.url, place.key, timeout=10)
        assert (await client.v1.get_bash_event(command.id, place.url, place.key))["command"] == "true"
        page = await client.v1.search_bash_events(place.url, place.key, command_id__eq=output.command_id)
        assert len(page.items) == 2
        assert (await client.v1.clear_bash_events(place.url, place.key))["cleared_count"] >= 3
