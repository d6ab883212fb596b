"""What can go wrong on purpose, and when: effects, the rules they belong to, and who decides.

    from openhands_reference_server import Match, ReferenceServer
    from openhands_reference_server.control import faults

    with ReferenceServer() as server:
        server.add_fault(faults.Answer(503, retry_after=1), Match(method="GET", path="/api/**"), times=2)

Nothing here touches a socket: `Faults.decide` says for one request what is to happen to it, and
`http/injection.py`, `http/sockets.py` and `http/socketio_server.py` let it happen.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar, TypeAlias

from openhands_reference_server.control.matching import Asked, Match

_UNSENDABLE_CLOSE_CODES = (1004, 1005, 1006, 1015)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer instead of the handler, which never sees the request.

    Attributes:
        status: the HTTP status.
        body: the JSON document to answer with; None: `{"detail": …}` with the words of the status.
        text: answer with this text in place of a JSON document.
        headers: more headers; a `Content-Type` given here replaces the usual one.
        retry_after: what `Retry-After` says: seconds, or a date in the form of HTTP.
    """

    kind: ClassVar[str] = "answer"
    status: int = 503
    body: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None

    def __post_init__(self) -> None:
        _check(200 <= self.status <= 599, f"status must be 200..599, not {self.status}")
        _check(self.body is None or self.text is None, "body and text exclude each other")


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """Answer 200 with a web page, as a single-page app does for every path that it does not know."""

    kind: ClassVar[str] = "html_page"
    html: str = (
        '<!doctype html><html><head><title>OpenHands</title></head><body><div id="root"></div></body></html>'
    )


@dataclass(frozen=True, slots=True)
class Delay:
    """Let the client wait, in seconds, before the request is handled, or with the answer to it."""

    kind: ClassVar[str] = "delay"
    seconds: float
    after_handling: bool = False

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


@dataclass(frozen=True, slots=True)
class SlowHandshake:
    """Let who opens a stream (a WebSocket, or a session of Socket.IO) wait, in seconds."""

    kind: ClassVar[str] = "slow_handshake"
    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)


