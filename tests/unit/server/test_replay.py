"""State is a fold: however it came about, records and snapshots lead to the same one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhands_reference_server.domain import conversations, sandbox, start_task, v0, v1
from openhands_reference_server.domain.changes import replay
from openhands_reference_server.domain.errors import DomainError
from openhands_reference_server.domain.script import START_STAGES, Fail, Finish, GetStuck, Run, Say, Think

from .conftest import Ledger, V0Life, V1Life

TEXT = st.text(max_size=20)
ACTS = st.one_of(
    st.builds(Run, TEXT, TEXT, confirm=st.booleans()),
    st.builds(Think, TEXT),
    st.builds(Say, TEXT),
    st.builds(Finish, TEXT),
    st.builds(Fail, TEXT, TEXT),
    st.just(GetStuck()),
)
V0_STEPS = st.one_of(
    st.sampled_from([(v0.start,), (v0.begin,), (v0.stop,), (v0.pause,), (v0.observe,), (v0.end_turn,)]),
    st.tuples(st.just(v0.rename), TEXT),
    st.tuples(st.just(v0.send_message), TEXT),
    st.tuples(st.just(v0.perform), ACTS),
    st.tuples(st.just(v0.fail_to_begin), TEXT),
    st.builds(
        lambda state: (v0.send_action, {"action": "change_agent_state", "args": {"agent_state": state}}),
        st.sampled_from(["running", "paused", "stopped", "user_confirmed", "user_rejected"]),
    ),
)
V1_STEPS = st.one_of(
    st.sampled_from([(v1.start_run,), (v1.pause,), (v1.interrupt,), (v1.observe,), (v1.end_turn,)]),
    st.tuples(st.just(v1.rename), TEXT),
    st.tuples(st.just(v1.perform), ACTS),
    st.tuples(st.just("say"), TEXT, st.booleans()),
    st.tuples(st.just("confirm"), st.booleans()),
)


def live_v0(steps: list[Any]) -> V0Life:
    life = V0Life(initial_message="hello")
    for decide, *args in steps:
        before, length = life.state, len(life.ledger.records)
        try:
            life(decide, *args)
        except DomainError:
            assert (life.state, len(life.ledger.records)) == (before, length), "a refusal left traces"
    return life


def live_v1(steps: list[Any]) -> V1Life:
    life = V1Life()
    for step, *args in steps:
        match step:
            case "say":
                life.say(args[0], run=args[1])
            case "confirm":
                life(v1.confirm, accept=args[0])
            case decide:
                life(decide, *args)
    return life


@given(st.lists(V0_STEPS, max_size=25), st.data())
@settings(max_examples=150, deadline=None)
def test_v0_folds_to_the_same_state(steps: list[Any], data: st.DataObject) -> None:
    life = live_v0(steps)
    assert_folds(life.ledger.records, life.state, data)


@given(st.lists(V1_STEPS, max_size=25), st.data())
@settings(max_examples=150, deadline=None)
def test_v1_folds_to_the_same_state(steps: list[Any], data: st.DataObject) -> None:
    life = live_v1(steps)
    assert_folds(life.ledger.records, life.state, data)
    assert not (life.state.working and not life.state.turn.active), "an agent works on nothing"


def assert_folds(records: list[dict[str, Any]], state: Any, data: st.DataObject) -> None:
    stored = [json.loads(json.dumps(record)) for record in records]
    assert replay(conversations.fold, stored) == state
    cut = data.draw(st.integers(1, len(stored)), label="the snapshot covers so many records")
    halfway = replay(conversations.fold, stored[:cut])
    assert halfway is not None
    snapshot = json.loads(json.dumps(halfway.to_json()))
    assert conversations.from_json(snapshot) == halfway
    assert replay(conversations.fold, stored[cut:], conversations.from_json(snapshot)) == state


@given(st.lists(st.sampled_from([*START_STAGES[1:-1], "finish", "fail"]), max_size=10))
def test_a_start_task_only_goes_forward(steps: list[str]) -> None:
    ledger = Ledger()
    state = ledger.apply(start_task.fold, None, start_task.create, "t", start_task.complete_request({}))
    statuses = [state.status]
    for step in steps:
        changes = ledger.changes(start_task.fold, state)
        try:
            match step:
                case "finish":
                    start_task.finish(changes, "c", sandbox_id="s")
                case "fail":
                    start_task.fail(changes, "why")
                case stage:
                    start_task.reach(changes, stage, sandbox_id="s")
        except DomainError:
            assert not changes.records
            continue
        ledger.records += changes.records
        state = changes.state
        statuses.append(state.status)
    order = [*START_STAGES, "ERROR"]
    assert [order.index(status) for status in statuses] == sorted(set(map(order.index, statuses)))
    assert not {"READY", "ERROR"} <= set(statuses)
    assert replay(start_task.fold, ledger.records) == state
    assert start_task.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_sandbox_folds() -> None:
    ledger = Ledger()
    state = ledger.apply(sandbox.fold, None, sandbox.create, "box")
    for decide, status in ((sandbox.pause, "PAUSED"), (sandbox.pause, "PAUSED"), (sandbox.resume, "RUNNING")):
        state = ledger.apply(sandbox.fold, state, decide)
        assert state.status == status
    assert len(ledger.records) == 4, "pausing what is paused is no news"
    assert replay(sandbox.fold, ledger.records) == state
    assert sandbox.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    ("given_message", "runs"),
    [({}, True), ({"run": True}, True), ({"run": False}, False)],
)
def test_an_initial_message_runs_unless_it_says_no(given_message: dict[str, Any], runs: bool) -> None:
    message = {"content": [{"text": "hi"}], **given_message}
    request = start_task.complete_request({"initial_message": message, "unknown": 1})
    assert request["initial_message"] == {
        "role": "user",
        "content": [{"cache_prompt": False, "type": "text", "text": "hi"}],
        "run": runs,
    }
    assert "unknown" not in request
