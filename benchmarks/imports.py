"""`import openhands_client` against `import httpx, pydantic`, each in a fresh interpreter.

The second line says what the first leaves for later: pydantic sets up its models, and we ours, at the
first use of one.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.figures import Figure, ratio

GOAL = 1.15
OURS = "import openhands_client"
PEERS = "import httpx, pydantic"
OURS_IN_USE = (
    "import openhands_client; openhands_client.models.AppConversation; "
    "openhands_client.OpenHands('http://127.0.0.1:9').close()"
)
PEERS_IN_USE = "import httpx, pydantic; pydantic.BaseModel; httpx.Client().close()"


def measure(rounds: int) -> list[Figure]:
    return [
        ratio("import", _pairs(OURS, PEERS, rounds), goal=GOAL),
        ratio("import, models and a client", _pairs(OURS_IN_USE, PEERS_IN_USE, rounds), goal=None),
    ]


def _pairs(ours: str, peers: str, rounds: int) -> list[tuple[float, float]]:
    for statement in (ours, peers):
        _seconds(statement)  # writes the .pyc files
    return [(_seconds(ours), _seconds(peers)) for _ in range(rounds)]


def _seconds(statement: str) -> float:
    """How long a fresh interpreter needs for it, its own start not counted."""
    script = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
    return float(run.stdout)
