"""The reference server keeps every promise of the documents, in all phases of Schemathesis.

`OPENHANDS_CONTRACT_EXAMPLES` sets the number of examples per operation, `OPENHANDS_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import os
import secrets

import pytest

from openhands_contract.drive import Settings, Target, drive
from openhands_contract.report import Report, Verdict, as_text
from openhands_contract.runner import Profile, judge
from openhands_reference_server import ReferenceServer


@pytest.fixture
def settings() -> Settings:
    seed = int(os.environ.get("OPENHANDS_TEST_SEED") or secrets.randbits(32))
    examples = int(os.environ.get("OPENHANDS_CONTRACT_EXAMPLES") or 50)
    print(f"Seed {seed}, {examples} examples per operation")
    return Settings(examples=examples, seed=seed)


def assert_conforms(report: Report) -> None:
    text = "\n".join(as_text(report))
    print(text)
    assert report.verdict is Verdict.CONFORMS, text


def test_the_app_server_conforms(settings: Settings) -> None:
    # Both generations in one run: links lead from one to the other.
    with ReferenceServer(max_concurrent_conversations=100_000) as server:
        assert_conforms(drive(Target("app-server", server.url), settings))


def test_the_agent_server_conforms(settings: Settings) -> None:
    with ReferenceServer() as server:
        ((report, _),) = judge(server.url, settings, profile=Profile.AGENT)
        assert report.url == server.agent_url
        assert_conforms(report)
