"""The app server's side of V1: what a start can ask for, sub-conversations, sandboxes, reports."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from .conftest import MISSING, Api, eventually, serving

APPS = "/api/v1/app-conversations"
SANDBOXES = "/api/v1/sandboxes"
SPEC = "openhands-reference-sandbox"


def found(api: Api, **query: Any) -> list[str]:
    items = api.ok("GET", f"{APPS}/search", params=query)["items"]
    return [one["id"] for one in items]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    common = {"kind": kind, "id": str(uuid4()), "timestamp": "2026-11-20T23:23:55", "source": "environment"}
    return {**common, **fields}


def user_says(text: str) -> dict[str, Any]:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    rest = {"llm_response_id": None, "activated_skills": [], "extended_content": [], "sender": None}
    return event("MessageEvent", source="user", llm_message=message, **rest)


def report(api: Api, path: str, body: Any, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"X-Session-API-Key": key}
    return api.app.post(f"/api/v1/webhooks/{path}", json=body, headers=headers)


# -- starting -----------------------------------------------------------------------------------------


def test_a_start_keeps_every_field(api: Api) -> None:
    fields = {
        "system_message_suffix": "Be brief.",
        "processors": [{"kind": "LoggingCallbackProcessor"}],
        "llm_model": "openai/gpt-4o",
        "selected_repository": "acme/app",
        "selected_branch": "main",
        "git_provider": "github",
        "title": "Mine",
        "trigger": "gui",
        "pr_number": [7],
        "agent_type": "plan",
    }
    content = [
        {"type": "text", "text": "Look"},
        {"type": "image", "image_urls": ["data:image/png;base64,AA=="]},
    ]
    one = api.start_v1(initial_message={"content": content, "run": False}, **fields)
    [task] = api.ok("GET", f"{APPS}/start-tasks/search", params={"conversation_id__eq": one.id})["items"]
    assert task["request"].items() >= fields.items()
    info = api.info(one.id)
    assert info.items() >= {k: fields[k] for k in ("llm_model", "title", "trigger", "pr_number")}.items()
    prompt, message = one.events()
    assert prompt["system_prompt"]["text"].endswith("Be brief.")
    assert [part["type"] for part in message["llm_message"]["content"]] == ["text", "image"]
    assert one.status == "idle"


def test_a_sandbox_is_used_again(api: Api) -> None:
    box = api.ok("POST", SANDBOXES, params={"sandbox_spec_id": SPEC})
    assert box["status"] == "RUNNING"
    one, other = api.start_v1(sandbox_id=box["id"]), api.start_v1(sandbox_id=box["id"])
    elsewhere = api.start_v1()
    assert one.sandbox_id == other.sandbox_id == box["id"] != elsewhere.sandbox_id
    assert found(api, sandbox_id__eq=box["id"]) == [other.id, one.id]
    assert api.ok("GET", f"{APPS}/count", params={"sandbox_id__eq": box["id"]}) == 2
    assert one.request("GET").json()["id"].replace("-", "") == one.id


def test_sub_conversations_share_the_sandbox_and_stay_out_of_the_way(api: Api) -> None:
    parent = api.start_v1(selected_repository="acme/app")
    child = api.start_v1(parent_conversation_id=parent.id, agent_type="plan")
    assert child.sandbox_id == parent.sandbox_id
    assert api.info(parent.id)["sub_conversation_ids"] == [child.id]
    assert api.info(child.id)["parent_conversation_id"] == parent.id
    assert api.info(child.id)["selected_repository"] == "acme/app"
    assert found(api) == [parent.id]
    assert set(found(api, include_sub_conversations="true")) == {parent.id, child.id}
    assert api.ok("DELETE", f"/api/conversations/{parent.id}") is True
    assert api.ok("GET", APPS, params={"ids": [parent.id, child.id]}) == [None, None]


# -- sandboxes ----------------------------------------------------------------------------------------


def test_a_deleted_sandbox_leaves_its_conversations_behind(api: Api) -> None:
    one = api.start_v1("hello")
    history = one.rest()
    assert api.ok("DELETE", f"{SANDBOXES}/{one.sandbox_id}", params={"sandbox_id": one.sandbox_id}) == {
        "success": True
    }
    info = api.info(one.id)
    assert (info["sandbox_status"], info["conversation_url"], info["session_api_key"]) == (
        "MISSING",
        None,
        None,
    )
    assert api.ok("GET", SANDBOXES, params={"id": one.sandbox_id}) == [None]
    assert one.request("GET").status_code == 401
    kept = api.ok("GET", "/api/v1/events/search", params={"conversation_id__eq": one.id})["items"]
    assert kept == history


def test_deleting_another_sandbox_than_the_path_names_is_refused(api: Api) -> None:
    box, other = api.ok("POST", SANDBOXES)["id"], api.ok("POST", SANDBOXES)["id"]
    refused = api.app.delete(f"{SANDBOXES}/{box}", params={"sandbox_id": other})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["query", "sandbox_id"]
    assert None not in api.ok("GET", SANDBOXES, params={"id": [box, other]})
    assert api.app.delete(f"{SANDBOXES}/{box}").status_code == 200
    assert api.app.delete(f"{SANDBOXES}/{box}").status_code == 404


def test_what_sandboxes_are_made_from(api: Api) -> None:
    [spec] = api.ok("GET", "/api/v1/sandbox-specs/search")["items"]
    assert spec["id"] == SPEC
    assert api.ok("GET", "/api/v1/sandbox-specs", params={"id": ["nope", SPEC]}) == [None, spec]
    refused = api.app.post(SANDBOXES, params={"sandbox_spec_id": "nope"})
    assert (refused.status_code, refused.json()) == (404, {"detail": "Sandbox spec not found: nope"})


# -- events and reports -------------------------------------------------------------------------------


def test_events_by_id(api: Api) -> None:
    one, other = api.start_v1("a"), api.start_v1("b")
    first, last = one.rest()[0], other.rest()[-1]
    ids = [last["id"], MISSING, first["id"].replace("-", "")]
    assert api.ok("GET", "/api/v1/events", params={"id": ids}) == [last, None, first]


def test_reported_events_are_found_and_give_title_and_metrics(api: Api) -> None:
    one = api.start_v1()
    own = one.events()
    metrics = {
        "model_name": "m",
        "accumulated_cost": 0.5,
        "max_budget_per_task": None,
        "accumulated_token_usage": {"prompt_tokens": 3},
    }
    stats = {"usage_to_metrics": {"agent": metrics}}
    told = [
        user_says("Write a poem\nplease"),
        event("ConversationStateUpdateEvent", key="stats", value=stats),
    ]
    for _ in range(2):  # a report that is repeated tells nothing new
        assert report(api, f"events/{one.id}", [*told, *own], one.key).json() == {"success": True}
    query = {"conversation_id__eq": one.id}
    assert api.ok("GET", "/api/v1/events/count", params=query) == len(own) + 2
    shown = api.ok("GET", "/api/v1/events/search", params=query)["items"]
    assert [one["id"] for one in shown] == [
        one["id"] for one in sorted([*own, *told], key=lambda e: (e["timestamp"], e["id"]))
    ]
    assert one.events() == own
    info = api.info(one.id)
    assert (info["title"], info["metrics"]) == ("Write a poem", metrics)


def test_reports_survive_a_restart(tmp_path: Any) -> None:
    with serving(data_dir=tmp_path) as api:
        one = api.start_v1()
        told = user_says("Remember")
        report(api, f"events/{one.id}", [told], one.key).raise_for_status()
    with serving(data_dir=tmp_path) as api:
        assert api.info(one.id)["title"] == "Remember"
        [kept] = api.ok("GET", "/api/v1/events", params={"id": told["id"]})
        assert kept["id"] == told["id"]


def test_a_reported_conversation_is_renamed_or_taken_up(api: Api) -> None:
    one = api.start_v1()
    assert report(api, "conversations", {"id": one.id, "title": "Renamed"}, one.key).status_code == 200
    assert api.info(one.id)["title"] == "Renamed"
    unheard = {"id": str(uuid4()), "agent": {"llm": {"model": "openai/gpt-4o"}}}
    assert report(api, "conversations", unheard, one.key).status_code == 200
    info = api.info(unheard["id"].replace("-", ""))
    assert (info["sandbox_id"], info["llm_model"]) == (one.sandbox_id, "openai/gpt-4o")


@pytest.mark.parametrize(
    ("key", "answer"),
    [(None, "X-Session-API-Key header is required"), ("wrong", "Invalid session API key")],
)
def test_reports_need_the_key_of_a_sandbox(api: Api, key: str | None, answer: str) -> None:
    one = api.start_v1()
    for path, body in ((f"events/{one.id}", []), ("conversations", {"id": one.id})):
        refused = report(api, path, body, key)
        assert (refused.status_code, refused.json()) == (401, {"detail": answer})


def test_a_sandbox_reports_of_its_own_conversations_only() -> None:
    with serving(session_api_key="app-key") as api:
        api.app.headers["X-Session-API-Key"] = "app-key"
        one, other = api.start_v1(), api.start_v1()
        assert report(api, f"events/{one.id}", [], "app-key").status_code == 401
        assert report(api, f"events/{one.id}", [], other.key).status_code == 404
        assert report(api, "conversations", {"id": one.id}, other.key).status_code == 404
        assert report(api, f"events/{one.id}", [], one.key).status_code == 200


# -- others -------------------------------------------------------------------------------------------


def test_the_user_is_shown_without_keys(api: Api) -> None:
    assert api.ok("GET", "/api/v1/users/me")["llm_api_key"] is None
    api.ok("POST", "/api/settings", json={"llm_model": "openai/gpt-4o", "llm_api_key": "sk-secret"})
    me = api.ok("GET", "/api/v1/users/me")
    assert (me["llm_model"], me["llm_api_key"]) == ("openai/gpt-4o", "*" * 10)


def test_start_tasks_in_every_order(api: Api) -> None:
    made = [api.ok("POST", APPS, json={})["id"] for _ in range(3)]
    for task in made:
        api.wait_task(task)
    for order, expected in (("CREATED_AT", made), ("CREATED_AT_DESC", made[::-1])):
        items = api.ok("GET", f"{APPS}/start-tasks/search", params={"sort_order": order})["items"]
        assert [one["id"] for one in items] == expected
    for order, newest_first in (("UPDATED_AT", False), ("UPDATED_AT_DESC", True)):
        items = api.ok("GET", f"{APPS}/start-tasks/search", params={"sort_order": order})["items"]
        assert items == sorted(items, key=lambda one: one["updated_at"], reverse=newest_first)


def test_reading_a_file_that_is_not_there(api: Api) -> None:
    one = api.start_v1()
    for path in ("/workspace/project/PLAN.md", "/etc/hostname", "relative"):
        assert api.ok("GET", f"{APPS}/{one.id}/file", params={"file_path": path}) == ""
    assert api.ok("GET", f"{APPS}/{MISSING}/file") == ""


def test_filters_by_title_and_time(api: Api) -> None:
    one, other = api.start_v1(title="apples"), api.start_v1(title="pears")
    created = api.info(other.id)["created_at"]
    assert found(api, title__contains="apple") == [one.id]
    assert found(api, created_at__gte=created) == [other.id]
    assert found(api, created_at__lt=created) == [one.id]
    updated = eventually(lambda: api.info(one.id)["updated_at"])
    assert one.id in found(api, updated_at__gte=updated)
    assert one.id not in found(api, updated_at__lt=updated)
