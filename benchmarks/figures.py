"""What a benchmark results in, and how it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SLACK = 1.5
"""How far beyond its goal a figure may be before a run fails: machines in CI are noisy."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. Without a goal it is there for information."""

    name: str
    ours_ms: float
    peer_ms: float
    value: float
    unit: str
    goal: float | None = None

    @property
    def reached(self) -> bool:
        return self.goal is None or self.value <= self.goal

    @property
    def acceptable(self) -> bool:
        return self.goal is None or self.value <= self.goal * SLACK

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reached": self.reached}


def ratio(name: str, pairs: Sequence[tuple[float, float]], *, goal: float | None) -> Figure:
    """The figure of (ours, peer) samples in seconds, each pair taken back to back.

    Its value is the median of the pairs' ratios: whatever slows the machine for a while slows both.
    """
    return Figure(
        name,
        ours_ms=1000 * statistics.median(ours for ours, _ in pairs),
        peer_ms=1000 * statistics.median(peer for _, peer in pairs),
        value=statistics.median(ours / peer for ours, peer in pairs),
        unit="x",
        goal=goal,
    )


def side_by_side(name: str, pairs: Sequence[tuple[float, float]], *, goal: float | None) -> Figure:
    """The figure of (ours, peer) samples in seconds whose goal is a time of ours; the peer gives the scale."""
    ours_ms = 1000 * statistics.median(ours for ours, _ in pairs)
    peer_ms = 1000 * statistics.median(peer for _, peer in pairs)
    return Figure(name, ours_ms, peer_ms, value=ours_ms, unit="ms", goal=goal)


def table(figures: Sequence[Figure]) -> str:
    """The figures for people."""
    rows = [("", "ours", "peer", "figure", "goal", "")]
    for figure in figures:
        goal = "" if figure.goal is None else f"≤ {figure.goal:g} {figure.unit}"
        verdict = "" if figure.goal is None else "reached" if figure.reached else "MISSED"
        value = f"{figure.value:.2f} {figure.unit}"
        rows.append(
            (figure.name, f"{figure.ours_ms:.3f} ms", f"{figure.peer_ms:.3f} ms", value, goal, verdict)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
