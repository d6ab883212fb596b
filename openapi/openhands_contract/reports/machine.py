"""The report as JSON, for programs; `report.schema.json` beside this module describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openhands_contract.outcome import Evidence, Outcome, Result
from openhands_contract.reports import Report

FORMAT = 1
SCHEMA_PATH = Path(__file__).with_name("report.schema.json")


def write(report: Report, path: Path) -> None:
    """Write a report to a file."""
    text = json.dumps(as_data(report), ensure_ascii=False, indent=2)
    path.write_text(f"{text}\n", encoding="utf-8")


def as_data(report: Report) -> dict[str, Any]:
    """A report as plain values."""
    return {
        "format": FORMAT,
        "url": report.redact(report.url),
        "dialect": report.dialect,
        "profile": report.profile,
        "seed": report.seed,
        "examples": report.examples,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "verdict": report.verdict.name.lower(),
        "exit_code": int(report.verdict),
        "could_not_run": report.redact(report.could_not_run) if report.could_not_run else None,
        "notes": [report.redact(note) for note in report.notes],
        "counts": {outcome.value: report.counts[outcome] for outcome in Outcome},
        "results": [_result(report, result) for result in report.results],
    }


def _result(report: Report, result: Result) -> dict[str, Any]:
    requirement = result.requirement
    return {
        "id": requirement.id,
        "area": requirement.area.name,
        "level": requirement.level,
        "sentence": requirement.sentence,
        "source": requirement.source,
        "profiles": sorted(requirement.profiles),
        "outcome": result.outcome,
        "reason": report.redact(result.reason) or None,
        "seconds": round(result.seconds, 3),
        "judged": result.judged,
        "failures": [_failure(report, evidence) for evidence in result.evidence],
        "reproduce": report.redact(report.reproduce(result)),
    }


def _failure(report: Report, evidence: Evidence) -> dict[str, Any]:
    return {
        "operation": evidence.operation or None,
        "expected": report.redact(evidence.expected),
        "found": report.redact(evidence.found),
        "steps": [report.redact(step) for step in evidence.steps],
        "request": report.redact(evidence.request) or None,
        "answer": report.redact(evidence.answer) or None,
    }
