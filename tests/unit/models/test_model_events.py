"""V1 events: every known kind has its class, and no event loses anything, whatever is in it."""

import json
import pickle
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import models
from openhands_client.models import events as events_module

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
BY_KIND: dict[str, dict[str, Any]] = json.loads((SAMPLES / "v1-events-by-kind.json").read_text())
STAMP: dict[str, Any] = {"id": "e1", "timestamp": "2026-11-20T23:23:55.147914", "source": "environment"}
TEXT = {"type": "text", "text": "hello"}

# Kinds no server was seen to send, in the shape their specification gives them.
SPECIFIED: list[dict[str, Any]] = [
    {
        "kind": "Condensation",
        "forgotten_event_ids": ["a"],
        "summary": "s",
        "summary_offset": 1,
        "llm_response_id": "r",
    },
    {"kind": "CondensationRequest"},
    {"kind": "CondensationSummaryEvent", "summary": "s"},
    {"kind": "LLMCompletionLogEvent", "filename": "f", "log_data": "{}", "model_name": "m", "usage_id": "u"},
    {"kind": "TokenEvent", "prompt_token_ids": [1, 2], "response_token_ids": [3]},
]

KINDS = sorted({document["kind"] for document in [*BY_KIND.values(), *SPECIFIED]})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    sorted({name for document in BY_KIND.values() for name in document} - {"kind"})
) | st.text(min_size=1)


def both_ways(document: dict[str, Any]) -> list[events_module.AnyEvent]:
    return [models.parse_event(document), models.parse_event(json.dumps(document).encode())]


@pytest.mark.parametrize("name", BY_KIND)
def test_a_recorded_event_has_its_class_and_comes_back_equal(name: str) -> None:
    for event in both_ways(BY_KIND[name]):
        assert type(event).__name__ == BY_KIND[name]["kind"]
        assert event.to_dict() == BY_KIND[name]
        assert json.loads(event.to_json()) == BY_KIND[name]


@pytest.mark.parametrize("document", SPECIFIED, ids=lambda document: document["kind"])
def test_a_specified_event_has_its_class_and_comes_back_equal(document: dict[str, Any]) -> None:
    for event in both_ways({**document, **STAMP}):
        assert type(event).__name__ == document["kind"]
        assert event.to_dict() == {**document, **STAMP}


def test_every_class_is_covered_by_these_tests() -> None:
    known, _unknown, _mode = (*get_args(get_args(events_module.AnyEvent)[0]), None)
    assert {member.__name__ for member in get_args(get_args(known)[0])} == set(KINDS)


@pytest.mark.parametrize(
    "document",
    [
        {
            "kind": "HookExecutionEvent",
            "id": "e1",
            "timestamp": "2026-11-20T23:23:55",
            "source": "hook",
            "exit": 0,
        },
        {"kind": "HookExecutionEvent"},
        {"kind": 7},
        {},
        {"kind": "PauseEvent"},
        {"kind": "PauseEvent", "id": 5, "timestamp": "0", "source": None},
        {"kind": "MessageEvent", **STAMP, "llm_message": "hello"},
        {"kind": "ConversationErrorEvent", **STAMP, "code": 500, "detail": "x"},
    ],
)
def test_what_has_no_class_is_kept_as_it_is(document: dict[str, Any]) -> None:
    for event in both_ways(document):
        assert type(event) is models.UnknownEvent
        assert event.to_dict() == document


def test_an_unknown_event_still_says_when_and_by_whom() -> None:
    event = models.parse_event({"kind": "InterruptEvent", **STAMP, "why": "user"})
    assert event.id == "e1"
    assert event.timestamp == datetime(2026, 11, 20, 23, 23, 55, 147914)
    assert event.source is models.EventSource.ENVIRONMENT
    assert event.model_extra == {"why": "user"}


@given(
    kind=st.sampled_from(KINDS) | st.text(),
    fields=st.dictionaries(field_names, json_values, max_size=6),
    stamp=st.sampled_from([{}, STAMP]),
)
def test_any_object_with_a_kind_comes_back_equal(
    kind: str, fields: dict[str, Any], stamp: dict[str, Any]
) -> None:
    document = {**fields, **stamp, "kind": kind}
    for event in both_ways(document):
        assert event.to_dict() == document
        assert json.loads(event.to_json()) == document


