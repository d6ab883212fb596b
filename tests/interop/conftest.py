"""A real OpenHands server with a fake model, started from where `real_server.py install` put it.

Set OPENHANDS_INTEROP_DIR to that directory (default `.interop/1.0` in the repository), or OPENHANDS_INTEROP_URL
to a server that already runs. Without either, the tests are skipped and say how to get there.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DEFAULT_DIRECTORY = HERE.parent.parent / ".interop" / "1.0"
START_TIMEOUT = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def real_server() -> Iterator[str]:
    """The base URL of a real app server of the line that has V0 and V1."""
    if url := os.environ.get("OPENHANDS_INTEROP_URL"):
        yield url
        return
    directory = Path(os.environ.get("OPENHANDS_INTEROP_DIR", DEFAULT_DIRECTORY))
    if not (directory / "venv").is_dir():
        pytest.skip(
            f"no real OpenHands server in {directory}. Install one (Python 3.12, 2 GB, a minute): "
            f"python3.12 tests/interop/real_server.py install {directory}"
        )
    command = [sys.executable, str(HERE / "real_server.py"), "serve", str(directory)]
    ports = ["--port", str(free_port()), "--model-port", str(free_port())]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready "), f"the real server did not start; see {directory / 'server.log'}"
            yield line.split()[1]
        finally:
            process.terminate()
