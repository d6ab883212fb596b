"""What becomes of V0 conversations nobody follows, and of those that are one too many."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from openhands_reference_server import AgentScript, Finish, ManualClock, Run

from .commands import run
from .conftest import Api, eventually, serving
from .listening import POLLING, WEBSOCKET, listening, word


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api(clock: ManualClock) -> Iterator[Api]:
    """A server whose time stands still; conversations start at once, and `slow` ones work for ever."""

    def acts(text: str, number: int) -> list[Run | Finish]:
        match text:
            case "slow":
                return [Run("sleep 60", seconds=60), Finish()]
            case "ask":
                return [Run("rm -rf build", confirm=True), Finish()]
            case _:
                return [Finish()]

    script = AgentScript(acts=acts, step_delay=0, stage_delay=0)
    with serving(script=script, clock=clock, close_delay=15, max_concurrent_conversations=3) as made:
        yield made


def status(api: Api, conversation_id: str) -> str:
    assert api.server.world.core.scheduler.settle()
    return str(api.ok("GET", f"/api/conversations/{conversation_id}")["status"])


def nobody_follows(api: Api, conversation_id: str) -> None:
    """Until the server knows; a goodbye that got lost is noticed only when the next ping is not answered."""
    path = f"/api/conversations/{conversation_id}"
    eventually(lambda: api.ok("GET", path)["num_connections"] == 0, timeout=90)


class TestPassivation:
    @pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=lambda given: given[0])
    def test_an_idle_conversation_rests_and_comes_back(
        self, api: Api, clock: ManualClock, transports: list[str]
    ) -> None:
        one = api.create_v0(initial_user_msg="hello")
        with listening(api.server.url, transports, conversation_id=one) as ear:
            ear.until("is finished")
        nobody_follows(api, one)
        clock.advance(14.9)
        assert status(api, one) == "RUNNING"
        clock.advance(0.1)
        assert status(api, one) == "STOPPED"
        events = api.v0_events(one)
        assert word(events[-1]) == "is stopped"
        with listening(
            api.server.url, transports, conversation_id=one, latest_event_id=events[-1]["id"]
        ) as ear:
            ear.until("is awaiting_user_input")
            assert status(api, one) == "RUNNING"
            ear.say("again")
            ear.until("is finished")
        assert api.v0_events(one)[: len(events)] == events

    def test_start_brings_it_back_too(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.next()
        nobody_follows(api, one)
        clock.advance(15)
        assert status(api, one) == "STOPPED"
        api.ok("POST", f"/api/conversations/{one}/start", json={})
        assert status(api, one) == "RUNNING"
        clock.advance(100)
        assert status(api, one) == "RUNNING", "nobody has followed it since"

    def test_one_that_nobody_followed_runs_on(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        clock.advance(1000)
        assert status(api, one) == "RUNNING"

    def test_one_that_is_followed_runs_on(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as stays:
            with listening(api.server.url, conversation_id=one) as leaves:
                leaves.next()
            clock.advance(1000)
            assert status(api, one) == "RUNNING"
            stays.next()

    def test_who_returns_in_time_keeps_it_running(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.next()
        nobody_follows(api, one)
        clock.advance(14)
        with listening(api.server.url, conversation_id=one) as ear:
            clock.advance(10)
            assert status(api, one) == "RUNNING"
            ear.next()

    def test_work_is_not_interrupted(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.say("slow")
            ear.until("agent run")
        nobody_follows(api, one)
        clock.advance(50)
        assert status(api, one) == "RUNNING"
        clock.advance(10)
        assert word(api.wait_agent_state(one, "finished")[-1]) == "is finished"
        assert status(api, one) == "RUNNING"
        clock.advance(15)
        assert status(api, one) == "STOPPED"

    def test_a_question_of_the_agent_waits(self, api: Api, clock: ManualClock) -> None:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.say("ask")
            ear.until("is awaiting_user_confirmation")
        nobody_follows(api, one)
        clock.advance(15)
        assert status(api, one) == "STOPPED"
        with listening(api.server.url, conversation_id=one) as ear:
            ear.until("is awaiting_user_confirmation")
            ear.act({"action": "change_agent_state", "args": {"agent_state": "user_confirmed"}})
            ear.until("is finished")

    def test_one_that_is_gone(self, api: Api, clock: ManualClock) -> None:
        one, two = api.create_v0(), api.create_v0()
        for wanted in (one, two):
            with listening(api.server.url, conversation_id=wanted) as ear:
                ear.next()
            nobody_follows(api, wanted)
        api.ok("DELETE", f"/api/conversations/{one}")
        api.ok("POST", f"/api/conversations/{two}/stop")
        clock.advance(15)
        assert status(api, two) == "STOPPED"


class TestLimit:
    def test_the_least_recently_used_idle_one_makes_room(self, api: Api) -> None:
        busy, old, used = (api.create_v0() for _ in range(3))
        for one, text in ((busy, "slow"), (used, "hello")):
            api.ok("POST", f"/api/conversations/{one}/message", json={"message": text})
        api.wait_agent_state(used, "finished")
        with listening(api.server.url, conversation_id=old) as ear:
            ear.until("is awaiting_user_input")
            new = api.create_v0()
            heard = ear.rest()
        assert "error AGENT_ERROR$TOO_MANY_CONVERSATIONS" in map(word, heard)
        assert [status(api, one) for one in (busy, old, used, new)] == [
            "RUNNING",
            "STOPPED",
            "RUNNING",
            "RUNNING",
        ]

    def test_when_none_is_idle_the_oldest_makes_room(self, api: Api) -> None:
        working = []
        for _ in range(3):
            working.append(api.create_v0(initial_user_msg="slow"))
            api.wait_agent_state(working[-1], "running")
        api.create_v0()
        assert [status(api, one) for one in working] == ["STOPPED", "RUNNING", "RUNNING"]

    def test_starting_and_following_count_as_well(self, api: Api) -> None:
        all_of_them = [api.create_v0() for _ in range(5)]
        assert [status(api, one) for one in all_of_them] == ["STOPPED"] * 2 + ["RUNNING"] * 3
        api.ok("POST", f"/api/conversations/{all_of_them[0]}/start", json={})
        with listening(api.server.url, conversation_id=all_of_them[1]) as ear:
            ear.until("is awaiting_user_input")
        running = [status(api, one) for one in all_of_them]
        assert running == ["RUNNING", "RUNNING", "STOPPED", "STOPPED", "RUNNING"]

    def test_v1_does_not_count(self, api: Api) -> None:
        one = api.create_v0()
        for _ in range(4):
            api.start_v1()
        assert status(api, one) == "RUNNING"


@pytest.mark.parametrize(
    "option", [("--close-delay", "-1"), ("--max-concurrent-conversations", "0"), ("--close-delay", "soon")]
)
def test_options_that_make_no_sense(option: tuple[str, str]) -> None:
    refused = run(*option)
    assert refused.returncode == 2
    assert option[0] in refused.stderr


def test_no_delay_is_never(clock: ManualClock) -> None:
    with serving(clock=clock, script=AgentScript(stage_delay=0), close_delay=math.inf) as api:
        one = api.create_v0()
        with listening(api.server.url, conversation_id=one) as ear:
            ear.next()
        nobody_follows(api, one)
        clock.advance(10**9)
        assert status(api, one) == "RUNNING"
