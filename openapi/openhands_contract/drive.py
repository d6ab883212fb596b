"""Drives Schemathesis over one document against one server, and turns what it saw into a report.

All phases run: the documents' examples, systematic coverage of each schema, fuzzing, and stateful sequences
along the links. This is the only module that knows Schemathesis's engine.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import CheckFailureInfo, ScenarioRecorder

from openhands_contract.documents import DocumentName, load
from openhands_contract.opaque import only_values_from_the_server
from openhands_contract.report import Failure, Operation, OperationResult, Report

_METHODS = ("get", "put", "post", "delete", "patch")
_LONGEST_ANSWER = 300
# How often a known id is used where any would do; the rest goes to ids that do not exist.
_KNOWN_ID_SHARE = 0.8


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
        tags: the operations to judge; all when empty.
        known: path parameters and values the server has, so that requests reach something.
    """

    document: DocumentName
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Collection[str] = ()
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)


def drive(target: Target, settings: Settings) -> Report:
    """Run all phases and return what they found."""
    document = _with_known_examples(load(target.document), target.known)
    results = {
        operation.label: OperationResult(operation) for operation in _operations(document, target.tags)
    }
    report = Report(target.document, target.url, settings.seed, settings.examples, list(results.values()))
    schema: schemathesis.BaseSchema = schemathesis.openapi.from_dict(
        document, config=_configuration(document, target, settings)
    )
    if target.tags:
        schema = schema.include(tag=list(target.tags))
    with only_values_from_the_server():
        for event in from_schema(schema).execute():
            _record(event, results, report)
    report.errors += [
        f"{result.operation.id} was never requested" for result in report.results if not result.requests
    ]
    return report


def _configuration(document: Mapping[str, Any], target: Target, settings: Settings) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": settings.seed,
            "base-url": target.url,
            "headers": dict(target.headers),
            "workers": settings.workers,
            "continue-on-failure": True,
            "generation": {"max-examples": settings.examples, "database": "none"},
            "phases": {"stateful": {"enabled": _has_links(document, target.tags)}},
            # Slow generation on a busy machine says nothing about the server.
            "suppress-health-check": ["all"],
            "warnings": False,
            "cache": {"enabled": False},
            "dictionaries": {name: {"values": list(values)} for name, values in target.known.items()},
            "parameters": {
                f"path.{name}": {"dictionary": name, "probability": _KNOWN_ID_SHARE} for name in target.known
            },
        }
    )


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


def _operations(document: Mapping[str, Any], tags: Collection[str]) -> Iterator[Operation]:
    for path, method, described in _described(document, tags):
        yield Operation(described["operationId"], method.upper(), path)


def _has_links(document: Mapping[str, Any], tags: Collection[str]) -> bool:
    return any(
        "links" in response
        for _, _, described in _described(document, tags)
        for response in described["responses"].values()
    )


def _described(
    document: Mapping[str, Any], tags: Collection[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            described = item.get(method)
            if described and (not tags or set(described["tags"]) & set(tags)):
                yield path, method, described


def _record(event: events.EngineEvent, results: Mapping[str, OperationResult], report: Report) -> None:
    match event:
        case events.ScenarioFinished():
            _record_scenario(event.recorder, event.phase.value, results)
        case events.NonFatalError(label=label) if label in results and _is_unanswered(event.value):
            failure = Failure("No answer", str(event.info), "", [])
            results[label].add(failure, event.phase.value if event.phase else "probing")
        case events.NonFatalError():
            report.errors.append(f"{event.label}: {event.info}")
        case events.FatalError():
            report.errors.append(f"Schemathesis gave up: {event.exception!r}")
        case _:
            return


def _is_unanswered(error: Exception) -> bool:
    """Whether the server dropped the connection or let the request time out."""
    return isinstance(error, requests.RequestException)


def _record_scenario(recorder: ScenarioRecorder, phase: str, results: Mapping[str, OperationResult]) -> None:
    for case_id, node in recorder.cases.items():
        result = results.get(node.value.operation.label)
        if result is None:
            continue
        result.requests += 1
        for check in recorder.checks.get(case_id, []):
            if check.failure_info is not None:
                result.add(_failure(check.failure_info, recorder, case_id), phase)


def _failure(found: CheckFailureInfo, recorder: ScenarioRecorder, case_id: str) -> Failure:
    response = recorder.find_response(case_id=found.failure.case_id or case_id)
    answer = ""
    if response is not None:
        body = (
            response.content[:_LONGEST_ANSWER].decode("utf-8", errors="replace") if response.content else ""
        )
        answer = f"Answered {response.status_code} {body}".rstrip()
    commands = [step.curl for step in found.steps] or [found.code_sample]
    return Failure(found.failure.title, found.failure.message, answer, commands)
