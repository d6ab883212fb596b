"""Requirements that any single exchange can break, whoever caused it.

An observer looks at each exchange that concerns it and says what is wrong with it. The kit shows them all that
its checks and Schemathesis do; the proxy shows them the traffic of real clients.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from openhands_contract.contract_document import Document, Operation, document
from openhands_contract.documents import Dialect
from openhands_contract.exchange import Exchange
from openhands_contract.outcome import Evidence

# Of one kind of violation, this many are kept as evidence.
_MOST_EVIDENCE = 3


@dataclass(frozen=True, slots=True)
class Sight:
    """An exchange, with what the documents say about it.

    Attributes:
        operation: the operation it is for; None when the document has none such.
        document: the document of the server that was asked.
    """

    exchange: Exchange
    operation: Operation | None
    document: Document


Complaint = str | None
Judge = Callable[[Sight], Complaint]
Concern = Callable[[Sight], bool]


@dataclass(frozen=True, slots=True)
class Observer:
    """What watches over one requirement."""

    requirement: str
    concerned: Concern
    judge: Judge


@dataclass(frozen=True, slots=True)
class Violation:
    """A requirement that an exchange breaks, and how."""

    requirement: str
    complaint: str
    sight: Sight


OBSERVERS: list[Observer] = []


def observes(requirement: str, *, when: Concern) -> Callable[[Judge], Judge]:
    """Register what watches over a requirement: it is asked about each exchange for which `when` holds."""

    def register(judge: Judge) -> Judge:
        OBSERVERS.append(Observer(requirement, when, judge))
        return judge

    return register


def sight_of(exchange: Exchange, dialect: Dialect) -> Sight:
    """An exchange with its operation."""
    described = document(exchange.server, dialect)
    return Sight(exchange, described.operation(exchange.method, exchange.path), described)


def undocumented(exchanges: Iterable[Exchange], dialect: Dialect) -> str | None:
    """What is wrong with the first of these answers that is not as its document describes; None when all are."""
    for exchange in exchanges:
        sight = sight_of(exchange, dialect)
        if sight.operation is not None and exchange.answered:
            complaints = sight.operation.complaints(sight.exchange)
            if complaints:
                return f"{sight.operation.id}: {complaints[0]}"
    return None


def observe(exchange: Exchange, dialect: Dialect) -> tuple[list[str], list[Violation]]:
    """Judge one exchange: the requirements it concerns, and those of them that it breaks."""
    from openhands_contract import checks  # the observers live there, and need this module

    checks.load_all()
    sight = sight_of(exchange, dialect)
    concerned, violations = [], []
    for observer in OBSERVERS:
        if observer.concerned(sight):
            concerned.append(observer.requirement)
            complaint = observer.judge(sight)
            if complaint:
                violations.append(Violation(observer.requirement, complaint, sight))
    return concerned, violations


@dataclass
class Observations:
    """All that was observed in a run; several threads tell it."""

    dialect: Dialect
    looks: Counter[str] = field(default_factory=Counter)
    _evidence: dict[str, dict[tuple[str, str], Evidence]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, exchange: Exchange) -> None:
        """Judge an exchange, and remember what is wrong with it."""
        concerned, violations = observe(exchange, self.dialect)
        with self._lock:
            self.looks.update(concerned)
            for violation in violations:
                self._keep(violation)

    def evidence(self) -> Mapping[str, tuple[Evidence, ...]]:
        """What was wrong, by requirement; of each operation and kind the first case."""
        with self._lock:
            return {name: tuple(kinds.values()) for name, kinds in self._evidence.items()}

    def _keep(self, violation: Violation) -> None:
        sight = violation.sight
        operation = sight.operation.id if sight.operation else ""
        label = operation or f"{sight.exchange.method} {sight.exchange.path}"
        kinds = self._evidence.setdefault(violation.requirement, {})
        same_operation = sum(1 for name, _ in kinds if name == operation)
        if same_operation >= _MOST_EVIDENCE:
            return
        kinds.setdefault(
            (operation, violation.complaint.partition(":")[0]),
            Evidence(
                expected=f"an answer of {label} that keeps the requirement",
                found=violation.complaint,
                request=sight.exchange.as_curl(),
                answer=sight.exchange.answer_text(),
                operation=operation,
            ),
        )
