"""The V1 state machine: what follows from what, in the order the real agent server has it."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_reference_server.domain import v1
from openhands_reference_server.domain.script import Fail, Finish, GetStuck, Run, Say, Think

TURN = [
    "running",
    "TerminalAction",
    "TerminalObservation",
    "FinishAction",
    "FinishObservation",
    "finished",
    "stats",
]


def finish_turn(life: Any) -> Any:
    return life(v1.perform, Run("echo hi", "hi"))(v1.observe)(v1.perform, Finish())


def test_a_message_is_answered_in_the_recorded_order(v1_life: Any) -> None:
    life = finish_turn(v1_life().say("hello"))
    assert life.story == ["SystemPromptEvent", "user says", *TURN]
    assert life.state.execution_status == "finished"
    assert not life.state.turn.has_work


def test_a_second_message_finds_the_conversation_idle_first(v1_life: Any) -> None:
    life = finish_turn(finish_turn(v1_life().say("one")).say("two"))
    assert life.story[9:] == ["idle", "user says", *TURN]
    assert (life.state.turn.number, life.state.turn.text) == (2, "two")


def test_a_message_without_run_waits(v1_life: Any) -> None:
    life = v1_life().say("wait", run=False)
    assert life.state.execution_status == "idle"
    assert life.story == ["SystemPromptEvent", "user says"]
    life(v1.start_run)
    assert (life.state.execution_status, life.state.turn.text) == ("running", "wait")


def test_messages_during_a_run_are_answered_one_by_one_without_a_rest(v1_life: Any) -> None:
    life = v1_life().say("one").say("two").say("three")
    for text in ("one", "two", "three"):
        assert life.state.turn.text == text
        assert life.state.working
        finish_turn(life)
    assert life.story.count("finished") == 1
    assert life.story[-2:] == ["finished", "stats"]


def test_running_with_nothing_to_do_changes_nothing(v1_life: Any) -> None:
    life = v1_life()(v1.start_run)
    assert life.story == ["SystemPromptEvent"]
    assert finish_turn(life.say("hi"))(v1.start_run).story[-1] == "stats"


def test_pause_and_run_again_goes_on_in_the_same_turn(v1_life: Any) -> None:
    life = v1_life().say("hi")(v1.perform, Run("ls"))(v1.observe)(v1.pause)
    assert life.story[-2:] == ["paused", "PauseEvent"]
    assert not life.state.working
    life(v1.start_run)
    assert (life.state.working, life.state.turn.acts) == (True, 1)
    assert life(v1.perform, Finish()).story[-2:] == ["finished", "stats"]


@pytest.mark.parametrize("rest", [Finish(), Fail(), GetStuck()])
def test_pausing_an_agent_that_has_ended_its_turn_changes_nothing(v1_life: Any, rest: Any) -> None:
    life = v1_life().say("hi")(v1.perform, rest)
    status, length = life.state.execution_status, len(life.story)
    assert (life(v1.pause).state.execution_status, len(life.story)) == (status, length)


def test_an_interrupted_run_is_paused(v1_life: Any) -> None:
    life = v1_life().say("hi")(v1.interrupt)
    assert life.story[-1] == "paused"
    assert v1_life()(v1.interrupt).story == ["SystemPromptEvent"]


class TestConfirmation:
    @pytest.fixture
    def asking(self, v1_life: Any) -> Any:
        return v1_life().say("danger")(v1.perform, Run("rm -r .", confirm=True))

    def test_the_agent_asks_and_waits(self, asking: Any) -> None:
        assert asking.story[-3:] == ["TerminalAction", "waiting_for_confirmation", "stats"]
        assert not asking.state.working

    def test_accepted_it_is_carried_out(self, asking: Any) -> None:
        asking(v1.confirm, accept=True)
        assert asking.state.working
        asking(v1.observe)(v1.perform, Finish())
        assert asking.story[-6:] == [
            "running",
            "TerminalObservation",
            "FinishAction",
            "FinishObservation",
            "finished",
            "stats",
        ]

    def test_rejected_it_is_not_and_the_agent_rests(self, asking: Any) -> None:
        asking(v1.confirm, accept=False, reason="too dangerous")
        assert asking.story[-2:] == ["idle", "UserRejectObservation"]
        rejection, action = asking.ledger.events[-1], asking.ledger.events[-5]
        assert rejection["rejection_reason"] == "too dangerous"
        assert rejection["action_id"] == action["id"]
        assert asking.state.turn.pending is None
        assert asking.state.turn.rejected == (0,)
        assert asking(v1.start_run).state.working

    def test_a_new_message_accepts(self, asking: Any) -> None:
        asking.say("go on")
        assert asking.story[-2:] == ["user says", "running"]
        assert asking.state.turn.pending is not None

    def test_running_accepts(self, asking: Any) -> None:
        assert asking(v1.start_run).state.working

    @pytest.mark.parametrize("accept", [True, False])
    def test_an_answer_to_no_question_changes_nothing(self, v1_life: Any, accept: bool) -> None:
        assert v1_life()(v1.confirm, accept=accept).story == ["SystemPromptEvent"]

    def test_the_default_reason(self, asking: Any) -> None:
        asking(v1.confirm, accept=False)
        assert asking.ledger.events[-1]["rejection_reason"] == "User rejected the action."


@pytest.mark.parametrize(
    ("act", "ending"),
    [
        (Say("Hello."), ["agent says", "finished", "stats"]),
        (Think("hm"), ["ThinkAction", "ThinkObservation"]),
        (Fail("Code", "why"), ["error", "ConversationErrorEvent"]),
        (GetStuck(), ["stuck"]),
    ],
)
def test_every_act_has_its_events(v1_life: Any, act: Any, ending: list[str]) -> None:
    life = v1_life().say("hi")(v1.perform, act)
    assert life.story[-len(ending) :] == ending


@pytest.mark.parametrize("act", [Fail(), GetStuck()])
def test_a_message_leads_out_of_failure(v1_life: Any, act: Any) -> None:
    life = v1_life().say("hi")(v1.perform, act).say("again")
    assert life.story[-2:] == ["user says", "running"]
    assert life.state.turn.text == "again"


def test_a_script_that_ends_without_an_end_finishes(v1_life: Any) -> None:
    assert v1_life().say("hi")(v1.end_turn).story[-2:] == ["finished", "stats"]


def test_titles(v1_life: Any) -> None:
    life = v1_life()
    assert life.state.shown_title == "Conversation cdcdc"
    life.say("  Fix it\nplease")
    assert life.state.shown_title == "Fix it"
    assert life(v1.rename, "  Mine ").state.shown_title == "Mine"
    assert life(v1.rename, "   ").state.shown_title == "Conversation cdcdc"
    long = v1_life().say("x" * 80).state.shown_title
    assert (len(long), long[-1]) == (50, "…")


def test_events_point_at_each_other_and_are_in_the_order_of_time(v1_life: Any) -> None:
    life = finish_turn(v1_life().say("hi"))
    action, observation = life.ledger.events[3:5]
    assert observation["action_id"] == action["id"]
    assert observation["tool_call_id"] == action["tool_call_id"] == action["tool_call"]["id"]
    times = [event["timestamp"] for event in life.ledger.events]
    assert times == sorted(set(times))
    assert life.ledger.events[-1]["value"]["usage_to_metrics"]["agent"]["accumulated_cost"] == 0.00015
