"""The reference server as a test double: how long a test waits for it.

Embedded, its peer is a bare Flask application on the same background server: what is left is ours. As a
command, its peer is Prism (npm `@stoplight/prism-cli`) mocking the same document, where there is one:
`PRISM` names its executable, or it is on the PATH. Otherwise the peer is that bare Flask application.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import httpx
from flask import Flask

from benchmarks.figures import Figure, side_by_side
from openhands_contract import documents
from openhands_reference_server import ReferenceServer
from openhands_reference_server.serving import BackgroundServer, bind, port_of

EMBEDDED_GOAL_MS = 150.0
SERVE_GOAL_MS = 700.0
_DEADLINE = 60.0
_TRY_AGAIN_AFTER = 0.005
_FLASK = (
    "import sys, flask; app = flask.Flask('bare'); "
    "app.add_url_rule('/alive', view_func=lambda: {'status': 'ok'}); app.run(port=int(sys.argv[1]))"
)


def measure_embedded(rounds: int) -> list[Figure]:
    """Start, first answer, stop; in this process."""
    _ours_embedded()
    pairs = [(_ours_embedded(), _bare_embedded()) for _ in range(rounds)]
    return [side_by_side("embedded: start, answer, stop", pairs, goal=EMBEDDED_GOAL_MS)]


def measure_serve(rounds: int) -> list[Figure]:
    """From the start of a process to its first answer."""
    prism = os.environ.get("PRISM") or shutil.which("prism")
    name = "prism" if prism else "bare Flask"
    pairs = [(_until_answer(_serve_command), _until_answer(_peer_command)) for _ in range(rounds)]
    return [side_by_side(f"serve: first answer (peer: {name})", pairs, goal=SERVE_GOAL_MS)]


def _ours_embedded() -> float:
    start = time.perf_counter()
    with ReferenceServer() as server:
        httpx.get(f"{server.url}/alive").raise_for_status()
    return time.perf_counter() - start


def _bare_embedded() -> float:
    start = time.perf_counter()
    app = Flask("bare", static_folder=None)
    app.add_url_rule("/alive", view_func=lambda: {"status": "ok"})
    listener = bind("127.0.0.1", 0)
    port = port_of(listener)
    server = BackgroundServer("bare", listener, app)
    server.start()
    httpx.get(f"http://127.0.0.1:{port}/alive").raise_for_status()
    server.stop()
    return time.perf_counter() - start


def _serve_command(port: int) -> Sequence[str]:
    program = "import sys; from openhands_reference_server.cli import main; main()"
    options = ["serve", "--memory", "--port", str(port), "--agent-port", "0"]
    return [sys.executable, "-c", program, *options]


def _peer_command(port: int) -> Sequence[str]:
    prism = os.environ.get("PRISM") or shutil.which("prism")
    if prism is None:
        return [sys.executable, "-c", _FLASK, str(port)]
    return [prism, "mock", "--port", str(port), str(documents.path_of("app-server"))]


def _until_answer(command_for: Callable[[int], Sequence[str]]) -> float:
    with bind("127.0.0.1", 0) as listener:
        port = port_of(listener)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    quiet = subprocess.DEVNULL
    start = time.perf_counter()
    process = subprocess.Popen(command_for(port), stdout=quiet, stderr=quiet, env=environment)
    try:
        _wait_for_answer(process, f"http://127.0.0.1:{port}/alive")
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def _wait_for_answer(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _DEADLINE
    with httpx.Client(timeout=_DEADLINE) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.get(url).raise_for_status()
            except httpx.ConnectError:
                time.sleep(_TRY_AGAIN_AFTER)
            else:
                return
    raise RuntimeError(f"no answer from {url} (exit code {process.poll()}): {process.args!r}")
