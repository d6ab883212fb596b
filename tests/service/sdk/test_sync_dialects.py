# Generated from tests/service/sdk/test_async_dialects.py by scripts/unasync.py. Do not edit.
"""The SDK against the reference server playing real server lines: a whole life, and what only line 1.11 has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from openhands_client import APIStatusError, OpenHands, UnsupportedOperationError
from openhands_client import models as m
from openhands_reference_server import ReferenceServer
from tests.scenarios.sync_life import bury, live

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


def started(client: OpenHands, message: str = "Say hello") -> Place:
    conversation = client.conversations.create(message)
    conversation.wait(timeout=30)
    [info] = client.v1.batch_get_app_conversations([conversation.id])
    assert info is not None
    assert info.sandbox_id is not None
    assert info.conversation_url is not None
    assert info.session_api_key is not None
    return Place(info.id, info.sandbox_id, info.conversation_url, info.session_api_key)


@pytest.mark.parametrize(
    ("dialect", "api"), [("openhands-1.0", "v0"), ("openhands-1.0", "v1"), ("openhands-1.11", "v1")]
)
def test_a_whole_life(dialect: Literal["openhands-1.0", "openhands-1.11"], api: Literal["v0", "v1"]) -> None:
    with ReferenceServer(dialect=dialect, max_concurrent_conversations=100) as server:
        with OpenHands(server.url) as client:
            conversation = live(client, api, timeout=30)
            bury(client, conversation)


def test_what_is_known_of_a_conversation(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        assert (client.v1.update_conversation(place.id, {"title": "Renamed"})).title == "Renamed"
        shown = client.v1.update_conversation_public_flag(place.id, True)
        assert (shown.title, shown.model_extra and shown.model_extra["public"]) == ("Renamed", True)
        told = client.v1.update_conversation_repository(place.id, "acme/app", "main", "GITHUB")
        assert (told.selected_repository, told.selected_branch) == ("acme/app", "main")
        assert (client.v1.update_conversation_repository(place.id, None)).selected_repository is None
        with pytest.raises(APIStatusError, match="unknown_app_conversation"):
            client.v1.update_conversation(NOBODY, {"title": "x"})
        assert (client.v1.delete_conversation(place.id)).success
        with pytest.raises(APIStatusError, match="Conversation not found"):
            client.v1.delete_conversation(place.id)


def test_messages_through_the_app_server(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        message = m.SendMessageRequest.model_validate({"content": [{"type": "text", "text": "And again"}]})
        assert (client.v1.send_app_message(place.id, message)).success
        conversation = client.conversations.get(place.id)
        assert conversation.wait(timeout=30) == "finished"
        assert client.v1.get_final_response(place.id, place.url, place.key)
        client.sandboxes.pause_sandbox(place.sandbox_id)
        with pytest.raises(APIStatusError, match="Sandbox is PAUSED") as refused:
            client.v1.send_app_message(place.id, message)
        assert refused.value.status_code == 409


def test_messages_that_wait_for_a_conversation(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        wanted = "5" * 32
        message = m.SendMessageRequest.model_validate({"content": [{"type": "text", "text": "Good morning"}]})
        positions = [(client.v1.add_pending_message(wanted, message))["position"] for _ in range(2)]
        assert positions == [1, 2]
        task = client.v1.start(m.AppConversationStartRequest(conversation_id=wanted))
        while task.status not in ("READY", "ERROR"):
            [task] = [one for one in client.v1.batch_get_start_tasks([task.id]) if one is not None]
        conversation = client.conversations.get(wanted)
        assert conversation.wait(timeout=30) == "finished"
        said = [event for event in conversation.history() if event.kind == "MessageEvent"]
        assert len([one for one in said if getattr(one, "source", "") == "user"]) == 2


def test_skills_hooks_and_git_through_the_app_server(newer: ReferenceServer, tmp_path: Path) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        skill, hooks = tmp_path / "release.md", tmp_path / "hooks.json"
        skill.write_text("---\ntriggers: [release]\n---\nTag it.\n")
        stop = [{"matcher": "*", "hooks": [{"type": "command", "command": "make lint"}]}]
        hooks.write_text(json.dumps({"hooks": {"stop": stop}}))
        for source, target in ((skill, "microagents/release.md"), (hooks, "hooks.json")):
            path = f"/workspace/.openhands/{target}"
            assert (client.v1.upload_file(place.url, place.key, source, path)).success
        skills = (client.v1.get_skills(place.id))["skills"]
        assert [(one["name"], one["type"], one["content"]) for one in skills] == [
            ("release", "knowledge", "Tag it.")
        ]
        assert (client.v1.get_hooks(place.id))["hooks"] == [{"event_type": "stop", "matchers": stop}]
        changes = client.git.get_app_git_changes(place.id, "/workspace")
        assert ".openhands/hooks.json" in [one.path for one in changes]
        diff = client.git.get_app_git_diff(place.id, "/workspace/.openhands/hooks.json")
        assert (diff.original, diff.modified) == ("", hooks.read_text())
        zipped = client.v1.download_conversation(place.id, tmp_path / "all.zip")
        assert zipped.read_bytes().startswith(b"PK")
        with pytest.raises(APIStatusError) as unknown:
            client.v1.get_skills(NOBODY)
        assert unknown.value.status_code == 404


def test_files_by_query(newer: ReferenceServer, tmp_path: Path) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        (tmp_path / "source").write_text("# Plan\n")
        path = "/workspace/PLAN.md"
        assert (client.v1.upload_file(place.url, place.key, tmp_path / "source", path)).success
        target = client.v1.download_file(path, tmp_path / "plan", place.url, place.key)
        assert target.read_bytes() == b"# Plan\n"
        changes = client.git.get_git_changes(place.url, place.key, "/workspace")
        assert ("A", "PLAN.md") in [(one.status, one.path) for one in changes]
        diff = client.git.get_git_change_diff(place.url, place.key, path)
        assert (diff.original, diff.modified) == ("", "# Plan\n")
        assert client.git.get_git_changes(place.url, place.key, "/workspace/nowhere") == []
        with pytest.raises(APIStatusError, match="File not found"):
            client.v1.download_file("/workspace/nope", tmp_path / "nope", place.url, place.key)


def test_events_below_their_conversation(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        page = client.event_service.search_events(conversation_id__eq=place.id, kind__eq="MessageEvent")
        assert [event.kind for event in page.items] == ["MessageEvent"]
        assert client.event_service.count_events(conversation_id__eq=place.id) > 5
        [first, nothing] = client.event_service.batch_get_events(
            [str(page.items[0].id), "12345678-1234-1234-1234-123456789012"], place.id
        )
        assert first is not None
        assert (first.id, nothing) == (page.items[0].id, None)


def test_forks_goals_and_interruptions(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        copy = client.v1.fork(place.id, place.url, place.key, {"title": "Another way"})
        assert (copy.title, copy.execution_status) == ("Another way", "idle")
        [here] = [one for one in client.v1.batch_get_app_conversations([place.id]) if one]
        assert here.execution_status == "finished"
        assert (client.v1.start_goal(place.id, {"objective": "Tidy up"}, place.url, place.key)).success
        conversation = client.conversations.get(place.id)
        assert conversation.wait(timeout=30) == "finished"
        goals = [
            getattr(event, "value", {})
            for event in conversation.history()
            if getattr(event, "key", "") == "goal"
        ]
        assert [goal["status"] for goal in goals] == ["running", "complete"]
        assert (client.v1.stop_goal(place.id, place.url, place.key)).success
        with pytest.raises(APIStatusError, match="no_resumable_goal"):
            client.v1.resume_goal(place.id, place.url, place.key)
        assert (client.v1.interrupt(place.id, place.url, place.key)).success


def test_what_line_1_11_has_no_more(newer: ReferenceServer) -> None:
    with OpenHands(newer.url) as client:
        place = started(client)
        with pytest.raises(UnsupportedOperationError, match="generate_title"):
            client.v1.generate_title(place.id, place.url, place.key)
        with pytest.raises(UnsupportedOperationError, match=r"/api/options/config"):
            client.settings.get_config()