@dataclass(frozen=True, slots=True)
class ExpireTokens:
    """Before the request is looked at, let all access tokens expire that the server has given out."""

    kind: ClassVar[str] = "expire_tokens"


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without an answer.

    Attributes:
        handled: only after the request was handled: what it asked for has happened, and nobody is told.
        reset: with a reset (RST) in place of a regular end (FIN).
    """

    kind: ClassVar[str] = "drop"
    handled: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """Send the answer's head, with its true `Content-Length`, and only the first bytes of its body.

    Attributes:
        after: how many bytes of the body; None: half of them. It is never the whole body.
    """

    kind: ClassVar[str] = "truncate"
    after: int | None = None

    def __post_init__(self) -> None:
        _check(self.after is None or self.after >= 0, "after must not be negative")


@dataclass(frozen=True, slots=True)
class Stall:
    """Begin to answer, fall silent, and go on with the rest of the answer later.

    Attributes:
        after: how many bytes of the body come before the silence; 0: the head only.
        seconds: how long it lasts; infinite: until one side hangs up.
    """

    kind: ClassVar[str] = "stall"
    after: int = 0
    seconds: float = math.inf

    def __post_init__(self) -> None:
        _check(self.after >= 0, "after must not be negative")
        _check(self.seconds >= 0, "seconds must not be negative")


@dataclass(frozen=True, slots=True)
class MalformedJson:
    """Handle the request, and answer with something that begins like the answer and is no JSON."""

    kind: ClassVar[str] = "malformed_json"


@dataclass(frozen=True, slots=True)
class ResetAfterAnswer:
    """Answer as if the connection were kept alive, and reset it when the next request arrives on it."""

    kind: ClassVar[str] = "reset_after_answer"


@dataclass(frozen=True, slots=True)
class CloseWebSocket:
    """Close a WebSocket of the agent server.

    Attributes:
        after: how many events it carries before; 0: it is closed as soon as it is open.
        code: the close code; None: the connection ends without a close frame.
        reason: the text beside the code.
    """

    kind: ClassVar[str] = "close_websocket"
    after: int = 0
    code: int | None = 1011
    reason: str = ""

    def __post_init__(self) -> None:
        _check(self.after >= 0, "after must not be negative")
        _check(len(self.reason.encode()) <= 123, "reason must not be longer than 123 bytes")
        sendable = self.code is None or (1000 <= self.code <= 1014 or 3000 <= self.code <= 4999)
        _check(
            sendable and self.code not in _UNSENDABLE_CLOSE_CODES,
            f"{self.code} is no code that a close frame can carry; None ends the connection without one",
        )


@dataclass(frozen=True, slots=True)
class CloseSocketIO:
    """Close the transport of a Socket.IO client, without a goodbye of Socket.IO.

    A WebSocket just ends; who polls is told with the next poll, or finds that the session is over.

    Attributes:
        after: how many events it carries before; 0: it is closed as soon as the client is connected.
    """

    kind: ClassVar[str] = "close_socketio"
    after: int = 0

    def __post_init__(self) -> None:
        _check(self.after >= 0, "after must not be negative")


Effect: TypeAlias = (
    Answer
    | HtmlPage
    | Delay
    | SlowHandshake
    | ExpireTokens
    | Drop
    | Truncate
    | Stall
    | MalformedJson
    | ResetAfterAnswer
    | CloseWebSocket
    | CloseSocketIO
)

EFFECTS: dict[str, type[Effect]] = {
    one.kind: one
    for one in (
        Answer,
        HtmlPage,
        Delay,
        SlowHandshake,
        ExpireTokens,
        Drop,
        Truncate,
        Stall,
        MalformedJson,
        ResetAfterAnswer,
        CloseWebSocket,
        CloseSocketIO,
    )
}
"""All effects by their kind."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """An effect, the requests it is for, and how often it hit so far.

    Attributes:
        id: the name of the rule.
        effect: what happens.
        match: to which requests.
        skip: so many matching requests pass unharmed first.
        times: how often it hits at most; None: without end.
        probability: of each matching request, 0..1, to be hit.
        seed: of the random numbers for that; the same seed hits the same requests of a sequence.
        seen: how many requests have matched.
        hits: how many of them were hit.
    """

    id: str
    effect: Effect
    match: Match = field(default_factory=Match)
    skip: int = 0
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        _check(self.skip >= 0, "skip must not be negative")
        _check(self.times is None or self.times >= 1, "times must be 1 or more; None is without end")
        _check(0 <= self.probability <= 1, "probability must be 0..1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to happen to one request.

    Attributes:
        rules: the ids of the rules that hit it, in their order.
        delay_before: seconds until it is handled.
        delay_after: seconds from its handling to its answer.
        expire_tokens: all access tokens expire before it is looked at.
        effect: what happens in place of a plain answer.
    """

    rules: tuple[str, ...] = ()
    delay_before: float = 0.0
    delay_after: float = 0.0
    expire_tokens: bool = False
    effect: Effect | None = None


UNHARMED = Verdict()


