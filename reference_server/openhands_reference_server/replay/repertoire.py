"""What a recording can answer: which recorded exchange or socket belongs to a request.

Requests are compared by server, method, path, query and body; what differs from run to run (secrets, the time
stamps of Socket.IO, the boundaries of multipart bodies) does not count. Equal requests get their answers in the
order in which they were recorded, and then the last one again. Clients may make ids themselves: a request that
differs from a recorded one only in the ids in its body is the same, and from then on its ids stand for those that
were recorded.
"""

from __future__ import annotations

import difflib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field

from openhands_contract.recording.files import Recording
from openhands_contract.recording.redaction import Redaction, levelled
from openhands_contract.traffic import Exchange, Frame, Request, Server, SocketOpened

_VOLATILE = frozenset({"t"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_LONGEST_LABEL = 300
_ID = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{8}(-?)[0-9a-f]{4}(?:\1[0-9a-f]{4}){2}\1[0-9a-f]{12}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class RecordedSocket:
    """A WebSocket as it was recorded."""

    opened: SocketOpened
    frames: tuple[Frame, ...]


Recorded = Exchange | RecordedSocket


class Repertoire:
    """Everything that was recorded, and how far it has been played; several threads ask.

    Attributes:
        ids: the ids that clients have made now, by those that stand in the recording; 32 hex digits each.
    """

    def __init__(self, recording: Recording) -> None:
        self._sequences: dict[Hashable, list[Recorded]] = defaultdict(list)
        self._alike: dict[Hashable, list[Hashable]] = defaultdict(list)
        self._played: dict[Hashable, int] = defaultdict(int)
        self.ids: dict[str, str] = {}
        self._redaction = Redaction()
        self._lock = threading.Lock()
        frames: dict[int, list[Frame]] = defaultdict(list)
        for fact in recording.facts:
            if isinstance(fact, Frame):
                frames[fact.socket].append(fact)
        found: list[Recorded] = []
        for fact in recording.facts:
            if isinstance(fact, Exchange):
                found.append(fact)
            elif isinstance(fact, SocketOpened):
                found.append(RecordedSocket(fact, tuple(frames[fact.number])))
        for recorded in sorted(found, key=_number):
            key = _key(*_asked(recorded))
            if key not in self._sequences:
                self._alike[_key(*_asked(recorded), any_id=True)].append(key)
            self._sequences[key].append(recorded)

    def next(self, server: Server, request: Request) -> tuple[Recorded | None, bool]:
        """What was recorded for a request, and whether it was not played before; None when nothing was."""
        with self._lock:
            asked = self._redaction.request(request)
            key = _key(server, asked)
            if key not in self._sequences:
                alike = self._alike.get(_key(server, asked, any_id=True))
                if not alike:
                    return None, False
                key = next((one for one in alike if not self._played[one]), alike[0])
                self._learn_ids(_asked(self._sequences[key][0])[1], asked)
            sequence = self._sequences[key]
            position = self._played[key]
            self._played[key] += 1
            return sequence[min(position, len(sequence) - 1)], position < len(sequence)

    def _learn_ids(self, recorded: Request, asked: Request) -> None:
        for before, now in zip(_ids_in(recorded), _ids_in(asked), strict=True):
            if before != now:
                self.ids = {**self.ids, before: now}

    def nearest(self, server: Server, request: Request) -> str:
        """The recorded request that is most like this one; empty when there is none."""
        with self._lock:
            wanted = _label(server, self._redaction.request(request))
        labels = {_label(*_asked(sequence[0])) for sequence in self._sequences.values()}
        found = difflib.get_close_matches(wanted, sorted(labels), n=1, cutoff=0.0)
        return found[0] if found else ""

    def writes(self) -> list[Exchange]:
        """The recorded requests that may have changed something, in their order."""
        exchanges = [
            recorded
            for sequence in self._sequences.values()
            for recorded in sequence
            if isinstance(recorded, Exchange) and recorded.request.method not in _SAFE
        ]
        return sorted(exchanges, key=_number)


@dataclass
class Pace:
    """Lets what a server says on its own (frames, long polls) wait for the requests that came before it.

    Attributes:
        patience: how long it waits for a request that does not come, in seconds; then never again for that one.
    """

    writes: list[Exchange]
    patience: float
    _made: set[int] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False

    def note(self, exchange: Exchange) -> None:
        """A recorded request has been made."""
        with self._changed:
            self._made.add(exchange.number)
            self._changed.notify_all()

    def wait_until(self, at: float, since: float = 0.0) -> None:
        """Wait until the requests that were made between two recorded times have been made again."""
        due = {exchange.number for exchange in self.writes if since <= exchange.at < at}
        with self._changed:
            self._changed.wait_for(lambda: self._over or due <= self._made, self.patience)
            self._made |= due

    def rest(self, seconds: float) -> None:
        """Wait for something to be asked that may change something, or the end."""
        with self._changed:
            if not self._over:
                self._changed.wait(seconds)

    def end(self) -> None:
        """Let everybody go."""
        with self._changed:
            self._over = True
            self._changed.notify_all()


def _number(recorded: Recorded) -> int:
    return recorded.number if isinstance(recorded, Exchange) else recorded.opened.number


def _asked(recorded: Recorded) -> tuple[Server, Request]:
    opened = recorded if isinstance(recorded, Exchange) else recorded.opened
    return opened.server, opened.request


def _ids_in(request: Request) -> list[str]:
    """The ids in the body of a request, in their order, without dashes."""
    compared = _comparable(request)
    found = _ID.finditer(compared) if isinstance(compared, str) else ()
    return [one.group().replace("-", "").lower() for one in found]


def _key(server: Server, request: Request, *, any_id: bool = False) -> Hashable:
    """What has to be equal for two requests to be the same; with `any_id`, whatever the ids in the body."""
    upgrades = request.header("Upgrade").lower() == "websocket"
    query = sorted((name, levelled(value)) for name, value in request.query if name not in _VOLATILE)
    path = levelled(request.decoded_path)
    body = _comparable(request)
    if any_id and isinstance(body, str):
        body = _ID.sub("id", body)
    return server, request.method, upgrades, path, tuple(query), body


def _comparable(request: Request) -> str | bytes:
    """A body without what differs from run to run."""
    data, kind = request.body.data, request.header("Content-Type")
    boundary = _BOUNDARY.search(kind)
    if boundary is not None:
        return data.replace(boundary.group(1).encode(), b"boundary")
    try:
        return levelled(json.dumps(json.loads(data), sort_keys=True))
    except ValueError:
        return data


def _label(server: Server, request: Request) -> str:
    """A redacted request in one line."""
    compared = _comparable(request)
    body = compared.decode("utf-8", "replace") if isinstance(compared, bytes) else compared
    return f"{request.method} {request.target} ({server}) {body}".strip()[:_LONGEST_LABEL]
