"""Clients in forked children; see ``programs/forks.py``, which does the forking."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from openhands_reference_server import ReferenceServer

PROGRAM = Path(__file__).parent / "programs" / "forks.py"

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)


@pytest.mark.parametrize("case", ["requests", "stream", "lock", "loops", "drop"])
def test_a_child_gets_connections_of_its_own(server: ReferenceServer, case: str) -> None:
    command = [sys.executable, "-W", "error::ResourceWarning", str(PROGRAM), case, server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
