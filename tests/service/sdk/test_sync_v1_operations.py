# Generated from tests/service/sdk/test_async_v1_operations.py by scripts/unasync.py. Do not edit.
"""Every V1 operation of line 1.0, through the SDK, against the reference server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from openhands_client import APIStatusError, OpenHands
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


def started(client: OpenHands, **request: object) -> Place:
    wanted = m.AppConversationStartRequest.model_validate(request)
    task = client.v1.start(wanted)
    while task.status not in ("READY", "ERROR"):
        [task] = [one for one in client.v1.batch_get_start_tasks([task.id]) if one is not None]
    assert task.app_conversation_id is not None
    [info] = client.v1.batch_get_app_conversations([task.app_conversation_id])
    assert info is not None
    assert info.sandbox_id is not None
    assert info.conversation_url is not None
    assert info.session_api_key is not None
    return Place(info.id, info.sandbox_id, info.conversation_url, info.session_api_key)


def test_sandboxes(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        [spec] = (client.sandboxes.search_sandbox_specs()).items
        assert client.sandboxes.batch_get_sandbox_specs(["nope", spec.id]) == [None, spec]
        box = client.sandboxes.start_sandbox(spec.id)
        place = started(client, sandbox_id=box.id)
        assert place.sandbox_id == box.id
        found = client.v1.search_conversations_by_sandbox_id(box.id)
        assert [one.id for one in found] == [place.id]
        assert (client.sandboxes.pause_sandbox(box.id)).success
        with pytest.raises(APIStatusError) as refused:
            client.v1.list_tools(place.url, place.key)
        assert refused.value.status_code == 503
        assert (client.sandboxes.resume_sandbox(box.id)).success
        assert "terminal" in client.v1.list_tools(place.url, place.key)
        assert (client.sandboxes.delete_sandbox(box.id)).success
        [info] = client.v1.batch_get_app_conversations([place.id])
        assert info is not None
        assert info.sandbox_status == "MISSING"


def test_the_user(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        assert (client.v1.get_current_user())["llm_model"]


def test_reports(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        place = started(client)
        fields = {"id": str(uuid4()), "timestamp": "2026-11-20T23:23:55", "source": "user"}
        told = m.PauseEvent.model_validate({"kind": "PauseEvent", **fields})
        assert (client.event_service.report_events(place.id, [told], place.key)).success
        [event] = client.event_service.batch_get_events([fields["id"]])
        assert event is not None
        assert event.kind == "PauseEvent"
        about = {"id": place.id, "title": "Reported"}
        assert (client.v1.report_conversation(about, place.key)).success
        [info] = client.v1.batch_get_app_conversations([place.id])
        assert info is not None
        assert info.title == "Reported"


def test_conversations_on_the_agent_server(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        place = started(client)
        request = {"agent": {"llm": {"model": "openai/gpt-4o"}}, "workspace": {"working_dir": "/workspace"}}
        made = client.v1.start_agent_conversation(request, place.url, place.key)
        page = client.v1.search_agent_conversations(place.url, place.key)
        assert page.items[0].id == made.id
        assert client.v1.count_agent_conversations(place.url, place.key) == 2
        ids = [made.id, "0" * 32]
        found = client.v1.batch_get_agent_conversations(ids, place.url, place.key)
        assert [one and one.id for one in found] == [made.id, None]
        assert (client.v1.update_agent_conversation(made.id, "New", place.url, place.key)).success
        assert client.v1.generate_title(made.id, place.url, place.key) == "New"
        assert "Why?" in client.v1.ask_agent(made.id, "Why?", place.url, place.key)
        assert (client.v1.condense(made.id, place.url, place.key)).success
        assert (client.v1.delete_agent_conversation(made.id, place.url, place.key)).success


def test_confirmation(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        place = started(client)
        asks = {"kind": "ConfirmRisky", "threshold": "HIGH"}
        assert (client.v1.set_confirmation_policy(place.id, asks, place.url, place.key)).success
        analyzer = {"kind": "LLMSecurityAnalyzer"}
        assert (client.v1.set_security_analyzer(place.id, analyzer, place.url, place.key)).success
        assert (client.v1.update_secrets(place.id, {"TOKEN": "s3cr3t"}, place.url, place.key)).success
        conversation = client.conversations.get(place.id)
        conversation.send("go")
        assert conversation.wait(timeout=30) == "waiting_for_confirmation"
        conversation.confirm(True)
        assert conversation.wait(timeout=30) == "finished"
        state = client.v1.get_runtime_conversation(place.id, place.url, place.key)
        assert "s3cr3t" not in state.model_dump_json()


def test_files_and_git(machine: ReferenceServer, tmp_path: Path) -> None:
    with OpenHands(machine.url) as client:
        place = started(client)
        path = "/workspace/project/PLAN.md"
        (tmp_path / "source").write_text("# Plan\n")
        assert (client.v1.upload_file(place.url, place.key, tmp_path / "source", path)).success
        target = client.v1.download_file(path, tmp_path / "plan", place.url, place.key)
        assert target.read_bytes() == b"# Plan\n"
        assert client.v1.read_conversation_file(place.id) == "# Plan\n"
        changes = client.git.get_git_changes(place.url, place.key, "/workspace")
        assert [(one.status, one.path) for one in changes] == [("A", "project/PLAN.md")]
        diff = client.git.get_git_change_diff(place.url, place.key, path)
        assert (diff.original, diff.modified) == ("", "# Plan\n")
        zipped = client.v1.download_trajectory(place.id, tmp_path / "all.zip", place.url, place.key)
        assert zipped.read_bytes().startswith(b"PK")
        assert not (client.v1.get_vscode_status(place.url, place.key))["enabled"]


def test_the_shell(machine: ReferenceServer) -> None:
    with OpenHands(machine.url) as client:
        place = started(client)
        output = client.v1.execute_bash_command("echo hi", place.url, place.key)
        assert (output.stdout, output.exit_code) == ("hi\n", 0)
        command = client.v1.start_bash_command("true", place.url, place.key, timeout=10)
        assert (client.v1.get_bash_event(command.id, place.url, place.key))["command"] == "true"
        page = client.v1.search_bash_events(place.url, place.key, command_id__eq=output.command_id)
        assert len(page.items) == 2
        assert (client.v1.clear_bash_events(place.url, place.key))["cleared_count"] >= 3
