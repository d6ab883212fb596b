"""The scripted agent's events have the fields of the recorded ones, kind by kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openhands_reference_server.domain import v0, v1
from openhands_reference_server.domain.script import Fail, Finish, Run, Say, Think

from .conftest import V0Life, V1Life

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


def v1_events() -> list[dict[str, Any]]:
    life = V1Life().say("hi")
    for act in (Run("ls"), Think("hm"), Run("rm", confirm=True)):
        life(v1.perform, act)
        if life.state.execution_status == "waiting_for_confirmation":
            life(v1.confirm, accept=False)(v1.start_run)
        life(v1.observe)
    life(v1.perform, Finish()).say("more")(v1.perform, Say("Hello.")).say("once more")(v1.pause)(v1.start_run)
    return life(v1.perform, Fail()).ledger.events


def v1_name(event: dict[str, Any]) -> str:
    match event["kind"]:
        case "ConversationStateUpdateEvent":
            return f"{event['kind']}:{event['key']}"
        case "ActionEvent":
            return f"{event['kind']}:{event['action']['kind']}"
        case "ObservationEvent":
            return f"{event['kind']}:{event['observation']['kind']}"
        case kind:
            return str(kind)


def shape(value: Any) -> Any:
    """The fields of an object, and of the objects in it; lists and texts count as one."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else "value"


def test_v1_events_have_the_recorded_fields() -> None:
    recorded = json.loads((SAMPLES / "v1-events-by-kind.json").read_text())
    made = {v1_name(event): event for event in v1_events()}
    assert len(made) >= 12
    for name, event in made.items():
        assert shape(event) == shape(recorded[name]), name


def test_full_state_has_the_recorded_fields() -> None:
    recorded = json.loads((SAMPLES / "v1-events-by-kind.json").read_text())
    expected = recorded["ConversationStateUpdateEvent:full_state"]["value"].keys()
    assert v1.full_state(V1Life().state).keys() >= expected


def v0_events() -> list[dict[str, Any]]:
    life = V0Life(initial_message="hi")(v0.begin)
    life(v0.perform, Run("ls"))(v0.observe)(v0.perform, Finish())(v0.send_message, "more")
    life(v0.perform, Say("Hello."))(v0.send_action, {"action": "run", "args": {"command": "echo hi"}})
    return life.ledger.events


def v0_name(event: dict[str, Any]) -> tuple[str, str]:
    return event["source"], event.get("action") or f"got {event['observation']}"


@pytest.mark.parametrize(
    "name",
    [
        ("environment", "got agent_state_changed"),
        ("agent", "system"),
        ("user", "message"),
        ("agent", "message"),
        ("environment", "change_agent_state"),
        ("user", "recall"),
        ("environment", "got recall"),
        ("environment", "got null"),
        ("agent", "finish"),
        ("user", "run"),
        ("user", "got run"),
    ],
)
def test_v0_events_have_the_recorded_fields(name: tuple[str, str]) -> None:
    recorded = json.loads((SAMPLES / "v0-events-200.json").read_text())["body"]["events"]
    expected = next(event for event in recorded if v0_name(event) == name)
    made = next(event for event in v0_events() if v0_name(event) == name)
    assert made.keys() == expected.keys()
    for inner in ("args", "extras", "llm_metrics", "tool_call_metadata"):
        assert shape(made.get(inner, {})).keys() == shape(expected.get(inner, {})).keys(), inner
