"""Ctrl-C: a run ends soon, takes along what it has made, and reports what it knows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from openhands_contract.executor import INTERRUPTED
from openhands_contract.outcome import Outcome, Verdict
from openhands_contract.reports import machine
from openhands_reference_server import ReferenceServer
from tests.contract.test_verdicts import answering, hang

# Whoever starts the tests may ignore interrupts, as shells do for what runs behind them, and hand that down.
_COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from openhands_contract.cli import main
main(prog_name="openhands-contract")
"""
_PATIENCE = 60


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, as a process of its own."""
    command = [sys.executable, "-c", _COMMAND, "run", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C; returns what was printed."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=_PATIENCE)
    assert "Traceback" not in out + err
    assert process.returncode == Verdict.COULD_NOT_RUN, out + err
    return out


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def things_on(client: httpx.Client) -> list[Any]:
    return [
        *client.get("/api/conversations").json()["results"],
        *client.get("/api/v1/app-conversations/search").json()["items"],
        *client.get("/api/v1/sandboxes/search").json()["items"],
        *client.get("/api/secrets").json()["custom_secrets"],
    ]


@pytest.mark.parametrize("only", [[], ["--only", "GEN-*"]], ids=["checks", "generated"])
def test_an_interrupted_run_reports_what_it_knows_and_leaves_nothing(only: list[str], tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    with (
        ReferenceServer(max_concurrent_conversations=1000) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
        running(server.url, "--json", str(file), *only) as process,
    ):
        wait_until(lambda: things_on(client))
        printed = interrupted(process)
        wait_until(lambda: not things_on(client))
    assert f"Note: {INTERRUPTED}" in printed
    report = json.loads(file.read_text(encoding="utf-8"))
    schema = json.loads(machine.SCHEMA_PATH.read_text(encoding="utf-8"))
    jsonschema_rs.Draft202012Validator(schema).validate(report)
    assert (report["exit_code"], report["counts"]["failed"]) == (Verdict.COULD_NOT_RUN, 0)
    assert INTERRUPTED in report["notes"]
    reasons = {one["reason"] for one in report["results"] if one["outcome"] == Outcome.NOT_REACHED}
    assert reasons == {INTERRUPTED}


def test_a_run_that_is_interrupted_before_it_begins_says_so(tmp_path: Path) -> None:
    connected: list[object] = []
    file = tmp_path / "report.json"

    def keep_waiting(connection: Any) -> None:
        hang(connection)
        connected.append(connection)

    with answering(keep_waiting) as url, running(url, "--json", str(file)) as process:
        wait_until(lambda: connected)
        printed = interrupted(process)
    assert f"Could not run: {INTERRUPTED}" in printed
    assert json.loads(file.read_text(encoding="utf-8"))["could_not_run"] == INTERRUPTED
