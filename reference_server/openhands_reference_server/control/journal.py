"""What a server was asked and what it answered, for tests that look back or wait for it.

A bounded memory: the oldest exchanges are forgotten, and of long bodies only the beginning is kept.
Nothing secret gets in (`redaction.py`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from openhands_reference_server.control import redaction
from openhands_reference_server.control.matching import Asked, Match
from openhands_reference_server.control.redaction import Pairs

MOST_EXCHANGES = 1000
MOST_CHARACTERS = 16 * 1024
_MOST_BYTES = 256 * 1024
_SWITCHING_PROTOCOLS = 101


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, or one stream.

    Attributes:
        id: counts the exchanges of a server.
        asked: server, protocol, method, path and operation.
        query: the query string, without secrets.
        headers: of the request, without secrets.
        body: of the request, as text, without secrets, cut off after 16,384 characters.
        started_at: when it came in, on the server's clock, in UTC.
        duration: seconds from there to the end of the answer, or of the stream; None while it goes on.
        status: what was sent; 101 for a WebSocket; None when nothing was.
        answer_headers: of the answer, without secrets.
        answer: its body, as that of the request.
        faults: the ids of the fault rules that hit it.
        events: how many events a WebSocket or Socket.IO client was sent.
    """

    id: int
    asked: Asked
    query: str
    headers: Pairs
    body: str
    started_at: datetime
    duration: float | None
    status: int | None
    answer_headers: Pairs
    answer: str
    faults: tuple[str, ...]
    events: int


class NotSeen(TimeoutError):
    """What was waited for has not come in time.

    Attributes:
        seen: the exchanges that matched until then.
    """

    def __init__(self, problem: str, seen: list[Exchange]) -> None:
        super().__init__(problem)
        self.seen = seen


class Recording:
    """An exchange while it happens. Safe to share between the threads of one connection.

    Args:
        journal: hears when it is answered, or over.
        number: its id.
        asked: what was asked.
        query: its query string.
        headers: its headers.
        started_at: when it came in.
    """

    def __init__(
        self, journal: Journal, number: int, asked: Asked, query: str, headers: Pairs, started_at: datetime
    ) -> None:
        self.asked = asked
        self._journal = journal
        self._number = number
        self._known = redaction.credentials(headers, query)
        self._query = redaction.query_string(query, self._known)
        self._headers = redaction.header_pairs(headers, self._known)
        self._content_type = dict(headers).get("Content-Type", "")
        self._started_at = started_at
        self._began = time.perf_counter()
        self._sent, self._received = bytearray(), bytearray()
        self._status: int | None = None
        self._answer_headers: Pairs = ()
        self._answer_type = ""
        self._faults: tuple[str, ...] = ()
        self._events = 0
        self._body = self._answer = ""
        self._duration: float | None = None

    @property
    def answered(self) -> bool:
        """The client has its answer, or its stream."""
        return self._duration is not None or self._status == _SWITCHING_PROTOCOLS

    def receive(self, data: bytes) -> None:
        """A part of the request's body was read."""
        self._received += data[: _MOST_BYTES - len(self._received)]

    def hit(self, rules: tuple[str, ...]) -> None:
        """Faults happen to it."""
        self._faults = rules

    def answer(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """The answer begins; what a web framework says behind a WebSocket is none."""
        if self._status == _SWITCHING_PROTOCOLS:
            return
        headers = tuple(headers)
        self._status = status
        self._answer_type = next((value for name, value in headers if name.lower() == "content-type"), "")
        self._answer_headers = redaction.header_pairs(headers, self._known)

    def send(self, data: bytes) -> None:
        """A part of the answer's body is sent."""
        self._sent += data[: _MOST_BYTES - len(self._sent)]

    def upgrade(self) -> None:
        """It is a WebSocket from here on."""
        self._status = _SWITCHING_PROTOCOLS
        self._journal.note()

    def send_event(self) -> None:
        """An event was sent over the stream."""
        self._events += 1

    def end(self) -> None:
        """Nothing more will come of it. May be called more than once."""
        if self._duration is not None:
            return
        self._body = self._kept(self._received, self._content_type)
        self._answer = self._kept(self._sent, self._answer_type)
        self._received, self._sent = bytearray(), bytearray()
        self._duration = time.perf_counter() - self._began
        self._journal.note()

    def exchange(self) -> Exchange:
        """As it stands."""
        return Exchange(
            id=self._number,
            asked=self.asked,
            query=self._query,
            headers=self._headers,
            body=self._body,
            started_at=self._started_at,
            duration=self._duration,
            status=self._status,
            answer_headers=self._answer_headers,
            answer=self._answer,
            faults=self._faults,
            events=self._events,
        )

    def _kept(self, data: bytearray, content_type: str) -> str:
        if not data:
            return ""
        whole = len(data) < _MOST_BYTES
        return redaction.content(bytes(data), content_type, self._known, whole=whole)[:MOST_CHARACTERS]


class Journal:
    """The exchanges of one server, oldest first. Safe to share between threads.

    Args:
        now: the time of the server.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._recordings: deque[Recording] = deque(maxlen=MOST_EXCHANGES)
        self._begun = 0
        self._closed = False

    def begin(self, asked: Asked, query: str, headers: Pairs) -> Recording:
        """A request has come in."""
        with self._changed:
            self._begun += 1
            recording = Recording(self, self._begun, asked, query, headers, self._now())
            self._recordings.append(recording)
            return recording

    def exchanges(self, match: Match | None = None, status: int | None = None) -> list[Exchange]:
        """All exchanges, or those that match; also those that still go on."""
        with self._changed:
            return [one.exchange() for one in self._matching(match, status)]

    def wait_for(
        self, match: Match | None = None, *, count: int = 1, timeout: float = 5.0, status: int | None = None
    ) -> list[Exchange]:
        """Wait until so many matching requests are answered; a WebSocket counts when it is open.

        Args:
            match: which requests; all by default.
            count: how many, at least.
            timeout: seconds.
            status: only those that were answered so.

        Raises:
            NotSeen: there are fewer when the time is up, or when the server ends.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._answered(match, status)) >= count, timeout
            )
            seen = [one.exchange() for one in self._answered(match, status)]
            if len(seen) >= count:
                return seen
            raise NotSeen(self._problem(len(seen), count, timeout), seen)

    def clear(self) -> None:
        """Forget all."""
        with self._changed:
            self._recordings.clear()

    def close(self) -> None:
        """The server ends: nobody needs to wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def note(self) -> None:
        """Something has changed that somebody may wait for."""
        with self._changed:
            self._changed.notify_all()

    def _matching(self, match: Match | None, status: int | None) -> list[Recording]:
        return [
            one
            for one in self._recordings
            if (match is None or match(one.asked)) and (status is None or one.exchange().status == status)
        ]

    def _answered(self, match: Match | None, status: int | None) -> list[Recording]:
        return [one for one in self._matching(match, status) if one.answered]

    def _problem(self, seen: int, wanted: int, timeout: float) -> str:
        latest = [f"{one.asked.method} {one.asked.path}" for one in list(self._recordings)[-5:]]
        others = f"the latest requests were {', '.join(latest)}" if latest else "there was no request at all"
        return f"{seen} of {wanted} matching requests after {timeout:g} seconds; {others}"
