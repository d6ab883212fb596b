"""A data directory outlives its server: what was acknowledged is there, what was going on is honest."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from openhands_reference_server import AgentScript, ReferenceServer, Run
from openhands_reference_server.storage import StorageError

from .conftest import Api, serving, story

NEVER_ENDING = AgentScript(acts=lambda *_: [Run("first"), Run("second", seconds=math.inf)])


def snapshot(api: Api, *ids: str) -> list[object]:
    return [
        [api.ok("GET", f"/api/conversations/{one}") for one in ids],
        api.ok("GET", "/api/conversations"),
        api.ok("GET", "/api/v1/sandboxes/search"),
        api.ok("GET", "/api/v1/app-conversations/start-tasks/search"),
    ]


def without_ports(value: object, *apis: Api) -> str:
    text = json.dumps(value)
    for api in apis:
        for url in (api.server.url, api.server.agent_url):
            text = text.replace(url, "URL").replace(url.rpartition(":")[2], "PORT")
    return text


def test_everything_at_rest_comes_back_as_it_was(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path) as api:
        v0 = api.create_v0(initial_user_msg="hello", repository="a/b")
        api.wait_agent_state(v0, "finished")
        api.ok("POST", f"/api/conversations/{v0}/stop")
        one = api.start_v1("hello", title="Mine", pr_number=[7])
        child = api.start_v1(parent_conversation_id=one.id)
        v0_events, v1_events = api.v0_events(v0), one.rest()
        gone = api.start_v1().id
        api.ok("DELETE", f"/api/conversations/{gone}")
        before = without_ports(snapshot(api, v0, one.id, child.id), api)
        key = one.key
    with serving(data_dir=tmp_path) as api:
        assert without_ports(snapshot(api, v0, one.id, child.id), api) == before
        again = api.v1(one.id)
        assert again.key == key, "keys are derived, so they survive"
        assert (api.v0_events(v0), again.events()) == (v0_events, v1_events)
        assert api.app.get(f"/api/conversations/{gone}").status_code == 404
        again.say("more")
        assert len(again.rest()) > len(v1_events)
        api.ok("POST", f"/api/conversations/{v0}/start")
        api.wait_v0(v0, "RUNNING")
        assert api.v0_events(v0)[: len(v0_events)] == v0_events


@pytest.mark.parametrize("damage", ["nothing", "no snapshots", "bad snapshots"])
def test_snapshots_are_only_a_convenience(tmp_path: Path, damage: str) -> None:
    with serving(data_dir=tmp_path) as api:
        v0, one = api.create_v0(initial_user_msg="hello"), api.start_v1("hello")
        api.wait_agent_state(v0, "finished")
        one.rest()
        before = without_ports(snapshot(api, one.id)[0], api)
        events = api.v0_events(v0)
    for state in tmp_path.glob("*/*/state.json"):
        if damage == "no snapshots":
            state.unlink()
        elif damage == "bad snapshots":
            state.write_text(state.read_text()[:40])
    with serving(data_dir=tmp_path) as api:
        assert without_ports(snapshot(api, one.id)[0], api) == before
        assert api.v0_events(v0)[: len(events)] == events


def test_what_was_in_progress_is_brought_to_an_honest_state(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path, script=NEVER_ENDING) as api:
        one, v0 = api.start_v1("go"), api.create_v0(initial_user_msg="go")
        one.wait("running")
        api.wait_agent_state(v0, "running")
    hanging = AgentScript(stage_delays={"READY": math.inf})
    with serving(data_dir=tmp_path, script=hanging) as api:
        task = api.ok("POST", "/api/v1/app-conversations", json={})["id"]
        starting = api.ok("POST", "/api/conversations", json={})["conversation_id"]
    with serving(data_dir=tmp_path) as api:
        [failed] = api.ok("GET", "/api/v1/app-conversations/start-tasks", params={"ids": task})
        assert (failed["status"], failed["app_conversation_id"]) == ("ERROR", None)
        assert "restarted" in failed["detail"]
        assert api.ok("GET", f"/api/conversations/{v0}")["status"] == "STOPPED"
        assert api.ok("GET", f"/api/conversations/{starting}")["status"] == "STOPPED"
        again = api.v1(one.id)
        assert (again.status, story(again.events())[-1]) == ("paused", "paused")
        length = len(again.events())
        assert story(again.rest()[length:]) == ["running", "TerminalObservation", "finished", "stats"]


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    acts = [Run("first"), Run("second", seconds=math.inf), Run("third")]
    with serving(data_dir=tmp_path, script=AgentScript(acts=lambda *_: acts)) as api:
        one = api.start_v1("go")
        while story(one.events())[-2:] != ["TerminalObservation", "TerminalAction"]:
            continue
    quick = [Run("first"), Run("second"), Run("third")]
    with serving(data_dir=tmp_path, script=AgentScript(acts=lambda *_: quick)) as api:
        again = api.v1(one.id)
        assert again.status == "paused"
        again.rest()
        commands = [event["action"]["command"] for event in again.events(kind="ActionEvent")]
        assert commands == ["first", "second", "third"]
        assert len(again.events(kind="ObservationEvent")) == 3
        assert again.status == "finished"


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path) as api:
        v0, one = api.create_v0(), api.start_v1()
        for conversation_id in (v0, one.id):
            folder = tmp_path / "conversations" / conversation_id
            assert {path.name for path in folder.iterdir()} == {"events.jsonl", "state.json", "files"}
            lines = (folder / "events.jsonl").read_text().splitlines()
            assert [json.loads(line)["record"] for line in lines][:2] == ["created", "event"]
        assert (tmp_path / "sandboxes" / one.sandbox_id / "events.jsonl").exists()
        assert len(list((tmp_path / "start-tasks").iterdir())) == 1
        api.ok("DELETE", f"/api/conversations/{one.id}")
        assert not (tmp_path / "conversations" / one.id).exists()
        assert not (tmp_path / "sandboxes" / one.sandbox_id).exists()


def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    with (
        serving(data_dir=tmp_path),
        pytest.raises(StorageError, match="in use by another reference server"),
        ReferenceServer(data_dir=tmp_path),
    ):
        pass


def test_a_copy_of_the_directory_is_a_server_of_its_own(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path / "one") as api:
        v0 = api.create_v0()
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        with serving(data_dir=tmp_path / "two") as copy:
            assert copy.ok("GET", f"/api/conversations/{v0}")["status"] == "STOPPED"
            assert api.ok("GET", f"/api/conversations/{v0}")["status"] == "RUNNING"
