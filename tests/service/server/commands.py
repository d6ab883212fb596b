"""The server as a command: `serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from openhands_reference_server import ReferenceServer

from .conftest import Api

COMMAND = [sys.executable, "-m", "openhands_reference_server", "serve"]
FREE_PORTS = ["--port", "0", "--agent-port", "0"]


def environment(**more: str) -> dict[str, str]:
    """The present environment without what would steer the server."""
    kept = {name: value for name, value in os.environ.items() if name != "SESSION_API_KEY"}
    return {**kept, **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A `serve` that is expected to end by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(**more),
        check=False,
    )


@dataclass
class Served(ReferenceServer):
    """A running `serve`."""

    process: subprocess.Popen[str]
    banner: list[str]

    @property
    def url(self) -> str:
        return self.banner[-1].split()[1]

    @property
    def agent_url(self) -> str:
        [line] = [line for line in self.banner if "agent server" in line]
        return line.split()[2]

    def end(self, number: int = signal.SIGTERM, timeout: float = 10) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """As a power cut: only the process that was started, as somebody outside would."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def served(*arguments: str, **more: str) -> Iterator[Served]:
    """Start `serve`, wait until it is ready, end it."""
    process = subprocess.Popen(
        [*COMMAND, *FREE_PORTS, *arguments], stdout=subprocess.PIPE, text=True, env=environment(**more)
    )
    assert process.stdout is not None
    banner = []
    with process:
        try:
            for line in process.stdout:
                banner.append(line.rstrip("\n"))
                if line.startswith("ready "):
                    break
            assert banner, "the server ended before it was ready"
            yield Served(process, banner)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(10)


@contextmanager
def api_of(server: Served) -> Iterator[Api]:
    """The usual steps, on a served server."""
    with httpx.Client(base_url=server.url, timeout=10) as app:
        yield Api(server, app)