class Faults:
    """The rules of one server. They are tried in the order in which they were added.

    Delays add up, and neither they nor an expiry keep later rules from being tried; of all other effects
    the first that hits is the one that happens. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[str, _Armed] = {}
        self._added = 0

    @property
    def armed(self) -> bool:
        """Is there any rule?"""
        return bool(self._armed)

    def add(
        self,
        effect: Effect,
        match: Match | None = None,
        *,
        skip: int = 0,
        times: int | None = None,
        probability: float = 1.0,
        seed: int = 0,
    ) -> FaultRule:
        """Add a rule; see `FaultRule` for the arguments.

        Raises:
            ValueError: one of them makes no sense.
        """
        with self._lock:
            rule_id = f"fault-{self._added + 1}"
            rule = FaultRule(
                rule_id, effect, match or Match(), skip=skip, times=times, probability=probability, seed=seed
            )
            self._added += 1
            self._armed[rule_id] = _Armed(rule)
            return rule

    def rules(self) -> list[FaultRule]:
        """All rules as they stand, in their order."""
        with self._lock:
            return [armed.rule for armed in self._armed.values()]

    def get(self, rule_id: str) -> FaultRule | None:
        """One rule as it stands."""
        with self._lock:
            armed = self._armed.get(rule_id)
            return None if armed is None else armed.rule

    def remove(self, rule_id: str) -> bool:
        """Remove a rule; says whether there was one."""
        with self._lock:
            return self._armed.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._armed.clear()

    def decide(self, asked: Asked) -> Verdict:
        """What is to happen to this request; the rules that hit it count it."""
        verdict = UNHARMED
        with self._lock:
            for armed in self._armed.values():
                if armed.strikes(asked):
                    verdict = _with(verdict, armed.rule)
                    if verdict.effect is not None:
                        break
        return verdict


class _Armed:
    """A rule, and what it remembers."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self._random = random.Random(rule.seed)  # noqa: S311  # to be repeated, not to keep a secret

    def strikes(self, asked: Asked) -> bool:
        rule = self.rule
        if not (applies(rule.effect, asked) and rule.match(asked)):
            return False
        hit = (
            rule.seen >= rule.skip
            and (rule.times is None or rule.hits < rule.times)
            and self._random.random() < rule.probability
        )
        self.rule = replace(rule, seen=rule.seen + 1, hits=rule.hits + hit)
        return hit


def applies(effect: Effect, asked: Asked) -> bool:
    """Can this happen to a request of this kind? What cannot does not count it either."""
    match effect:
        case CloseWebSocket():
            return asked.protocol == "websocket"
        case CloseSocketIO():
            return asked.protocol == "socketio" and asked.opens
        case SlowHandshake():
            return asked.opens
        case Answer() | HtmlPage() | ExpireTokens():
            return True
        case Delay(after_handling=late) | Drop(handled=late):
            return not (late and asked.upgrade)
        case Truncate() | Stall() | MalformedJson() | ResetAfterAnswer():
            return not asked.upgrade


def _with(verdict: Verdict, rule: FaultRule) -> Verdict:
    """The verdict, and what this rule adds to it."""
    verdict = replace(verdict, rules=(*verdict.rules, rule.id))
    match rule.effect:
        case Delay(seconds=seconds, after_handling=True):
            return replace(verdict, delay_after=verdict.delay_after + seconds)
        case Delay(seconds=seconds) | SlowHandshake(seconds=seconds):
            return replace(verdict, delay_before=verdict.delay_before + seconds)
        case ExpireTokens():
            return replace(verdict, expire_tokens=True)
        case effect:
            return replace(verdict, effect=effect)


def effect_from_json(document: Mapping[str, Any]) -> Effect:
    """Read an effect from JSON: its `kind` beside its attributes. `null` is as good as not given.

    Raises:
        ValueError: the attributes make no sense.
    """
    kind = EFFECTS[document["kind"]]
    names = {one.name for one in fields(kind)}
    given = {name: value for name, value in document.items() if name in names}
    if kind is CloseWebSocket and "code" in given:
        return CloseWebSocket(**given)  # there null has a meaning
    return kind(**{name: value for name, value in given.items() if value is not None})


def effect_to_json(effect: Effect) -> dict[str, Any]:
    """The same the other way; what has no end is null."""
    return {
        "kind": effect.kind,
        **{name: None if value == math.inf else value for name, value in asdict(effect).items()},
    }


def _check(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _check_seconds(seconds: float) -> None:
    _check(0 <= seconds < math.inf, f"seconds must be a number from 0 on, not {seconds}")
