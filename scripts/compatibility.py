"""Write docs/compatibility.md from the SDK's compatibility layer: ``python scripts/compatibility.py [--check]``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this script is run by its path

from openhands_client._core import operations as ops
from openhands_client._core.compat import ALTERNATIVES
from openhands_client._core.operation import Operation
from openhands_contract import documents
from scripts.documents import write_or_check

HEAD = """\
# Compatibility

<!-- Written by scripts/compatibility.py from sdk/openhands_client/_core/compat.py. Do not edit. -->

Two lines of OpenHands servers run in the world: **1.0** (app server 1.0.0 with agent server 1.5.2, V0 and V1) and
**1.11** (app server 1.11.0 with agent server 1.34.0, V1 only, some routes moved). The other columns are our
reference server in its dialects: `docs` does what the documents say, `openhands-1.0` and `openhands-1.11` play the
real lines. The SDK works with all of them: nobody has to say which one it is. The first answer to a route
tells whether the server has it, and is remembered by the client; an operation that a server has by no route raises
`UnsupportedOperationError` with the server's version and the route.

## The same thing by different routes

Newest first; an unknown newer server is asked by the newest known route.
"""


def main(arguments: list[str]) -> int:
    return write_or_check("compatibility.md", document(), arguments)


def document() -> str:
    sections = [HEAD, alternatives(), "## Operations of the app server\n", table("app")]
    return "\n".join([*sections, "## Operations of the agent server\n", table("agent")])


def alternatives() -> str:
    rows = ["| To… | routes |", "|---|---|"]
    for purpose, operations in ALTERNATIVES.items():
        rows.append(f"| {purpose} | {', '.join(f'`{one}` ({lines_of(one)})' for one in operations)} |")
    return "\n".join(rows) + "\n"


def lines_of(operation: Operation[Any]) -> str:
    return ", ".join(sorted(operation.lines, key=version)) or "none"


def version(line: str) -> tuple[int, ...]:
    return tuple(int(part) for part in line.split("."))


def table(server: Literal["app", "agent"]) -> str:
    served = [reference_routes(server, dialect) for dialect in documents.DIALECTS]
    columns = ["Operation", "1.0", "1.11", *(f"`{dialect}`" for dialect in documents.DIALECTS)]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for one in ops.ALL:
        if one.server == server:
            route = shape(str(one))
            marks = ["1.0" in one.lines, "1.11" in one.lines, *(route in routes for routes in served)]
            rows.append(f"| `{one}` | {' | '.join('yes' if mark else 'no' for mark in marks)} |")
    return "\n".join(rows) + "\n"


def reference_routes(server: Literal["app", "agent"], dialect: documents.Dialect) -> set[str]:
    name: documents.DocumentName = "app-server" if server == "app" else "agent-server"
    return {
        shape(f"{method.upper()} {path}")
        for path, item in documents.load(name, dialect)["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }


def shape(route: str) -> str:
    """A route without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", route)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
