"""The reference server keeps every requirement of the catalogue, in every dialect it speaks.

`OPENHANDS_CONTRACT_EXAMPLES` sets the number of examples per operation, `OPENHANDS_TEST_SEED` repeats a run.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

import pytest
from rich.console import Console

from openhands_contract.catalogue import select
from openhands_contract.documents import Dialect
from openhands_contract.generating.drive import Settings
from openhands_contract.judging import judge
from openhands_contract.lab.site import Site
from openhands_contract.outcome import Outcome, Verdict
from openhands_contract.reports import Report, terminal
from openhands_reference_server import ReferenceServer

FEW = int(os.environ.get("OPENHANDS_CONTRACT_EXAMPLES") or 2)


def settings() -> Settings:
    seed = int(os.environ.get("OPENHANDS_TEST_SEED") or secrets.randbits(32))
    examples = int(os.environ.get("OPENHANDS_CONTRACT_EXAMPLES") or 10)
    print(f"Seed {seed}, {examples} examples per operation")
    return Settings(examples=examples, seed=seed, workers=4)


def assert_conforms(report: Report) -> None:
    terminal.show(report, Console(width=140))
    unjudged = [result for result in report.results if result.outcome is Outcome.NOT_REACHED]
    assert not unjudged
    assert report.verdict is Verdict.CONFORMS
    assert not report.failures


def test_it_keeps_every_requirement() -> None:
    with ReferenceServer() as server:
        assert_conforms(judge(Site(server.url), select(), settings()))


def test_it_keeps_users_apart() -> None:
    users = {"users": [{"id": "alice", "api_keys": ["alices-key"]}, {"id": "bob", "api_keys": ["bobs-key"]}]}
    with ReferenceServer(users=users, max_concurrent_conversations=1000) as server:
        site = Site(server.url, api_key="alices-key", second_api_key="bobs-key")
        assert_conforms(judge(site, select(only=["USERS-*", "ACCESS-*"]), settings()))


@pytest.mark.parametrize("dialect", ["openhands-1.0", "openhands-1.11"])
def test_a_dialect_keeps_what_its_document_says(dialect: Dialect) -> None:
    # A few random requests each: what a dialect does otherwise is tested row by row elsewhere.
    few, generated = replace(settings(), examples=FEW), select(only=["GEN-*", "*-DOCUMENT-*"])
    with ReferenceServer(dialect=dialect, max_concurrent_conversations=100_000) as server:
        assert_conforms(judge(Site(server.url, dialect=dialect), generated, few))
