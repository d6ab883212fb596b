"""When a failed request is sent again. The waiting and counting is tenacity's, driven from inside a flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from openhands_client.errors import APIConnectionError, APIStatusError, OpenHandsError, RateLimitError

from .commands import Flow, sleep
from .operation import Repeat

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_retries`` further tries after the first, with exponential backoff and jitter.

    Waits start at ``initial`` and end at ``maximum`` seconds; a server's ``Retry-After`` is honoured up to
    ``longest_retry_after`` seconds, beyond which the error is raised at once.
    """

    max_retries: int = 2
    initial: float = 0.5
    maximum: float = 8.0
    longest_retry_after: float = 60.0

    def may_repeat(self, repeat: Repeat, failure: BaseException | None) -> bool:
        """Whether a request of this class may be sent again after this failure."""
        if isinstance(failure, APIStatusError) and (failure.retry_after or 0) > self.longest_retry_after:
            return False
        if isinstance(failure, RateLimitError):
            return True  # refused before it was handled
        if isinstance(failure, APIConnectionError):
            return repeat is Repeat.SAFE or not failure.request_sent
        if isinstance(failure, APIStatusError):
            return repeat is Repeat.SAFE and (failure.status_code == 408 or failure.status_code >= 500)
        return False

    def run(self, repeat: Repeat, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """Play ``attempt`` until it succeeds, may not be repeated, or the tries are used up."""
        controller = self._controller(repeat)
        state = tenacity.RetryCallState(controller, None, (), {})
        while True:
            action = controller.iter(state)
            if isinstance(action, tenacity.DoAttempt):
                try:
                    return (yield from attempt())
                except OpenHandsError as failure:
                    state.set_exception((type(failure), failure, failure.__traceback__))
            else:  # a DoSleep; when the tries are used up, iter() raises the last failure
                state.prepare_for_next_attempt()
                yield from sleep(float(action))

    def _controller(self, repeat: Repeat) -> tenacity.Retrying:
        controller = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.max_retries + 1),
            retry=tenacity.retry_if_exception(lambda failure: self.may_repeat(repeat, failure)),
            wait=self._wait,
            reraise=True,
        )
        controller.begin()
        return controller

    def _wait(self, state: tenacity.RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after if isinstance(failure, APIStatusError) else None
        backoff = tenacity.wait_exponential(self.initial, self.maximum) + tenacity.wait_random(
            0, self.initial
        )
        return max(backoff(state), asked or 0.0)
