"""The kit catches wrong servers, and says what is wrong: a few of them in each run, all with `make mutants`."""

from __future__ import annotations

import os
import random
import secrets
from fnmatch import fnmatchcase

import pytest

from openhands_contract.catalogue import catalogue
from tests.contract.mutants.scoring import MUTANTS, Mutant, needs_a_whole_run, verdict_on

_SAMPLE = 12
_SEED = int(os.environ.get("OPENHANDS_TEST_SEED") or 0)


def _due(mutant: Mutant) -> set[str]:
    return {name for name in catalogue() if any(fnmatchcase(name, one) for one in mutant.requirements)}


def _sample() -> list[str]:
    """Some of the mutants that checks of their own catch; the others take a whole run each."""
    quick = [name for name, mutant in MUTANTS.items() if not needs_a_whole_run(mutant)]
    return sorted(random.Random(_SEED).sample(quick, _SAMPLE))


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 60


@pytest.mark.parametrize("name", MUTANTS)
def test_each_breaks_a_requirement_there_is(name: str) -> None:
    assert _due(MUTANTS[name])


@pytest.mark.parametrize("name", _sample())
def test_a_wrong_server_is_caught(name: str) -> None:
    verdict = verdict_on(MUTANTS[name], secrets.randbits(16), wholly=False)
    assert verdict.named, f"{MUTANTS[name].sentence} Named: {verdict.accused} {verdict.other}"
