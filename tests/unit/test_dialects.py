"""The dialects: overlays are valid, fit their documents, and leave documents that are whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from openhands_contract import documents
from openhands_contract.documents import Dialect, DocumentName
from openhands_contract.overlay import OverlayError, apply

NAMES: tuple[DocumentName, ...] = ("app-server", "agent-server")
METHODS = ("get", "put", "post", "delete", "patch")
with_overlay = pytest.mark.parametrize("dialect", ["openhands-1.0", "openhands-1.11"])
each_document = pytest.mark.parametrize("name", NAMES)


@with_overlay
@each_document
def test_an_overlay_has_the_form_of_the_specification(name: DocumentName, dialect: Dialect) -> None:
    overlay = documents.load_overlay(name, dialect)
    assert set(overlay) == {"overlay", "info", "extends", "actions"}
    assert overlay["overlay"] == "1.0.0"
    assert set(overlay["info"]) == {"title", "version"}
    extended = documents.overlay_path(name, dialect).parent / overlay["extends"]
    assert extended.resolve() == documents.path_of(name).resolve()
    for action in overlay["actions"]:
        assert set(action) <= {"target", "description", "update", "remove"}, action
        assert ("update" in action) != (action.get("remove") is True), action
        assert action["target"].startswith("$")


@with_overlay
@each_document
def test_a_dialect_is_a_valid_document(name: DocumentName, dialect: Dialect) -> None:
    validate(documents.load(name, dialect))


@with_overlay
@each_document
def test_a_dialect_names_its_operations_once(name: DocumentName, dialect: Dialect) -> None:
    found = [operation["operationId"] for operation in operations(documents.load(name, dialect))]
    assert len(found) == len(set(found))


@with_overlay
@each_document
def test_nothing_in_a_dialect_points_to_what_it_removed(name: DocumentName, dialect: Dialect) -> None:
    document = documents.load(name, dialect)
    ids = {operation["operationId"] for operation in operations(document)}
    for node in nodes(document):
        if isinstance(node.get("$ref"), str):
            found: Any = document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step.replace("~1", "/").replace("~0", "~")]
        for link in node.get("links", {}).values() if isinstance(node.get("links"), dict) else ():
            if "operationId" in link:
                assert link["operationId"] in ids


@with_overlay
@each_document
def test_a_dialect_says_which_it_is(name: DocumentName, dialect: Dialect) -> None:
    assert dialect in documents.load(name, dialect)["info"]["title"]


@each_document
def test_the_dialect_docs_is_the_document_itself(name: DocumentName) -> None:
    assert documents.load(name, "docs") == documents.load(name)


def test_callers_may_change_what_they_get() -> None:
    documents.load("app-server", "openhands-1.0")["paths"].clear()
    assert documents.load("app-server", "openhands-1.0")["paths"]


def test_an_unknown_dialect_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"no dialect 'klingon'; choose one of docs, openhands-1\.0"):
        documents.load("app-server", "klingon")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="'docs' has no overlay"):
        documents.load_overlay("app-server", "docs")


class TestApply:
    def test_objects_are_merged_and_lists_joined(self) -> None:
        document = {"a": {"b": {"c": 1, "d": [1]}, "e": 2}}
        apply(overlay({"target": "$.a", "update": {"b": {"c": 3, "d": [4], "f": 5}}}), document)
        assert document == {"a": {"b": {"c": 3, "d": [1, 4], "f": 5}, "e": 2}}

    def test_an_update_of_a_list_is_one_more_entry(self) -> None:
        document = {"a": [{"b": 1}]}
        apply(overlay({"target": "$.a", "update": {"c": 2}}), document)
        assert document == {"a": [{"b": 1}, {"c": 2}]}

    def test_actions_follow_one_another(self) -> None:
        document = {"a": {"old": 1}}
        apply(
            overlay({"target": "$.a.old", "remove": True}, {"target": "$.a", "update": {"new": 2}}), document
        )
        assert document == {"a": {"new": 2}}

    def test_every_match_is_changed_by_itself(self) -> None:
        document: dict[str, Any] = {"a": [{"b": {}}, {"b": {}}]}
        apply(overlay({"target": "$..b", "update": {"c": []}}), document)
        document["a"][0]["b"]["c"].append(1)
        assert document == {"a": [{"b": {"c": [1]}}, {"b": {"c": []}}]}

    def test_paths_are_quoted(self) -> None:
        document = {"paths": {"/a-b/{c}": {"get": {}}, "/d": {"get": {}}, "/e": {}}}
        apply(overlay({"target": "$.paths['/a-b/{c}','/d']", "remove": True}), document)
        assert document == {"paths": {"/e": {}}}

    def test_a_target_that_finds_nothing_is_a_mistake(self) -> None:
        with pytest.raises(OverlayError, match=r"Test: \$\.b finds nothing"):
            apply(overlay({"target": "$.b", "remove": True}), {"a": 1})

    def test_an_action_must_do_something(self) -> None:
        with pytest.raises(OverlayError, match="neither `update` nor `remove`"):
            apply(overlay({"target": "$.a"}), {"a": 1})

    def test_what_is_no_object_and_no_list_cannot_be_updated(self) -> None:
        with pytest.raises(OverlayError, match="only objects and lists"):
            apply(overlay({"target": "$.a", "update": {"b": 1}}), {"a": 1})


def overlay(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"overlay": "1.0.0", "info": {"title": "Test", "version": "1"}, "actions": list(actions)}


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[method] for method in METHODS if method in item)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from nodes(part)


@pytest.mark.parametrize("dialect", ["docs", "openhands-1.0", "openhands-1.11"])
@each_document
def test_every_kind_of_event_is_described(name: DocumentName, dialect: Dialect) -> None:
    schemas = documents.load(name, dialect)["components"]["schemas"]
    described = {one["$ref"].rpartition("/")[2] for one in schemas["Event"]["anyOf"]}
    assert described == {*schemas["EventKind"]["enum"], "UnknownEvent"}
