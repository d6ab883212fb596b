"""One thread for everything that happens later, on a clock that tests can turn.

Start tasks and agents never sleep: they say in how many seconds their next step is due, and the
scheduler runs it then. Steps run one after another, in the order they are due.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

_logger = logging.getLogger(__name__)


class Clock(Protocol):
    """Tells the time; `seconds` never goes back, `now` may."""

    def seconds(self) -> float:
        """Seconds since some moment in the past."""
        ...

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def patience(self, due: float) -> float | None:
        """How long to sleep for something due then; None: until somebody turns the clock."""
        ...

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call this when the clock was turned."""
        ...

    def turn_to(self, seconds: float) -> None:
        """Turn the clock forward, if need be, until `seconds` is this."""
        ...


class SystemClock:
    """The clock on the wall, and as far ahead of it as it was turned."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._listeners: list[Callable[[], None]] = []

    def seconds(self) -> float:
        """`time.monotonic`, and what it was turned."""
        return time.monotonic() + self.ahead

    def now(self) -> datetime:
        """The present time, and what it was turned."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def patience(self, due: float) -> float | None:
        """The seconds until then."""
        return max(0.0, due - self.seconds())

    def on_change(self, wake: Callable[[], None]) -> None:
        """Remember whom to wake."""
        self._listeners.append(wake)

    def turn_to(self, seconds: float) -> None:
        """Run ahead of the wall."""
        self.ahead = max(self.ahead, seconds - time.monotonic())
        for wake in self._listeners:
            wake()


class ManualClock:
    """A clock that stands still until `advance`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._listeners: list[Callable[[], None]] = []

    def seconds(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def now(self) -> datetime:
        """The start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def patience(self, due: float) -> float | None:
        """Nothing becomes due by waiting."""
        return None if due > self._elapsed else 0.0

    def on_change(self, wake: Callable[[], None]) -> None:
        """Remember whom to wake."""
        self._listeners.append(wake)

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        self.turn_to(self._elapsed + seconds)

    def turn_to(self, seconds: float) -> None:
        """Turn the clock forward."""
        self._elapsed = max(self._elapsed, seconds)
        for wake in self._listeners:
            wake()


@dataclass(order=True)
class Step:
    """Something that will be run; `cancel` it to let it be."""

    due: float
    order: int
    run: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Do not run it. One that runs already is not interrupted."""
        self.cancelled = True


class Scheduler:
    """Runs steps when they are due, on one daemon thread that lives from `start` to `close`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: list[Step] = []
        self._order = 0
        self._running = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="openhands-scheduler", daemon=True)
        clock.on_change(self._wake)

    def start(self) -> None:
        """Begin to run what is due."""
        self._thread.start()

    def after(self, seconds: float, run: Callable[[], None]) -> Step:
        """Run this in so many seconds; `math.inf` means never."""
        with self._changed:
            self._order += 1
            step = Step(self._clock.seconds() + seconds, self._order, run)
            if not math.isinf(step.due):
                heapq.heappush(self._steps, step)
                self._changed.notify_all()
            return step

    def next_due(self) -> float:
        """When the next step is due, on the clock; never: infinite."""
        with self._changed:
            while self._steps and self._steps[0].cancelled:
                heapq.heappop(self._steps)
            return self._steps[0].due if self._steps and not self._closed else math.inf

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until nothing is due and nothing runs; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(self._is_settled, timeout)

    def close(self) -> None:
        """Run nothing more; returns when the step in progress, if any, has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _is_settled(self) -> bool:
        return self._closed or (not self._running and not self._is_due())

    def _is_due(self) -> bool:
        return bool(self._steps) and self._steps[0].due <= self._clock.seconds()

    def _loop(self) -> None:
        while (step := self._next()) is not None:
            if not step.cancelled:
                try:
                    step.run()
                except Exception:
                    _logger.exception("a scheduled step failed")

    def _next(self) -> Step | None:
        with self._changed:
            self._running = False
            self._changed.notify_all()
            while not self._closed:
                if self._is_due():
                    self._running = True
                    return heapq.heappop(self._steps)
                self._changed.wait(self._clock.patience(self._steps[0].due) if self._steps else None)
            return None


def advance(clock: Clock, schedulers: Sequence[Scheduler], seconds: float) -> None:
    """Turn a clock forward, with a stop at every step that is due on the way.

    So each step runs at its own time, and what it puts off for later, within what is left, runs too.
    Returns when all these steps have run.

    Args:
        clock: the clock of all schedulers.
        schedulers: what happens later.
        seconds: how far.
    """
    target = clock.seconds() + seconds
    while (due := min(one.next_due() for one in schedulers)) <= target:
        clock.turn_to(due)
        _settle(schedulers)
    clock.turn_to(target)
    _settle(schedulers)


def _settle(schedulers: Sequence[Scheduler]) -> None:
    for one in schedulers:
        one.settle()
