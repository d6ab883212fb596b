"""Lets the kit judge mutants, and counts how many it catches and names rightly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from unittest.mock import patch

from openhands_contract.catalogue import Requirement, catalogue, select
from openhands_contract.checks import load_all
from openhands_contract.generating.drive import Settings
from openhands_contract.generating.generated import REQUIREMENTS as GENERATED
from openhands_contract.judging import judge
from openhands_contract.lab import Lab
from openhands_contract.lab.site import Site
from openhands_contract.outcome import Outcome
from openhands_contract.reports import Report
from tests.contract.mutants import (
    agent,
    asking,
    details,
    edges,
    http,
    listening,
    losing,
    traces,
    users,
    v0,
    v1,
)
from tests.contract.mutants.machinery import MUTANTS, Mutant, MutantServer

__all__ = ["MUTANTS", "Mutant", "Score", "Verdict", "needs_a_whole_run", "score"]

AREAS = (v0, v1, agent, asking, details, http, edges, traces, listening, losing, users)
CAUGHT, NAMED = 0.95, 0.90
_EXAMPLES = 5
# What takes longer does not happen; the reference server takes milliseconds.
_ANSWER_SECONDS = 5.0
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the kit said about a mutant.

    Attributes:
        accused: the requirements it says are broken.
        other: what it could not judge, for lack of anything better to say.
    """

    mutant: Mutant
    accused: tuple[str, ...]
    other: str = ""

    @property
    def caught(self) -> bool:
        return bool(self.accused)

    @property
    def named(self) -> bool:
        """Does it name what is wrong?"""
        return any(_matches(found, self.mutant) for found in self.accused)


@dataclass(frozen=True, slots=True)
class Score:
    """The verdicts on some mutants."""

    verdicts: Sequence[Verdict]

    @property
    def caught(self) -> float:
        return sum(verdict.caught for verdict in self.verdicts) / max(1, len(self.verdicts))

    @property
    def named(self) -> float:
        return sum(verdict.named for verdict in self.verdicts) / max(1, len(self.verdicts))

    def lines(self) -> Iterator[str]:
        """The score for people."""
        for verdict in self.verdicts:
            if not verdict.named:
                said = ", ".join(verdict.accused[:8]) or verdict.other or "nothing"
                wanted = ", ".join(verdict.mutant.requirements)
                mark = "misnamed" if verdict.caught else "MISSED"
                yield f"{mark:<8} {verdict.mutant.name}: {verdict.mutant.sentence} Named: {said}; due: {wanted}"
        yield f"{len(self.verdicts)} mutants: {self.caught:.1%} caught, {self.named:.1%} named rightly"


def score(mutants: Iterable[Mutant], seed: int, *, wholly: bool = True) -> Iterator[Verdict]:
    """Judge mutants one after the other.

    Args:
        wholly: let a whole run have its say about those that their own requirements do not catch.
    """
    for mutant in mutants:
        yield verdict_on(mutant, seed, wholly=wholly)


def verdict_on(mutant: Mutant, seed: int, *, wholly: bool = True) -> Verdict:
    """Judge a mutant by what it breaks; by everything else only when that shows nothing.

    What has checks of its own comes first: the rest needs a whole run to be seen.
    """
    broken = [one for one in _broken(mutant) if one.id not in GENERATED]
    rest = [one for one in select() if one not in broken or one.id not in load_all()]
    other = ""
    for requirements in (broken, rest if wholly else []):
        accused, other = _accused(mutant, requirements, seed) if requirements else ((), other)
        if accused:
            return Verdict(mutant, accused)
    return Verdict(mutant, (), other)


def needs_a_whole_run(mutant: Mutant) -> bool:
    """Is what it breaks only seen in passing, or by generated requests?"""
    return mutant.elsewhere or not any(one.id in load_all() for one in _broken(mutant))


def _broken(mutant: Mutant) -> list[Requirement]:
    return [one for one in catalogue().values() if _matches(one.id, mutant)]


def _accused(mutant: Mutant, requirements: Sequence[Requirement], seed: int) -> tuple[tuple[str, ...], str]:
    options: dict[str, Any] = {}
    key = second = None
    if mutant.protected:
        options["session_api_key"] = key = http.KEY
    elif mutant.two_users:
        options["users"], key, second = users.USERS, users.ONE, users.OTHER
    with (
        patch.multiple(Lab, patience=_PATIENCE, start_patience=_PATIENCE),
        MutantServer(mutant, **options) as server,
    ):
        site = Site(
            server.url, api_key=key, second_api_key=second, dialect=mutant.dialect, timeout=_ANSWER_SECONDS
        )
        report = judge(site, requirements, Settings(examples=_EXAMPLES, seed=seed, workers=4), partial=True)
    return _failed(report), report.could_not_run or ""


def _failed(report: Report) -> tuple[str, ...]:
    return tuple(result.requirement.id for result in report.results if result.outcome is Outcome.FAILED)


def _matches(requirement_id: str, mutant: Mutant) -> bool:
    return any(fnmatchcase(requirement_id, pattern) for pattern in mutant.requirements)
