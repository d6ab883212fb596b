"""Plays the attempts of one request: tenacity counts, waits and gives up, from inside a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import tenacity

from openhands_client.errors import APIStatusError, OpenHandsError

from .commands import Flow, sleep

if TYPE_CHECKING:
    from .operation import Repeat
    from .retry import RetryPolicy
    from .timing import Deadline

T = TypeVar("T")


def play(
    policy: RetryPolicy, repeat: Repeat, attempt: Callable[[], Flow[T]], deadline: Deadline | None
) -> Flow[T]:
    """Try until it works, may not be repeated, or the tries or the time are used up; then raise the last failure."""

    def used_up(state: tenacity.RetryCallState) -> bool:
        out_of_time = deadline is not None and not deadline.leaves(state.upcoming_sleep)
        return out_of_time or state.attempt_number > policy.max_retries

    controller = tenacity.Retrying(
        stop=used_up,
        retry=tenacity.retry_if_exception(lambda failure: policy.may_repeat(repeat, failure)),
        wait=_Wait(policy),
        reraise=True,
    )
    controller.begin()
    state = tenacity.RetryCallState(controller, None, (), {})
    while True:
        action = controller.iter(state)
        if isinstance(action, tenacity.DoAttempt):
            try:
                return (yield from attempt())
            except OpenHandsError as failure:
                state.set_exception((type(failure), failure, failure.__traceback__))
        else:  # a DoSleep; when there is no further try, iter() raises instead
            state.prepare_for_next_attempt()
            yield from sleep(float(action))


class _Wait:
    """Exponential backoff with jitter, or what the server asked for if that is longer."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy

    def __call__(self, state: tenacity.RetryCallState) -> float:
        initial, maximum = self._policy.initial, self._policy.maximum
        backoff = tenacity.wait_exponential(initial, maximum) + tenacity.wait_random(0, initial)
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after if isinstance(failure, APIStatusError) else None
        return max(backoff(state), asked or 0.0)
