"""The events of V0 as they stand on the wire, without `id` and `timestamp`.

Shapes follow what OpenHands 1.0 stores. Nothing here decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.script import Run, Write

AGENT, USER, ENVIRONMENT = "agent", "user", "environment"
_SYSTEM_PROMPT = "You are the scripted agent of the OpenHands reference server. You follow your script."
_TOOLS = {
    "execute_bash": "Run a shell command.",
    "str_replace_editor": "Write a file.",
    "think": "Write down a thought.",
    "finish": "End the turn.",
}
_MODEL = "reference/scripted"
_UNKNOWN_RISK = -1


def _action(source: str, name: str, message: str, args: Mapping[str, Any], **more: Any) -> Event:
    return {"source": source, "message": message, "action": name, **more, "args": dict(args)}


def _observation(
    source: str, name: str, message: str, extras: Mapping[str, Any], *, content: str = "", **more: Any
) -> Event:
    return {
        "source": source,
        "message": message,
        **more,
        "observation": name,
        "content": content,
        "extras": dict(extras),
    }


def agent_state_changed(state: str, reason: str = "") -> Event:
    """The agent is in another state now."""
    extras = {"agent_state": state, "reason": reason}
    return _observation(ENVIRONMENT, "agent_state_changed", "", extras)


def change_agent_state(source: str, state: str) -> Event:
    """Somebody wants the agent in another state."""
    args = {"agent_state": state, "thought": ""}
    return _action(source, "change_agent_state", f"Agent state changed to {state}", args)


def system(instructions: str | None) -> Event:
    """The system prompt and the tools."""
    prompt = _SYSTEM_PROMPT if not instructions else f"{_SYSTEM_PROMPT}\n\n{instructions}"
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": what,
                "parameters": {"type": "object", "properties": {}},
            },
        }
        for name, what in _TOOLS.items()
    ]
    args = {
        "content": prompt,
        "tools": tools,
        "openhands_version": "1.0.0",
        "agent_class": "CodeActAgent",
    }
    return _action(AGENT, "system", prompt, args)


def message(
    source: str, text: str, *, image_urls: Any = None, file_urls: Any = None, waits: bool = False
) -> Event:
    """What the user or the agent says."""
    args = {
        "content": text,
        "file_urls": file_urls,
        "image_urls": image_urls,
        "wait_for_response": waits,
        "security_risk": _UNKNOWN_RISK,
    }
    return _action(source, "message", text, args)


def recall(text: str, *, first: bool) -> Event:
    """The memory is asked what it knows about a message."""
    kind = "workspace_context" if first else "knowledge"
    args = {"recall_type": kind, "query": text, "thought": ""}
    return _action(USER, "recall", f"Retrieving content for: {text}", args)


def recalled(
    cause: int, *, first: bool, day: str, repository: str | None, branch: str | None, instructions: str | None
) -> Event:
    """What the memory knows: the workspace the first time, nothing later."""
    if not first:
        return _observation(ENVIRONMENT, "null", "No observation", {}, cause=cause)
    extras = {
        "recall_type": "workspace_context",
        "repo_name": repository or "",
        "repo_directory": "",
        "repo_branch": branch or "",
        "repo_instructions": "",
        "runtime_hosts": {},
        "additional_agent_instructions": "",
        "date": day,
        "custom_secrets_descriptions": {},
        "conversation_instructions": instructions or "",
        "working_dir": "/workspace",
        "microagent_knowledge": [],
    }
    text = "Added workspace context"
    return _observation(ENVIRONMENT, "recall", text, extras, content=text, cause=cause)


def _by_tool_call(
    tool: str, calls: int, arguments: Mapping[str, Any], thought: str, created: int
) -> dict[str, Any]:
    call_id = f"call_{calls:08x}"
    function = {"name": tool, "arguments": json.dumps(arguments)}
    tool_call = {"function": function, "id": call_id, "type": "function"}
    choice = {
        "finish_reason": "tool_calls",
        "index": 0,
        "message": {
            "content": thought,
            "role": "assistant",
            "tool_calls": [tool_call],
            "function_call": None,
        },
    }
    return {
        "tool_call_metadata": {
            "function_name": tool,
            "tool_call_id": call_id,
            "model_response": {
                "id": "scripted-completion",
                "created": created,
                "model": _MODEL,
                "object": "chat.completion",
                "system_fingerprint": None,
                "choices": [choice],
                "usage": {"completion_tokens": 5, "prompt_tokens": 10, "total_tokens": 15},
            },
            "total_calls_in_response": 1,
        },
        "llm_metrics": metrics(calls),
    }


def metrics(calls: int) -> dict[str, Any]:
    """What so many scripted completions cost: ten tokens in, five out, each."""
    return {
        "accumulated_cost": round(7.5e-05 * calls, 10),
        "max_budget_per_task": None,
        "accumulated_token_usage": {
            "model": "default",
            "prompt_tokens": 10 * calls,
            "completion_tokens": 5 * calls,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "context_window": 128000,
            "per_turn_token": 15,
            "response_id": "",
        },
        "costs": [],
        "response_latencies": [],
        "token_usages": [],
    }


def run(act: Run, calls: int, created: int) -> Event:
    """The agent wants to run a command."""
    confirmation = "awaiting_confirmation" if act.confirm else "confirmed"
    args = {**_run_args(act.command, confirmation), "thought": act.thought}
    call = _by_tool_call("execute_bash", calls, {"command": act.command}, act.thought, created)
    return _action(AGENT, "run", f"Running command: {act.command}", args, **call)


def user_run(command: str) -> Event:
    """The user runs a command."""
    return _action(USER, "run", f"Running command: {command}", _run_args(command, "confirmed"))


def _run_args(command: str, confirmation: str) -> dict[str, Any]:
    return {
        "command": command,
        "is_input": False,
        "thought": "",
        "blocking": False,
        "is_static": False,
        "cwd": None,
        "hidden": False,
        "confirmation_state": confirmation,
        "security_risk": _UNKNOWN_RISK,
    }


def ran(source: str, command: str, output: str, exit_code: int, cause: int) -> Event:
    """What a command printed."""
    extras = {
        "command": command,
        "metadata": {
            "exit_code": exit_code,
            "pid": -1,
            "username": None,
            "hostname": None,
            "working_dir": "/workspace",
            "py_interpreter_path": None,
            "prefix": "",
            "suffix": "",
        },
        "hidden": False,
    }
    text = f"Command `{command}` executed with exit code {exit_code}."
    body = _observation(source, "run", text, extras, content=output, cause=cause)
    return {**body, "success": exit_code == 0}


def write(act: Write, calls: int, created: int) -> Event:
    """The agent wants to write a file."""
    given = {"command": "create", "path": act.path, "file_text": act.content}
    args = {
        **given,
        "old_str": None,
        "new_str": None,
        "insert_line": None,
        "content": "",
        "start": 1,
        "end": -1,
        "thought": act.thought,
        "impl_source": "oh_aci",
        "security_risk": _UNKNOWN_RISK,
    }
    call = _by_tool_call("str_replace_editor", calls, given, act.thought, created)
    return _action(AGENT, "edit", f"Editing file: {act.path}", args, **call)


def written(act: Write, cause: int) -> Event:
    """The file is there."""
    extras = {
        "path": act.path,
        "prev_exist": act.replaced is not None,
        "old_content": act.replaced,
        "new_content": act.content,
        "impl_source": "oh_aci",
        "diff": None,
    }
    return _observation(
        AGENT, "edit", f"I edited the file {act.path}.", extras, content=act.said, cause=cause
    )


def think(thought: str, calls: int, created: int) -> Event:
    """The agent writes down a thought."""
    call = _by_tool_call("think", calls, {"thought": thought}, "", created)
    return _action(AGENT, "think", thought, {"thought": thought}, **call)


def thought_logged(cause: int) -> Event:
    """The thought is in the log."""
    text = "Your thought has been logged."
    return _observation(AGENT, "think", text, {}, content=text, cause=cause)


def finish(text: str, thought: str, calls: int, created: int) -> Event:
    """The agent considers itself done."""
    call = _by_tool_call("finish", calls, {"message": text}, thought, created)
    args = {"final_thought": text, "outputs": {}, "thought": thought}
    return _action(AGENT, "finish", thought or text, args, **call)


def user_rejected(cause: int) -> Event:
    """The user does not want the pending action."""
    text = "Action has been rejected by the user!"
    return _observation(ENVIRONMENT, "user_rejected", text, {}, content=text, cause=cause)


def user_action(name: str, args: Mapping[str, Any]) -> Event:
    """Any other action the user sends; it is stored, and nobody acts on it."""
    return _action(USER, name, "", args)
