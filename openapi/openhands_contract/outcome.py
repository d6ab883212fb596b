"""What can come of a requirement, and what a check says when it stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from openhands_contract.catalogue import Level, Requirement


class Outcome(StrEnum):
    """The one verdict on a requirement.

    Only `FAILED` accuses the server. `NOT_REACHED` says that what had to come first did not work or that the
    server stopped answering, `SKIPPED` that the run was not equipped for it or the server does not offer it,
    `UNSUPPORTED` that the requirement does not hold in the chosen dialect, `ENGINE_ERROR` that the kit itself
    broke.
    """

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"
    UNSUPPORTED = "unsupported"
    ENGINE_ERROR = "engine error"


class Verdict(IntEnum):
    """The outcome of a run, and the exit code of the command."""

    CONFORMS = 0
    FAILED = 1
    COULD_NOT_RUN = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a requirement failed.

    Attributes:
        expected: what should have been.
        found: what was instead, in words.
        request: the decisive request as a curl line, when there was one.
        answer: its answer.
        steps: the requests before it, as curl lines, in order.
        operation: the operation of the documents it is about, where known.
    """

    expected: str
    found: str = ""
    request: str = ""
    answer: str = ""
    steps: tuple[str, ...] = ()
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one requirement, and why.

    Attributes:
        reason: why it was not judged.
        evidence: the failures, at most a few of each kind.
        seconds: how long its checks took.
        judged: how many times it was tested: checks run, or answers looked at.
    """

    requirement: Requirement
    outcome: Outcome
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    seconds: float = 0.0
    judged: int = 0

    @property
    def accuses(self) -> bool:
        """Whether it makes the run fail."""
        return self.outcome is Outcome.FAILED and self.requirement.level is Level.MUST

    @property
    def unjudged(self) -> bool:
        """Whether something binding could not be judged."""
        missing = self.outcome in (Outcome.NOT_REACHED, Outcome.ENGINE_ERROR)
        return missing and self.requirement.level is Level.MUST


def overall(results: Sequence[Result]) -> Verdict:
    """The verdict on a run: what failed is a failure, whatever else could not be judged."""
    if any(result.accuses for result in results):
        return Verdict.FAILED
    nothing_judged = not any(result.outcome in (Outcome.PASSED, Outcome.FAILED) for result in results)
    if nothing_judged or any(result.unjudged for result in results):
        return Verdict.COULD_NOT_RUN
    return Verdict.CONFORMS


class Stopped(Exception):
    """A check ends here; the message says why."""


class Failed(Stopped):
    """The server does not do what is required.

    Attributes:
        evidence: what shows it.
    """

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(f"expected {evidence.expected}; found {evidence.found}")
        self.evidence = evidence


class NotReached(Stopped):
    """What had to come first did not work, so that the requirement could not be tested."""


class Skipped(Stopped):
    """The run is not equipped to test this, or the server does not offer it."""


class CannotRun(Exception):
    """There is nothing to judge; the message says why and what to try."""
