"""The command line client against the reference server, as a person uses it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from openhands_client.cli import main
from openhands_reference_server import ReferenceServer


@pytest.fixture
def run(server: ReferenceServer) -> Any:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--base-url", server.url, *arguments])

    return invoke


def test_a_conversation_from_a_terminal(run: Any) -> None:
    created = run("create", "Say hello", "--title", "From a terminal")
    assert created.exit_code == 0, created.output
    assert "starting: READY" in created.stderr
    assert "finished" in created.stderr
    conversation_id = created.stdout.split()[0]

    assert conversation_id in run("list", "--limit", "100").stdout
    shown = json.loads(run("show", conversation_id, "--json").stdout)
    assert (shown["title"], shown["status"], shown["agent"]) == ("From a terminal", "RUNNING", "finished")
    assert "key" not in json.dumps(shown)

    sent = run("send", conversation_id, "Once more", "--json")
    events = [json.loads(line) for line in sent.stdout.splitlines()]
    assert any(event.get("source") == "user" for event in events)

    assert run("rename", conversation_id, "Another").stdout == "Another\n"
    assert run("stop", conversation_id).stdout == "STOPPED\n"
    assert run("resume", conversation_id).stdout == "RUNNING\n"
    assert run("delete", conversation_id, "--yes").exit_code == 0
    gone = run("show", conversation_id)
    assert gone.exit_code == 1
    assert "Conversation not found" in gone.stderr
    assert run("delete", conversation_id, "--yes").exit_code == 1


def test_failures_are_one_line(run: Any) -> None:
    unreachable = CliRunner().invoke(main, ["--base-url", "http://127.0.0.1:9", "list"])
    assert unreachable.exit_code == 1
    assert unreachable.stderr.count("\n") == 1
    assert "http://127.0.0.1:9" in unreachable.stderr

    refused = CliRunner().invoke(main, ["--base-url", "ftp://x", "list"])
    assert refused.exit_code == 2
    assert "base_url is refused" in refused.stderr

    assert "too long" in run("show", "x" * 101).stderr
