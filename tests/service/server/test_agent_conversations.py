"""Conversations on the agent server: started, found, renamed, deleted, asked, and under confirmation."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from openhands_reference_server import AgentScript, Finish, Run, Think, Write
from openhands_reference_server.domain.script import Act

from .conftest import MISSING, V1, Api, eventually, serving, story

REQUEST = {
    "agent": {"kind": "Agent", "llm": {"model": "openai/gpt-4o", "api_key": "sk-secret"}, "tools": []},
    "workspace": {"kind": "LocalWorkspace", "working_dir": "/workspace/project"},
}
ROOT = "/api/conversations"


def ask(one: V1, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """A request to the agent server with the key of the conversation's sandbox."""
    headers = {"X-Session-API-Key": one.key}
    return httpx.request(method, one.api.server.agent_url + path, headers=headers, timeout=10, **kwargs)


def ok(one: V1, method: str, path: str, **kwargs: Any) -> Any:
    answer = ask(one, method, path, **kwargs)
    assert answer.status_code == 200, answer.text
    return answer.json()


def policy(one: V1, kind: str, **fields: Any) -> None:
    assert one.ok("POST", "/confirmation_policy", json={"policy": {"kind": kind, **fields}}) == {
        "success": True
    }


# -- starting and finding -----------------------------------------------------------------------------


def test_a_conversation_is_started_once(api: Api) -> None:
    home = api.start_v1()
    wanted = {**REQUEST, "conversation_id": str(uuid4()), "max_iterations": 7, "secrets": {"TOKEN": "t0p"}}
    made = ask(home, "POST", ROOT, json=wanted)
    assert made.status_code == 201
    info = made.json()
    assert info["id"] == wanted["conversation_id"]
    assert (info["max_iterations"], info["workspace"]) == (7, REQUEST["workspace"])
    assert info["agent"]["llm"] == {"model": "openai/gpt-4o", "api_key": "*" * 10}
    assert "t0p" not in made.text
    assert list(info["secret_registry"]["secret_sources"]) == ["TOKEN"]
    again = ask(home, "POST", ROOT, json=wanted)
    assert (again.status_code, again.json()) == (200, info)
    shown = api.info(info["id"].replace("-", ""))
    assert (shown["sandbox_id"], shown["llm_model"]) == (home.sandbox_id, "openai/gpt-4o")


def test_an_id_from_elsewhere_is_taken(api: Api) -> None:
    home, other = api.start_v1(), api.start_v1()
    refused = ask(home, "POST", ROOT, json={**REQUEST, "conversation_id": other.id})
    assert refused.status_code == 409
    assert other.id in refused.json()["detail"]


def test_what_a_start_needs(api: Api) -> None:
    refused = ask(api.start_v1(), "POST", ROOT, json={})
    assert refused.status_code == 422
    assert [(one["type"], one["loc"]) for one in refused.json()["detail"]] == [
        ("missing", ["body", "agent"]),
        ("missing", ["body", "workspace"]),
    ]


@pytest.mark.parametrize(("run", "status"), [(None, "finished"), (True, "finished"), (False, "idle")])
def test_an_initial_message_runs_unless_told_not_to(api: Api, run: bool | None, status: str) -> None:
    home = api.start_v1()
    message: dict[str, Any] = {"content": [{"type": "text", "text": "hello"}]}
    if run is not None:
        message["run"] = run
    made = ask(home, "POST", ROOT, json={**REQUEST, "initial_message": message}).json()
    V1(api, made["id"], home.sandbox_id, home.key).wait(status)


def test_finding_the_conversations_of_the_sandbox_only(api: Api) -> None:
    one = api.start_v1("hello")
    one.rest()
    other = api.start_v1(sandbox_id=one.sandbox_id)
    api.start_v1()
    ids = [str(one.ok("GET")["id"]), str(other.ok("GET")["id"])]

    def found(**query: Any) -> list[str]:
        return [item["id"] for item in ok(one, "GET", f"{ROOT}/search", params=query)["items"]]

    assert found() == ids[::-1]
    assert found(sort_order="CREATED_AT") == ids
    assert found(status="finished") == ids[:1]
    assert ok(one, "GET", f"{ROOT}/count") == 2
    assert ok(one, "GET", f"{ROOT}/count", params={"status": "idle"}) == 1
    page = ok(one, "GET", f"{ROOT}/search", params={"limit": 1})
    assert found(limit=1, page_id=page["next_page_id"]) == ids[:1]
    assert ask(one, "GET", f"{ROOT}/search", params={"status": "IDLE"}).status_code == 422
    batch = ok(one, "GET", ROOT, params={"ids": [other.id, MISSING, one.id]})
    assert [item and item["id"] for item in batch] == [ids[1], None, ids[0]]


