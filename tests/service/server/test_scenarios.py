"""Scenarios in a running server: at the command line, exchanged while it runs, and across a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from openhands_reference_server import ReferenceServer
from openhands_reference_server.cli import main
from openhands_reference_server.domain.script import AgentScript
from openhands_reference_server.scenarios import ScenarioError

from .conftest import Api, serving

COUNTING = """
delay: 0
start:
  - when: {attempt: 1}
    stages: {READY: {delay: 0.02}}
turns:
  - answers:
      - [finish: "first"]
      - [finish: "second"]
      - [finish: "and so on"]
"""
BAD = "title: x\nturns:\n  - steps: [{sya: hello}]\n"


def finishes(api: Api, conversation_id: str) -> list[str]:
    """What the agent of a V1 conversation said at the end of its turns."""
    events = api.v1(conversation_id).events(kind="ActionEvent")
    return [event["action"]["message"] for event in events if event["tool_name"] == "finish"]


def talk(api: Api, conversation_id: str, *messages: str) -> None:
    one = api.v1(conversation_id)
    for message in messages:
        one.say(message, run=False)
        one.rest()


def test_sequences_go_on_after_a_restart(tmp_path: Path) -> None:
    with serving(scenario=COUNTING, data_dir=tmp_path) as api:
        one = api.start_v1("one")
        one.rest()
    with serving(scenario=COUNTING, data_dir=tmp_path) as api:
        talk(api, one.id, "two", "three", "four")
        assert finishes(api, one.id) == ["first", "second", "and so on", "and so on"]


def test_a_scenario_can_be_exchanged() -> None:
    with serving(scenario=COUNTING) as api:
        one = api.start_v1("one")
        one.rest()
        api.server.play({"turns": [{"steps": [{"finish": "another"}]}]})
        talk(api, one.id, "two")
        api.server.play(None)
        talk(api, one.id, "three")
        assert finishes(api, one.id)[:2] == ["first", "another"]
        with pytest.raises(ScenarioError):
            api.server.play(BAD)


def test_each_namespace_plays_its_own() -> None:
    def said(controls: Any) -> str:
        with httpx.Client(base_url=controls.url, timeout=10) as app:
            api = Api(controls, app)
            one = api.start_v1("hello")
            one.rest()
            [last] = finishes(api, one.id)
            return last

    with ReferenceServer(control=True) as server:
        one, other = server.namespace("one"), server.namespace("other")
        one.play({"turns": [{"steps": [{"finish": "only here"}]}]})
        assert said(one) == "only here"
        assert said(other) == said(server) != "only here"
        one.reset()
        assert said(one) == said(other)


def test_attempts_are_counted_from_when_a_scenario_begins() -> None:
    failing: dict[str, Any] = {
        "start": [{"when": {"attempt": 1}, "stages": {"READY": {"fail": "the first"}}}]
    }
    with serving() as api:
        for _ in range(2):
            api.server.play(failing)
            for status in ("ERROR", "READY"):
                task = api.ok("POST", "/api/v1/app-conversations", json={})
                assert api.wait_task(task["id"])["status"] == status


def test_a_script_and_a_scenario_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        ReferenceServer(script=AgentScript(), scenario=COUNTING)


def test_the_command_checks_scenarios(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(COUNTING)
    bad.write_text(BAD)
    assert CliRunner().invoke(main, ["check-scenario", str(good)]).exit_code == 0
    refused = CliRunner().invoke(main, ["check-scenario", str(good), str(bad)])
    assert refused.exit_code == 2
    assert (
        f"{bad}, line 3: turns[0].steps[0].sya: unknown kind of step; did you mean 'say'?" in refused.output
    )


def test_the_command_does_not_serve_a_bad_scenario(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(BAD)
    refused = CliRunner().invoke(main, ["serve", "--port", "0", "--agent-port", "0", "--scenario", str(bad)])
    assert refused.exit_code == 2
    assert "line 3" in refused.output


def test_the_command_prints_the_schema() -> None:
    printed = CliRunner().invoke(main, ["scenario-schema"])
    assert json.loads(printed.output)["title"] == "ScenarioDocument"
