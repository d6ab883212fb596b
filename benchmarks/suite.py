"""A suite of service tests on the pytest plugin: one conversation each, on two workers.

Its peer is a suite of as many empty tests: what is left is the server, the client and the conversation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure

GOAL_MS = 20_000.0
_WORKERS = "2"
_CONVERSATION = """
import pytest


@pytest.mark.parametrize("number", range({tests}))
def test_a_conversation(openhands_client, number):
    conversation = openhands_client.conversations.create(f"Say {{number}}")
    assert conversation.wait(timeout=30) == "finished"
    [only] = openhands_client.conversations.list()
    assert only.id == conversation.id
"""
_EMPTY = """
import pytest


@pytest.mark.parametrize("number", range({tests}))
def test_nothing(number):
    assert number >= 0
"""


def measure(tests: int) -> list[Figure]:
    """How long so many tests take; the goal is for 200 of them."""
    ours, peer = _seconds(_CONVERSATION, tests), _seconds(_EMPTY, tests)
    name = f"suite of {tests} tests with a conversation each"
    return [Figure(name, 1000 * ours, 1000 * peer, value=1000 * ours, unit="ms", goal=GOAL_MS)]


def _seconds(suite: str, tests: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_suite.py").write_text(suite.format(tests=tests))
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-n", _WORKERS, "-p", "no:cacheprovider"]
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=outside, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start
