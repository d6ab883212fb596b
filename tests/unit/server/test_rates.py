"""How many requests an address may make."""

from __future__ import annotations

import pytest

from openhands_reference_server.users.rates import Rate, RateLimiter, Ruling


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/second", Rate(10, 1)), (" 100/minute ", Rate(100, 60)), ("5/hour", Rate(5, 3600))],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "10", "0/second", "-1/second", "10/day", "1.5/second", "10 / second"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 10/second"):
        Rate.parse(text)


def test_ten_at_once_ten_later_and_the_rest_not() -> None:
    now = [0.0]
    limiter = RateLimiter(Rate(10, 1), lambda: now[0])
    rulings = [limiter.admit("a") for _ in range(30)]
    assert rulings == [Ruling()] * 10 + [Ruling(delay=1.0)] * 10 + [Ruling(retry_after=1)] * 10
    assert limiter.admit("b") == Ruling()
    now[0] = 1.0
    assert limiter.admit("a") == Ruling()


def test_who_comes_back_when_told_to_is_served() -> None:
    now = [0.0]
    limiter = RateLimiter(Rate(1, 60), lambda: now[0])
    for moment in (0.0, 10.0, 20.0):
        now[0] = moment
        last = limiter.admit("a")
    assert last.retry_after is not None
    now[0] = 20.0 + last.retry_after
    assert limiter.admit("a").retry_after is None
