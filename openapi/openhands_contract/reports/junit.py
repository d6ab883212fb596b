"""The report as JUnit XML: a suite per area, a case per requirement."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

from openhands_contract.outcome import Outcome, Result
from openhands_contract.reports import Report
from openhands_contract.reports.plain import evidence_text

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNJUDGED = (Outcome.SKIPPED, Outcome.UNSUPPORTED)
_ERRORS = (Outcome.NOT_REACHED, Outcome.ENGINE_ERROR)


def write(report: Report, path: Path) -> None:
    """Write a report to a file."""
    root = ElementTree.Element("testsuites", name="openhands-contract", time=f"{report.seconds:.3f}")
    for area, group in groupby(report.results, key=lambda result: result.requirement.area):
        results = list(group)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=area.name,
            tests=str(len(results)),
            failures=_number(results, Outcome.FAILED),
            errors=_number(results, *_ERRORS),
            skipped=_number(results, *_UNJUDGED),
            time=f"{sum(result.seconds for result in results):.3f}",
        )
        _properties(suite, report)
        for result in results:
            _case(suite, report, result)
    if report.could_not_run:
        suite = ElementTree.SubElement(root, "testsuite", name="run", tests="1", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname="openhands-contract", name="run")
        ElementTree.SubElement(case, "error", message=_clean(report, report.could_not_run))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _number(results: list[Result], *outcomes: Outcome) -> str:
    return str(sum(1 for result in results if result.outcome in outcomes))


def _properties(suite: ElementTree.Element, report: Report) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    facts = {
        "url": report.redact(report.url),
        "dialect": report.dialect,
        "profile": report.profile,
        "seed": report.seed,
        "examples": report.examples,
    }
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=str(value))


def _case(suite: ElementTree.Element, report: Report, result: Result) -> None:
    requirement = result.requirement
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"openhands_contract.{requirement.area.name}",
        name=requirement.id,
        time=f"{result.seconds:.3f}",
    )
    match result.outcome:
        case Outcome.FAILED:
            for evidence in result.evidence:
                message = _clean(report, requirement.sentence)
                failure = ElementTree.SubElement(case, "failure", message=message, type=requirement.level)
                failure.text = _clean(report, evidence_text(report, evidence))
        case Outcome.SKIPPED | Outcome.UNSUPPORTED:
            ElementTree.SubElement(case, "skipped", message=_clean(report, result.reason))
        case Outcome.NOT_REACHED | Outcome.ENGINE_ERROR:
            message = _clean(report, f"{result.outcome}: {result.reason}")
            ElementTree.SubElement(case, "error", message=message, type=result.outcome)
        case Outcome.PASSED:
            return


def _clean(report: Report, text: str) -> str:
    """Without keys, and with characters that XML cannot hold as escapes."""
    return _NOT_XML.sub(lambda match: ascii(match.group())[1:-1], report.redact(text))
