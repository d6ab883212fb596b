"""The retry policy as a value: what may be set in it, and that it is kept to."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import AsyncOpenHands, OpenHands, Repeat, Retry, RetryPolicy, errors
from openhands_client._core import operations as ops
from openhands_client._core.commands import Flow
from openhands_client._core.operation import Operation
from openhands_client._core.pipeline import call
from openhands_client._core.timing import Deadline
from tests.unit.sdk.playing import PATIENT, Clock, Player, Routes, Script, answer, session_on, text

INFO = answer({"title": "app"})
LOST = errors.APIConnectionError("reset")
UNSENT = errors.APIConnectionError("refused", request_sent=False)

both_clients = pytest.mark.parametrize("kind", [OpenHands, AsyncOpenHands])


def play(
    policy: RetryPolicy,
    *replies: Any,
    operation: Operation[Any] = ops.SERVER_INFO,
    deadline: float | None = None,
    **options: Any,
) -> tuple[Any, Player]:
    """The result or the failure of one operation, and what was done for it."""
    player = Player(Script(*replies))
    session = session_on(player.clock)
    session.retry = policy
    if deadline is not None:
        session = session.within(Deadline.after(player.clock, deadline))
    try:
        return player.play(call(session, operation, **options)), player
    except errors.OpenHandsError as failure:
        return failure, player


def test_only_the_statuses_that_are_named_are_repeated() -> None:
    policy = RetryPolicy(statuses={503})
    assert len(play(policy, text("", 500))[1].requests) == 1
    assert len(play(policy, text("", 429))[1].requests) == 1
    assert len(play(policy, text("", 503), INFO)[1].requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501, 505])
def test_a_refusal_is_not_repeated(status: int) -> None:
    assert len(play(RetryPolicy(), text("", status))[1].requests) == 1


def test_only_the_methods_that_are_named_are_repeated() -> None:
    policy = RetryPolicy(methods={"GET"})
    path = {"conversation_id": "c"}
    stop = {"operation": ops.STOP_CONVERSATION, "path": path}
    assert len(play(policy, UNSENT, **stop)[1].requests) == 1
    assert len(play(policy, UNSENT, INFO)[1].requests) == 2


def test_only_the_classes_that_are_named_are_repeated() -> None:
    never = RetryPolicy(classes=())
    assert len(play(never, LOST)[1].requests) == 1
    assert len(play(never, UNSENT, INFO)[1].requests) == 2  # it did not even leave
    assert len(play(RetryPolicy(classes={Repeat.SAFE}), LOST, INFO)[1].requests) == 2


def test_what_is_to_be_verified_is_not_repeated_where_nobody_verifies() -> None:
    body = {"operation": ops.AGENT_RUN_CONVERSATION, "path": {"conversation_id": "c"}, "body": {}}
    assert len(play(RetryPolicy(), LOST, **body)[1].requests) == 1


def test_the_hook_is_told_before_each_wait() -> None:
    told: list[Retry] = []
    policy = RetryPolicy(on_retry=told.append)
    _, player = play(policy, text("", 503), LOST, INFO)
    assert [one.attempt for one in told] == [1, 2]
    assert [one.sleep for one in told] == player.slept
    assert isinstance(told[0].reason, errors.ServerError)
    assert told[1].reason is LOST
    assert {one.operation for one in told} == {"GET /server_info"}


def test_the_hook_is_not_told_of_the_last_failure() -> None:
    told: list[Retry] = []
    play(RetryPolicy(max_retries=1, on_retry=told.append), LOST, LOST)
    assert len(told) == 1


def test_a_hook_that_fails_ends_the_request() -> None:
    def stop(retry: Retry) -> None:
        raise KeyError(retry.operation)

    with pytest.raises(KeyError):
        play(RetryPolicy(on_retry=stop), LOST)


@given(budget=st.floats(0.0, 20.0), retries=st.integers(0, 8))
@PATIENT
def test_no_try_begins_after_the_budget(budget: float, retries: int) -> None:
    policy = RetryPolicy(max_retries=retries, budget=budget)
    failure, player = play(policy, *[text("", 503)] * (retries + 1))
    assert isinstance(failure, errors.ServerError)
    assert sum(player.slept) <= budget + 1e-9


@given(seconds=st.floats(0.0, 20.0), asked=st.integers(0, 30))
@PATIENT
def test_a_wait_never_reaches_beyond_the_deadline(seconds: float, asked: int) -> None:
    refusals = [answer({}, 429, retry_after=str(asked))] * 9
    failure, player = play(RetryPolicy(max_retries=8), *refusals, deadline=seconds)
    assert isinstance(failure, errors.RateLimitError)
    assert sum(player.slept) <= seconds + 1e-9


@given(initial=st.floats(0.0, 5.0), maximum=st.floats(0.0, 5.0))
@PATIENT
def test_no_backoff_is_longer_than_the_longest(initial: float, maximum: float) -> None:
    policy = RetryPolicy(max_retries=6, initial=initial, maximum=maximum)
    _, player = play(policy, *[text("", 503)] * 7)
    assert len(player.slept) == 6
    assert max(player.slept) <= maximum


@pytest.mark.parametrize(
    "given",
    [
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"initial": -1.0},
        {"maximum": float("nan")},
        {"longest_retry_after": -0.1},
        {"budget": -1},
        {"methods": ["GET", "get"]},
    ],
    ids=repr,
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        RetryPolicy(**given)


def test_a_policy_is_a_value() -> None:
    policy = RetryPolicy(budget=30.0)
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - our own
    assert replace(policy, max_retries=5).budget == 30.0
    assert "budget=30.0" in repr(policy)


@both_clients
def test_a_client_takes_a_policy(kind: Any) -> None:
    policy = RetryPolicy(budget=30.0)
    client = kind("http://app.test", retry=policy)
    assert client.driver.session.retry is policy
    fewer = client.with_options(max_retries=0)
    assert fewer.driver.session.retry == RetryPolicy(max_retries=0, budget=30.0)
    other = kind("http://app.test", max_retries=7).with_options(retry=policy)
    assert other.driver.session.retry is policy
    assert client.with_options(retry=None).driver.session.retry == RetryPolicy()


# A server that takes ten requests a second, delays ten more, and refuses the rest


class Limited:
    """The rate limit of real servers, on a clock that stands still while nobody waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._arrived: list[float] = []

    def __call__(self, request: Any) -> Any:
        now = self._clock()
        recent = [moment for moment in self._arrived if now - moment < 1.0]
        self._arrived = [*recent, now]
        if len(recent) >= 20:
            return answer({"message": "Too many requests"}, 429, retry_after="1")
        if len(recent) >= 10:
            self._clock.advance(1.0)
        return INFO