def test_renaming_and_deleting(api: Api) -> None:
    one = api.start_v1()
    assert one.ok("PATCH", json={"title": "New"}) == {"success": True}
    assert (one.ok("GET")["title"], api.info(one.id)["title"]) == ("New", "New")
    assert one.request("PATCH", json={"title": ""}).status_code == 422
    keeper = api.start_v1(sandbox_id=one.sandbox_id)
    with one.stream() as stream:
        assert one.ok("DELETE") == {"success": True}
        assert stream.ending() == (4004, "Conversation not found")
    assert one.request("DELETE").status_code == 404
    assert keeper.status == "idle"
    for path in ("/run", "/condense", "/generate_title"):
        assert one.request("POST", path).status_code == 404


def test_a_paused_sandbox_answers_nothing(api: Api) -> None:
    one = api.start_v1()
    api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
    for path in (f"{ROOT}/search", f"{ROOT}/count", "/api/tools/", "/api/file/download//workspace/a"):
        assert ask(one, "GET", path).status_code == 503
    assert ask(one, "POST", ROOT, json=REQUEST).status_code == 503


# -- asking -------------------------------------------------------------------------------------------


def test_a_suggested_title_is_only_a_suggestion(api: Api) -> None:
    one = api.start_v1(
        title="Mine", initial_message={"content": [{"type": "text", "text": "Count the sheep"}]}
    )
    assert one.ok("POST", "/generate_title") == {"title": "Count the sheep"}
    assert one.ok("POST", "/generate_title", json={"max_length": 6}) == {"title": "Count…"}
    assert one.request("POST", "/generate_title", json={"max_length": 0}).status_code == 422
    assert one.ok("GET")["title"] == "Mine"


def test_a_question_leaves_no_trace(api: Api) -> None:
    one = api.start_v1("hello")
    before = one.rest()
    answers = [one.ok("POST", "/ask_agent", json={"question": "Why?"})["response"] for _ in range(2)]
    assert answers[0] == answers[1]
    assert "Why?" in answers[0]
    assert one.events() == before


def test_condensing(api: Api) -> None:
    one = api.start_v1("hello")
    before = [event["id"] for event in one.rest()]
    assert one.ok("POST", "/condense") == {"success": True}
    *_, request, condensation = one.events()
    assert (request["kind"], condensation["kind"]) == ("CondensationRequest", "Condensation")
    assert set(condensation["forgotten_event_ids"]) < set(before)
    assert "hello" in condensation["summary"]
    one.ok("POST", "/condense")
    assert one.events()[-1]["forgotten_event_ids"] == []


def test_events_by_id(api: Api) -> None:
    one = api.start_v1("hello")
    first, *_, last = one.rest()
    ids = [last["id"].replace("-", ""), MISSING, first["id"]]
    assert one.ok("GET", "/events", json=ids) == [last, None, first]
    assert one.request("GET", "/events").status_code == 422
    assert one.request("GET", "/events", json=[first["id"]] * 101).status_code == 422


def test_secrets_are_never_answered_back(api: Api, tmp_path: Any) -> None:
    with serving(data_dir=tmp_path) as kept:
        one = kept.start_v1()
        secrets = {"A": "s3cr3t", "B": {"kind": "StaticSecret", "value": "s3cr3t", "description": "mine"}}
        assert one.ok("POST", "/secrets", json={"secrets": secrets}) == {"success": True}
        registry = one.ok("GET")["secret_registry"]["secret_sources"]
        assert {name: source["value"] for name, source in registry.items()} == dict.fromkeys("AB", "*" * 10)
        with one.stream(resend_all=True) as stream:
            assert "s3cr3t" not in json.dumps(stream.next())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]


