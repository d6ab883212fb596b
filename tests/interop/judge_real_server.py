"""Judges the real OpenHands 1.0 with the contract kit, and wants every failure explained.

Writes `.interop/contract-1.0.html` and `.json`. Ends with 1 when a requirement failed that
`docs/findings-openhands-1.0.md` does not name, with 2 when the server could not be judged.

    python -m tests.interop.judge_real_server [ID…]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from openhands_contract.catalogue import select
from openhands_contract.generating.drive import Settings
from openhands_contract.judging import judge
from openhands_contract.lab.site import Site
from openhands_contract.reports import machine, page, terminal
from tests.interop.conftest import HERE, INSTALLED, running

_FINDINGS = HERE.parent.parent / "docs" / "findings-openhands-1.0.md"
# One at a time: two sandboxes that start together take the same port. Few examples: the server is slow.
_SETTINGS = Settings(examples=3, seed=1, workers=1)
_TIMEOUT = 60.0


def main(only: Sequence[str]) -> int:
    """Judge, write the reports, and return the exit code."""
    with running("1.0") as url:
        site = Site(url, dialect="openhands-1.0", timeout=_TIMEOUT)
        report = judge(site, select(only=only), _SETTINGS, partial=bool(only))
    terminal.show(report, Console(width=140))
    INSTALLED.mkdir(exist_ok=True)
    page.write(report, INSTALLED / "contract-1.0.html")
    machine.write(report, INSTALLED / "contract-1.0.json")
    if report.could_not_run:
        return 2
    explained = _FINDINGS.read_text(encoding="utf-8")
    unexplained = [
        result.requirement.id for result in report.failures if result.requirement.id not in explained
    ]
    if unexplained:
        print(f"Not explained in {_FINDINGS.name}: {', '.join(unexplained)}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
