"""What a request to create a V0 conversation means: whose it is, what it begins with, what is replayed.

Suggested tasks and microagents to be made are conversations with a repository, a trigger and a first
message of their own. A replay is a recorded history that becomes the history of the new conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.times import parse, zoneless
from openhands_reference_server.domain.v0_events import AGENT, ENVIRONMENT, USER

ACTIONS = frozenset(
    [
        "message",
        "system",
        "start",
        "read",
        "write",
        "edit",
        "run",
        "run_ipython",
        "browse",
        "browse_interactive",
        "call_tool_mcp",
        "delegate",
        "think",
        "finish",
        "reject",
        "null",
        "pause",
        "resume",
        "stop",
        "change_agent_state",
        "push",
        "send_pr",
        "recall",
        "condensation",
        "condensation_request",
        "task_tracking",
        "loop_recovery",
    ]
)
OBSERVATIONS = frozenset(
    [
        "read",
        "write",
        "edit",
        "browse",
        "run",
        "run_ipython",
        "chat",
        "delegate",
        "message",
        "error",
        "success",
        "null",
        "think",
        "agent_state_changed",
        "user_rejected",
        "condense",
        "recall",
        "mcp",
        "download",
        "task_tracking",
        "loop_detection",
    ]
)
_SOURCES = (AGENT, USER, ENVIRONMENT)
_TASKS = {
    "MERGE_CONFLICTS": "Resolve the merge conflicts of pull request #{issue_number}",
    "FAILING_CHECKS": "Make the failing checks of pull request #{issue_number} pass",
    "UNRESOLVED_COMMENTS": "Address the unresolved review comments on pull request #{issue_number}",
    "OPEN_ISSUE": "Work on issue #{issue_number}",
    "OPEN_PR": "Finish pull request #{issue_number}",
    "CREATE_MICROAGENT": "Write a microagent that covers issue #{issue_number}",
}


class InvalidReplay(ValueError):
    """A text that is no recorded history; the message says why."""


def details_of(body: Mapping[str, Any], *, with_bearer: bool) -> dict[str, Any]:
    """The beginning of a conversation, as its first record has it.

    Args:
        body: the request, validated.
        with_bearer: the caller came with a bearer key, which only programs do.
    """
    task, microagent = body.get("suggested_task") or {}, body.get("create_microagent") or {}
    repository = body.get("repository") or task.get("repo") or microagent.get("repo")
    provider = body.get("git_provider") or task.get("git_provider") or microagent.get("git_provider")
    return {
        "selected_repository": repository,
        "selected_branch": body.get("selected_branch"),
        "git_provider": provider,
        "trigger": _trigger(body, with_bearer=with_bearer),
        "title": (task.get("title") or microagent.get("title") or "").strip() or None,
        "instructions": body.get("conversation_instructions"),
        "initial_message": _first_message(task, body.get("initial_user_msg")),
        "image_urls": body.get("image_urls"),
        "mcp_config": body.get("mcp_config"),
    }


def _trigger(body: Mapping[str, Any], *, with_bearer: bool) -> str:
    if body.get("suggested_task"):
        return "suggested_task"
    if body.get("create_microagent"):
        return "microagent_management"
    return "openhands_api" if with_bearer else "gui"


def _first_message(task: Mapping[str, Any], said: str | None) -> str | None:
    """What the agent is asked first: the task, then what the user says about it."""
    if not task:
        return said
    order = _TASKS[task["task_type"]].format(issue_number=task["issue_number"])
    asked = f"{order} of the repository {task['repo']}: {task['title']}"
    return asked if not said else f"{asked}\n\n{said}"


# -- replays ----------------------------------------------------------------------------------------


def read_replay(text: str) -> list[Event]:
    """The events of a recording, without ids: they get new ones, from 0.

    A recording is a JSON array of events, or an object with such an array as `trajectory`.

    Raises:
        InvalidReplay: the text is none.
    """
    try:
        recording = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidReplay("it is not JSON") from error
    events = recording.get("trajectory") if isinstance(recording, dict) else recording
    if not isinstance(events, list):
        raise InvalidReplay('it must be an array of events, or {"trajectory": [...]}')
    new_ids = {
        event["id"]: position
        for position, event in enumerate(events)
        if isinstance(event, dict) and isinstance(event.get("id"), int)
    }
    return [_replayed(position, event, new_ids) for position, event in enumerate(events)]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _replayed(position: int, event: Any, new_ids: Mapping[int, int]) -> Event:
    """One event as it becomes part of the history: complete, and with references to new ids."""
    if not isinstance(event, dict):
        raise InvalidReplay(f"event {position} is not an object")
    kept = {name: value for name, value in event.items() if name not in ("id", "timestamp", "cause")}
    given = {**kept, "source": event.get("source", AGENT), "message": event.get("message") or ""}
    if given["source"] not in _SOURCES or not isinstance(given["message"], str):
        raise InvalidReplay(f"event {position} has a source or a message that no event has")
    made = {**given, **_moment(event.get("timestamp")), **_body(position, event)}
    cause = event.get("cause")
    if isinstance(cause, int) and cause in new_ids:
        made["cause"] = new_ids[cause]
    for name in ("tool_call_metadata", "llm_metrics"):
        if not isinstance(made.get(name, {}), dict):
            del made[name]
    return made


def _body(position: int, event: Mapping[str, Any]) -> dict[str, Any]:
    """What an action or an observation is about."""
    action, observation = event.get("action"), event.get("observation")
    if isinstance(action, str) and action in ACTIONS and observation is None:
        parts: dict[str, Any] = {"args": event.get("args") or {}}
    elif isinstance(observation, str) and observation in OBSERVATIONS and action is None:
        parts = {"content": event.get("content") or "", "extras": event.get("extras") or {}}
    else:
        raise InvalidReplay(f"event {position} is neither a known action nor a known observation")
    well_formed = (
        isinstance(parts.get("args", {}), dict)
        and isinstance(parts.get("extras", {}), dict)
        and isinstance(parts.get("content", ""), str)
    )
    if not well_formed or (observation == "agent_state_changed" and not _names_a_state(parts["extras"])):
        raise InvalidReplay(f"event {position} is not formed as {action or observation} events are")
    return parts


def _names_a_state(extras: Mapping[str, Any]) -> bool:
    return isinstance(extras.get("agent_state"), str)


def _moment(timestamp: Any) -> dict[str, str]:
    """When it happened, in the server's spelling; nothing when the recording does not say."""
    try:
        return {"timestamp": zoneless(parse(timestamp))} if timestamp[:1] in ("1", "2") else {}
    except (TypeError, ValueError, OverflowError, AttributeError):
        return {}
