"""The report as one HTML page that needs nothing else: no script, no image, no style sheet from elsewhere."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from openhands_contract.outcome import Outcome
from openhands_contract.reports import Report


def write(report: Report, path: Path) -> None:
    """Write a report to a file."""
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["redacted"] = report.redact
    areas = [
        (area, list(results))
        for area, results in groupby(report.results, key=lambda one: one.requirement.area)
    ]
    return environment.get_template("page.html.jinja").render(
        report=report, areas=areas, outcomes=list(Outcome)
    )
