"""The document of the control API is valid, complete, and says what Python says."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from openhands_contract.documents import load
from openhands_reference_server.control.faults import EFFECTS, FaultRule
from openhands_reference_server.control.journal import Exchange
from openhands_reference_server.control.matching import Match

DOCUMENT = load("control")
OPERATIONS = {
    "listFaults": "GET /faults",
    "addFault": "POST /faults",
    "clearFaults": "DELETE /faults",
    "getFault": "GET /faults/{fault_id}",
    "removeFault": "DELETE /faults/{fault_id}",
    "listExchanges": "GET /journal",
    "clearJournal": "DELETE /journal",
    "waitForExchanges": "POST /journal/wait",
    "reset": "POST /reset",
    "getClock": "GET /clock",
    "advanceClock": "POST /clock/advance",
    "expireTokens": "POST /tokens/expire",
    "listNamespaces": "GET /namespaces",
    "createNamespace": "PUT /namespaces/{name}",
    "deleteNamespace": "DELETE /namespaces/{name}",
}


def operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    ]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_it_has_exactly_the_operations() -> None:
    assert {operation["operationId"]: where for where, operation in operations()} == OPERATIONS


def test_every_operation_is_described_with_answers_and_examples() -> None:
    for where, operation in operations():
        assert operation["summary"], where
        assert operation["description"], where
        contents = [resolved(answer)["content"] for answer in operation["responses"].values()]
        if "requestBody" in operation:
            contents.append(operation["requestBody"]["content"])
            assert {"413", "415", "422"} <= operation["responses"].keys(), where
        assert {"401", "500"} <= operation["responses"].keys(), where
        for content in contents:
            media = content["application/json"]
            schema = {**media["schema"], "components": DOCUMENT["components"]}
            jsonschema_rs.Draft202012Validator(schema).validate(media["example"])


@pytest.mark.parametrize("kind", EFFECTS)
def test_every_effect_is_described_as_it_is(kind: str) -> None:
    effect = EFFECTS[kind]
    properties = DOCUMENT["components"]["schemas"][effect.__name__]["properties"]
    rule = {"match", "skip", "times", "probability", "seed"}
    assert properties["kind"] == {"const": kind}
    assert properties.keys() - rule - {"kind"} == {one.name for one in fields(effect)}
    assert rule <= properties.keys()


def test_rules_matches_and_exchanges_are_described_as_they_are() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Match"]["properties"].keys() == {one.name for one in fields(Match)}
    assert schemas["FaultRule"]["properties"].keys() == {one.name for one in fields(FaultRule)} - {
        "effect"
    } | {"kind"}
    assert set(schemas["FaultRule"]["properties"]["kind"]["enum"]) == EFFECTS.keys()
    asked = {"server", "protocol", "operation", "method", "path"}
    assert (
        schemas["Exchange"]["properties"].keys() == {one.name for one in fields(Exchange)} - {"asked"} | asked
    )
