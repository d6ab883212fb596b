"""Recorded answers of real servers are read by their models and give the same document back."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from openhands_client import models

SAMPLES = Path(__file__).parents[2] / "data" / "samples"

ANSWERS = {
    "v0-get-200": models.ConversationInfo,
    "v0-get-stopped-200": models.ConversationInfo,
    "v0-get-of-v1-200": models.ConversationInfo,
    "v0-get-of-v1-archived": models.ConversationInfo,
    "v0-get-of-v1-parent": models.ConversationInfo,
    "v0-list-200": models.ConversationInfoResultSet,
    "v0-create-200": models.ConversationResponse,
    "v0-start-stopped-200": models.ConversationResponse,
    "v0-stop-200": models.ConversationResponse,
    "v0-config-200": models.ConversationConfig,
    "v0-events-200": models.EventsPage,
    "v1-batch-get-200": list[models.AppConversation | None],
    "v1-search-200": models.AppConversationPage,
    "v1-start-task-working": models.AppConversationStartTask,
    "v1-start-task-ready": list[models.AppConversationStartTask | None],
    "v1-start-task-sub-ready": list[models.AppConversationStartTask | None],
    "v1-start-task-error-paused-sandbox": list[models.AppConversationStartTask | None],
    "v1-start-tasks-search-200": models.AppConversationStartTaskPage,
    "v1-sandboxes-batch-200": list[models.SandboxInfo | None],
    "v1-sandboxes-batch-paused": list[models.SandboxInfo | None],
    "v1-sandboxes-search-200": models.SandboxPage,
    "v1-sandbox-pause-200": models.SuccessResponse,
    "v1-agent-get-200": models.AgentConversationInfo,
    "agent134-create-201": models.AgentConversationInfo,
    "v1-agent-events-search-200": models.EventPage,
    "v1-events-search-200": models.EventPage,
}
"""Sample → the type of its body."""


def body_of(sample: str) -> Any:
    return json.loads((SAMPLES / f"{sample}.json").read_text())["body"]


@pytest.mark.parametrize("sample", ANSWERS)
def test_an_answer_is_read_from_its_bytes_and_gives_them_back(sample: str) -> None:
    body = body_of(sample)
    adapter: TypeAdapter[Any] = TypeAdapter(ANSWERS[sample])
    value = adapter.validate_json(json.dumps(body))
    assert json.loads(adapter.dump_json(value, exclude_unset=True)) == body


def test_a_conversation_carries_typed_values() -> None:
    info = models.ConversationInfo.model_validate(body_of("v0-get-200"))
    assert info.status is models.ConversationStatus.RUNNING
    assert info.created_at is not None
    assert info.created_at.utcoffset() is not None
    assert info.sub_conversation_ids == []


def test_times_with_and_without_a_zone_are_both_read() -> None:
    working = models.AppConversationStartTask.model_validate(body_of("v1-start-task-working"))
    [ready] = [
        models.AppConversationStartTask.model_validate(task) for task in body_of("v1-start-task-ready")
    ]
    assert working.created_at is not None
    assert ready.created_at is not None
    assert working.created_at.replace(tzinfo=None) == ready.created_at


def test_a_start_task_repeats_its_request() -> None:
    [document] = body_of("v1-start-task-ready")
    task = models.AppConversationStartTask.model_validate(document)
    assert task.is_terminal
    assert task.request is not None
    assert task.request.initial_message is not None
    assert task.request.initial_message.text == "Say hello and finish."


def test_a_newer_server_is_understood() -> None:
    """The agent server 1.34.0 sends fields that 1.5.2 does not know; they are kept."""
    info = models.AgentConversationInfo.model_validate(body_of("agent134-create-201"))
    assert info.model_extra
    assert "hook_config" in info.model_extra


def test_a_v0_event_tells_what_it_is() -> None:
    page = models.EventsPage.model_validate(body_of("v0-events-200"))
    assert page.events[0].is_observation
    assert page.events[0].agent_state is models.AgentState.LOADING
    assert page.events[2].is_action
    assert page.events[2].agent_state is None
    assert str(page.events[2]) == "[user] message: TEXT hello"
