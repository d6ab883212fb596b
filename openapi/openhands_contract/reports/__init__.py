"""What a run found, and how it reads: on a terminal, as JUnit, as JSON and as one HTML page.

Reports travel, so every text passes through the run's redactor on its way out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from openhands_contract.catalogue import Profile
from openhands_contract.documents import Dialect
from openhands_contract.outcome import Outcome, Result, Verdict, overall
from openhands_contract.redaction import Redactor


@dataclass(frozen=True)
class Report:
    """One run.

    Attributes:
        started: ISO 8601, UTC.
        seconds: how long it took.
        could_not_run: why there are no results, when that is so.
        notes: what else the reader should know.
        partial: whether `--only` left requirements out.
    """

    url: str
    dialect: Dialect
    profile: Profile
    seed: int
    examples: int
    started: str
    seconds: float
    results: Sequence[Result] = ()
    could_not_run: str | None = None
    notes: Sequence[str] = ()
    partial: bool = False
    redact: Redactor = field(default_factory=Redactor, repr=False)

    @property
    def verdict(self) -> Verdict:
        return Verdict.COULD_NOT_RUN if self.could_not_run else overall(self.results)

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(result.outcome for result in self.results)

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if result.outcome is Outcome.FAILED]

    def reproduce(self, result: Result) -> str:
        """The command that judges this requirement again."""
        command = f"openhands-contract run {self.url} --dialect {self.dialect} --only {result.requirement.id}"
        return f"{command} --seed {self.seed} --examples {self.examples}"

    def conclusion(self) -> str:
        """The verdict in one sentence."""
        if self.could_not_run:
            return f"Could not run: {self.could_not_run}"
        counts = ", ".join(f"{number} {outcome}" for outcome in Outcome if (number := self.counts[outcome]))
        match self.verdict:
            case Verdict.CONFORMS:
                said = "Conforms"
            case Verdict.FAILED:
                said = "Does not conform"
            case Verdict.COULD_NOT_RUN:
                said = "Could not be judged completely"
        return f"{said}: {counts}."
