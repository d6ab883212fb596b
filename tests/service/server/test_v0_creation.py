"""What the inputs of a new V0 conversation bring about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Api
from .listening import listening, word

HISTORY = [
    {
        "id": 7,
        "source": "environment",
        "observation": "agent_state_changed",
        "extras": {"agent_state": "loading"},
    },
    {
        "id": 9,
        "timestamp": "2025-01-02T03:04:05",
        "source": "user",
        "action": "message",
        "message": "Fix the build",
        "args": {"content": "Fix the build", "image_urls": []},
    },
    {"id": 10, "source": "agent", "action": "run", "message": "", "args": {"command": "make"}},
    {
        "id": 12,
        "source": "agent",
        "cause": 10,
        "observation": "run",
        "content": "ok",
        "extras": {"command": "make"},
    },
]


def first_message(api: Api, conversation_id: str) -> dict[str, Any]:
    events = api.wait_agent_state(conversation_id, "finished")
    return next(event for event in events if word(event) == "user message")


def test_images_come_with_the_first_message(api: Api) -> None:
    one = api.create_v0(initial_user_msg="Look", image_urls=["data:image/png;base64,AA=="])
    said = first_message(api, one)
    assert said["args"]["content"] == "Look"
    assert said["args"]["image_urls"] == ["data:image/png;base64,AA=="]


@pytest.mark.parametrize(
    ("task_type", "words"),
    [
        ("OPEN_ISSUE", "issue #17"),
        ("MERGE_CONFLICTS", "merge conflicts of pull request #17"),
        ("FAILING_CHECKS", "failing checks"),
        ("UNRESOLVED_COMMENTS", "review comments"),
        ("OPEN_PR", "pull request #17"),
        ("CREATE_MICROAGENT", "microagent"),
    ],
)
def test_a_suggested_task(api: Api, task_type: str, words: str) -> None:
    task = {
        "git_provider": "github",
        "task_type": task_type,
        "repo": "acme/rockets",
        "issue_number": 17,
        "title": "Engines stall",
    }
    one = api.create_v0(suggested_task=task, initial_user_msg="Hurry up")
    info = api.wait_v0(one, "RUNNING")
    assert (info["trigger"], info["title"]) == ("suggested_task", "Engines stall")
    assert (info["selected_repository"], info["git_provider"]) == ("acme/rockets", "github")
    text = first_message(api, one)["args"]["content"]
    assert words in text
    assert "acme/rockets" in text
    assert text.endswith("\n\nHurry up")


def test_a_microagent(api: Api) -> None:
    wanted = {"repo": "acme/rockets", "git_provider": "gitlab", "title": "Learn the build"}
    info = api.wait_v0(api.create_v0(create_microagent=wanted), "RUNNING")
    assert (info["trigger"], info["title"]) == ("microagent_management", "Learn the build")
    assert (info["selected_repository"], info["git_provider"]) == ("acme/rockets", "gitlab")


def test_instructions_are_remembered(api: Api) -> None:
    one = api.create_v0(initial_user_msg="Hi", conversation_instructions="Answer in verse")
    first_message(api, one)
    [recalled] = [event for event in api.v0_events(one) if word(event) == "got recall"]
    assert recalled["extras"]["conversation_instructions"] == "Answer in verse"


def test_tool_servers_are_kept_and_not_shown(api: Api) -> None:
    config = {"sse_servers": [{"url": "https://tools.example", "api_key": "s3cret"}]}
    one = api.create_v0(mcp_config=config)
    assert "s3cret" not in json.dumps([api.wait_v0(one, "RUNNING"), api.v0_events(one)])
    kept = api.server.world.core.v0(one).mcp_config
    assert kept is not None
    assert "s3cret" not in kept
    assert api.server.world.vault.open(kept) == config


@pytest.mark.parametrize(
    ("headers", "body", "trigger"),
    [
        ({}, {}, "gui"),
        ({"Authorization": "Bearer key"}, {}, "openhands_api"),
        ({"Authorization": "Basic a2V5Og=="}, {}, "gui"),
        ({"Authorization": "Bearer key"}, {"create_microagent": {"repo": "a/b"}}, "microagent_management"),
    ],
)
def test_the_trigger(api: Api, headers: dict[str, str], body: dict[str, Any], trigger: str) -> None:
    made = api.ok("POST", "/api/conversations", json=body, headers=headers)
    assert api.wait_v0(made["conversation_id"], "RUNNING")["trigger"] == trigger


def test_titles(api: Api) -> None:
    one = api.create_v0()
    assert api.wait_v0(one, "RUNNING")["title"] == f"Conversation {one[:5]}"
    api.ok("POST", f"/api/conversations/{one}/message", json={"message": "  \nFix it\nplease"})
    assert api.wait_v0(one, "RUNNING")["title"] == "Fix it"
    with listening(api.server.url, conversation_id=one) as ear:
        api.ok("PATCH", f"/api/conversations/{one}", json={"title": "   "})
        assert ear.until("title")[-1]["conversation_title"] == f"Conversation {one[:5]}"
    assert api.wait_v0(one, "RUNNING")["title"] == f"Conversation {one[:5]}"


class TestReplay:
    @pytest.mark.parametrize("recording", [HISTORY, {"trajectory": HISTORY}], ids=["array", "trajectory"])
    def test_the_recording_becomes_the_history(self, api: Api, recording: Any) -> None:
        one = api.create_v0(replay_json=json.dumps(recording))
        events = api.wait_agent_state(one, "awaiting_user_input")
        assert [event["id"] for event in events] == list(range(len(events)))
        told = ["is loading", "user message", "agent run", "got run", "is loading", "agent system"]
        assert [word(event) for event in events][:6] == told
        assert (events[1]["timestamp"], events[3]["cause"]) == ("2025-01-02T03:04:05.000000", 2)
        assert api.wait_v0(one, "RUNNING")["title"] == "Fix the build"
        api.ok("POST", f"/api/conversations/{one}/message", json={"message": "go on"})
        api.wait_agent_state(one, "finished")

    def test_a_history_of_ours_can_be_gone_on_with(self, api: Api) -> None:
        one = api.create_v0(initial_user_msg="hello")
        recorded = api.wait_agent_state(one, "finished")
        two = api.create_v0(replay_json=json.dumps(recorded), initial_user_msg="and now this")
        events = api.wait_agent_state(two, "finished")
        assert events[: len(recorded)] == recorded
        said = [event["message"] for event in events if word(event) == "user message"]
        assert said == ["hello", "and now this"]
        assert sum(word(event) == "agent system" for event in events) == 1

    def test_an_empty_recording(self, api: Api) -> None:
        one = api.create_v0(replay_json="[]")
        assert word(api.wait_agent_state(one, "awaiting_user_input")[0]) == "is loading"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "not json",
            "{",
            "17",
            '"text"',
            "null",
            "{}",
            '{"trajectory": {}}',
            "[1]",
            "[{}]",
            '[{"action": "bogus"}]',
            '[{"action": "message", "observation": "run"}]',
            '[{"action": "message", "args": [1]}]',
            '[{"action": "message", "source": "nobody"}]',
            '[{"action": "message", "message": 1}]',
            '[{"observation": "run", "content": 5}]',
            '[{"observation": "agent_state_changed", "extras": {}}]',
            '[{"action": "message", "args": {"content": NaN}}]',
            "[" * 100_000,
        ],
        ids=lambda text: text[:20],
    )
    def test_what_is_no_recording_is_refused(self, api: Api, text: str) -> None:
        refused = api.app.post("/api/conversations", json={"replay_json": text})
        assert refused.status_code == 422
        [item] = refused.json()["detail"]
        assert (item["type"], item["loc"]) == ("value_error", ["body", "replay_json"])
        assert api.ok("GET", "/api/conversations")["results"] == []
