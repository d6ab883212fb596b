"""Real OpenHands servers with a fake model, started from where `real_server.py install` put them.

Line 1.0 speaks V0 and V1, line 1.11 only V1. Each is looked for in `.interop/<line>` in the repository, or in
the directory named by OPENHANDS_INTEROP_DIR_1_0 or OPENHANDS_INTEROP_DIR_1_11; a server that already runs can be
named by OPENHANDS_INTEROP_URL_1_0 or OPENHANDS_INTEROP_URL_1_11. Tests of a line that is not there are skipped,
and say how to get it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
INSTALLED = HERE.parent.parent / ".interop"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(line: str) -> Iterator[str]:
    """The base URL of a real app server of this line."""
    suffix = line.replace(".", "_")
    if url := os.environ.get(f"OPENHANDS_INTEROP_URL_{suffix}"):
        yield url
        return
    directory = Path(os.environ.get(f"OPENHANDS_INTEROP_DIR_{suffix}", INSTALLED / line))
    if not (directory / "venv").is_dir():
        pytest.skip(
            f"no real OpenHands {line} in {directory}. Install it (Python 3.12, 2 GB, a minute): "
            f"python3.12 tests/interop/real_server.py install {directory} --line {line}"
        )
    command = [sys.executable, str(HERE / "real_server.py"), "serve", str(directory), "--line", line]
    ports = [part for name in ("--port", "--agent-port", "--model-port") for part in (name, str(free_port()))]
    with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("ready "), (
                f"the real server did not start; see {directory / 'server.log'}"
            )
            yield ready.split()[1]
        finally:
            process.terminate()


class RealServers:
    """Starts each line when a test first asks for it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._urls: dict[str, str] = {}

    def url(self, line: str) -> str:
        if line not in self._urls:
            self._urls[line] = self._stack.enter_context(running(line))
        return self._urls[line]


@pytest.fixture(scope="session")
def real_servers() -> Iterator[RealServers]:
    with ExitStack() as stack:
        yield RealServers(stack)
