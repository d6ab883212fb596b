"""The V0 state machine: what follows from what, in the order the real server has it."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.errors import IllegalTransition, NotRunning
from openhands_reference_server.domain.script import Fail, Finish, GetRateLimited, GetStuck, Run, Say, Think

BIRTH = ["is loading", "agent system"]
FIRST_TURN = ["user message", "to running", "user recall", "is running", "got recall"]
LATER_TURN = ["user message", "user recall", "is running", "got null"]
ACTS = ["agent run", "got run", "agent finish", "is finished"]


def finish_turn(life: Any) -> Any:
    return life(v0.perform, Run("echo hi", "hi"))(v0.observe)(v0.perform, Finish())


@pytest.fixture
def ready(v0_life: Any) -> Any:
    """It runs and awaits input."""
    return v0_life()(v0.begin)


@pytest.fixture
def working(v0_life: Any) -> Any:
    """It is answering its initial message."""
    return v0_life(initial_message="hello")(v0.begin)


def test_an_initial_message_is_answered_in_the_recorded_order(working: Any) -> None:
    assert finish_turn(working).story == [*BIRTH, *FIRST_TURN, *ACTS]
    assert working.state.status == "RUNNING"


def test_without_one_the_agent_awaits_input(ready: Any) -> None:
    assert ready.story == [*BIRTH, "to awaiting_user_input", "is awaiting_user_input"]
    assert (ready.state.status, ready.state.runtime_status) == ("RUNNING", "STATUS$READY")


def test_images_alone_are_a_message(v0_life: Any) -> None:
    life = v0_life(image_urls=["http://x/y.png"])(v0.begin)
    assert life.story == [*BIRTH, *FIRST_TURN]
    assert life.ledger.events[2]["args"]["image_urls"] == ["http://x/y.png"]


def test_later_messages(working: Any) -> None:
    finish_turn(working)(v0.send_message, "more")
    assert finish_turn(working).story[-8:] == [*LATER_TURN, *ACTS]


def test_event_ids_are_consecutive_and_causes_point_back(working: Any) -> None:
    finish_turn(working)
    events = working.ledger.events
    assert [event["id"] for event in events] == list(range(len(events)))
    assert working.state.next_event_id == len(events)
    for observed, cause in ((6, 4), (8, 7)):
        assert events[observed]["cause"] == cause


def test_messages_that_come_early_are_answered_after_the_first(v0_life: Any) -> None:
    life = v0_life(initial_message="first")(v0.send_message, "early")(v0.begin)
    assert (life.state.turn.text, life.state.turn.queue) == ("first", ("early",))
    finish_turn(life)
    assert life.state.turn.text == "early"
    assert finish_turn(life).story.count("is finished") == 1


class TestLifeCycle:
    def test_stop_and_start(self, working: Any) -> None:
        working(v0.stop)
        assert (working.state.status, working.state.runtime_status) == ("STOPPED", None)
        assert working.story[-1] == "is stopped"
        working(v0.start)
        assert working.state.status == "STARTING"
        working(v0.begin)
        assert working.story[-4:] == [
            "is stopped",
            "is loading",
            "to awaiting_user_input",
            "is awaiting_user_input",
        ]

    def test_pause_and_start_goes_on_in_the_same_turn(self, working: Any) -> None:
        working(v0.perform, Run("ls"))(v0.observe)(v0.pause)
        assert (working.state.status, working.story[-1]) == ("STOPPED", "is paused")
        working(v0.start)(v0.begin)
        assert working.state.working
        assert working.state.turn.acts == 1
        assert working(v0.perform, Finish()).story[-1] == "is finished"

    def test_starting_what_runs_and_stopping_what_does_not_changes_nothing(self, ready: Any) -> None:
        length = len(ready.ledger.records)
        assert len(ready(v0.start).ledger.records) == length
        ready(v0.stop)
        length = len(ready.ledger.records)
        assert len(ready(v0.stop)(v0.begin).ledger.records) == length

    def test_a_start_that_fails_can_be_tried_again(self, v0_life: Any) -> None:
        life = v0_life()(v0.fail_to_begin, "no disk")
        assert (life.state.status, life.state.runtime_status) == ("ERROR", "STATUS$ERROR")
        assert life.ledger.events[-1]["extras"]["reason"] == "no disk"
        assert life(v0.start)(v0.begin).state.status == "RUNNING"

    @pytest.mark.parametrize("path", [[], [v0.stop], [v0.archive]])
    def test_only_what_runs_can_be_paused(self, v0_life: Any, path: list[Any]) -> None:
        life = v0_life()
        for step in path:
            life(step)
        with pytest.raises(IllegalTransition, match=life.state.status):
            life(v0.pause)

    def test_what_is_archived_stays_so(self, ready: Any) -> None:
        ready(v0.archive)
        with pytest.raises(IllegalTransition, match="ARCHIVED"):
            ready(v0.start)

    @pytest.mark.parametrize("end", [v0.stop, v0.archive])
    def test_messages_need_a_loop(self, ready: Any, end: Any) -> None:
        ready(end)
        with pytest.raises(NotRunning, match=ready.state.status):
            ready(v0.send_message, "anybody there?")
        with pytest.raises(NotRunning):
            ready(v0.send_action, {"action": "run", "args": {"command": "ls"}})


class TestConfirmation:
    @pytest.fixture
    def asking(self, working: Any) -> Any:
        return working(v0.perform, Run("rm -r .", confirm=True))

    def answer(self, life: Any, state: str) -> Any:
        return life(v0.send_action, {"action": "change_agent_state", "args": {"agent_state": state}})

    def test_the_agent_asks_and_waits(self, asking: Any) -> None:
        assert asking.story[-2:] == ["agent run", "is awaiting_user_confirmation"]
        assert not asking.state.working

    def test_confirmed_it_is_carried_out(self, asking: Any) -> None:
        self.answer(asking, "user_confirmed")
        assert asking.story[-3:] == ["to user_confirmed", "is user_confirmed", "is running"]
        assert asking(v0.observe).story[-1] == "got run"

    def test_rejected_it_is_not(self, asking: Any) -> None:
        self.answer(asking, "user_rejected")
        assert asking.story[-3:] == ["is user_rejected", "got user_rejected", "is awaiting_user_input"]

    @pytest.mark.parametrize("message_first", [True, False])
    def test_a_script_that_heeds_rejection_goes_on_with_its_turn(
        self, working: Any, message_first: bool
    ) -> None:
        asking = working(v0.perform, Run("rm -r .", confirm=True, heeds_rejection=True))
        if message_first:
            asking(v0.send_message, "well?")
        self.answer(asking, "user_rejected")
        assert asking.state.agent_state == ("running" if message_first else "awaiting_user_input")
        if not message_first:
            asking(v0.send_message, "well?")
        turn = asking.state.turn
        assert (turn.number, turn.rejected, turn.queue) == (1, (0,), ("well?",))
        assert asking.state.working

    def test_a_rate_limit_ends_the_turn(self, working: Any) -> None:
        assert working(v0.perform, GetRateLimited("slow down")).story[-1] == "is rate_limited"
        assert not working.state.turn.active

    def test_a_restart_asks_again(self, asking: Any) -> None:
        asking(v0.pause)(v0.start)(v0.begin)
        assert asking.state.agent_state == "awaiting_user_confirmation"

    def test_a_message_waits_for_the_answer(self, asking: Any) -> None:
        asking(v0.send_message, "hurry")
        assert asking.state.agent_state == "awaiting_user_confirmation"
        assert asking.state.turn.queue == ("hurry",)


class TestActions:
    def test_the_user_runs_a_command(self, ready: Any) -> None:
        ready(v0.send_action, {"action": "run", "args": {"command": "echo 'a  b' c"}})
        assert ready.story[-2:] == ["user run", "got run"]
        assert ready.ledger.events[-1]["content"] == "a  b c\n"

    def test_other_actions_are_on_the_record(self, ready: Any) -> None:
        assert ready(v0.send_action, {"action": "think"}).story[-1] == "user think"

    def test_a_message(self, ready: Any) -> None:
        ready(v0.send_action, {"action": "message", "args": {"content": "hi", "image_urls": []}})
        assert ready.story[-4:] == ["user message", "user recall", "is running", "got recall"]

    @pytest.mark.parametrize(
        ("wanted", "ending"),
        [
            ("paused", ["to paused", "is paused"]),
            ("stopped", ["to stopped", "is stopped"]),
            ("loading", ["to loading"]),
        ],
    )
    def test_states_the_user_wants(self, working: Any, wanted: str, ending: list[str]) -> None:
        working(v0.send_action, {"action": "change_agent_state", "args": {"agent_state": wanted}})
        assert working.story[-len(ending) :] == ending

    def test_paused_and_resumed_while_the_loop_runs(self, working: Any) -> None:
        for state in ("paused", "running"):
            working(v0.send_action, {"action": "change_agent_state", "args": {"agent_state": state}})
        assert working.state.working

    def test_a_message_wakes_a_paused_agent(self, working: Any) -> None:
        working(v0.send_action, {"action": "change_agent_state", "args": {"agent_state": "paused"}})
        assert working(v0.send_message, "go on").state.working


@pytest.mark.parametrize(
    ("act", "ending"),
    [
        (Say("Hello."), ["agent message", "is awaiting_user_input"]),
        (Think("hm"), ["agent think", "got think"]),
        (Fail("Code", "why"), ["is error"]),
        (GetStuck(), ["is error"]),
    ],
)
def test_every_act_has_its_events(working: Any, act: Any, ending: list[str]) -> None:
    assert working(v0.perform, act).story[-len(ending) :] == ending


def test_a_message_leads_out_of_failure(working: Any) -> None:
    working(v0.perform, Fail())(v0.send_message, "again")
    assert working.state.working
    assert working.state.turn.text == "again"


def test_a_script_that_ends_without_an_end_finishes(working: Any) -> None:
    assert working(v0.end_turn).story[-1] == "is finished"
