"""Judges the traffic that passes a proxy: each answer by itself, and all of them together.

What a single answer can break is known to the observers of the kit, what a conversation's history can to
`history.py`. Both name requirements of the catalogue, so the report reads like that of a run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from openhands_contract.catalogue import Profile, Requirement, catalogue
from openhands_contract.documents import Dialect
from openhands_contract.exchange import Exchange as Evidenced
from openhands_contract.observing import OBSERVERS, Observations, observe
from openhands_contract.outcome import Evidence, Outcome, Result
from openhands_contract.proxy.history import Contradiction, History, Rule
from openhands_contract.recording.redaction import Redaction
from openhands_contract.redaction import Redactor
from openhands_contract.reports import Report
from openhands_contract.traffic import Exchange, Fact, Headers

REQUIREMENTS: Mapping[Rule, str] = {
    Rule.IDS_RISE: "V0-EVENTS-01",
    Rule.EVENTS_STAY: "V0-EVENTS-22",
    Rule.V1_EVENTS_STAY: "AGENT-EVENTS-08",
    Rule.STAGES_FORWARD: "V1-START-03",
    Rule.READY_HAS_IDS: "V1-START-02",
    Rule.ERROR_HAS_DETAIL: "V1-START-04",
    Rule.DELETED_STAYS: "V0-DELETE-05",
    Rule.DELETED_NOT_LISTED: "V0-DELETE-03",
    Rule.TITLE_STAYS: "V0-UPDATE-01",
    Rule.IDS_ARE_NEW: "V0-CREATE-02",
    Rule.PAGES_DISJOINT: "V0-LIST-03",
    Rule.V1_PAGES_DISJOINT: "V1-SEARCH-03",
    Rule.LIVE_ONCE: "V0-LIVE-13",
    Rule.LIVE_ORDER: "V0-LIVE-13",
    Rule.LIVE_STORED: "V0-LIVE-14",
    Rule.V1_LIVE_ONCE: "AGENT-LIVE-07",
    Rule.V1_LIVE_STORED: "AGENT-LIVE-09",
}
_MOST_EVIDENCE = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A requirement that was seen to be broken."""

    requirement: Requirement
    complaint: str
    label: str


@dataclass
class Watch:
    """All that was seen of one server.

    Attributes:
        url: the server.
        dialect: what it is judged by.
    """

    url: str
    dialect: Dialect
    _observations: Observations = field(init=False)
    _history: History = field(init=False)
    _redaction: Redaction = field(default_factory=Redaction)
    _evidence: dict[str, list[Evidence]] = field(default_factory=dict)
    _started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    _clock: float = field(default_factory=time.monotonic)
    _unanswered: int = 0

    def __post_init__(self) -> None:
        self._observations = Observations(self.dialect)
        self._history = History(self.dialect)

    def take(self, fact: Fact) -> list[Found]:
        """Judge something that passed; returns what is wrong with it."""
        self._redaction.fact(fact)  # learns what must not be told
        found = list(self._contradictions(fact))
        if isinstance(fact, Exchange) and _is_described(fact):
            found += self._violations(fact)
        return [replace(one, complaint=self._redaction.text(one.complaint)) for one in found]

    def report(self) -> Report:
        """Everything that was found, as after a run."""
        results = list(self._results())
        judged = any(result.judged for result in results)
        notes = [f"{self._unanswered} requests got no answer from the server"] if self._unanswered else []
        return Report(
            url=self.url,
            dialect=self.dialect,
            profile=Profile.ALL,
            seed=0,
            examples=0,
            started=self._started,
            seconds=time.monotonic() - self._clock,
            results=results,
            could_not_run=None if judged else "nothing that could be judged came through the proxy",
            notes=notes,
            partial=True,
            redact=Redactor(self._redaction.secrets),
        )

    def _contradictions(self, fact: Fact) -> Iterator[Found]:
        for contradiction in self._history.take(fact):
            requirement = catalogue().get(REQUIREMENTS[contradiction.rule])
            if requirement is not None and self.dialect in requirement.dialects:
                self._keep(requirement, contradiction)
                exchange = contradiction.exchange
                label = f"{exchange.request.method} {exchange.request.path}" if exchange else "a live event"
                yield Found(requirement, contradiction.complaint, label)

    def _keep(self, requirement: Requirement, contradiction: Contradiction) -> None:
        kept = self._evidence.setdefault(requirement.id, [])
        if len(kept) < _MOST_EVIDENCE:
            exchange = contradiction.exchange
            evidenced = None if exchange is None else _evidenced(exchange, self.url)
            kept.append(
                Evidence(
                    expected=requirement.sentence,
                    found=contradiction.complaint,
                    request=evidenced.as_curl() if evidenced else "",
                    answer=evidenced.answer_text() if evidenced else "",
                )
            )

    def _violations(self, exchange: Exchange) -> Iterator[Found]:
        answer = exchange.answer
        if answer is None:
            self._unanswered += 1
            return
        if answer.broken or not answer.body.is_whole:
            return
        evidenced = _evidenced(exchange, self.url)
        self._observations.see(evidenced)
        for violation in observe(evidenced, self.dialect)[1]:
            requirement = catalogue()[violation.requirement]
            if self.dialect in requirement.dialects:
                label = f"{exchange.request.method} {exchange.request.path}"
                yield Found(requirement, violation.complaint, label)

    def _results(self) -> Iterator[Result]:
        seen = self._observations.evidence()
        by_rule = {name: rule for rule, name in REQUIREMENTS.items()}
        watched = {observer.requirement for observer in OBSERVERS} | by_rule.keys()
        for requirement in catalogue().values():
            if requirement.id not in watched or self.dialect not in requirement.dialects:
                continue
            evidence = (*seen.get(requirement.id, ()), *self._evidence.get(requirement.id, ()))
            looks = self._observations.looks[requirement.id]
            if requirement.id in by_rule:
                looks += self._history.looks.get(by_rule[requirement.id], 0)
            yield _result(requirement, evidence, looks)


def _result(requirement: Requirement, evidence: Iterable[Evidence], looks: int) -> Result:
    found = tuple(evidence)
    if found:
        return Result(requirement, Outcome.FAILED, evidence=found, judged=looks)
    if looks:
        return Result(requirement, Outcome.PASSED, judged=looks)
    return Result(requirement, Outcome.SKIPPED, "no such traffic was seen")


def _is_described(exchange: Exchange) -> bool:
    """Do the documents describe such answers? What Socket.IO and WebSockets say of themselves they do not."""
    is_handshake = exchange.request.header("Upgrade").lower() == "websocket"
    return not is_handshake and "/socket.io" not in exchange.request.path


def _evidenced(exchange: Exchange, url: str) -> Evidenced:
    """An exchange as the kit's observers look at it."""
    request, answer = exchange.request, exchange.answer
    origin = f"http://{request.header('Host')}" if request.header("Host") else url
    return Evidenced(
        server=exchange.server.value,
        method=request.method,
        url=origin + request.target,
        request_headers=_joined(request.headers),
        request_body=request.body.data,
        status=0 if answer is None else answer.status,
        headers={} if answer is None else _joined(answer.headers),
        body=b"" if answer is None else answer.body.data,
        seconds=exchange.seconds,
        failure=exchange.error or None,
    )


def _joined(headers: Headers) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        known = joined.get(name.lower())
        joined[name.lower()] = value if known is None else f"{known}, {value}"
    return joined
