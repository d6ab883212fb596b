"""Drives Schemathesis over one document against one server, and turns what it saw into a report.

All phases run: the documents' examples, systematic coverage of each schema, fuzzing, and stateful sequences
along the links. This is the only module that knows Schemathesis's engine.

Hypothesis, which chooses the random requests, stops early and silently when the same choices lead to another
outcome, as they do on a server whose state changes. So the numbers are checked afterwards, and what is missing
is made up for with the next seeds.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
import schemathesis
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import CheckFailureInfo, ScenarioRecorder
from schemathesis.openapi.checks import EnsureResourceAvailability

from openhands_contract.contract_document import METHODS
from openhands_contract.documents import Dialect, DocumentName, load
from openhands_contract.generating.opaque import only_values_from_the_server
from openhands_contract.generating.recordings import teach_recordings
from openhands_contract.generating.watching import Watcher, watched
from openhands_contract.shortening import shortened, shortened_body, shortened_command

_SINGLE_PHASES = ("examples", "coverage", "fuzzing")
_SEQUENCES = ("stateful",)
_PHASES = (*_SINGLE_PHASES, *_SEQUENCES)
# How often what ended early is begun again at most.
_MOST_PASSES = 100
_LONGEST_ANSWER = 300
# What these make is there when the task they answer with is READY.
_STARTS = frozenset({"POST /api/v1/app-conversations", "POST /api/v1/app-conversations/stream-start"})
# How often a known id is used where any would do; the rest goes to ids that do not exist.
_KNOWN_ID_SHARE = 0.8
_KEPT_BY_NOBODY = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How thorough a run is.

    Attributes:
        examples: random requests per operation, and random sequences.
        seed: where all randomness comes from.
        workers: requests at the same time.
    """

    examples: int
    seed: int
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Target:
    """What is judged.

    Attributes:
        document: the promise.
        url: the server that made it.
        headers: sent with each request, such as keys.
        dialect: in whose words the promise was made.
        tags: the operations to judge; all when empty.
        without: operations that are left alone.
        known: path parameters and values the server has, so that requests reach something.
        timeout: seconds an answer may take.
    """

    document: DocumentName
    url: str
    dialect: Dialect = "docs"
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Collection[str] = ()
    without: Collection[str] = ()
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a document."""

    id: str
    method: str
    path: str

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True)
class Failure:
    """One way in which an operation does not keep its promise.

    Attributes:
        kind: Schemathesis's name of the failure.
        title: the check that failed, in words.
        message: what was expected and what came.
        answer: status and beginning of the body, if there was an answer.
        commands: curl lines that reproduce it, in order.
        phases: where it was seen: examples, coverage, fuzzing, stateful.
        times: how often it was seen.
    """

    kind: str
    title: str
    message: str
    answer: str
    commands: list[str]
    phases: set[str] = field(default_factory=set)
    times: int = 0


@dataclass(slots=True)
class OperationResult:
    """What was done with one operation, and what came of it."""

    operation: Operation
    requests: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    def add(self, failure: Failure, phase: str) -> None:
        """Note a failure; the first of its kind is kept as the example."""
        known = self.failures.setdefault(failure.title, failure)
        known.phases.add(phase)
        known.times += 1


@dataclass(slots=True)
class Driven:
    """What all phases found.

    Attributes:
        errors: why parts of the document could not be judged; nothing is known about those.
    """

    results: list[OperationResult]
    errors: list[str] = field(default_factory=list)

    @property
    def found_something(self) -> bool:
        return any(result.failures for result in self.results)


def drive(target: Target, settings: Settings, watcher: Watcher) -> Driven:
    """Run all phases and return what they found.

    Raises:
        KeyboardInterrupt: the user wants it to end.
    """
    run = _Run(target, settings, watcher)
    # Apart, because sequences must use the ids their links give them, not the known ones.
    run.execute(_SINGLE_PHASES, settings.examples, settings.seed)
    run.execute(_SEQUENCES, settings.examples, settings.seed)
    for next_seed in range(settings.seed + 1, settings.seed + _MOST_PASSES):
        if not run.make_up(next_seed):
            break
    return run.finished()


class _Run:
    """One run: the document as it is driven, and what was seen so far."""

    def __init__(self, target: Target, settings: Settings, watcher: Watcher) -> None:
        self._target = target
        self._settings = settings
        self._watcher = watcher
        self._document = _with_known_examples(load(target.document, target.dialect), target.known)
        self._described = [
            (operation, described)
            for operation, described in _operations(self._document, target.tags)
            if operation.id not in target.without
        ]
        self._results = {operation.label: OperationResult(operation) for operation, _ in self._described}
        self._errors: list[str] = []
        self._fuzzed: Counter[str] = Counter()
        self._sequences = 0

    def execute(
        self, phases: Collection[str], examples: int, seed: int, operations: Collection[str] = ()
    ) -> None:
        """Run some phases, for all operations of the run or for those with the given ids."""
        schema: schemathesis.BaseSchema = schemathesis.openapi.from_dict(
            self._document, config=self._configuration(phases, examples, seed)
        )
        ids = operations or [operation.id for operation, _ in self._described]
        teach_recordings()
        in_sequences = set(phases) <= set(_SEQUENCES)
        watching = watched(self._target.document, self._watcher, in_sequences=in_sequences)
        with watching, only_values_from_the_server():
            stream = from_schema(schema.include(operation_id=list(ids))).execute()
            try:
                for event in stream:
                    self._record(event)
                    if self._watcher.should_stop():
                        break
            finally:
                # Its threads may still wait for answers, and what those tell must be seen before all is tidied up.
                stream.stop()
                deque(stream, maxlen=0)

    def make_up(self, seed: int) -> bool:
        """Run again what ended early. Return whether that is worth repeating."""
        found_something = any(result.failures for result in self._results.values())
        if self._errors or found_something or self._watcher.should_stop():
            return False
        missing_sequences, thinly_fuzzed = self._missing_sequences(), self._thinly_fuzzed()
        before = self._sequences + self._fuzzed.total()
        if missing_sequences:
            self.execute(_SEQUENCES, missing_sequences, seed)
        if thinly_fuzzed:
            ids = [operation.id for operation in thinly_fuzzed]
            most = max(self._settings.examples - self._fuzzed[operation.label] for operation in thinly_fuzzed)
            self.execute({"fuzzing"}, most, seed, ids)
        return self._sequences + self._fuzzed.total() > before

    def finished(self) -> Driven:
        """Everything that was found, and what was not tried as often as asked for."""
        wanted = self._settings.examples
        driven = Driven(list(self._results.values()), self._errors)
        if not driven.found_something and not driven.errors and not self._watcher.should_stop():
            self._errors += [
                f"{operation.id}: only {self._fuzzed[operation.label]} of {wanted} random requests made"
                for operation in self._thinly_fuzzed()
            ]
            if self._missing_sequences():
                self._errors.append(f"only {self._sequences} of {wanted} random sequences made")
        return driven

    def _missing_sequences(self) -> int:
        return max(0, self._settings.examples - self._sequences) if self._has_links() else 0

    def _thinly_fuzzed(self) -> list[Operation]:
        """Operations that could have been requested in more different ways."""
        return [
            operation
            for operation, described in self._described
            if _takes_input(self._document, operation, described)
            and self._fuzzed[operation.label] < self._settings.examples
        ]

    def _has_links(self) -> bool:
        return any(
            "links" in response
            for _, described in self._described
            for response in described["responses"].values()
        )

    def _configuration(self, phases: Collection[str], examples: int, seed: int) -> SchemathesisConfig:
        target, played = self._target, self._target.dialect != "docs"
        # What real servers do not foresee they answer with 500, and drop the connection behind it; to what they
        # do not know they say 400, where a correct server says 404.
        failures = ["500", "502", "503"] if played else ["503"]
        refusals = [*(["400"] if played else []), "401", "403", "404", "409", "429"]
        known = {} if set(phases) <= set(_SEQUENCES) else target.known
        enabled: dict[str, dict[str, Any]] = {name: {"enabled": name in phases} for name in _PHASES}
        enabled["stateful"]["enabled"] = "stateful" in phases and self._has_links()
        # Known ids do better than ids picked from answers, whose changing choice ends fuzzing early.
        enabled["fuzzing"]["extra-data-sources"] = {"responses": not known}
        return SchemathesisConfig.from_dict(
            {
                "seed": seed,
                "base-url": target.url,
                "headers": {**target.headers, **(_KEPT_BY_NOBODY if played else {})},
                # CPython 3.11 breaks when several threads build syntax trees, as Hypothesis does.
                "workers": 1,
                "continue-on-failure": True,
                "request-timeout": target.timeout,
                "generation": {"max-examples": examples, "database": "none"},
                "phases": enabled,
                # Where an operation documents such a status it is an answer; elsewhere another check refuses it.
                "checks": {
                    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", *failures]},
                    "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", *refusals, "5xx"]},
                },
                # Slow generation on a busy machine says nothing about the server.
                "suppress-health-check": ["all"],
                "warnings": False,
                # Reports take keys out themselves, and say which one it was.
                "output": {"sanitization": {"enabled": False}},
                "cache": {"enabled": False},
                "dictionaries": {name: {"values": list(values)} for name, values in known.items()},
                "parameters": {
                    f"path.{name}": {"dictionary": name, "probability": _KNOWN_ID_SHARE} for name in known
                },
            }
        )

    def _record(self, event: events.EngineEvent) -> None:
        match event:
            case events.ScenarioFinished():
                self._record_scenario(event.recorder, event.phase.value)
            case events.NonFatalError(label=label) if label in self._results and _is_unanswered(event.value):
                failure = Failure("NoAnswer", "No answer", str(event.info), "", [])
                self._results[label].add(failure, event.phase.value if event.phase else "probing")
            case events.NonFatalError():
                self._errors.append(f"{event.label}: {event.info}")
            case events.Interrupted():
                raise KeyboardInterrupt
            case events.FatalError():
                self._errors.append(f"Schemathesis gave up: {event.exception!r}")
            case _:
                return

    def _record_scenario(self, recorder: ScenarioRecorder, phase: str) -> None:
        self._sequences += phase == "stateful"
        for case_id, node in recorder.cases.items():
            label = node.value.operation.label
            result = self._results[label]
            result.requests += 1
            self._fuzzed[label] += phase == "fuzzing"
            for check in recorder.checks.get(case_id, []):
                found = check.failure_info
                if found is not None and not _is_explained(found, recorder, node.value):
                    result.add(_failure(found, recorder, case_id), phase)


def _with_known_examples(document: dict[str, Any], known: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Put values the server has where the document has examples: examples and coverage start from those."""
    changed = copy.deepcopy(document)
    for node in _nodes(changed):
        if node.get("in") == "path" and node.get("name") in known:
            node["example"] = known[node["name"]][0]
    return changed


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _operations(
    document: Mapping[str, Any], tags: Collection[str]
) -> Iterator[tuple[Operation, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            described = item.get(method)
            if described and (not tags or set(described["tags"]) & set(tags)):
                yield Operation(described["operationId"], method.upper(), path), described


def _takes_input(document: Mapping[str, Any], operation: Operation, described: Mapping[str, Any]) -> bool:
    shared = document["paths"][operation.path].get("parameters")
    return bool(shared or described.get("parameters") or "requestBody" in described)


def _is_unanswered(error: Exception) -> bool:
    """Whether the server dropped the connection or let the request time out."""
    return isinstance(error, requests.RequestException)


def _is_explained(found: CheckFailureInfo, recorder: ScenarioRecorder, sought: Case[Any]) -> bool:
    """Whether a 404 does not say that what was created is lost.

    It may only be on its way, or a part of it, like the session of an agent that is still starting; or it was
    replaced since, and has the name that the replacement gave it.
    """
    if not isinstance(found.failure, EnsureResourceAvailability):
        return False
    if found.failure.created_with in _STARTS or not sought.operation.path.endswith("}"):
        return True
    for case_id, node in recorder.cases.items():
        answer = recorder.find_response(case_id=case_id)
        replaced = (
            node.value.method == "PUT" and answer is not None and answer.status_code < HTTPStatus.BAD_REQUEST
        )
        if replaced and node.value.formatted_path == sought.formatted_path:
            return True
    return False


def _failure(found: CheckFailureInfo, recorder: ScenarioRecorder, case_id: str) -> Failure:
    response = recorder.find_response(case_id=found.failure.case_id or case_id)
    answer = ""
    if response is not None:
        body = shortened_body(response.content or b"", _LONGEST_ANSWER)
        answer = f"Answered {response.status_code} {body}".rstrip()
    commands = [shortened_command(one) for one in [step.curl for step in found.steps] or [found.code_sample]]
    kind = type(found.failure).__name__
    return Failure(kind, found.failure.title, shortened(found.failure.message), answer, commands)
