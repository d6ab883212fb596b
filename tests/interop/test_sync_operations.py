# Generated from tests/interop/test_async_operations.py by scripts/unasync.py. Do not edit.
"""Every operation against the real servers that have it; the others say that they have not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_client import (
    AuthenticationError,
    Conversation,
    NotFoundError,
    OpenHands,
    OpenHandsError,
    ResponseFormatError,
    ServerError,
    UnsupportedOperationError,
    models,
)
from tests.interop.conftest import RealServers

pytestmark = pytest.mark.interop

LINES = ["1.0", "1.11"]
BINARY = bytes(range(256))


def message(text: str) -> models.SendMessageRequest:
    return models.SendMessageRequest(content=[models.TextContent(text=text)])


def only(on: str, line: str, action: Callable[[], Awaitable[Any]]) -> Any:
    """The answer on the line that has the operation; on the other, nothing but the error that says so."""
    if line == on:
        return action()
    with pytest.raises(UnsupportedOperationError, match=r"has no (GET|POST|PATCH)"):
        action()
    return None


def v1(client: OpenHands) -> Conversation:
    conversation = client.conversations.create("Say hello", api="v1", timeout=180)
    conversation.wait(timeout=60)
    return conversation


@pytest.mark.parametrize("line", LINES)
def test_v1_files_and_git(real_servers: RealServers, line: str, tmp_path: Path) -> None:
    with OpenHands(real_servers.url(line)) as client:
        conversation = v1(client)
        (tmp_path / "one.txt").write_text("one")
        done = conversation.files.upload(tmp_path / "one.txt", ("two.bin", BINARY), ("../escape", b"no"))
        assert [Path(name).name for name in done.uploaded_files] == ["one.txt", "two.bin"]
        assert [skipped.name for skipped in done.skipped_files] == ["../escape"]
        assert conversation.files.read("one.txt") == "one"
        saved = conversation.files.download("two.bin", tmp_path / "two.bin")
        assert saved.read_bytes() == BINARY
        with pytest.raises(ResponseFormatError, match="no text file"):
            conversation.files.read("two.bin")
        with pytest.raises(NotFoundError):
            conversation.files.read("absent")
        assert "one.txt" in {change.path for change in conversation.git.changes()}
        assert (conversation.git.diff("one.txt")).modified == "one"
        assert len(conversation.trajectory()) > 3
        conversation.delete()


@pytest.mark.parametrize("line", LINES)
def test_v1_conversations_on_the_app_server(real_servers: RealServers, line: str, tmp_path: Path) -> None:
    with OpenHands(real_servers.url(line)) as client:
        conversation = v1(client)
        id_, service = conversation.id, client.v1
        assert service.count_app_conversations() >= 1
        assert id_ in {item.id for item in (service.search_app_conversations()).items}
        assert service.batch_get_app_conversations([id_, "0" * 32]) != [None, None]
        assert service.count_start_tasks() >= 1
        assert service.search_start_tasks()
        assert service.read_conversation_file(id_, "/etc/hostname")
        assert service.get_current_user()
        only("1.11", line, lambda: service.get_skills(id_))
        only("1.11", line, lambda: service.get_hooks(id_))
        only("1.11", line, lambda: service.download_conversation(id_, tmp_path / "c.zip"))
        only("1.11", line, lambda: service.update_conversation(id_, {"title": "Another"}))
        only("1.11", line, lambda: service.add_pending_message(id_, message("later")))
        only("1.11", line, lambda: service.send_app_message(id_, message("now")))
        only("1.11", line, lambda: client.git.get_app_git_changes(id_, "/tmp"))
        only("1.0", line, lambda: client.v0.get_user_conversations())

        child = client.conversations.create("Plan", parent=id_, agent_type="plan", timeout=180)
        assert child.id in (conversation.refresh()).info.sub_conversation_ids
        assert child.id not in {item.id for item in (service.search_app_conversations()).items}
        conversation.delete()


@pytest.mark.parametrize("line", LINES)
def test_v1_conversations_on_the_agent_server(real_servers: RealServers, line: str, tmp_path: Path) -> None:
    with OpenHands(real_servers.url(line)) as client:
        conversation = v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        assert info.conversation_url
        id_, url, key, service = conversation.id, info.conversation_url, info.session_api_key, client.v1
        assert (service.get_agent_server_info(url)).version
        assert (service.get_runtime_conversation(id_, url, key)).execution_status == "finished"
        assert len((service.search_agent_conversations(url, key)).items) == 1
        assert service.count_agent_conversations(url, key) == 1
        assert len(service.batch_get_agent_conversations([id_], url, key)) == 1
        assert (service.update_agent_conversation(id_, "Renamed", url, key)).success
        assert (service.condense(id_, url, key)).success
        assert (service.set_security_analyzer(id_, None, url, key)).success
        assert (service.update_secrets(id_, {"NAME": "value"}, url, key)).success
        assert (service.download_trajectory(id_, tmp_path / "t.zip", url, key)).stat().st_size
        assert service.list_tools(url, key)
        assert (service.get_vscode_status(url, key))["enabled"] is False
        output = service.execute_bash_command("echo hi; exit 3", url, key)
        assert (output.stdout, output.exit_code) == ("hi\n", 3)
        assert (service.start_bash_command("true", url, key)).command == "true"
        assert (service.search_bash_events(url, key)).items
        for disabled in (
            lambda: service.get_vscode_url(id_, url, key),
            lambda: service.get_desktop_url(url, key),
        ):
            with pytest.raises(ServerError, match="disabled"):
                disabled()
        only("1.0", line, lambda: service.generate_title(id_, url, key))
        only("1.11", line, lambda: service.get_final_response(id_, url, key))
        only("1.11", line, lambda: service.fork(id_, url, key))
        only("1.11", line, lambda: service.interrupt(id_, url, key))
        only("1.11", line, lambda: service.start_goal(id_, {"objective": "x"}, url, key))
        only("1.11", line, lambda: service.stop_goal(id_, url, key))

        events = [event for event in conversation.history()]
        assert isinstance(events[0], models.Event)
        service_of_events = client.event_service
        one = service_of_events.get_conversation_event(id_, events[0].id, url, key)
        assert (one.id, one.kind) == (events[0].id, events[0].kind)
        some = service_of_events.batch_get_conversation_events(id_, [events[0].id], url, key)
        assert [event.id for event in some if event] == [events[0].id]
        assert service_of_events.count_conversation_events(id_, url, key) >= len(events)
        with pytest.raises(AuthenticationError):
            service_of_events.count_conversation_events(id_, url, "not the key")
        conversation.delete()


@pytest.mark.parametrize("line", LINES)
def test_v1_confirmation(real_servers: RealServers, line: str) -> None:
    """The fake model only ever finishes, which is never held; so what is shown is that nothing is asked."""
    with OpenHands(real_servers.url(line)) as client:
        conversation = v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        assert info.conversation_url
        policy = {"kind": "AlwaysConfirm"}
        client.v1.set_confirmation_policy(
            conversation.id, policy, info.conversation_url, info.session_api_key
        )
        conversation.send("Go on")
        assert conversation.wait(timeout=60) == "finished"
        conversation.confirm(True)
        conversation.delete()


@pytest.mark.parametrize("line", LINES)
def test_sandboxes_and_the_app_servers_events(real_servers: RealServers, line: str) -> None:
    with OpenHands(real_servers.url(line)) as client:
        specs = (client.sandboxes.search_sandbox_specs()).items
        assert client.sandboxes.batch_get_sandbox_specs([specs[0].id, "no such"]) != [None, None]
        sandbox = client.sandboxes.start_sandbox()
        assert sandbox.id in {one.id for one in (client.sandboxes.search_sandboxes()).items}
        assert (client.sandboxes.delete_sandbox(sandbox.id)).success
        assert client.sandboxes.batch_get_sandboxes([sandbox.id]) == [None]

        conversation = v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        events = [event for event in conversation.history() if isinstance(event, models.MessageEvent)]
        before = client.event_service.get_event_count(conversation.id)
        assert (
            client.event_service.report_events(conversation.id, events, info.session_api_key or "")
        ).success
        assert client.event_service.get_event_count(conversation.id) == before + len(events)
        page = client.event_service.search_events(conversation_id__eq=conversation.id)
        assert events[0].id in {event.id for event in page.items}
        with pytest.raises(AuthenticationError):
            client.event_service.report_events(conversation.id, events, "not the key")
        conversation.delete()


def test_v0(real_servers: RealServers, tmp_path: Path) -> None:
    with OpenHands(real_servers.url("1.0")) as client:
        conversation = client.conversations.create("Say hello", api="v0", timeout=60)
        conversation.wait(timeout=60)
        done = conversation.files.upload(("one.txt", b"one"), ("../escape", b"no"))
        assert [skipped.name for skipped in done.skipped_files] == ["../escape"]
        assert any(name.endswith("one.txt") for name in conversation.files.list())
        assert conversation.files.read("one.txt") == "one"
        assert (conversation.files.zip(tmp_path / "w.zip")).read_bytes()[:2] == b"PK"
        assert conversation.trajectory()
        assert conversation.web_hosts() == []
        assert (client.v0.get_runtime_id(conversation.id)).session_id == conversation.id
        assert isinstance((client.v0.get_microagents(conversation.id)).microagents, list)
        assert client.v0.check_feedback_exists(conversation.id, 1) == models.FeedbackStatus()
        assert client.v0.get_batch_feedback(conversation.id) == {}
        assert client.v0.add_experiment_config(conversation.id, {"a": "b"}) is False
        with pytest.raises(ServerError, match="VSCode"):  # the in-process runtime has no editor
            conversation.vscode_url()
        with pytest.raises(ServerError):  # the fake model gives no usable prompt
            client.v0.get_microagent_prompt(conversation.id, 1)
        with suppress(
            ServerError
        ):  # unless secrets were ever stored, the server wants a git provider's token
            assert (client.v0.get_microagent_management_conversations("acme/app")).results == []

        assert conversation.id in {one.conversation_id for one in client.v0.search_conversations()}
        first = (client.v0.search_events(conversation.id, limit=1)).events[0]
        assert first.id == 0
        shell = {"action": "run", "args": {"command": "echo from-a-script"}}
        assert (client.v0.add_event(conversation.id, shell)).success
        assert (client.v0.add_message(conversation.id, "And on")).success
        assert conversation.wait(timeout=60) == "finished"
        texts = [event.to_json() for event in conversation.history()]
        assert any("from-a-script" in text for text in texts)
        assert (client.v0.stop_conversation(conversation.id)).status == "ok"
        assert (client.v0.start_conversation(conversation.id)).status == "ok"
        conversation.delete()


def test_settings_and_secrets(real_servers: RealServers) -> None:
    with OpenHands(real_servers.url("1.0")) as client:
        settings = client.settings
        assert (settings.get_config())["APP_MODE"]
        assert settings.list_models()
        assert "CodeActAgent" in settings.list_agents()
        assert settings.list_security_analyzers()
        assert (settings.get_settings())["agent"] == "CodeActAgent"
        settings.create_secret("INTEROP_ONE", "value")
        settings.update_secret("INTEROP_ONE", "INTEROP_TWO")
        listed = (settings.list_secrets())["custom_secrets"]
        assert "INTEROP_TWO" in {secret["name"] for secret in listed}
        assert "value" not in repr(listed)
        settings.delete_secret("INTEROP_TWO")
        for needs_a_token in (settings.get_user_info, settings.list_user_repositories):
            with pytest.raises(OpenHandsError, match="token"):
                needs_a_token()
