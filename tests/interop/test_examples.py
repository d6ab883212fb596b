"""The examples, as a user runs them, against real OpenHands servers. Run with -s to read what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import RealServers

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(("line", "api"), [("1.0", "v1"), ("1.0", "v0"), ("1.11", "v1")])
@pytest.mark.parametrize("example", ["quickstart.py", "quickstart_async.py"])
def test_the_example_runs(real_servers: RealServers, example: str, line: str, api: str) -> None:
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / example), api],
        env={**os.environ, "OPENHANDS_BASE_URL": real_servers.url(line)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert "finished" in run.stdout
