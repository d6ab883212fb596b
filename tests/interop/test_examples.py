"""The examples, as a user runs them, against a real OpenHands server. Run with -s to read what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("api", ["v1", "v0"])
@pytest.mark.parametrize("example", ["quickstart.py", "quickstart_async.py"])
def test_the_example_runs(real_server: str, example: str, api: str) -> None:
    environment = {**os.environ, "OPENHANDS_BASE_URL": real_server}
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / example), api],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stderr
    assert "finished" in run.stdout
