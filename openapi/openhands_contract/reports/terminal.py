"""The report for people at a terminal."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from openhands_contract.outcome import Evidence, Outcome, Result, Verdict
from openhands_contract.reports import Report

_STYLES = {
    Outcome.PASSED: ("pass", "green"),
    Outcome.FAILED: ("FAIL", "bold red"),
    Outcome.SKIPPED: ("skip", "yellow"),
    Outcome.NOT_REACHED: ("not reached", "magenta"),
    Outcome.UNSUPPORTED: ("n/a", "dim"),
    Outcome.ENGINE_ERROR: ("engine error", "bold magenta"),
}
_VERDICTS = {
    Verdict.CONFORMS: "bold green",
    Verdict.FAILED: "bold red",
    Verdict.COULD_NOT_RUN: "bold magenta",
}
_LONGEST_ANSWER = 12


def show(report: Report, console: Console) -> None:
    """Print a report."""
    if report.results:
        console.print(_table(report))
    for result in report.failures:
        console.print(_failure(report, result))
    for note in report.notes:
        console.print(Text(report.redact(f"Note: {note}"), style="yellow"))
    console.print(Text(report.redact(report.conclusion()), style=_VERDICTS[report.verdict]))
    if report.results:
        # What a proxy has seen came from others; there is nothing to repeat.
        again = f"; repeat with --seed {report.seed}" if report.examples else ""
        console.print(Text(f"{report.seconds:.1f} s, dialect {report.dialect}{again}", style="dim"))


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("Requirement", no_wrap=True)
    table.add_column("Level", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    table.add_column("Sentence or reason", overflow="fold")
    for area, results in groupby(report.results, key=lambda result: result.requirement.area):
        table.add_row(Text(area.title, style="bold"))
        for result in results:
            table.add_row(*_row(report, result))
    return table


def _row(report: Report, result: Result) -> list[RenderableType]:
    word, style = _STYLES[result.outcome]
    requirement = result.requirement
    told = result.reason or requirement.sentence
    return [f"  {requirement.id}", requirement.level, Text(word, style=style), Text(report.redact(told))]


def _failure(report: Report, result: Result) -> RenderableType:
    requirement = result.requirement
    head = Text.assemble(
        "\n",
        ("FAIL ", "bold red"),
        (requirement.id, "bold"),
        f" ({requirement.level}, {requirement.source})\n",
    )
    parts: list[RenderableType] = [head, Padding(Text(requirement.sentence), (0, 0, 0, 2))]
    parts += [Padding(_evidence(report, evidence), (1, 0, 0, 2)) for evidence in result.evidence]
    parts.append(
        Padding(Text(f"Again: {report.redact(report.reproduce(result))}", style="dim"), (1, 0, 0, 2))
    )
    return Group(*parts)


def _evidence(report: Report, evidence: Evidence) -> Text:
    text = Text()
    text.append(f"expected  {report.redact(evidence.expected)}\n")
    if evidence.found:
        text.append(f"found     {report.redact(evidence.found)}\n")
    for step in evidence.steps:
        text.append(f"$ {report.redact(step)}\n", style="dim")
    if evidence.request:
        text.append(f"$ {report.redact(evidence.request)}\n")
    if evidence.answer:
        for line in report.redact(evidence.answer).splitlines()[:_LONGEST_ANSWER]:
            text.append(f"  {line}\n", style="cyan")
    text.rstrip()
    return text
