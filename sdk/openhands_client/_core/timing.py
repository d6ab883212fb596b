"""Waiting, without a clock of its own: backoff schedules and deadlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing delays in seconds: ``first``, then ``factor`` times longer each time, never over ``longest``."""

    first: float
    factor: float
    longest: float

    def delay(self, turn: int) -> float:
        """The delay before turn 0, 1, 2, …"""
        if turn > 64:  # long past the cap; spares the power an overflow
            return self.longest
        return min(self.longest, self.first * self.factor**turn)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on ``clock``; None for never."""

    clock: Callable[[], float]
    moment: float | None = None

    @classmethod
    def after(cls, clock: Callable[[], float], seconds: float | None) -> Deadline:
        return cls(clock, None if seconds is None else clock() + seconds)

    @property
    def passed(self) -> bool:
        return self.moment is not None and self.clock() >= self.moment

    def cap(self, seconds: float) -> float:
        """So many seconds, but none beyond the deadline."""
        return seconds if self.moment is None else max(0.0, min(seconds, self.moment - self.clock()))

    def remaining(self) -> float | None:
        """Seconds left; None when there is no end."""
        return None if self.moment is None else max(0.0, self.moment - self.clock())
