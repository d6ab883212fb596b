"""A failure as plain text: what JUnit and pytest tell of it."""

from __future__ import annotations

from collections.abc import Iterator

from openhands_contract.outcome import Evidence, Result
from openhands_contract.reports import Report


def failure_text(report: Report, result: Result) -> str:
    """Everything that shows why a requirement failed, without keys."""
    requirement = result.requirement
    head = f"{requirement.id} ({requirement.level}, {requirement.source})\n{requirement.sentence}"
    parts = [evidence_text(report, evidence) for evidence in result.evidence]
    return "\n\n".join([report.redact(head), *parts, f"again: {report.redact(report.reproduce(result))}"])


def evidence_text(report: Report, evidence: Evidence) -> str:
    """One failure, without keys."""
    return report.redact("\n".join(_lines(evidence)))


def _lines(evidence: Evidence) -> Iterator[str]:
    yield f"expected: {evidence.expected}"
    if evidence.found:
        yield f"found: {evidence.found}"
    for request in (*evidence.steps, evidence.request):
        if request:
            yield f"$ {request}"
    if evidence.answer:
        yield evidence.answer
