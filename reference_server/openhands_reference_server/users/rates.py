"""How many requests one address may make: the habit of the real server, decided on the server's clock.

So many requests in a window are served at once, as many again a second later, and the rest not at all.
"""

from __future__ import annotations

import math
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour)")
DELAY = 1.0
"""Seconds that requests above the rate wait."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    requests: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `10/second`, `100/minute`, `5000/hour`.

        Raises:
            ValueError: it is none of these.
        """
        found = _RATE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no rate; write it as 10/second, 100/minute or 5000/hour")
        return cls(int(found[1]), _WINDOWS[found[2]])


@dataclass(frozen=True, slots=True)
class Ruling:
    """What happens to a request: served after a delay, or refused with the advice to come back later.

    Both in seconds; `retry_after` is None for a request that is served.
    """

    delay: float = 0.0
    retry_after: int | None = None


class RateLimiter:
    """Counts the requests of each address.

    Args:
        rate: how many are served at once.
        now: the time in seconds.
    """

    def __init__(self, rate: Rate, now: Callable[[], float]) -> None:
        self._rate = rate
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[str, deque[float]] = defaultdict(deque)

    def admit(self, address: str) -> Ruling:
        """Count a request and decide about it; one that is refused counts, too."""
        with self._lock:
            now, seen = self._now(), self._seen[address]
            while seen and seen[0] <= now - self._rate.seconds:
                seen.popleft()
            seen.append(now)
            count, most = len(seen), 2 * self._rate.requests
            room_at = seen[max(0, count - most)] + self._rate.seconds
        if count <= self._rate.requests:
            return Ruling()
        if count <= most:
            return Ruling(delay=DELAY)
        return Ruling(retry_after=max(1, math.ceil(room_at - now)))

    def forget(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._seen.clear()
