"""What one client knows: where its server is, how patient it is, and what that server turned out to offer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from .auth import Endpoint
from .retry import RetryPolicy
from .timing import SHORTEST_TIMEOUT, Deadline

Generation: TypeAlias = Literal["v0", "v1"]


@dataclass
class Offers:
    """What the server was seen to lack. Unknown until tried, then remembered."""

    v0: bool | None = None
    v1: bool | None = None
    stream_start: bool | None = None
    missing: set[tuple[str, object]] = field(default_factory=set)  # base URLs and operations; see compat

    def lack(self, generation: Generation) -> None:
        """Remember that the server has no such generation."""
        if generation == "v0":
            self.v0 = False
        else:
            self.v1 = False


@dataclass
class Session:
    """``timeout`` is the longest silence of a server in seconds; None waits for ever.

    No request is waited for, and none is repeated, beyond the ``deadline``.
    """

    endpoint: Endpoint
    timeout: float | None
    retry: RetryPolicy
    api: Literal["auto", "v1", "v0"] = "auto"
    offers: Offers = field(default_factory=Offers)
    clock: Callable[[], float] = time.monotonic
    luck: Callable[[], float] = random.random  # from 0 to 1
    deadline: Deadline | None = None

    def within(self, deadline: Deadline) -> Session:
        """The same session, for as long as the deadline allows."""
        return replace(self, deadline=deadline)

    @property
    def out_of_time(self) -> bool:
        """Whether nothing that is begun now can be finished before the deadline."""
        return self.deadline is not None and not self.deadline.leaves(SHORTEST_TIMEOUT)

    def cap(self, seconds: float) -> float:
        """So many seconds, but none beyond the deadline."""
        return seconds if self.deadline is None else self.deadline.cap(seconds)

    def jittered(self, seconds: float) -> float:
        """Between half of it and all: clients that lost the same server do not come back at the same moment."""
        return seconds * (0.5 + 0.5 * self.luck())

    def deadlines(self) -> list[Deadline]:
        """What ends the tries of a request that begins now."""
        budget = Deadline.after(self.clock, self.retry.budget)
        return [budget] if self.deadline is None else [budget, self.deadline]
