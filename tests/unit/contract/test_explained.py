"""When a 404 after a creation says that something is lost, and when it does not."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine.recorder import CheckFailureInfo, ScenarioRecorder
from schemathesis.openapi.checks import EnsureResourceAvailability, UseAfterFree

from openhands_contract.generating.drive import _is_explained

SECRET = "/api/secrets/{name}"
PART = "/api/secrets/{name}/history"


def schema() -> Any:
    described = {"responses": {"200": {"description": "OK"}}}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    item = {"parameters": [name], **dict.fromkeys(("get", "put", "delete"), described)}
    paths = {SECRET: item, PART: {"parameters": [name], "get": described}}
    return schemathesis.openapi.from_dict(
        {"openapi": "3.1.0", "info": {"title": "Secrets", "version": "1"}, "paths": paths}
    )


class Sequence:
    """Requests about secrets, one after the other, and what they were answered."""

    def __init__(self) -> None:
        self.recorder = ScenarioRecorder(label="A sequence")
        self._schema = schema()

    def send(self, method: str, name: str, status: int, path: str = SECRET) -> Case[Any]:
        case: Case[Any] = self._schema[path][method].Case(path_parameters={"name": name})
        self.recorder.record_case(case=case)
        request = requests.Request(method, f"http://127.0.0.1{case.formatted_path}").prepare()
        answer = Response(status, {}, b"", request, 0.0, verify=True)
        self.recorder.record_response(case_id=case.id, response=answer)
        return case

    def explains(self, sought: Case[Any], failure: Failure | None = None) -> bool:
        missed = failure or EnsureResourceAvailability(
            operation="", message="", created_with="POST /api/secrets", not_available_with=f"GET {SECRET}"
        )
        return _is_explained(CheckFailureInfo("curl …", missed), self.recorder, sought)


@pytest.fixture
def sequence() -> Sequence:
    return Sequence()


def test_what_was_created_and_is_not_there_is_lost(sequence: Sequence) -> None:
    assert not sequence.explains(sequence.send("GET", "A", 404))


def test_what_was_renamed_is_not_lost(sequence: Sequence) -> None:
    sequence.send("PUT", "A", 200)
    assert sequence.explains(sequence.send("GET", "A", 404))


def test_a_replacement_that_was_refused_explains_nothing(sequence: Sequence) -> None:
    sequence.send("PUT", "A", 409)
    assert not sequence.explains(sequence.send("GET", "A", 404))


def test_another_replacement_explains_nothing(sequence: Sequence) -> None:
    sequence.send("PUT", "B", 200)
    assert not sequence.explains(sequence.send("GET", "A", 404))


def test_reading_explains_nothing(sequence: Sequence) -> None:
    sequence.send("GET", "A", 200)
    assert not sequence.explains(sequence.send("GET", "A", 404))


def test_a_replacement_without_an_answer_explains_nothing(sequence: Sequence) -> None:
    replaced = sequence.send("PUT", "A", 200)
    del sequence.recorder.interactions[replaced.id]
    assert not sequence.explains(sequence.send("GET", "A", 404))


def test_a_part_that_is_not_there_yet_is_not_lost(sequence: Sequence) -> None:
    assert sequence.explains(sequence.send("GET", "A", 404, PART))


def test_no_other_failure_is_explained_away(sequence: Sequence) -> None:
    sequence.send("PUT", "A", 200)
    sought = sequence.send("GET", "A", 200)
    assert not sequence.explains(sought, UseAfterFree(operation="", message="", free="DELETE", usage="GET"))
