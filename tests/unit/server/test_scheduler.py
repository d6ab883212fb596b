"""What happens later happens in order, on the clock's time, and not after the end."""

from __future__ import annotations

import math
import threading

import pytest

from openhands_reference_server.world.scheduler import ManualClock, Scheduler, SystemClock, advance


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scheduler(clock: ManualClock) -> Scheduler:
    scheduler = Scheduler(clock)
    scheduler.start()
    return scheduler


def test_steps_run_when_they_are_due_and_in_that_order(clock: ManualClock, scheduler: Scheduler) -> None:
    ran: list[str] = []
    for seconds, name in ((3, "c"), (1, "a"), (2, "b"), (1, "a2")):
        scheduler.after(seconds, lambda name=name: ran.append(name))
    assert scheduler.settle()
    assert ran == []
    clock.advance(1)
    assert scheduler.settle()
    assert ran == ["a", "a2"]
    clock.advance(10)
    assert scheduler.settle()
    assert ran == ["a", "a2", "b", "c"]
    scheduler.close()


def test_a_step_may_schedule_the_next(clock: ManualClock, scheduler: Scheduler) -> None:
    ran: list[float] = []

    def again() -> None:
        ran.append(clock.seconds())
        if len(ran) < 4:
            scheduler.after(1, again)

    scheduler.after(0, again)
    for _ in range(4):
        assert scheduler.settle()
        clock.advance(1)
    assert ran == [0, 1, 2, 3]
    scheduler.close()


def test_cancelled_steps_and_steps_of_never_do_not_run(clock: ManualClock, scheduler: Scheduler) -> None:
    ran: list[str] = []
    scheduler.after(1, lambda: ran.append("cancelled")).cancel()
    scheduler.after(math.inf, lambda: ran.append("never"))
    clock.advance(1e9)
    assert scheduler.settle()
    assert ran == []
    scheduler.close()


def test_a_step_that_fails_is_logged_and_the_rest_goes_on(
    clock: ManualClock, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    scheduler.after(0, lambda: 1 / 0)
    scheduler.after(0, lambda: ran.append("next"))
    assert scheduler.settle()
    assert ran == ["next"]
    assert "ZeroDivisionError" in caplog.text
    scheduler.close()


def test_closing_waits_for_the_step_in_progress_and_runs_nothing_more(
    clock: ManualClock, scheduler: Scheduler
) -> None:
    inside, go_on, ran = threading.Event(), threading.Event(), list[str]()

    def step() -> None:
        inside.set()
        go_on.wait(5)
        ran.append("whole")

    scheduler.after(0, step)
    scheduler.after(0, lambda: ran.append("later"))
    assert inside.wait(5)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    go_on.set()
    closing.join(5)
    assert ran == ["whole"]


def test_the_system_clock_needs_no_hand() -> None:
    scheduler = Scheduler(SystemClock())
    scheduler.start()
    done = threading.Event()
    scheduler.after(0.01, done.set)
    assert done.wait(5)
    scheduler.close()


def test_the_manual_clock_tells_the_time_of_day(clock: ManualClock) -> None:
    before = clock.now()
    clock.advance(90)
    assert (clock.now() - before).total_seconds() == 90


@pytest.mark.parametrize("make", [ManualClock, SystemClock])
def test_advancing_stops_at_every_step_on_the_way(make: type[ManualClock] | type[SystemClock]) -> None:
    clock = make()
    scheduler = Scheduler(clock)
    scheduler.start()
    began = clock.seconds()
    ran: list[tuple[str, int]] = []

    def again() -> None:
        ran.append(("again", round(clock.seconds() - began)))
        scheduler.after(100, again)

    scheduler.after(100, again)
    scheduler.after(250, lambda: ran.append(("once", round(clock.seconds() - began))))
    scheduler.after(50, lambda: ran.append(("never", 50))).cancel()
    before = clock.now()
    advance(clock, [scheduler], 350)
    assert ran == [("again", 100), ("again", 200), ("once", 250), ("again", 300)]
    assert 350 <= (clock.now() - before).total_seconds() < 355
    advance(clock, [scheduler], 60)
    assert ran[4:] == [("again", 400)]
    scheduler.close()
    advance(clock, [scheduler], 1000)
    assert len(ran) == 5, "after the end nothing happens"
