"""The requirements as tests, one each: `pytest --pyargs openhands_contract --openhands-url URL`.

The server is judged once, when the first test needs it, by exactly the requirements whose tests were selected
(`-k`, `--deselect`, a node id); then each test tells its verdict.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from openhands_contract.catalogue import Profile, Requirement, catalogue, select
from openhands_contract.documents import DIALECTS, Dialect
from openhands_contract.generating.drive import Settings
from openhands_contract.judging import judge
from openhands_contract.lab.site import Site
from openhands_contract.outcome import CannotRun, Outcome, Result
from openhands_contract.reports import Report
from openhands_contract.reports.plain import failure_text

_PARAMETER = "requirement_id"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each requirement of the profile."""
    if _PARAMETER not in metafunc.fixturenames:
        return
    try:
        profile = Profile(metafunc.config.getoption("--openhands-profile"))
    except ValueError as error:
        raise pytest.UsageError(f"--openhands-profile: {error}") from error
    metafunc.parametrize(_PARAMETER, [requirement.id for requirement in select(profile)])


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """The run, over the requirements whose tests were selected."""
    option = partial(_option, request.config)
    if not option("--openhands-url"):
        pytest.skip("there is no server to judge: --openhands-url")
    seed = option("--openhands-seed")
    settings = Settings(
        examples=option("--openhands-examples"),
        seed=secrets.randbits(32) if seed is None else seed,
        workers=option("--openhands-workers"),
    )
    found = judge(_site(request.config), _selected(request.session), settings)
    if found.could_not_run:
        pytest.exit(found.redact(found.conclusion()), returncode=pytest.ExitCode.INTERNAL_ERROR)
    return found


@pytest.fixture(scope="session")
def results(report: Report) -> Mapping[str, Result]:
    """The verdicts by requirement."""
    return {result.requirement.id: result for result in report.results}


def test_requirement(requirement_id: str, report: Report, results: Mapping[str, Result]) -> None:
    """Tell the verdict on one requirement."""
    result = results[requirement_id]
    match result.outcome:
        case Outcome.FAILED:
            pytest.fail(failure_text(report, result), pytrace=False)
        case Outcome.SKIPPED | Outcome.UNSUPPORTED:
            pytest.skip(report.redact(result.reason))
        case Outcome.NOT_REACHED | Outcome.ENGINE_ERROR:
            pytest.fail(report.redact(f"{result.outcome}: {result.reason}"), pytrace=False)
        case Outcome.PASSED:
            assert result.judged  # noqa: S101  # this is a test


def _option(config: pytest.Config, name: str) -> Any:
    """The value of an option; pytest knows its type, type checkers do not."""
    return config.getoption(name)


def _site(config: pytest.Config) -> Site:
    option = partial(_option, config)
    dialect: Dialect = option("--openhands-dialect")
    if dialect not in DIALECTS:
        raise pytest.UsageError(f"--openhands-dialect: choose one of {', '.join(DIALECTS)}")
    try:
        return Site(
            option("--openhands-url"),
            option("--openhands-agent-url"),
            Profile(option("--openhands-profile")),
            dialect,
            option("--openhands-api-key") or os.environ.get("OPENHANDS_API_KEY"),
            option("--openhands-second-api-key") or os.environ.get("OPENHANDS_SECOND_API_KEY"),
        )
    except CannotRun as error:
        raise pytest.UsageError(f"--openhands-url: {error}") from error


def _selected(session: pytest.Session) -> list[Requirement]:
    ids = {
        item.callspec.params.get(_PARAMETER)
        for item in session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    return [requirement for requirement in catalogue().values() if requirement.id in ids]
