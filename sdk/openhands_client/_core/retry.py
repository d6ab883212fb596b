"""When a failed request may be sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from openhands_client.errors import APIConnectionError, APIStatusError, RateLimitError

from .commands import Flow
from .operation import Repeat
from .timing import Deadline

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

    def run(
        self, repeat: Repeat, attempt: Callable[[], Flow[T]], deadline: Deadline | None = None
    ) -> Flow[T]:
        """Play ``attempt`` until it succeeds, may not be repeated, or the tries or the time are used up."""
        from .attempts import play  # with tenacity, at the first request: imports should stay cheap

        return (yield from play(self, repeat, attempt, deadline))
