"""Waiting, without a clock of its own: backoff schedules and deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SHORTEST_TIMEOUT = 0.05  # seconds; a request right before the deadline still gets a chance


class Backoff(NamedTuple):
    """Growing delays in seconds: ``first``, then ``factor`` times longer each time, never over ``longest``."""

    first: float
    factor: float
    longest: float

    def delay(self, turn: int) -> float:
        """The delay before turn 0, 1, 2, …"""
        if turn > 64:  # long past the cap; spares the power an overflow
            return self.longest
        return min(self.longest, self.first * self.factor**turn)


class Deadline(NamedTuple):
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

    def leaves(self, seconds: float) -> bool:
        """Whether so many seconds are left."""
        return self.cap(seconds) >= seconds

    def timeout(self, seconds: float | None) -> float | None:
        """The timeout of a request that has so many seconds (None: as many as it takes)."""
        if self.moment is None:
            return seconds
        left = max(SHORTEST_TIMEOUT, self.moment - self.clock())
        return left if seconds is None else min(seconds, left)
