"""What a contract run found, and how it reads: on a terminal and as JUnit XML.

Reports travel, so every text passes through a `Redactor` on its way out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from xml.etree import ElementTree

_REDACTED = "[redacted]"
_KEY_IN_JSON = re.compile(r'("(?:session_)?api_key\\?"\s*:\s*\\?")[^"\\]+')
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_LINE = 1000


class Verdict(IntEnum):
    """The outcome of a run, and the exit code of the command."""

    CONFORMS = 0
    FAILED = 1
    COULD_NOT_RUN = 2


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a document."""

    id: str
    method: str
    path: str

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Failure:
    """One way in which an operation does not keep its promise.

    Attributes:
        title: the check that failed, in words.
        message: what was expected and what came.
        answer: status and beginning of the body, if there was an answer.
        commands: curl lines that reproduce it, in order.
        phases: where it was seen: examples, coverage, fuzzing, stateful.
        times: how often it was seen.
    """

    title: str
    message: str
    answer: str
    commands: list[str]
    phases: set[str] = field(default_factory=set)
    times: int = 0


@dataclass(slots=True)
class OperationResult:
    """What was done with one operation, and what came of it."""

    operation: Operation
    requests: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, failure: Failure, phase: str) -> None:
        """Note a failure; the first of its kind is kept as the example."""
        known = self.failures.setdefault(failure.title, failure)
        known.phases.add(phase)
        known.times += 1


@dataclass(slots=True)
class Report:
    """What a run of one document against one server found.

    Attributes:
        errors: why parts of the document could not be judged; nothing is known about those.
    """

    document: str
    url: str
    seed: int
    examples: int
    results: list[OperationResult]
    errors: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        if any(result.failures for result in self.results):
            return Verdict.FAILED
        if self.errors or not self.results:
            return Verdict.COULD_NOT_RUN
        return Verdict.CONFORMS


class Redactor:
    """Removes keys from text: those that are known, and what looks like one in JSON."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [secret for secret in secrets if secret]

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return _KEY_IN_JSON.sub(rf"\1{_REDACTED}", text)


def as_text(report: Report) -> Iterator[str]:
    """The report for people, line by line."""
    yield (f"{report.document} at {report.url}: seed {report.seed}, {report.examples} examples per operation")
    width = max((len(result.operation.path) for result in report.results), default=0)
    for result in report.results:
        mark = "FAIL" if result.failures else "pass"
        operation = result.operation
        yield (
            f"  {mark}  {operation.method:<6} {operation.path:<{width}}  "
            f"{operation.id:<26} {result.requests:>5} requests"
        )
    for result in report.results:
        for failure in result.failures.values():
            yield ""
            yield from _failure_lines(result.operation, failure)
    for error in report.errors:
        yield ""
        yield f"ERROR {error}"
    yield ""
    yield _conclusion(report)


def _failure_lines(operation: Operation, failure: Failure) -> Iterator[str]:
    seen = f"{failure.times} times" if failure.times > 1 else "once"
    yield f"FAIL {operation.id}: {failure.title} ({', '.join(sorted(failure.phases))}; {seen})"
    for line in (*failure.message.splitlines(), *([failure.answer] if failure.answer else [])):
        if line.strip():
            yield f"  {_shortened(line)}"
    for command in failure.commands:
        yield f"  $ {command}"


def _conclusion(report: Report) -> str:
    failed = sum(1 for result in report.results if result.failures)
    requests = sum(result.requests for result in report.results)
    done = f"{report.document}: {len(report.results)} operations, {requests} requests"
    match report.verdict:
        case Verdict.CONFORMS:
            return f"{done}: conforms."
        case Verdict.FAILED:
            return f"{done}: {failed} failed. Repeat with --seed {report.seed}."
        case Verdict.COULD_NOT_RUN:
            return f"{done}: could not be judged completely. Repeat with --seed {report.seed}."


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def write_junit(reports: Iterable[Report], path: Path, redact: Redactor) -> None:
    """Write the reports as JUnit XML: a suite per document, a case per operation."""
    root = ElementTree.Element("testsuites")
    for report in reports:
        failed = sum(1 for result in report.results if result.failures)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=report.document,
            tests=str(len(report.results)),
            failures=str(failed),
            errors=str(len(report.errors)),
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("url", report.url), ("seed", report.seed), ("examples", report.examples)):
            ElementTree.SubElement(properties, "property", name=name, value=str(value))
        for result in report.results:
            case = ElementTree.SubElement(
                suite, "testcase", classname=report.document, name=result.operation.id
            )
            for failure in result.failures.values():
                text = "\n".join(_failure_lines(result.operation, failure))
                element = ElementTree.SubElement(case, "failure", message=_xml(redact(failure.title)))
                element.text = _xml(redact(text))
        for error in report.errors:
            case = ElementTree.SubElement(suite, "testcase", classname=report.document, name="run")
            ElementTree.SubElement(case, "error", message=_xml(redact(error)))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Write characters that XML cannot hold as escapes."""
    return _NOT_XML.sub(lambda match: ascii(match.group())[1:-1], text)
