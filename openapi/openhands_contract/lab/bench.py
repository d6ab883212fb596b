"""What a check works with: connections that remember what was said, and answers that can be held to something.

A check arranges, acts and asserts. What goes wrong while it arranges (`needs`, `arranging`) stops it as not
reached; what goes wrong when it asserts (`must`, `expect`) is the server's failure, with the requests that show it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from openhands_contract.exchange import Exchange
from openhands_contract.lab.wire import Query, Wire
from openhands_contract.outcome import Evidence, Failed, NotReached, Skipped, Stopped

if TYPE_CHECKING:
    from openhands_contract.lab import Lab
    from openhands_contract.lab.v0 import V0
    from openhands_contract.lab.v1 import V1

T = TypeVar("T")

_REMEMBERED = 40
_MOST_STEPS = 10
# No check makes as many things as would fill them.
_MOST_PAGES = 300
_FIRST_POLL = 0.01
_LONGEST_POLL = 0.5


@dataclass
class Trail:
    """The exchanges of one check, newest last."""

    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def evidence(
        self, expected: str, found: str = "", exchange: Exchange | None = None, operation: str = ""
    ) -> Evidence:
        """What the exchanges so far show; the decisive one is the newest unless another is named."""
        decisive = exchange or (self.exchanges[-1] if self.exchanges else None)
        before = [one for one in self.exchanges if one is not decisive and one.method != "GET"]
        return Evidence(
            expected=expected,
            found=found,
            request=decisive.as_curl() if decisive else "",
            answer=decisive.answer_text() if decisive else "",
            steps=tuple(one.as_curl() for one in before[-_MOST_STEPS:]),
            operation=operation,
        )


class Answer:
    """An exchange that a check holds to something."""

    def __init__(self, exchange: Exchange, trail: Trail) -> None:
        self.exchange = exchange
        self._trail = trail

    @property
    def status(self) -> int:
        return self.exchange.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.exchange.headers

    @property
    def content(self) -> bytes:
        return self.exchange.body

    @property
    def text(self) -> str:
        return self.exchange.text

    def must(self, *statuses: int) -> Answer:
        """Hold the answer to a status."""
        self._be_answered()
        if self.status not in statuses:
            self.fail(f"the status is {_any_of(statuses)}", f"{self.status}")
        return self

    def needs(self, *statuses: int) -> Answer:
        """Go on only with one of these statuses: the request prepares what is to be tested."""
        self._be_answered()
        if self.status not in statuses:
            said = f"{self.status} {self.text[:200]}".strip()
            raise NotReached(f"prerequisite: {self.exchange.method} {self.exchange.path} answered {said}")
        return self

    def expect(self, condition: object, expected: str, found: object = None) -> Answer:
        """Hold the answer to a condition, told in words."""
        if not condition:
            self.fail(expected, "" if found is None else _short(found))
        return self

    def fail(self, expected: str, found: str = "") -> NoReturn:
        """The answer is not what is required."""
        raise Failed(self._trail.evidence(expected, found, self.exchange))

    @property
    def json(self) -> Any:
        """The body; it must be JSON."""
        self._be_answered()
        try:
            return self.exchange.json()
        except ValueError:
            self.fail("the body is JSON", _short(self.text))

    def pick(self, *keys: str | int) -> Any:
        """A value in the body; it must be there."""
        value = self.json
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                self.fail(f"the body has {'/'.join(map(str, keys))}", _short(self.text))
        return value

    def next_page_id(self, seen: set[str]) -> str | None:
        """The `next_page_id` of a page, None on the last one; those that were seen before must not come again."""
        page_id: str | None = self.pick("next_page_id")
        if page_id is not None:
            self.expect(page_id not in seen, "each page id is handed out once", page_id)
            seen.add(page_id)
            self.expect(
                len(seen) <= _MOST_PAGES, f"there are no more than {_MOST_PAGES} pages, and a last one"
            )
        return page_id

    def has(self, **fields: Any) -> Answer:
        """Hold the body to the values of some of its fields."""
        for name, wanted in fields.items():
            found = self.pick(name)
            self.expect(found == wanted, f"{name} is {wanted!r}", f"{name} is {found!r}")
        return self

    def _be_answered(self) -> None:
        if not self.exchange.answered:
            raise NotReached(
                f"the server gave no answer to {self.exchange.method} {self.exchange.path}: {self.exchange.failure}"
            )


class Api:
    """One user's way to one server."""

    def __init__(self, wire: Wire, trail: Trail, prefix: str = "") -> None:
        self._wire = wire
        self._trail = trail
        self._prefix = prefix

    @property
    def origin(self) -> str:
        return self._wire.url

    @property
    def headers(self) -> Mapping[str, str]:
        return self._wire.headers

    def request(self, method: str, path: str, query: Query | None = None, **options: Any) -> Answer:
        """Send a request; options as in `Wire.send`."""
        exchange = self._wire.send(method, f"{self._prefix}{path}", query=query, **options)
        self._trail.exchanges.append(exchange)
        return Answer(exchange, self._trail)

    def get(self, path: str, query: Query | None = None, **options: Any) -> Answer:
        return self.request("GET", path, query, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("PUT", path, json=json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> Answer:
        return self.request("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)


class Bench:
    """All that one check has at hand. It is cleared after the check: what the check made is deleted."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.trail = Trail()
        self._undo: list[Callable[[], object]] = []

    @property
    def app(self) -> Api:
        """The app server, as the user whose key was given."""
        return Api(self.lab.wire(), self.trail)

    @property
    def nobody(self) -> Api:
        """The app server, without a key."""
        return Api(self.lab.wire(None), self.trail)

    def with_key(self, key: str) -> Api:
        """The app server, with some other key."""
        return Api(self.lab.wire(key), self.trail)

    @property
    def stranger(self) -> Api:
        """The app server, as the second user.

        Raises:
            Skipped: no key of a second user was given.
        """
        key = self.lab.site.second_api_key
        if not key:
            raise Skipped("needs the key of another user: --second-api-key")
        return self.with_key(key)

    @property
    def v0(self) -> V0:
        """Conversations of the first generation."""
        from openhands_contract.lab.v0 import V0

        return V0(self)

    @property
    def v1(self) -> V1:
        """Conversations of the second generation."""
        from openhands_contract.lab.v1 import V1

        return V1(self)

    def expect(self, condition: object, expected: str, found: object = None) -> None:
        """Hold the server to something that no single answer shows."""
        if not condition:
            raise Failed(self.trail.evidence(expected, "" if found is None else _short(found)))

    def until(self, probe: Callable[[], T | None], expected: str, *, within: float | None = None) -> T:
        """Ask again and again until the probe gives something, or fail: this was expected, and never came."""
        deadline = time.monotonic() + (within or self.lab.patience)
        pause = _FIRST_POLL
        while True:
            found = probe()
            if found is not None and found is not False:
                return found
            if time.monotonic() > deadline:
                raise Failed(self.trail.evidence(expected, f"not within {within or self.lab.patience:g} s"))
            self.lab.pause(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    @contextmanager
    def arranging(self, what: str) -> Iterator[None]:
        """Whatever fails in here is not what is being tested."""
        try:
            yield
        except Failed as failure:
            raise NotReached(f"prerequisite: {what}: {failure}") from failure

    def shared(self, name: str, make: Callable[[Bench], T]) -> T:
        """Something that is made once per run, when it is first needed, and kept to its end."""
        return self.lab.shared(name, make)

    def later(self, undo: Callable[[], object]) -> None:
        """Do this when the check has ended; newest first."""
        self._undo.append(undo)

    def clear(self) -> None:
        """Undo what the check has done, as far as that works; the ledger gets what remains."""
        while self._undo:
            try:
                self._undo.pop()()
            except Stopped:
                continue


def _any_of(statuses: Sequence[int]) -> str:
    return " or ".join(map(str, statuses))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]}…"
