"""The agent server over HTTP: events, runs, confirmation, pauses, failures, keys."""

from __future__ import annotations

import math
import threading

import httpx
import pytest

from openhands_reference_server import AgentScript, Fail, Finish, GetStuck, Run, Say, Think
from openhands_reference_server.domain.script import Act

from .conftest import V1, Api, eventually, serving, story

TURN = [
    "running",
    "TerminalAction",
    "TerminalObservation",
    "FinishAction",
    "FinishObservation",
    "finished",
    "stats",
]


def script(*acts: Act) -> AgentScript:
    return AgentScript(acts=lambda message, number: acts)


def test_an_initial_message_is_answered(api: Api) -> None:
    one = api.start_v1("hello\nworld")
    events = one.rest()
    assert story(events) == ["SystemPromptEvent", "user says", *TURN]
    action, observation = events[3:5]
    assert action["action"]["command"] == "echo hello"
    assert observation["observation"]["content"][0]["text"] == "hello"
    info = api.info(one.id)
    assert (info["execution_status"], info["title"]) == ("finished", "hello")
    assert info["metrics"]["accumulated_token_usage"]["prompt_tokens"] == 20


def test_an_initial_message_with_run_false_waits(api: Api) -> None:
    message = {"content": [{"type": "text", "text": "later"}], "run": False}
    one = api.start_v1(initial_message=message)
    assert story(one.events()) == ["SystemPromptEvent", "user says"]
    assert one.status == "idle"
    assert story(one.rest())[2:] == TURN


def test_a_second_message(api: Api) -> None:
    one = api.start_v1("one")
    one.rest()
    one.say("two")
    assert story(one.rest())[9:] == ["idle", "user says", *TURN]


def test_a_message_without_run_is_only_stored(api: Api) -> None:
    one = api.start_v1()
    one.say("quiet", run=False)
    one.ok("POST", "/events", json={})
    assert story(one.events()) == ["SystemPromptEvent", "user says", "user says"]
    assert one.status == "idle"


def test_images_and_defaults(api: Api) -> None:
    one = api.start_v1()
    one.ok("POST", "/events", json={"content": [{"type": "image", "image_urls": ["http://x/y.png"]}]})
    one.ok("POST", "/events", json={"content": [{"text": "just text"}]})
    image, text = [event["llm_message"]["content"][0] for event in one.events(kind="MessageEvent")]
    assert image == {"cache_prompt": False, "type": "image", "image_urls": ["http://x/y.png"]}
    assert text == {"cache_prompt": False, "type": "text", "text": "just text"}


@pytest.mark.parametrize(
    "content", ["text", [{"type": "image_url", "image_url": {"url": "x"}}], [{"text": 1}]]
)
def test_odd_content_is_refused(api: Api, content: object) -> None:
    assert api.start_v1().request("POST", "/events", json={"content": content}).status_code == 422


def test_run_answers_when_the_run_has_ended() -> None:
    with serving(script=script(Run("sleep", seconds=0.05), Finish())) as api:
        one = api.start_v1()
        one.say("go", run=False)
        assert story(one.rest())[-2:] == ["finished", "stats"]
        assert one.status == "finished"
        assert one.ok("POST", "/run") == {"success": True}, "nothing to do is no error"


def test_pause_and_run_again() -> None:
    with serving(script=script(Run("a"), Run("b", seconds=math.inf), Finish())) as api:
        one = api.start_v1("go")
        eventually(lambda: story(one.events())[-2:] == ["TerminalObservation", "TerminalAction"])
        assert one.ok("POST", "/pause") == {"success": True}
        assert story(one.events())[-2:] == ["paused", "PauseEvent"]
        assert one.ok("POST", "/pause") == {"success": True}
        url = f"{api.server.agent_url}/api/conversations/{one.id}/run"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, headers={"X-Session-API-Key": one.key}, timeout=0.2)
        assert one.status == "running"


def test_who_hangs_up_on_a_run_leaves_no_thread_waiting() -> None:
    with serving(script=script(Run("b", seconds=math.inf))) as api:
        one = api.start_v1("go")
        before = threading.active_count()
        url = f"{api.server.agent_url}/api/conversations/{one.id}/run"
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, headers={"X-Session-API-Key": one.key}, timeout=0.05)
        eventually(lambda: api.ok("GET", "/alive") and threading.active_count() <= before)


class TestConfirmation:
    @pytest.fixture
    def asking(self) -> V1:
        with serving(script=script(Run("rm -r .", "gone", confirm=True), Finish())) as api:
            one = api.start_v1("danger")
            one.wait("waiting_for_confirmation")
            yield one

    def answer(self, one: V1, **answer: object) -> None:
        assert one.ok("POST", "/events/respond_to_confirmation", json=answer) == {"success": True}

    def test_accepting_runs_to_the_end(self, asking: V1) -> None:
        self.answer(asking, accept=True)
        assert asking.status == "finished"
        assert story(asking.events())[-5:] == TURN[2:]

    def test_rejecting_leaves_the_agent_idle(self, asking: V1) -> None:
        self.answer(asking, accept=False, reason="no")
        assert story(asking.events())[-2:] == ["idle", "UserRejectObservation"]
        assert asking.events()[-1]["rejection_reason"] == "no"
        assert story(asking.rest())[-5:] == [
            "running",
            "FinishAction",
            "FinishObservation",
            "finished",
            "stats",
        ]

    def test_a_message_instead_of_an_answer_accepts(self, asking: V1) -> None:
        asking.say("go on", run=True)
        eventually(lambda: "TerminalObservation" in story(asking.events()))

    def test_an_answer_to_no_question_is_no_error(self, api: Api) -> None:
        one = api.start_v1()
        self.answer(one, accept=True)
        self.answer(one, accept=False)
        assert story(one.events()) == ["SystemPromptEvent"]
        assert one.request("POST", "/events/respond_to_confirmation", json={}).status_code == 422


