"""What V0 clients hear: the replay, and frames of what happens."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_contract import documents
from openhands_reference_server.domain import v0, v0_live, v0_requests, v0_rest
from openhands_reference_server.domain.script import Finish, Run

from .conftest import V0Life


def action(event_id: int, name: str, source: str = "agent") -> dict[str, Any]:
    return {"id": event_id, "source": source, "action": name, "args": {}}


def observation(event_id: int, name: str, source: str = "environment", **extras: Any) -> dict[str, Any]:
    return {"id": event_id, "source": source, "observation": name, "extras": extras}


def state(event_id: int, name: str, reason: str = "") -> dict[str, Any]:
    return observation(event_id, "agent_state_changed", agent_state=name, reason=reason)


HISTORY = [
    state(0, "loading"),
    action(1, "system"),
    action(2, "recall", "user"),
    state(3, "running"),
    action(4, "null"),
    observation(5, "null"),
    action(6, "message"),
]


class TestReplay:
    def test_the_last_state_comes_last_and_null_and_recall_not_at_all(self) -> None:
        assert [event["id"] for event in v0_live.replay(HISTORY)] == [1, 6, 3]

    @pytest.mark.parametrize(
        ("latest", "ids"), [(-1, [1, 6, 3]), (0, [1, 6, 3]), (1, [6, 3]), (3, [6]), (6, []), (99, [])]
    )
    def test_what_the_client_knows_is_left_out(self, latest: int, ids: list[int]) -> None:
        assert [event["id"] for event in v0_live.replay(HISTORY, latest)] == ids

    def test_sources_stay_as_they_are(self) -> None:
        assert v0_live.replay([state(0, "loading")])[0]["source"] == "environment"


def frames(event: dict[str, Any]) -> list[dict[str, Any]]:
    return v0_live.frames("ab" * 16, {"record": "event", "event": event})


class TestLiveEvents:
    @pytest.mark.parametrize("name", ["run", "agent_state_changed", "recall", "error"])
    def test_some_of_the_environment_are_shown_as_the_agents(self, name: str) -> None:
        [shown] = frames(observation(1, name))
        assert shown["source"] == "agent"

    @pytest.mark.parametrize(
        "event",
        [
            observation(1, "user_rejected"),
            observation(1, "null"),
            action(1, "change_agent_state", "environment"),
            action(1, "null"),
            observation(1, "null", "agent"),
        ],
    )
    def test_others_are_not_shown(self, event: dict[str, Any]) -> None:
        assert frames(event) == []

    @pytest.mark.parametrize(
        "event",
        [action(1, "recall", "user"), action(1, "change_agent_state", "user"), observation(1, "run", "user")],
    )
    def test_those_of_user_and_agent_are_shown_as_they_are(self, event: dict[str, Any]) -> None:
        assert frames(event) == [event]

    def test_a_failure_is_told_before_the_state(self) -> None:
        first, second = frames(state(1, "error", "no key"))
        assert first == {"status_update": True, "type": "error", "id": "STATUS$ERROR", "message": "no key"}
        assert second["observation"] == "agent_state_changed"


class TestNews:
    def test_titles(self) -> None:
        for title, shown in (("A title", "A title"), (None, "Conversation ababa")):
            [news] = v0_live.frames("ab" * 16, {"record": "renamed", "title": title})
            assert news == {
                "status_update": True,
                "type": "info",
                "message": "ab" * 16,
                "conversation_title": shown,
            }

    def test_the_runtime(self) -> None:
        records = [{"record": "status", "status": status} for status in (v0.STARTING, v0.RUNNING, v0.STOPPED)]
        told = [frame["id"] for record in records for frame in v0_live.frames("x", record)]
        assert told == ["STATUS$STARTING_RUNTIME", "STATUS$RUNTIME_STARTED"]
        assert [v0_live.ends_connections(record) for record in records] == [False, False, True]
        assert v0_live.present_status(v0.STARTING)[0]["id"] == "STATUS$STARTING_RUNTIME"
        assert v0_live.present_status(v0.RUNNING) == []

    def test_making_room(self) -> None:
        [news] = v0_live.frames("x", v0_live.EVICTED)
        assert (news["type"], news["id"]) == ("error", "AGENT_ERROR$TOO_MANY_CONVERSATIONS")

    def test_bookkeeping_is_no_news(self) -> None:
        assert v0_live.frames("x", {"record": "turn", "turn": {}}) == []


class TestRest:
    def test_idle_is_who_runs_and_has_nothing_to_do(self) -> None:
        life = V0Life(initial_message="Hi")
        assert not v0_rest.is_idle(life.state), "it is starting"
        assert not v0_rest.is_idle(life(v0.begin).state), "it works"
        assert v0_rest.is_idle(life(v0.perform, Finish()).state)
        assert not v0_rest.is_idle(life(v0.stop).state), "it does not run"

    def test_a_finished_one_is_stopped(self) -> None:
        life = V0Life(initial_message="Hi")(v0.begin)(v0.perform, Finish())(v0_rest.passivate)
        assert (life.state.status, life.story[-1]) == (v0.STOPPED, "is stopped")

    def test_a_question_survives(self) -> None:
        life = V0Life(initial_message="Hi")(v0.begin)(v0.perform, Run("rm x", confirm=True))(
            v0_rest.passivate
        )
        assert (life.state.status, life.state.turn.active) == (v0.STOPPED, True)
        assert life(v0.start)(v0.begin).story[-1] == "is awaiting_user_confirmation"

    def test_work_goes_on(self) -> None:
        life = V0Life(initial_message="Hi")(v0.begin)
        assert life(v0_rest.passivate).state.status == v0.RUNNING


def test_the_kinds_of_replayed_events_are_those_of_the_document() -> None:
    schemas = documents.load("app-server")["components"]["schemas"]
    assert set(schemas["ActionType"]["enum"]) == v0_requests.ACTIONS
    assert set(schemas["ObservationType"]["enum"]) == v0_requests.OBSERVATIONS
