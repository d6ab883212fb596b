"""The events of V1 as they stand on the wire, without `id` and `timestamp`.

Shapes follow what agent server 1.5 sends. Nothing here decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.script import Run, Write, Written

_PACKAGE = "openhands.sdk.event"
_MODULES = {
    "Condensation": "condenser",
    "CondensationRequest": "condenser",
    "CondensationSummaryEvent": "condenser",
    "ConversationErrorEvent": "conversation_error",
    "ConversationStateUpdateEvent": "conversation_state",
    "LLMCompletionLogEvent": "llm_completion_log",
    "ActionEvent": "llm_convertible.action",
    "MessageEvent": "llm_convertible.message",
    "AgentErrorEvent": "llm_convertible.observation",
    "ObservationEvent": "llm_convertible.observation",
    "UserRejectObservation": "llm_convertible.observation",
    "SystemPromptEvent": "llm_convertible.system",
    "TokenEvent": "token",
    "PauseEvent": "user_action",
    "InterruptEvent": "user_action",
}
_SYSTEM_PROMPT = "You are the scripted agent of the OpenHands reference server. You follow your script."
_RESPONSE_ID = "scripted-completion"
THINKING_RISK = "LOW"
TOOLS = ("terminal", "file_editor")
WORKSPACE: Mapping[str, Any] = {"kind": "LocalWorkspace", "working_dir": "/workspace"}


def event_id(text: str) -> str:
    """The id of an event as it is stored, whatever its spelling."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def kind_at(path: str) -> str:
    """The kind whose class has this full Python path; no kind at all when none has it."""
    name = path.rpartition(".")[2]
    return name if path == f"{_PACKAGE}.{_MODULES.get(name)}.{name}" else ""


def text_content(text: str) -> dict[str, Any]:
    """A TextContent."""
    return {"cache_prompt": False, "type": "text", "text": text}


