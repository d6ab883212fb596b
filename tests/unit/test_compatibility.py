"""The compatibility layer says of real server lines what their own OpenAPI documents say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from openhands_client._core import operations as ops
from openhands_client._core.compat import ALTERNATIVES
from openhands_client._core.operation import EVERY_LINE, Operation
from openhands_contract.documents import DIALECTS, Dialect
from scripts.compatibility import reference_routes, shape

ROOT = Path(__file__).resolve().parent.parent.parent
ROUTES: dict[str, dict[str, list[str]]] = json.loads((ROOT / "tests/data/server_lines.json").read_text())
# The recorded document of line 1.0 leaves out what is beside conversations; this was seen on a running server.
SEEN_ON_1_0 = {
    "GET /api/options/models",
    "GET /api/options/agents",
    "GET /api/options/security-analyzers",
    "GET /api/secrets",
    "POST /api/secrets",
    "PUT /api/secrets/{}",
    "DELETE /api/secrets/{}",
    "GET /api/user/info",
    "GET /api/user/repositories",
}


@pytest.mark.parametrize("operation", ops.ALL, ids=lambda one: f"{one.server}.{one.name}")
def test_an_operation_is_where_it_says(operation: Operation[Any]) -> None:
    route = shape(str(operation))
    having = {line for line, servers in ROUTES.items() if route in servers[operation.server]}
    if route in SEEN_ON_1_0:
        having.add("1.0")
    assert having == operation.lines


@pytest.mark.parametrize("operation", ops.ALL, ids=lambda one: f"{one.server}.{one.name}")
def test_the_reference_server_plays_what_a_line_has(operation: Operation[Any]) -> None:
    played: dict[str, Dialect] = {"1.0": "openhands-1.0", "1.11": "openhands-1.11"}
    for line, dialect in played.items():
        served = shape(str(operation)) in reference_routes(operation.server, dialect)
        assert served == (line in operation.lines), dialect


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("server", ["app", "agent"])
def test_every_operation_of_a_dialect_is_one_of_the_sdk(
    server: Literal["app", "agent"], dialect: Dialect
) -> None:
    known = {shape(str(operation)) for operation in ops.ALL if operation.server == server}
    assert reference_routes(server, dialect) - known <= {"GET /ready"}


@pytest.mark.parametrize("purpose", ALTERNATIVES)
def test_alternatives_cover_every_line_newest_first(purpose: str) -> None:
    alternatives = ALTERNATIVES[purpose]
    assert frozenset().union(*(one.lines for one in alternatives)) == EVERY_LINE
    assert "1.11" in alternatives[0].lines


@pytest.mark.parametrize("script", ["compatibility", "reliability"])
def test_the_tables_are_up_to_date(script: str) -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / f"scripts/{script}.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}: run scripts/{script}.py"
