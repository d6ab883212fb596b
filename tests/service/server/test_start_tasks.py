"""Start tasks, by polling and by stream: how they go forward and how they fail."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from openhands_reference_server import AgentScript

from .conftest import MISSING, Api, eventually, serving

STAGES = [
    "WORKING",
    "WAITING_FOR_SANDBOX",
    "PREPARING_REPOSITORY",
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    "STARTING_CONVERSATION",
    "READY",
]
TASKS = "/api/v1/app-conversations/start-tasks"
START = "/api/v1/app-conversations"


def poll(api: Api, task_id: str) -> list[dict[str, Any]]:
    """The task at every stage seen."""
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        [task] = api.ok("GET", TASKS, params={"ids": task_id})
        if not seen or seen[-1]["status"] != task["status"]:
            seen.append(task)
        return task["status"] in ("READY", "ERROR")

    eventually(look)
    return seen


def stream(api: Api, **request: Any) -> tuple[list[bytes], list[dict[str, Any]]]:
    with api.app.stream("POST", f"{START}/stream-start", json=request) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["transfer-encoding"] == "chunked"
        chunks = list(answer.iter_raw())
    return chunks, json.loads(b"".join(chunks))


def test_polling_sees_a_task_become_a_conversation(api: Api) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    task = api.ok("POST", START, json={"initial_message": message, "title": "Mine", "llm_model": "m"})
    assert (task["status"], task["sandbox_id"], task["app_conversation_id"]) == ("WORKING", None, None)
    assert task["request"]["initial_message"]["run"] is True
    seen = poll(api, task["id"])
    positions = [STAGES.index(one["status"]) for one in seen]
    assert positions == sorted(set(positions))
    ready = seen[-1]
    assert (ready["status"], ready["detail"], ready["agent_server_url"]) == (
        "READY",
        None,
        api.server.agent_url,
    )
    info = api.info(ready["app_conversation_id"])
    assert (info["title"], info["llm_model"], info["sandbox_id"]) == ("Mine", "m", ready["sandbox_id"])
    assert (info["sandbox_status"], info["created_by_user_id"]) == ("RUNNING", None)
    assert info["conversation_url"] == f"{api.server.agent_url}/api/conversations/{info['id']}"


def test_the_stream_shows_every_stage_in_a_chunk_of_its_own(api: Api) -> None:
    chunks, tasks = stream(api)
    assert [task["status"] for task in tasks] == STAGES
    assert [len(chunks), chunks[0][:3], chunks[1][:3], chunks[-1]] == [9, b"[\n{", b",\n{", b"]"]
    assert [task["agent_server_url"] is None for task in tasks] == [True] * 6 + [False] * 2
    assert [task["app_conversation_id"] is None for task in tasks] == [True] * 7 + [False]
    assert api.ok("GET", TASKS, params={"ids": tasks[0]["id"]}) == [tasks[-1]]


def test_the_stream_is_not_held_back() -> None:
    """The first stages arrive although the last one never does."""
    with serving(script=AgentScript(stage_delays={"READY": math.inf})) as api:
        with api.app.stream("POST", f"{START}/stream-start", json={}) as answer:
            received = b""
            for chunk in answer.iter_raw():
                received += chunk
                if b"STARTING_CONVERSATION" in received:
                    break
        tasks = json.loads(received + b"]")
        [task] = api.ok("GET", TASKS, params={"ids": tasks[0]["id"]})
        assert task["status"] == "STARTING_CONVERSATION"


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_task_may_fail_at_any_stage(stage: str) -> None:
    with serving(script=AgentScript(fail_at=stage, failure=f"{stage} went wrong", stage_delay=0)) as api:
        _, tasks = stream(api)
        assert [task["status"] for task in tasks] == [*STAGES[: STAGES.index(stage)], "ERROR"]
        assert (tasks[-1]["detail"], tasks[-1]["app_conversation_id"]) == (f"{stage} went wrong", None)
        assert api.ok("GET", f"{START}/count") == 0


def test_a_script_that_breaks_is_a_failed_task() -> None:
    class Broken(AgentScript):
        def start(self, request: Any, number: int) -> Any:
            raise RuntimeError("bad script")

    with serving(script=Broken()) as api:
        _, tasks = stream(api)
        assert (tasks[-1]["status"], tasks[-1]["detail"]) == ("ERROR", "bad script")


def test_an_unknown_sandbox_is_a_failed_task(api: Api) -> None:
    _, tasks = stream(api, sandbox_id="nope")
    assert (tasks[-1]["status"], tasks[-1]["detail"]) == ("ERROR", "Sandbox not found: nope")


def test_a_sandbox_may_hold_several_conversations_and_is_woken_for_them(api: Api) -> None:
    one = api.start_v1()
    api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
    other = api.start_v1(sandbox_id=one.sandbox_id)
    assert (other.sandbox_id, other.key) == (one.sandbox_id, one.key)
    assert one.status == other.status == "idle"


def test_starting_the_same_id_again_leads_to_the_same_conversation(api: Api) -> None:
    wanted = "FF7AFB95-7C8B-4F27-8DE7-0DACD7DFC0BE"
    first = api.start_v1("hello", conversation_id=wanted)
    assert first.id == wanted.replace("-", "").lower()
    count = len(first.rest())
    _, tasks = stream(api, conversation_id=first.id)
    assert (tasks[-1]["status"], tasks[-1]["app_conversation_id"]) == ("READY", first.id)
    assert tasks[-1]["sandbox_id"] == first.sandbox_id
    assert len(first.events()) == count, "nothing was said again"
    assert api.ok("GET", f"{START}/count") == 1


def test_starting_the_same_id_at_the_same_time_makes_one(api: Api) -> None:
    wanted = "a" * 32
    tasks = [api.ok("POST", START, json={"conversation_id": wanted})["id"] for _ in range(5)]
    ready = [api.wait_task(task) for task in tasks]
    assert {task["app_conversation_id"] for task in ready} == {wanted}
    assert len({task["sandbox_id"] for task in ready}) == 1
    assert api.ok("GET", f"{START}/count") == 1
    assert len(api.ok("GET", "/api/v1/sandboxes/search")["items"]) == 1


def test_the_id_of_a_v0_conversation_is_taken(api: Api) -> None:
    taken = api.create_v0()
    _, tasks = stream(api, conversation_id=taken)
    assert (tasks[-1]["status"], tasks[-1]["detail"]) == ("ERROR", f"Conversation id is taken: {taken}")


def test_sub_conversations_inherit_and_are_hidden(api: Api) -> None:
    parent = api.start_v1(selected_repository="a/b", git_provider="github", llm_model="m")
    child = api.start_v1(parent_conversation_id=parent.id, agent_type="plan")
    info = api.info(child.id)
    assert (info["selected_repository"], info["git_provider"], info["llm_model"]) == ("a/b", "github", "m")
    assert (info["parent_conversation_id"], info["sandbox_id"]) == (parent.id, parent.sandbox_id)
    assert api.info(parent.id)["sub_conversation_ids"] == [child.id]

    def listed(**query: Any) -> set[str]:
        return {one["id"] for one in api.ok("GET", f"{START}/search", params=query)["items"]}

    assert listed() == {parent.id}
    assert listed(include_sub_conversations=True) == {parent.id, child.id}
    assert api.ok("GET", f"{START}/count") == 2
    assert [one["conversation_id"] for one in api.ok("GET", "/api/conversations")["results"]] == [parent.id]
    assert api.ok("DELETE", f"/api/conversations/{parent.id}") is True
    assert api.ok("GET", START, params={"ids": [parent.id, child.id]}) == [None, None]


def test_searching_tasks(api: Api) -> None:
    made = [api.ok("POST", START, json={"title": str(number)})["id"] for number in range(5)]
    conversations = [api.wait_task(task)["app_conversation_id"] for task in made]

    def pages(**query: Any) -> list[str]:
        found, page_id = list[str](), None
        while True:
            page = api.ok("GET", f"{TASKS}/search", params={"limit": 2, **query, **page_id_of(page_id)})
            found += [task["id"] for task in page["items"]]
            page_id = page["next_page_id"]
            if page_id is None:
                return found

    assert pages() == made[::-1]
    assert pages(sort_order="CREATED_AT") == made
    assert pages(sort_order="UPDATED_AT_DESC") == pages(sort_order="UPDATED_AT")[::-1]
    assert pages(conversation_id__eq=conversations[2]) == [made[2]]
    assert api.ok("GET", f"{TASKS}/count") == 5
    assert api.ok("GET", f"{TASKS}/count", params={"conversation_id__eq": MISSING}) == 0
    assert api.ok("GET", f"{TASKS}/count", params={"created_at__gte": "2999-01-01T00:00:00Z"}) == 0
    assert api.ok("GET", TASKS, params={"ids": [made[1], MISSING, made[0]]})[1] is None
    bad = api.app.get(f"{TASKS}/search", params={"sort_order": "NAME"})
    assert bad.status_code == 422


def page_id_of(page_id: str | None) -> dict[str, str]:
    return {} if page_id is None else {"page_id": page_id}


def test_who_hangs_up_on_a_stream_leaves_no_thread_waiting() -> None:
    """The handler notices; stopping the server would otherwise have to wait for it."""
    with serving(script=AgentScript(stage_delays={"WAITING_FOR_SANDBOX": math.inf})) as api:
        with httpx.stream("POST", f"{api.server.url}{START}/stream-start", json={}) as answer:
            assert next(answer.iter_raw()).startswith(b"[\n{")
        topics = api.server.world.core.broadcast
        eventually(lambda: not topics._topics and api.app.get("/alive"))


def test_a_stream_cut_short_by_the_server_does_not_look_complete() -> None:
    with serving(script=AgentScript(stage_delays={"READY": math.inf})) as api:
        received: list[bytes] = []

        def read_on() -> None:
            with api.app.stream("POST", f"{START}/stream-start", json={}) as answer:
                for chunk in answer.iter_raw():
                    received.append(chunk)
                    if b"STARTING_CONVERSATION" in chunk:
                        api.server.stop()

        with pytest.raises(httpx.RemoteProtocolError):
            read_on()
        assert not received[-1].endswith(b"]")
