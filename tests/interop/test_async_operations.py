"""Every operation against the real servers that have it; the others say that they have not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_client import (
    AsyncConversation,
    AsyncOpenHands,
    AuthenticationError,
    NotFoundError,
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


async def only(on: str, line: str, action: Callable[[], Awaitable[Any]]) -> Any:
    """The answer on the line that has the operation; on the other, nothing but the error that says so."""
    if line == on:
        return await action()
    with pytest.raises(UnsupportedOperationError, match=r"has no (GET|POST|PATCH)"):
        await action()
    return None


async def v1(client: AsyncOpenHands) -> AsyncConversation:
    conversation = await client.conversations.create("Say hello", api="v1", timeout=180)
    await conversation.wait(timeout=60)
    return conversation


@pytest.mark.parametrize("line", LINES)
async def test_v1_files_and_git(real_servers: RealServers, line: str, tmp_path: Path) -> None:
    async with AsyncOpenHands(real_servers.url(line)) as client:
        conversation = await v1(client)
        (tmp_path / "one.txt").write_text("one")
        done = await conversation.files.upload(
            tmp_path / "one.txt", ("two.bin", BINARY), ("../escape", b"no")
        )
        assert [Path(name).name for name in done.uploaded_files] == ["one.txt", "two.bin"]
        assert [skipped.name for skipped in done.skipped_files] == ["../escape"]
        assert await conversation.files.read("one.txt") == "one"
        saved = await conversation.files.download("two.bin", tmp_path / "two.bin")
        assert saved.read_bytes() == BINARY
        with pytest.raises(ResponseFormatError, match="no text file"):
            await conversation.files.read("two.bin")
        with pytest.raises(NotFoundError):
            await conversation.files.read("absent")
        assert "one.txt" in {change.path for change in await conversation.git.changes()}
        assert (await conversation.git.diff("one.txt")).modified == "one"
        assert len(await conversation.trajectory()) > 3
        await conversation.delete()


@pytest.mark.parametrize("line", LINES)
async def test_v1_conversations_on_the_app_server(
    real_servers: RealServers, line: str, tmp_path: Path
) -> None:
    async with AsyncOpenHands(real_servers.url(line)) as client:
        conversation = await v1(client)
        id_, service = conversation.id, client.v1
        assert await service.count_app_conversations() >= 1
        assert id_ in {item.id for item in (await service.search_app_conversations()).items}
        assert await service.batch_get_app_conversations([id_, "0" * 32]) != [None, None]
        assert await service.count_start_tasks() >= 1
        assert await service.search_start_tasks()
        assert await service.read_conversation_file(id_, "/etc/hostname")
        assert await service.get_current_user()
        await only("1.11", line, lambda: service.get_skills(id_))
        await only("1.11", line, lambda: service.get_hooks(id_))
        await only("1.11", line, lambda: service.download_conversation(id_, tmp_path / "c.zip"))
        await only("1.11", line, lambda: service.update_conversation(id_, {"title": "Another"}))
        await only("1.11", line, lambda: service.add_pending_message(id_, message("later")))
        await only("1.11", line, lambda: service.send_app_message(id_, message("now")))
        await only("1.11", line, lambda: client.git.get_app_git_changes(id_, "/tmp"))
        await only("1.0", line, lambda: client.v0.get_user_conversations())

        child = await client.conversations.create("Plan", parent=id_, agent_type="plan", timeout=180)
        assert child.id in (await conversation.refresh()).info.sub_conversation_ids
        assert child.id not in {item.id for item in (await service.search_app_conversations()).items}
        await conversation.delete()


@pytest.mark.parametrize("line", LINES)
async def test_v1_conversations_on_the_agent_server(
    real_servers: RealServers, line: str, tmp_path: Path
) -> None:
    async with AsyncOpenHands(real_servers.url(line)) as client:
        conversation = await v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        assert info.conversation_url
        id_, url, key, service = conversation.id, info.conversation_url, info.session_api_key, client.v1
        assert (await service.get_agent_server_info(url)).version
        assert (await service.get_runtime_conversation(id_, url, key)).execution_status == "finished"
        assert len((await service.search_agent_conversations(url, key)).items) == 1
        assert await service.count_agent_conversations(url, key) == 1
        assert len(await service.batch_get_agent_conversations([id_], url, key)) == 1
        assert (await service.update_agent_conversation(id_, "Renamed", url, key)).success
        assert (await service.condense(id_, url, key)).success
        assert (await service.set_security_analyzer(id_, None, url, key)).success
        assert (await service.update_secrets(id_, {"NAME": "value"}, url, key)).success
        assert (await service.download_trajectory(id_, tmp_path / "t.zip", url, key)).stat().st_size
        assert await service.list_tools(url, key)
        assert (await service.get_vscode_status(url, key))["enabled"] is False
        output = await service.execute_bash_command("echo hi; exit 3", url, key)
        assert (output.stdout, output.exit_code) == ("hi\n", 3)
        assert (await service.start_bash_command("true", url, key)).command == "true"
        assert (await service.search_bash_events(url, key)).items
        for disabled in (
            lambda: service.get_vscode_url(id_, url, key),
            lambda: service.get_desktop_url(url, key),
        ):
            with pytest.raises(ServerError, match="disabled"):
                await disabled()
        await only("1.0", line, lambda: service.generate_title(id_, url, key))
        await only("1.11", line, lambda: service.get_final_response(id_, url, key))
        await only("1.11", line, lambda: service.fork(id_, url, key))
        await only("1.11", line, lambda: service.interrupt(id_, url, key))
        await only("1.11", line, lambda: service.start_goal(id_, {"objective": "x"}, url, key))
        await only("1.11", line, lambda: service.stop_goal(id_, url, key))

        events = [event async for event in conversation.history()]
        assert isinstance(events[0], models.Event)
        service_of_events = client.event_service
        one = await service_of_events.get_conversation_event(id_, events[0].id, url, key)
        assert (one.id, one.kind) == (events[0].id, events[0].kind)
        some = await service_of_events.batch_get_conversation_events(id_, [events[0].id], url, key)
        assert [event.id for event in some if event] == [events[0].id]
        assert await service_of_events.count_conversation_events(id_, url, key) >= len(events)
        with pytest.raises(AuthenticationError):
            await service_of_events.count_conversation_events(id_, url, "not the key")
        await conversation.delete()


@pytest.mark.parametrize("line", LINES)
async def test_v1_confirmation(real_servers: RealServers, line: str) -> None:
    """The fake model only ever finishes, which is never held; so what is shown is that nothing is asked."""
    async with AsyncOpenHands(real_servers.url(line)) as client:
        conversation = await v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        assert info.conversation_url
        policy = {"kind": "AlwaysConfirm"}
        await client.v1.set_confirmation_policy(
            conversation.id, policy, info.conversation_url, info.session_api_key
        )
        await conversation.send("Go on")
        assert await conversation.wait(timeout=60) == "finished"
        await conversation.confirm(True)
        await conversation.delete()


@pytest.mark.parametrize("line", LINES)
async def test_sandboxes_and_the_app_servers_events(real_servers: RealServers, line: str) -> None:
    async with AsyncOpenHands(real_servers.url(line)) as client:
        specs = (await client.sandboxes.search_sandbox_specs()).items
        assert await client.sandboxes.batch_get_sandbox_specs([specs[0].id, "no such"]) != [None, None]
        sandbox = await client.sandboxes.start_sandbox()
        assert sandbox.id in {one.id for one in (await client.sandboxes.search_sandboxes()).items}
        assert (await client.sandboxes.delete_sandbox(sandbox.id)).success
        assert await client.sandboxes.batch_get_sandboxes([sandbox.id]) == [None]

        conversation = await v1(client)
        info = conversation.info
        assert isinstance(info, models.AppConversation)
        events = [event async for event in conversation.history() if isinstance(event, models.MessageEvent)]
        before = await client.event_service.get_event_count(conversation.id)
        assert (
            await client.event_service.report_events(conversation.id, events, info.session_api_key or "")
        ).success
        assert await client.event_service.get_event_count(conversation.id) == before + len(events)
        page = await client.event_service.search_events(conversation_id__eq=conversation.id)
        assert events[0].id in {event.id for event in page.items}
        with pytest.raises(AuthenticationError):
            await client.event_service.report_events(conversation.id, events, "not the key")
        await conversation.delete()


async def test_v0(real_servers: RealServers, tmp_path: Path) -> None:
    async with AsyncOpenHands(real_servers.url("1.0")) as client:
        conversation = await client.conversations.create("Say hello", api="v0", timeout=60)
        await conversation.wait(timeout=60)
        done = await conversation.files.upload(("one.txt", b"one"), ("../escape", b"no"))
        assert [skipped.name for skipped in done.skipped_files] == ["../escape"]
        assert any(name.endswith("one.txt") for name in await conversation.files.list())
        assert await conversation.files.read("one.txt") == "one"
        assert (await conversation.files.zip(tmp_path / "w.zip")).read_bytes()[:2] == b"PK"
        assert await conversation.trajectory()
        assert await conversation.web_hosts() == []
        assert (await client.v0.get_runtime_id(conversation.id)).session_id == conversation.id
        assert isinstance((await client.v0.get_microagents(conversation.id)).microagents, list)
        assert await client.v0.check_feedback_exists(conversation.id, 1) == models.FeedbackStatus()
        assert await client.v0.get_batch_feedback(conversation.id) == {}
        assert await client.v0.add_experiment_config(conversation.id, {"a": "b"}) is False
        with pytest.raises(ServerError, match="VSCode"):  # the in-process runtime has no editor
            await conversation.vscode_url()
        with pytest.raises(ServerError):  # the fake model gives no usable prompt
            await client.v0.get_microagent_prompt(conversation.id, 1)
        with suppress(
            ServerError
        ):  # unless secrets were ever stored, the server wants a git provider's token
            assert (await client.v0.get_microagent_management_conversations("acme/app")).results == []

        assert conversation.id in {one.conversation_id for one in await client.v0.search_conversations()}
        first = (await client.v0.search_events(conversation.id, limit=1)).events[0]
        assert first.id == 0
        shell = {"action": "run", "args": {"command": "echo from-a-script"}}
        assert (await client.v0.add_event(conversation.id, shell)).success
        assert (await client.v0.add_message(conversation.id, "And on")).success
        assert await conversation.wait(timeout=60) == "finished"
        texts = [event.to_json() async for event in conversation.history()]
        assert any("from-a-script" in text for text in texts)
        assert (await client.v0.stop_conversation(conversation.id)).status == "ok"
        assert (await client.v0.start_conversation(conversation.id)).status == "ok"
        await conversation.delete()


async def test_settings_and_secrets(real_servers: RealServers) -> None:
    async with AsyncOpenHands(real_servers.url("1.0")) as client:
        settings = client.settings
        assert (await settings.get_config())["APP_MODE"]
        assert await settings.list_models()
        assert "CodeActAgent" in await settings.list_agents()
        assert await settings.list_security_analyzers()
        assert (await settings.get_settings())["agent"] == "CodeActAgent"
        await settings.create_secret("INTEROP_ONE", "value")
        await settings.update_secret("INTEROP_ONE", "INTEROP_TWO")
        listed = (await settings.list_secrets())["custom_secrets"]
        assert "INTEROP_TWO" in {secret["name"] for secret in listed}
        assert "value" not in repr(listed)
        await settings.delete_secret("INTEROP_TWO")
        for needs_a_token in (settings.get_user_info, settings.list_user_repositories):
            with pytest.raises(OpenHandsError, match="token"):
                await needs_a_token()