def test_the_trajectory(api: Api) -> None:
    one = api.start_v1("hello")
    events = one.rest()
    answer = ask(one, "GET", f"/api/file/download-trajectory/{one.id}")
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{one.id}.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("events/"))
        assert [json.loads(archive.read(name)) for name in names] == events
        assert json.loads(archive.read("base_state.json"))["execution_status"] == "finished"
    assert ask(one, "GET", f"/api/file/download-trajectory/{MISSING}").status_code == 404


# -- confirmation -------------------------------------------------------------------------------------


def acts(message: str, number: int) -> Iterator[Act]:
    yield Think("hm")
    yield Run("ls", output="a")
    yield Write("/workspace/notes.txt", "noted")
    yield Run("rm -r /", output="gone", risk="HIGH")
    yield Finish()


@pytest.fixture
def careful() -> Iterator[V1]:
    with serving(script=AgentScript(acts=acts)) as api:
        yield api.start_v1()


def answers(one: V1, *, accept: bool = True) -> None:
    assert one.ok("POST", "/events/respond_to_confirmation", json={"accept": accept}) == {"success": True}


def test_always_confirm_asks_before_each_action_but_the_last(careful: V1) -> None:
    policy(careful, "AlwaysConfirm")
    assert careful.ok("GET")["confirmation_policy"] == {"kind": "AlwaysConfirm"}
    assert story(careful.events())[-1] == "confirmation_policy"
    careful.say("go")
    asked = []
    for _ in range(4):
        careful.wait("waiting_for_confirmation")
        asked.append(
            next(e for e in reversed(careful.events()) if e["kind"] == "ActionEvent")["action"]["kind"]
        )
        answers(careful)
    careful.wait("finished")
    assert asked == ["ThinkAction", "TerminalAction", "FileEditorAction", "TerminalAction"]


def test_nothing_is_written_before_it_is_confirmed(careful: V1) -> None:
    policy(careful, "AlwaysConfirm")
    careful.say("go")
    for _ in range(2):
        careful.wait("waiting_for_confirmation")
        answers(careful)
    careful.wait("waiting_for_confirmation")
    where = "/api/file/download//workspace/notes.txt"
    assert ask(careful, "GET", where).status_code == 404
    answers(careful)
    assert ask(careful, "GET", where).text == "noted"


def test_confirm_risky_asks_by_risk(careful: V1) -> None:
    policy(careful, "ConfirmRisky")
    shown = {"kind": "ConfirmRisky", "threshold": "HIGH", "confirm_unknown": True}
    assert careful.ok("GET")["confirmation_policy"] == shown
    careful.say("go")
    careful.wait("waiting_for_confirmation")
    pending = next(e for e in reversed(careful.events()) if e["kind"] == "ActionEvent")
    assert (pending["security_risk"], pending["action"]["command"]) == ("HIGH", "rm -r /")
    answers(careful, accept=False)
    assert careful.status == "idle"
    assert careful.events()[-1]["kind"] == "UserRejectObservation"
    assert story(careful.rest())[-2] == "finished"


def test_never_confirm_and_unknown_policies(careful: V1) -> None:
    policy(careful, "AlwaysConfirm")
    policy(careful, "NeverConfirm")
    careful.say("go")
    careful.wait("finished")
    refused = careful.request("POST", "/confirmation_policy", json={"policy": {"kind": "Sometimes"}})
    assert refused.status_code == 422


def test_a_policy_survives_a_restart(tmp_path: Any) -> None:
    with serving(data_dir=tmp_path, script=AgentScript(acts=acts)) as api:
        one = api.start_v1()
        policy(one, "AlwaysConfirm")
        assert one.ok(
            "POST", "/security_analyzer", json={"security_analyzer": {"kind": "LLMSecurityAnalyzer"}}
        )
        one.say("go")
        one.wait("waiting_for_confirmation")
    with serving(data_dir=tmp_path, script=AgentScript(acts=acts)) as api:
        again = api.v1(one.id)
        state = again.ok("GET")
        assert state["execution_status"] == "waiting_for_confirmation"
        assert state["confirmation_policy"] == {"kind": "AlwaysConfirm"}
        assert state["security_analyzer"] == {"kind": "LLMSecurityAnalyzer"}
        policy(again, "NeverConfirm")
        answers(again)
        eventually(lambda: again.status == "finished")
