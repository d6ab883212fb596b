"""When a failed request may be sent again: a value to read, and to replace."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from openhands_client.errors import APIConnectionError, APIStatusError, APITimeoutError, ResponseFormatError

from .operation import Operation, Repeat

if TYPE_CHECKING:
    from openhands_client.errors import OpenHandsError

REPEATED_STATUSES = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530)
REPEATED_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REPEATED_CLASSES = (Repeat.SAFE, Repeat.VERIFY)
NOT_HANDLED = (425, 429)  # the server says so before it does anything
STILL_AT_IT = (408, 504, 522, 524)  # somebody lost patience, and that may be a gateway


class Retry(NamedTuple):
    """What ``on_retry`` is told before another try.

    ``attempt``    the number of the try that failed, from 1
    ``reason``     how it failed
    ``sleep``      seconds until the next try
    ``operation``  such as ``GET /api/conversations``
    """

    attempt: int
    reason: OpenHandsError
    sleep: float
    operation: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which requests are tried again, how often and when. Times are in seconds.

    max_retries          tries after the first
    initial, maximum     the first wait and the longest; they grow exponentially, with jitter
    longest_retry_after  a server's ``Retry-After`` is waited for up to this; beyond, its error is raised at once
    budget               no try begins later than this after the first one; None: only ``max_retries`` counts
    statuses             the answers that are worth another try
    methods              the HTTP methods that are
    classes              the kinds of operations that are: ``Repeat.SAFE``, and ``Repeat.VERIFY``, which are
                         repeated only when the server was seen not to have acted (docs/reliability.md)
    on_retry             called with a ``Retry`` before each wait; with the async client it may be a coroutine
                         function. What it raises ends the request

    What the server certainly did not handle (no connection, 429) is tried again whatever its class is. No wait
    reaches beyond the deadline of the call.
    """

    max_retries: int = 2
    initial: float = 0.5
    maximum: float = 8.0
    longest_retry_after: float = 60.0
    budget: float | None = None
    statuses: Collection[int] = REPEATED_STATUSES
    methods: Collection[str] = REPEATED_METHODS
    classes: Collection[Repeat] = REPEATED_CLASSES
    on_retry: Callable[[Retry], Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.max_retries, int) or self.max_retries < 0:
            raise ValueError(
                f"max_retries must be 0 or more, not {self.max_retries!r}; 0 sends each request once"
            )
        for name in ("initial", "maximum", "longest_retry_after", "budget"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must be 0 seconds or more, not {seconds!r}")
        if unknown := set(self.methods).difference(REPEATED_METHODS):
            raise ValueError(f"methods must be among {sorted(REPEATED_METHODS)}, not {sorted(unknown)}")

    def may_repeat(
        self, operation: Operation[Any], failure: BaseException | None, *, verified: bool = False
    ) -> bool:
        """Whether it may be tried again. ``verified``: it was seen that the server did not act."""
        if operation.method not in self.methods or not self._is_worth_it(failure):
            return False
        if certainly_not_handled(failure):
            return True
        repeat = operation.repeat
        return repeat in self.classes and (repeat is Repeat.SAFE or (repeat is Repeat.VERIFY and verified))

    def _is_worth_it(self, failure: BaseException | None) -> bool:
        if isinstance(failure, APIStatusError):
            asked_for = failure.retry_after or 0.0
            return failure.status_code in self.statuses and asked_for <= self.longest_retry_after
        return isinstance(failure, APIConnectionError)


def certainly_not_handled(failure: BaseException | None) -> bool:
    """Whether the request never reached the server, or was turned away before anything was done."""
    if isinstance(failure, APIConnectionError):
        return not failure.request_sent
    return isinstance(failure, APIStatusError) and failure.status_code in NOT_HANDLED


def leaves_open(failure: BaseException) -> bool:
    """Whether it is unknown if the server acted."""
    if isinstance(failure, APIStatusError):
        return failure.status_code == 408 or (failure.status_code >= 500 and failure.status_code != 501)
    if isinstance(failure, ResponseFormatError):
        return not failure.is_html  # a page comes from a server without such a route
    return isinstance(failure, APIConnectionError) and failure.request_sent


def may_still_act(failure: BaseException) -> bool:
    """Whether the server may act yet, after it was seen not to have acted so far."""
    if isinstance(failure, APIStatusError):
        return failure.status_code in STILL_AT_IT
    return isinstance(failure, APITimeoutError)