@pytest.mark.parametrize(
    ("act", "status", "ending"),
    [
        (Fail("Code", "why"), "error", ["error", "ConversationErrorEvent"]),
        (GetStuck(), "stuck", ["stuck"]),
        (Say("Hello."), "finished", ["agent says", "finished", "stats"]),
        (Think("hm"), "finished", ["ThinkAction", "ThinkObservation", "finished", "stats"]),
    ],
)
def test_how_a_turn_may_end(act: Act, status: str, ending: list[str]) -> None:
    with serving(script=script(act)) as api:
        one = api.start_v1("go")
        assert story(one.rest())[-len(ending) :] == ending
        assert one.status == status
        one.say("again")
        assert story(one.rest())[-len(ending) :] == ending


def test_a_script_that_breaks_is_an_error() -> None:
    with serving(script=AgentScript(acts=lambda message, number: 1 / 0)) as api:
        one = api.start_v1("go")
        error = one.rest()[-1]
        assert (error["code"], error["detail"]) == ("ScriptError", "division by zero")


class TestSearch:
    def test_every_event_is_on_exactly_one_page(self, api: Api) -> None:
        one = api.start_v1("hello")
        everything = one.rest()
        for order, expected in (("TIMESTAMP", everything), ("TIMESTAMP_DESC", everything[::-1])):
            found, query = [], {"limit": 2, "sort_order": order}
            while True:
                page = one.ok("GET", "/events/search", params=query)
                found += page["items"]
                if page["next_page_id"] is None:
                    break
                query["page_id"] = page["next_page_id"]
            assert found == expected

    def test_filters_and_counts_agree(self, api: Api) -> None:
        one = api.start_v1("Hello")
        everything = one.rest()
        third = everything[2]["timestamp"]
        for query, count in (
            ({}, len(everything)),
            ({"kind": "ActionEvent"}, 2),
            ({"kind": "openhands.sdk.event.llm_convertible.action.ActionEvent"}, 2),
            ({"kind": "Nope"}, 0),
            ({"source": "user"}, 1),
            ({"body": "hELLO"}, 1),
            ({"timestamp__gte": third}, len(everything) - 2),
            ({"timestamp__lt": f"{third}Z"}, 2),
        ):
            assert len(one.events(**query)) == one.ok("GET", "/events/count", params=query) == count, query

    def test_one_event_under_both_spellings(self, api: Api) -> None:
        one = api.start_v1()
        [event] = one.events()
        for spelling in (event["id"], event["id"].replace("-", "")):
            assert one.ok("GET", f"/events/{spelling}") == event

    def test_the_app_server_shows_the_same(self, api: Api) -> None:
        one, other = api.start_v1("one"), api.start_v1("other")
        expected = one.rest()
        everything = sorted(expected + other.rest(), key=lambda event: event["timestamp"])
        query = {"conversation_id__eq": one.id}
        assert api.ok("GET", "/api/v1/events/search", params=query)["items"] == expected
        assert api.ok("GET", "/api/v1/events/count", params=query) == len(expected)
        assert api.ok("GET", "/api/v1/events/search")["items"] == everything
        assert api.ok("GET", "/api/v1/events/count", params={"kind__eq": "MessageEvent"}) == 2
        unknown = {"conversation_id__eq": "0" * 32}
        assert api.ok("GET", "/api/v1/events/search", params=unknown) == {"items": [], "next_page_id": None}
        found, paging = [], {"limit": 5, "sort_order": "TIMESTAMP_DESC"}
        while True:
            page = api.ok("GET", "/api/v1/events/search", params=paging)
            found += page["items"]
            if page["next_page_id"] is None:
                break
            paging["page_id"] = page["next_page_id"]
        assert found == everything[::-1]
        assert api.app.get("/api/v1/events/search", params={"kind__eq": "Nope"}).status_code == 422


class TestKeys:
    @pytest.mark.parametrize("key", [None, "", "wrong", "box.wrong"])
    def test_everything_needs_the_key(self, api: Api, key: str | None) -> None:
        one = api.start_v1()
        headers = {} if key is None else {"X-Session-API-Key": key}
        for method, path in (
            ("GET", ""),
            ("POST", "/run"),
            ("GET", "/events/search"),
            ("GET", "/events/count"),
        ):
            url = f"{api.server.agent_url}/api/conversations/{one.id}{path}"
            got = httpx.request(method, url, headers=headers)
            assert (got.status_code, got.json()) == (401, {"detail": "Unauthorized"})

    def test_other_ways_of_sending_it_do_not_count(self, api: Api) -> None:
        one = api.start_v1()
        url = f"{api.server.agent_url}/api/conversations/{one.id}"
        assert httpx.get(url, headers={"Authorization": f"Bearer {one.key}"}).status_code == 401
        assert httpx.get(url, params={"session_api_key": one.key}).status_code == 401

    def test_a_key_opens_its_own_sandbox_only(self, api: Api) -> None:
        one, other = api.start_v1(), api.start_v1()
        one.key = other.key
        assert one.request("GET").status_code == 404

    def test_the_key_of_a_deleted_sandbox_opens_nothing(self, api: Api) -> None:
        one = api.start_v1()
        api.ok("DELETE", f"/api/conversations/{one.id}")
        assert one.request("GET").status_code == 401
