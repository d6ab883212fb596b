"""A document as a judge reads it: which operation is this, and is this answer one that it describes?

Used for every answer the kit sees, whoever asked: its own checks, Schemathesis, or a client behind the proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from openhands_contract.documents import Dialect, DocumentName, load
from openhands_contract.exchange import Exchange

METHODS = ("get", "put", "post", "delete", "patch")
_PARAMETER = re.compile(r"\{[^}]*\}")
_MOST_COMPLAINTS = 3


@dataclass(frozen=True)
class Operation:
    """One operation of a document.

    Attributes:
        id: its `operationId`.
        path: with its parameters in braces.
        described: what the document says of it.
        path_parameters: the values in the URL it was found for, decoded.
    """

    id: str
    method: str
    path: str
    described: Mapping[str, Any]
    document: Document
    path_parameters: Mapping[str, str]

    @property
    def tag(self) -> str:
        tag: str = self.described["tags"][0]
        return tag

    @property
    def needs_key(self) -> bool:
        """Whether the document wants a key for it; `{}` beside other schemes stands for an open server."""
        security = self.described.get("security", self.document.content.get("security", []))
        return any(scheme for scheme in security)

    def complaints(self, exchange: Exchange) -> list[str]:
        """What is wrong with an answer, by this operation's description; nothing when it is as described."""
        return list(self._complaints(exchange))

    def _complaints(self, exchange: Exchange) -> Iterator[str]:
        responses = self.described["responses"]
        response = responses.get(str(exchange.status)) or responses.get("default")
        if response is None:
            yield f"the status {_named(exchange.status)} is not one it describes ({', '.join(responses)})"
            return
        response = self.document.resolved(response)
        for name, header in response.get("headers", {}).items():
            if self.document.resolved(header).get("required") and name.lower() not in exchange.headers:
                yield f"the header {name} is missing from the answer"
        content = response.get("content", {})
        if not content:
            return
        if exchange.content_type not in content:
            described = " or ".join(content)
            yield f"the answer's content type is {exchange.content_type or 'missing'}, not {described}"
        elif exchange.content_type == "application/json" and "schema" in content["application/json"]:
            yield from self._json_complaints(exchange)

    def _json_complaints(self, exchange: Exchange) -> Iterator[str]:
        try:
            body = exchange.json()
        except ValueError as error:
            yield f"the body is not JSON: {error}"
            return
        validator = self.document.validator(self.path, self.method, str(exchange.status))
        try:
            for found in islice(validator.iter_errors(body), _MOST_COMPLAINTS):
                place = "/".join(map(str, found.instance_path)) or "the body"
                yield f"{place}: {found.message}"
        except ValueError as error:  # what Python reads may still be nested too deeply for the validator
            yield f"the body cannot be compared with its schema: {error}"


class Document:
    """One of the two documents in one dialect, ready to judge with."""

    def __init__(self, name: DocumentName, dialect: Dialect) -> None:
        self.name = name
        self.content = load(name, dialect)
        self._validators: dict[tuple[str, str, str], jsonschema_rs.Validator] = {}

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation a request is for; None when the document has none such."""
        found = self._find(path)
        if found is None:
            return None
        template, values = found
        described = self.content["paths"][template].get(method.lower())
        if described is None:
            return None
        return Operation(described["operationId"], method.upper(), template, described, self, values)

    def methods(self, path: str) -> frozenset[str] | None:
        """The methods a path has; None when the document has no such path."""
        found = self._find(path)
        if found is None:
            return None
        return frozenset(method.upper() for method in self.content["paths"][found[0]] if method in METHODS)

    def has(self, operation_id: str) -> bool:
        return operation_id in self.operations

    @cached_property
    def operations(self) -> Mapping[str, tuple[str, str]]:
        """Method and path of each operation, by id."""
        return {
            described["operationId"]: (method.upper(), path)
            for path, item in self.content["paths"].items()
            for method, described in item.items()
            if method in METHODS
        }

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """A node, or what it refers to."""
        while "$ref" in node:
            target: Any = self.content
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def validator(self, path: str, method: str, status: str) -> jsonschema_rs.Validator:
        """What judges the JSON body of an answer."""
        key = path, method, status
        if key not in self._validators:
            responses = self.content["paths"][path][method.lower()]["responses"]
            response = self.resolved(responses.get(status) or responses["default"])
            self._validators[key] = self._compiled(response["content"]["application/json"].get("schema", {}))
        return self._validators[key]

    def schema_validator(self, name: str) -> jsonschema_rs.Validator:
        """What judges values by `components/schemas/{name}`."""
        key = "components", "schemas", name
        if key not in self._validators:
            self._validators[key] = self._compiled({"$ref": f"#/components/schemas/{name}"})
        return self._validators[key]

    def _compiled(self, schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
        whole = {"allOf": [schema], "components": self.content["components"]}
        return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)

    def _find(self, path: str) -> tuple[str, dict[str, str]] | None:
        for template, pattern in self._templates:
            match = pattern.fullmatch(path)
            if match:
                values = {name: unquote(value) for name, value in match.groupdict().items()}
                return None if _is_ambiguous(values) else (template, values)
        return None

    @cached_property
    def _templates(self) -> list[tuple[str, re.Pattern[str]]]:
        """Path templates as patterns, those with the fewest parameters first: `/count` before `/{id}`."""
        templates = sorted(self.content["paths"], key=lambda path: (path.count("{"), path))
        return [(template, _pattern(template)) for template in templates]


def _pattern(template: str) -> re.Pattern[str]:
    """What matches a path; a parameter at the end named `path` may hold slashes, as agent servers read it."""
    literals = _PARAMETER.split(template)
    names = [name.strip("{}") for name in _PARAMETER.findall(template)]
    text = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        text += f"(?P<{name}>{'.+' if name == 'path' else '[^/]+'})" + re.escape(literal)
    return re.compile(text)


def _is_ambiguous(values: Mapping[str, str]) -> bool:
    """Whether servers may split a path elsewhere: they decode `%2F` before or after they look for the route."""
    return any(name != "path" and ("/" in value or value in (".", "..")) for name, value in values.items())


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


@cache
def document(name: DocumentName, dialect: Dialect) -> Document:
    """A document, read once."""
    return Document(name, dialect)
