"""The life of a V0 conversation over HTTP."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from openhands_reference_server import AgentScript, Fail, Run

from .conftest import Api, serving


def test_a_whole_life(api: Api) -> None:
    created = api.ok("POST", "/api/conversations", json={"initial_user_msg": "Fix it", "repository": "a/b"})
    conversation_id = created.pop("conversation_id")
    assert created == {"status": "ok", "message": None, "conversation_status": "STARTING"}

    running = api.wait_v0(conversation_id, "RUNNING")
    assert running["title"] == "Fix it"
    assert running["selected_repository"] == "a/b"
    assert (running["trigger"], running["conversation_version"]) == ("gui", "V0")
    assert running["url"] == f"/api/conversations/{conversation_id}"
    assert running["runtime_status"] == "STATUS$READY"

    api.wait_agent_state(conversation_id, "finished")
    assert api.ok("POST", f"/api/conversations/{conversation_id}/message", json={"message": "more"}) == {
        "success": True
    }
    events = api.wait_agent_state(conversation_id, "finished")
    assert [event["id"] for event in events] == list(range(len(events)))

    assert transition(api, conversation_id, "start") == (None, "RUNNING")
    assert transition(api, conversation_id, "stop") == ("Conversation stopped successfully", "STOPPED")
    stopped = api.ok("GET", f"/api/conversations/{conversation_id}")
    assert (stopped["status"], stopped["runtime_status"], stopped["url"]) == ("STOPPED", None, None)
    assert transition(api, conversation_id, "stop") == ("Conversation was not running", "STOPPED")
    assert len(api.v0_events(conversation_id)) == len(events) + 1, "the history stays"

    assert transition(api, conversation_id, "start") == (None, "STARTING")
    api.wait_v0(conversation_id, "RUNNING")
    assert api.ok("DELETE", f"/api/conversations/{conversation_id}") is True
    assert api.ok("DELETE", f"/api/conversations/{conversation_id}") is False
    assert api.app.get(f"/api/conversations/{conversation_id}").status_code == 404


def transition(api: Api, conversation_id: str, verb: str) -> tuple[Any, str]:
    got = api.ok("POST", f"/api/conversations/{conversation_id}/{verb}")
    assert (got["status"], got["conversation_id"]) == ("ok", conversation_id)
    return got["message"], got["conversation_status"]


def test_pause_suspends_and_start_resumes() -> None:
    with serving(script=AgentScript(acts=lambda *_: [Run("sleep", seconds=math.inf)])) as api:
        conversation_id = api.create_v0(initial_user_msg="wait")
        api.wait_agent_state(conversation_id, "running")
        assert api.ok("POST", f"/api/conversations/{conversation_id}/pause") == {"success": True}
        assert api.ok("GET", f"/api/conversations/{conversation_id}")["status"] == "STOPPED"
        assert transition(api, conversation_id, "start") == (None, "STARTING")
        api.wait_agent_state(conversation_id, "running")


def test_illegal_transitions_say_what_is_allowed(api: Api) -> None:
    conversation_id = api.create_v0()
    api.ok("POST", f"/api/conversations/{conversation_id}/stop")
    got = api.app.post(f"/api/conversations/{conversation_id}/pause")
    assert got.status_code == 409
    assert got.json() == {
        "status": "error",
        "message": "Cannot pause a conversation that is STOPPED; only a RUNNING one can be paused",
        "msg_id": "CONVERSATION$ILLEGAL_TRANSITION",
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [("message", {"message": "x"}), ("events", {"action": "message", "args": {"content": "x"}})],
)
def test_messages_need_a_running_conversation(api: Api, path: str, body: Any) -> None:
    conversation_id = api.create_v0()
    api.ok("POST", f"/api/conversations/{conversation_id}/stop")
    got = api.app.post(f"/api/conversations/{conversation_id}/{path}", json=body)
    assert (got.status_code, got.json()["msg_id"]) == (409, "CONVERSATION$NOT_RUNNING")
    assert "STOPPED" in got.json()["message"]


def test_a_start_that_fails_and_is_tried_again() -> None:
    with serving(script=AgentScript(fail_at="PREPARING_REPOSITORY", failure="no such repository")) as api:
        conversation_id = api.ok("POST", "/api/conversations", json={})["conversation_id"]
        assert api.wait_v0(conversation_id, "ERROR")["runtime_status"] == "STATUS$ERROR"
        assert api.v0_events(conversation_id)[-1]["extras"] == {
            "agent_state": "error",
            "reason": "no such repository",
        }
        assert transition(api, conversation_id, "start") == (None, "STARTING")


def test_renaming(api: Api) -> None:
    conversation_id = api.create_v0(initial_user_msg="First words")
    for title, shown in (
        ("  Mine ", "Mine"),
        ("   ", f"Conversation {conversation_id[:5]}"),
        ("x" * 200, "x" * 200),
    ):
        assert api.ok("PATCH", f"/api/conversations/{conversation_id}", json={"title": title}) is True
        assert api.ok("GET", f"/api/conversations/{conversation_id}")["title"] == shown


def test_config(api: Api) -> None:
    conversation_id = api.create_v0()
    got = api.ok("GET", f"/api/conversations/{conversation_id}/config")
    assert got == {"runtime_id": None, "session_id": conversation_id}


def test_the_special_kinds_of_creation(api: Api) -> None:
    task = {
        "git_provider": "gitlab",
        "task_type": "OPEN_PR",
        "repo": "a/b",
        "issue_number": 7,
        "title": "Do it",
    }
    suggested = api.ok("GET", f"/api/conversations/{api.create_v0(suggested_task=task)}")
    assert (suggested["trigger"], suggested["title"]) == ("suggested_task", "Do it")
    assert (suggested["selected_repository"], suggested["git_provider"]) == ("a/b", "gitlab")
    microagent = api.ok("GET", f"/api/conversations/{api.create_v0(create_microagent={'repo': 'c/d'})}")
    assert (microagent["trigger"], microagent["selected_repository"]) == ("microagent_management", "c/d")


def test_event_ranges_and_filters(api: Api) -> None:
    conversation_id = api.create_v0(initial_user_msg="Say hello")
    count = len(api.wait_agent_state(conversation_id, "finished"))
    assert [event["id"] for event in api.v0_events(conversation_id, start_id=3, end_id=5)] == [3, 4, 5]
    assert [event["id"] for event in api.v0_events(conversation_id, reverse=True, limit=2)] == [
        count - 1,
        count - 2,
    ]
    found = api.v0_events(conversation_id, filter=json.dumps({"source": "user", "query": "SAY HELLO"}))
    assert [event["action"] for event in found] == ["message", "recall"]
    page = api.ok("GET", f"/api/conversations/{conversation_id}/events", params={"limit": 1})
    assert (len(page["events"]), page["has_more"]) == (1, True)
    assert api.v0_events(conversation_id, start_id=5, end_id=3) == []


def test_confirmation() -> None:
    with serving(script=AgentScript(acts=lambda *_: [Run("rm", confirm=True)])) as api:
        conversation_id = api.create_v0(initial_user_msg="danger")
        api.wait_agent_state(conversation_id, "awaiting_user_confirmation")
        answer = {"action": "change_agent_state", "args": {"agent_state": "user_confirmed"}}
        assert api.ok("POST", f"/api/conversations/{conversation_id}/events", json=answer) == {
            "success": True
        }
        api.wait_agent_state(conversation_id, "finished")


class TestV1ThroughV0:
    def test_get_rename_config_and_delete(self, api: Api) -> None:
        one = api.start_v1("hello")
        one.rest()
        shown = api.ok("GET", f"/api/conversations/{one.id}")
        assert (shown["conversation_version"], shown["status"]) == ("V1", "RUNNING")
        assert shown["runtime_status"] == "STATUS$READY"
        assert shown["url"] == f"{api.server.agent_url}/api/conversations/{one.id}"
        assert shown["session_api_key"] == one.key
        assert api.ok("PATCH", f"/api/conversations/{one.id}", json={"title": "T"}) is True
        assert (api.info(one.id)["title"], one.ok("GET")["title"]) == ("T", "T")
        config = api.ok("GET", f"/api/conversations/{one.id}/config")
        assert config == {"runtime_id": one.sandbox_id, "session_id": one.id}
        assert api.ok("DELETE", f"/api/conversations/{one.id}") is True
        assert api.ok("DELETE", f"/api/conversations/{one.id}") is False
        assert api.ok("GET", "/api/v1/sandboxes", params={"id": one.sandbox_id}) == [None]

    def test_stop_and_start_are_the_sandbox(self, api: Api) -> None:
        one = api.start_v1()
        assert transition(api, one.id, "stop") == ("Conversation stopped successfully", "STOPPED")
        shown = api.ok("GET", f"/api/conversations/{one.id}")
        assert (shown["status"], shown["runtime_status"], shown["url"]) == ("STOPPED", None, None)
        assert transition(api, one.id, "stop") == ("Conversation was not running", "STOPPED")
        assert api.app.post(f"/api/conversations/{one.id}/pause").status_code == 409
        assert transition(api, one.id, "start") == (None, "STARTING")
        assert api.ok("GET", f"/api/conversations/{one.id}")["status"] == "RUNNING"
        assert transition(api, one.id, "start") == (None, "RUNNING")

    def test_pause_reaches_the_agent(self) -> None:
        with serving(script=AgentScript(acts=lambda *_: [Run("sleep", seconds=math.inf)])) as api:
            one = api.start_v1("wait")
            assert api.ok("POST", f"/api/conversations/{one.id}/pause") == {"success": True}
            assert one.status == "paused"

    def test_what_lost_its_sandbox_is_archived(self, api: Api) -> None:
        one = api.start_v1()
        other = api.start_v1(sandbox_id=one.sandbox_id)
        api.ok("DELETE", f"/api/conversations/{one.id}")
        shown = api.ok("GET", f"/api/conversations/{other.id}")
        assert (shown["status"], shown["runtime_status"]) == ("ARCHIVED", None)
        assert api.info(other.id)["sandbox_status"] == "MISSING"
        got = api.app.post(f"/api/conversations/{other.id}/start")
        assert (got.status_code, got.json()["msg_id"]) == (409, "CONVERSATION$ILLEGAL_TRANSITION")

    def test_a_failed_agent_shows_as_an_error(self) -> None:
        with serving(script=AgentScript(acts=lambda *_: [Fail()])) as api:
            one = api.start_v1("fail")
            one.wait("error")
            assert api.ok("GET", f"/api/conversations/{one.id}")["runtime_status"] == "STATUS$ERROR"