@given(timestamp=st.datetimes(min_value=datetime(1970, 1, 1)))
def test_any_time_of_a_server_comes_back_equal(timestamp: datetime) -> None:
    document = {"kind": "PauseEvent", **STAMP, "timestamp": timestamp.isoformat()}
    event = models.parse_event(document)
    assert event.timestamp == timestamp
    assert event.to_dict() == document


@given(
    name=st.sampled_from(sorted(BY_KIND)),
    field=st.text(min_size=1).filter(lambda name: name not in models.WireModel.model_fields),
    value=json_values,
)
def test_a_field_added_by_a_newer_server_is_kept(name: str, field: str, value: Any) -> None:
    document = {field: value, **BY_KIND[name]}
    event = models.parse_event(document)
    assert event.to_dict() == document


def test_actions_and_observations_have_classes_of_their_own() -> None:
    action = models.parse_event(BY_KIND["ActionEvent:TerminalAction"])
    assert isinstance(action, models.ActionEvent)
    assert isinstance(action.action, models.TerminalAction)
    assert action.gist == "terminal: echo hello-from-tool; false"
    assert action.security_risk is models.SecurityRisk.HIGH

    observation = models.parse_event(BY_KIND["ObservationEvent:TerminalObservation"])
    assert isinstance(observation, models.ObservationEvent)
    assert isinstance(observation.observation, models.TerminalObservation)
    assert observation.observation.exit_status == 1
    assert observation.action_id == action.id


def test_an_action_of_an_unknown_kind_keeps_its_fields() -> None:
    document = {**BY_KIND["ActionEvent:TerminalAction"], "action": {"kind": "GrepAction", "pattern": "x"}}
    event = models.parse_event(document)
    assert isinstance(event, models.ActionEvent)
    assert type(event.action) is models.Action
    assert event.action.model_extra == {"pattern": "x"}
    assert event.to_dict() == document


def test_an_invalid_tool_call_has_no_action() -> None:
    event = models.parse_event(BY_KIND["ActionEvent:invalid-tool-call"])
    assert isinstance(event, models.ActionEvent)
    assert event.action is None


def test_a_nested_tool_call_is_read_like_a_flat_one() -> None:
    nested = {"id": "c1", "type": "function", "function": {"name": "terminal", "arguments": "{}"}}
    document = {**BY_KIND["ActionEvent:TerminalAction"], "tool_call": nested}
    event = models.parse_event(document)
    assert isinstance(event, models.ActionEvent)
    assert event.tool_call is not None
    assert (event.tool_call.name, event.tool_call.arguments) == ("terminal", "{}")
    assert event.to_dict() == document


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("execution_status", "running", models.ExecutionStatus.RUNNING),
        ("execution_status", "AWAITING_USER_CONFIRMATION", models.ExecutionStatus.WAITING_FOR_CONFIRMATION),
        ("full_state", {"execution_status": "idle"}, models.ExecutionStatus.IDLE),
        ("full_state", {}, None),
        ("full_state", "idle", None),
        ("stats", {"execution_status": "idle"}, None),
        ("execution_status", None, None),
    ],
)
def test_a_state_update_tells_the_execution_status(key: str, value: object, status: object) -> None:
    document = {"kind": "ConversationStateUpdateEvent", **STAMP, "key": key, "value": value}
    event = models.parse_event(document)
    assert isinstance(event, models.ConversationStateUpdateEvent)
    assert event.execution_status is status


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("MessageEvent", "[user] MessageEvent: RUN echo hello-from-tool; false"),
        ("ActionEvent:FinishAction", "[agent] ActionEvent: finish: All done."),
        (
            "ActionEvent:FileEditorAction",
            "[agent] ActionEvent: file_editor: create /workspace/edit_probe.txt",
        ),
        ("ConversationStateUpdateEvent:stats", "[environment] ConversationStateUpdateEvent: stats"),
        ("PauseEvent", "[user] PauseEvent"),
        ("UserRejectObservation", "[environment] UserRejectObservation: not allowed"),
    ],
)
def test_an_event_prints_as_one_plain_line(name: str, shown: str) -> None:
    assert str(models.parse_event(BY_KIND[name])) == shown


@pytest.mark.parametrize("text", [b"[]", b'"x"', b"null", b"{", b""])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        models.parse_event(text)


@pytest.mark.parametrize("name", BY_KIND)
def test_events_survive_pickling(name: str) -> None:
    event = models.parse_event(BY_KIND[name])
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301  (our own bytes)