def test_a_rate_limit_slows_down_and_loses_nothing() -> None:
    clock = Clock()
    player = Player(Routes({"GET /server_info": Limited(clock)}), clock)
    session = session_on(clock)
    for _ in range(100):
        assert player.play(call(session, ops.SERVER_INFO)).title == "app"


def test_a_burst_beyond_the_rate_limit_waits_as_it_is_told() -> None:
    clock = Clock()
    limited = Limited(clock)
    limited._arrived = [clock()] * 20
    player = Player(Routes({"GET /server_info": limited}), clock)
    assert player.play(call(session_on(clock), ops.SERVER_INFO)).title == "app"
    assert player.slept == [1.0]


# What is found out after a failure


def test_what_is_found_out_is_final() -> None:
    """A failure that whoever looked raises is not repeated, even if it is of a kind that would be."""

    def nothing_helps(failure: errors.OpenHandsError) -> Flow[None]:
        yield from ()
        raise failure

    for operation in (ops.SERVER_INFO, ops.AGENT_RUN_CONVERSATION):
        path = {"conversation_id": "c"}
        _, player = play(RetryPolicy(), LOST, operation=operation, path=path, settle=nothing_helps)
        assert len(player.requests) == 1


def test_what_certainly_did_nothing_is_not_looked_for() -> None:
    def never(failure: errors.OpenHandsError) -> Flow[None]:
        raise AssertionError(failure)

    run: dict[str, Any] = {"operation": ops.AGENT_RUN_CONVERSATION, "path": {"conversation_id": "c"}}
    done, player = play(RetryPolicy(), UNSENT, text("", 429), answer({}), **run, settle=never)
    assert done.success
    assert len(player.requests) == 3
