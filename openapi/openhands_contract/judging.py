"""One run from the address to the report: connect, judge, tidy up, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from openhands_contract.catalogue import Requirement
from openhands_contract.executor import INTERRUPTED, Progress, execute
from openhands_contract.generating.drive import Settings
from openhands_contract.lab import Lab
from openhands_contract.lab.site import Site
from openhands_contract.outcome import CannotRun, NotReached, Outcome, Result
from openhands_contract.reports import Report


def judge(
    site: Site,
    requirements: Sequence[Requirement],
    settings: Settings,
    *,
    told: Progress = lambda result: None,
    partial: bool = False,
) -> Report:
    """Judge a server by these requirements, and leave nothing behind on it.

    Ctrl-C ends the run early: the report has what was judged until then, and the rest as not reached.

    Args:
        told: is called with each result as soon as it is final.
        partial: whether these are a selection, for the report.
    """
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    redact = site.redactor()
    results: Sequence[Result] = ()
    notes: list[str] = []
    reason: str | None = None
    try:
        lab = Lab(site)
    except CannotRun as obstacle:
        reason = str(obstacle)
    except KeyboardInterrupt:
        reason = INTERRUPTED
    else:
        redact = lab.redact
        try:
            results = execute(lab, requirements, settings, told)
        finally:
            notes = _tidied(lab)
    return Report(
        url=site.url,
        dialect=site.dialect,
        profile=site.profile,
        seed=settings.seed,
        examples=settings.examples,
        started=started,
        seconds=time.monotonic() - clock,
        results=results,
        could_not_run=reason or _no_verdict(results),
        notes=notes,
        partial=partial,
        redact=redact,
    )


def _no_verdict(results: Sequence[Result]) -> str | None:
    """Why a run that began has nothing to say, when that is so."""
    if any(result.outcome in (Outcome.PASSED, Outcome.FAILED) for result in results):
        return None
    reasons = [result.reason for result in results if result.outcome is Outcome.NOT_REACHED]
    return reasons[0] if reasons else None


def _tidied(lab: Lab) -> list[str]:
    try:
        left = lab.tidy()
    except (KeyboardInterrupt, NotReached):
        left = lab.ledger.left()
    finally:
        lab.close()
    notes = list(lab.remarks)
    if left:
        notes.append(f"{left} things that the run has made could not be deleted from the server")
    if lab.gone:
        notes.append(lab.gone)
    if lab.traffic.pacer.refusals:
        notes.append(
            f"the server refused {lab.traffic.pacer.refusals} requests with 429; the run went slower"
        )
    if lab.interrupted:
        notes.append(INTERRUPTED)
    return notes