def content(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Content as the server shows it: with all defaults."""
    return [{"cache_prompt": False, "type": "text", **item} for item in items]


def text_of(items: Iterable[Mapping[str, Any]]) -> str:
    """What a message says in words."""
    return "\n".join(item["text"] for item in items if "text" in item)


def agent(model: str) -> dict[str, Any]:
    """The scripted agent as the agent server describes it."""
    return {
        "kind": "Agent",
        "llm": {"model": model, "api_key": None, "base_url": None, "usage_id": "agent"},
        "tools": [{"name": tool, "params": {}} for tool in TOOLS],
        "mcp_config": {},
        "filter_tools_regex": None,
        "agent_context": None,
        "system_prompt_filename": "system_prompt.j2",
        "system_prompt_kwargs": {},
        "condenser": None,
    }


def _tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": meaning} for key, meaning in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def system_prompt(suffix: str | None) -> Event:
    """The first event of every conversation."""
    prompt = _SYSTEM_PROMPT if not suffix else f"{_SYSTEM_PROMPT}\n\n{suffix}"
    return {
        "kind": "SystemPromptEvent",
        "source": "agent",
        "system_prompt": text_content(prompt),
        "tools": [
            _tool("terminal", "Run a shell command.", command="the command"),
            _tool("file_editor", "Write a file.", command="create", path="the file", file_text="its content"),
            _tool("think", "Write down a thought.", thought="the thought"),
            _tool("finish", "End the turn.", message="what to tell the user"),
        ],
    }


def message(source: str, role: str, items: Iterable[Mapping[str, Any]]) -> Event:
    """A MessageEvent; the role is what the model is told, the source who it really was."""
    agent = source == "agent"
    return {
        "kind": "MessageEvent",
        "source": source,
        "llm_message": {
            "role": role,
            "content": content(items),
            "cache_enabled": False,
            "vision_enabled": False,
            "function_calling_enabled": False,
            "tool_calls": None,
            "tool_call_id": None,
            "name": None,
            "force_string_serializer": False,
            "send_reasoning_content": False,
            "reasoning_content": None,
            "thinking_blocks": [],
            "responses_reasoning_item": None,
        },
        "llm_response_id": _RESPONSE_ID if agent else None,
        "activated_skills": [],
        "extended_content": [],
        "sender": None,
    }


def state_update(key: str, value: Any) -> Event:
    """A ConversationStateUpdateEvent."""
    return {"kind": "ConversationStateUpdateEvent", "source": "environment", "key": key, "value": value}


def _action(
    tool: str, call_id: str, arguments: Mapping[str, Any], action: Mapping[str, Any], thought: str, risk: str
) -> Event:
    return {
        "kind": "ActionEvent",
        "source": "agent",
        "thought": [text_content(thought)] if thought else [],
        "reasoning_content": None,
        "thinking_blocks": [],
        "responses_reasoning_item": None,
        "action": dict(action),
        "tool_name": tool,
        "tool_call_id": call_id,
        "tool_call": {
            "id": call_id,
            "name": tool,
            "arguments": json.dumps(arguments),
            "origin": "completion",
        },
        "llm_response_id": _RESPONSE_ID,
        "security_risk": risk,
    }


def _observation(tool: str, call_id: str, action_id: str, observation: Mapping[str, Any]) -> Event:
    return {
        "kind": "ObservationEvent",
        "source": "environment",
        "tool_name": tool,
        "tool_call_id": call_id,
        "observation": dict(observation),
        "action_id": action_id,
    }


def terminal_action(act: Run, call_id: str) -> Event:
    """The agent wants to run a command."""
    action = {
        "kind": "TerminalAction",
        "command": act.command,
        "is_input": False,
        "timeout": None,
        "reset": False,
    }
    arguments = {"command": act.command, "security_risk": act.risk}
    return _action("terminal", call_id, arguments, action, act.thought, act.risk)


def terminal_observation(act: Run, call_id: str, action_id: str) -> Event:
    """What the command printed."""
    return _observation(
        "terminal",
        call_id,
        action_id,
        {
            "kind": "TerminalObservation",
            "content": [text_content(act.output)],
            "is_error": False,
            "command": act.command,
            "exit_code": act.exit_code,
            "timeout": False,
            "metadata": {
                "exit_code": act.exit_code,
                "pid": -1,
                "username": "openhands",
                "hostname": "sandbox",
                "working_dir": "/workspace",
                "py_interpreter_path": None,
                "prefix": "",
                "suffix": f"\n[The command completed with exit code {act.exit_code}.]",
            },
            "full_output_save_dir": None,
        },
    )


def file_action(act: Write, call_id: str) -> Event:
    """The agent wants to write a file."""
    given = {"command": "create", "path": act.path, "file_text": act.content}
    unused = dict.fromkeys(("old_str", "new_str", "insert_line", "view_range"))
    action = {"kind": "FileEditorAction", **given, **unused}
    return _action("file_editor", call_id, {**given, "security_risk": "LOW"}, action, act.thought, "LOW")


def file_observation(act: Write, call_id: str, action_id: str) -> Event:
    """The file is there."""
    seen = {
        "kind": "FileEditorObservation",
        "content": [text_content(act.said)],
        "is_error": False,
        "command": "create",
        "path": act.path,
        "prev_exist": act.replaced is not None,
        "old_content": act.replaced,
        "new_content": act.content,
    }
    return _observation("file_editor", call_id, action_id, seen)


def after_writing(pending: Mapping[str, Any], written: Written) -> Event:
    """The observation of a file that was announced, now that it is written or is not."""
    path, content = pending["file"]
    act = Write(path, content, replaced=written.replaced)
    event = file_observation(act, pending["tool_call_id"], pending["action_id"])
    if written.failure is not None:
        event["observation"] |= {"content": [text_content(written.failure)], "is_error": True}
    return event


def think_action(thought: str, call_id: str) -> Event:
    """The agent writes down a thought."""
    action = {"kind": "ThinkAction", "thought": thought}
    return _action("think", call_id, {"thought": thought}, action, "", THINKING_RISK)


def think_observation(call_id: str, action_id: str) -> Event:
    """The thought is in the log."""
    noted = [text_content("Your thought has been logged.")]
    return _observation(
        "think", call_id, action_id, {"kind": "ThinkObservation", "content": noted, "is_error": False}
    )


def finish_action(text: str, thought: str, call_id: str) -> Event:
    """The agent considers itself done."""
    action = {"kind": "FinishAction", "message": text}
    return _action("finish", call_id, {"message": text}, action, thought, "UNKNOWN")


def finish_observation(text: str, call_id: str, action_id: str) -> Event:
    """The last observation of a turn."""
    said = [text_content(text)]
    return _observation(
        "finish", call_id, action_id, {"kind": "FinishObservation", "content": said, "is_error": False}
    )


def rejection(pending: Mapping[str, Any], reason: str) -> Event:
    """The user does not want the pending action."""
    return {
        "kind": "UserRejectObservation",
        "source": "environment",
        "tool_name": pending["tool_name"],
        "tool_call_id": pending["tool_call_id"],
        "rejection_reason": reason,
        "action_id": pending["action_id"],
    }


def conversation_error(code: str, detail: str) -> Event:
    """Why the run ended in the state `error`."""
    return {"kind": "ConversationErrorEvent", "source": "environment", "code": code, "detail": detail}


def condensation_request() -> Event:
    """The user wants the history condensed."""
    return {"kind": "CondensationRequest", "source": "environment"}


def condensation(forgotten: list[str], summary: str) -> Event:
    """Events the agent does not look at any more, and what stands in their place."""
    return {
        "kind": "Condensation",
        "source": "environment",
        "forgotten_event_ids": forgotten,
        "summary": summary,
        "summary_offset": 1,
        "llm_response_id": _RESPONSE_ID,
    }


def pause() -> Event:
    """The user paused the run."""
    return {"kind": "PauseEvent", "source": "user"}


def interruption() -> Event:
    """The user stopped the run in the middle of a step."""
    return {"kind": "InterruptEvent", "source": "user"}


def usage(calls: int) -> dict[str, Any]:
    """The token usage after so many scripted completions: ten tokens in, five out, each."""
    return {
        "model": "",
        "prompt_tokens": 10 * calls,
        "completion_tokens": 5 * calls,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "context_window": 0,
        "per_turn_token": 15 if calls else 0,
        "response_id": "",
    }


def cost(calls: int) -> float:
    """What they would have cost, in dollars."""
    return round(7.5e-05 * calls, 10)


def metrics(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Metrics as an agent server reports them, as far as they make sense; None when they do not."""
    name, total = given.get("model_name"), given.get("accumulated_cost")
    if (
        not isinstance(name, str)
        or isinstance(total, bool)
        or not isinstance(total, (int, float))
        or total < 0
    ):
        return None
    budget, tokens = given.get("max_budget_per_task"), given.get("accumulated_token_usage")
    return {
        "model_name": name,
        "accumulated_cost": total,
        "max_budget_per_task": budget if isinstance(budget, (int, float)) else None,
        "accumulated_token_usage": _token_usage(tokens) if isinstance(tokens, Mapping) else None,
    }


def _token_usage(given: Mapping[str, Any]) -> dict[str, Any]:
    known = usage(0)
    return {name: given[name] for name, zero in known.items() if _is_like(given.get(name), zero)}


def _is_like(value: Any, example: str | int) -> bool:
    if isinstance(example, str):
        return isinstance(value, str)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def stats(calls: int, model: str) -> dict[str, Any]:
    """The value of a `stats` update."""
    return {
        "usage_to_metrics": {
            "agent": {
                "model_name": model,
                "accumulated_cost": cost(calls),
                "max_budget_per_task": None,
                "accumulated_token_usage": {**usage(calls), "model": model},
            }
        }
    }
