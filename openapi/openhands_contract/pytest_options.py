"""Options of pytest that turn the requirements into tests: `pytest --pyargs openhands_contract --openhands-url URL`.

pytest loads this in every run, wherever this package is installed, so it imports nothing of the kit; what uses
the options is `test_conformance.py`, which is only collected when somebody asks for the package.
"""

from __future__ import annotations

import pytest

_ENVIRONMENT = (
    "OPENHANDS_API_KEY and OPENHANDS_SECOND_API_KEY in the environment do the same as the key options"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name the server, as the command `openhands-contract run` does."""
    group = parser.getgroup("openhands", f"OpenHands contract kit ({_ENVIRONMENT})")
    group.addoption("--openhands-url", metavar="URL", help="the app server to judge")
    group.addoption("--openhands-agent-url", metavar="URL", help="its agent server, if not where it says")
    group.addoption("--openhands-profile", default="all", metavar="PROFILE", help="v0, v1, agent or all")
    group.addoption("--openhands-dialect", default="docs", metavar="DIALECT", help="docs, openhands-1.0, …")
    group.addoption("--openhands-api-key", metavar="KEY", help="the key of the user")
    group.addoption("--openhands-second-api-key", metavar="KEY", help="the key of another user")
    group.addoption(
        "--openhands-examples", type=int, default=20, metavar="N", help="generated requests per operation"
    )
    group.addoption("--openhands-seed", type=int, metavar="N", help="repeat the random choices of a run")
    group.addoption(
        "--openhands-workers", type=int, default=4, metavar="N", help="areas checked at the same time"
    )
