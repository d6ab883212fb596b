"""Accepts or refuses a request by what the OpenAPI document says about its operation.

There is no second description of the requests in this server: parameters and bodies are read, coerced and
checked straight from the document, with validators compiled at the first request of each operation. Plain
values go in and come out; the web framework stays outside.

What is decided here, and how it is answered:

* a parameter or body that is not as described: 422 with pydantic-like items (`validation_items`);
* a body that is not declared as JSON, or as a form where one is due: 415;
* values a parameter lists under `x-refusals` (the syntax of V0 conversation ids, the limit of V0 events):
  the status and the text written there;
* a body that says under `x-invalid` how it is answered when it is not as described: that way.

A status of 500 without a text plays a server that did not foresee the request.

What is left to the routes: the content of forms, which may be too long for the memory and is never read
here (`reads_form`); everything that needs to know the state of the server, such as unknown ids and
page ids that were never handed out (`x-opaque`), the size of the body (413), and keys (401).

A repeated query parameter that takes one value is refused rather than guessed at, and booleans are `true` or
`false` and nothing else.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote

from jsonschema_rs import Draft202012Validator, Registry

from openhands_reference_server.http.validation_items import (
    Item,
    Location,
    items,
    json_invalid,
    missing,
    wrong_type,
)

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_DOCUMENT_URI = "urn:openapi"
_JSON, _FORM = "application/json", "multipart/form-data"
_INTEGER = re.compile(r"-?[0-9]{1,18}(\.0{1,18})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_JSON_MEDIA_TYPE = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_DEPTH = 100


class RequestInvalid(Exception):
    """The request is refused; `status` and `body` are the answer.

    Without a body, the server plays one that has not foreseen such a request.
    """

    def __init__(self, status: int, body: dict[str, Any] | None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class ValidRequest:
    """A request as its operation describes it.

    Attributes:
        path: the path parameters by name.
        query: every query parameter of the operation by name, converted to its type; what was not sent has
            its default, or None.
        headers: likewise the header parameters.
        body: the JSON document sent, or None; None for forms, too.
    """

    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


class RequestValidator:
    """Validates requests for all operations of one document. Safe to share between threads."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._compiler = _Compiler(document)
        self._described = dict(_operations(document))
        self._compiled: dict[str, _Operation] = {}

    def reads_form(self, operation_id: str) -> bool:
        """Does this operation take a form, whose body has to be left for its route to read?"""
        body = self._described[operation_id].body
        return body is not None and _FORM in body.value["content"]

    def validate(
        self,
        operation_id: str,
        *,
        path: Mapping[str, str],
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        content_type: str | None,
        body: bytes,
    ) -> ValidRequest:
        """Return the request, converted, with defaults filled in.

        Raises:
            RequestInvalid: the request is not as described.
            KeyError: the document has no such operation.
        """
        operation = self._operation(operation_id)
        sent: dict[str, Mapping[str, list[str]]] = {
            "path": {name: [value] for name, value in path.items()},
            "query": _grouped(query),
            "header": {name.lower(): [value] for name, value in headers.items()},
        }
        problems: list[Item] = []
        values: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for parameter in operation.parameters:
            texts = sent[parameter.location].get(parameter.key, [])
            values[parameter.location][parameter.name] = parameter.read(texts, problems)
        document = operation.body.read(content_type, body, problems) if operation.body else None
        if problems:
            raise RequestInvalid(422, {"detail": problems})
        return ValidRequest(values["path"], values["query"], values["header"], document)

    def _operation(self, operation_id: str) -> _Operation:
        # Two threads may compile the same operation at once; either result will do.
        if operation_id not in self._compiled:
            self._compiled[operation_id] = _Operation(self._described[operation_id], self._compiler)
        return self._compiled[operation_id]


@dataclass(frozen=True, slots=True)
class _Node:
    """A place in the document that is not a reference, and the way to it."""

    document: Mapping[str, Any]
    way: tuple[str | int, ...]
    value: Any

    @classmethod
    def at(cls, document: Mapping[str, Any], way: Sequence[str | int]) -> _Node:
        value: Any = document
        for step in way:
            value = value[step]
        if isinstance(value, dict) and "$ref" in value:
            return cls.at(document, value["$ref"].removeprefix("#/").split("/"))
        return cls(document, tuple(way), value)

    def child(self, *steps: str | int) -> _Node:
        return self.at(self.document, (*self.way, *steps))

    def children(self, name: str) -> list[_Node]:
        return [self.child(name, index) for index in range(len(self.value.get(name, [])))]

    @property
    def uri(self) -> str:
        """Where schemas find this place."""
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in self.way)
        return f"{_DOCUMENT_URI}#/" + quote("/".join(steps), safe="~/")


class _Compiler:
    """Makes validators out of schemas of the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._registry = Registry([(_DOCUMENT_URI, document)])

    def compile(self, node: _Node) -> _Schema:
        validator = Draft202012Validator({"$ref": node.uri}, registry=self._registry)
        return _Schema(validator, self._document)


@dataclass(frozen=True, slots=True)
class _Schema:
    """One schema of the document, compiled."""

    validator: Draft202012Validator
    document: Mapping[str, Any]

    def accepts(self, value: Any) -> bool:
        return self.validator.is_valid(value)

    def problems(self, value: Any, loc: Location) -> list[Item]:
        if self.validator.is_valid(value):
            return []
        return items(self.validator.iter_errors(value), loc, value, self.document)


class _Operation:
    """What one operation takes."""

    def __init__(self, described: _Described, compiler: _Compiler) -> None:
        self.parameters = [_Parameter(node, compiler) for node in described.parameters]
        self.body = _body(described.body, compiler) if described.body else None


class _Parameter:
    """One parameter: how its text becomes a value, and which values are allowed."""

    def __init__(self, node: _Node, compiler: _Compiler) -> None:
        self.name: str = node.value["name"]
        self.location: str = node.value["in"]
        self.key = self.name.lower() if self.location == "header" else self.name
        self._required: bool = node.value.get("required", False)
        self._as_json = "content" in node.value
        schema = node.child("content", _JSON, "schema") if self._as_json else node.child("schema")
        self._type: str = schema.value.get("type", "object")
        self._item_type: str = schema.child("items").value["type"] if self._type == "array" else ""
        self._default = schema.value.get("default")
        self._schema = compiler.compile(schema)
        self._refusals = [_Refusal(rule, compiler) for rule in node.children("x-refusals")]

    def read(self, texts: Sequence[str], problems: list[Item]) -> Any:
        """Convert and check what was sent; append to `problems` what is wrong with it.

        Raises:
            RequestInvalid: the value is one of those with an answer of their own.
        """
        loc: Location = (self.location, self.name)
        if not texts:
            if self._required:
                problems.append(missing(loc))
            return self._default
        try:
            value = self._convert(texts, loc)
        except _Unreadable as unreadable:
            problems.append(unreadable.item)
            return None
        for rule in self._refusals:
            rule.check(value)
        # Report what was sent, not what it was converted to.
        problems += [_with_sent_input(found, texts) for found in self._schema.problems(value, loc)]
        return value

    def _convert(self, texts: Sequence[str], loc: Location) -> Any:
        if self._type == "array":
            return [_from_text(text, self._item_type, (*loc, index)) for index, text in enumerate(texts)]
        if len(texts) > 1:
            raise _Unreadable(wrong_type(self._type, loc, list(texts)))
        if self._as_json:
            return _parse_json(texts[0], loc)
        return _from_text(texts[0], self._type, loc)


class _Refusal:
    """Values of a parameter that have an answer of their own."""

    def __init__(self, node: _Node, compiler: _Compiler) -> None:
        self._node = node
        self._accepted = compiler.compile(node.child("unless"))
        one = "items" in node.value["unless"]
        self._each = compiler.compile(node.child("unless", "items")) if one else None

    def check(self, value: Any) -> None:
        """Raises RequestInvalid with the answer, if this is one of them."""
        if self._accepted.accepts(value):
            return
        refused = value if self._each is None else [one for one in value if not self._each.accepts(one)]
        raise RequestInvalid(self._node.value["status"], _refusal(self._node.value, refused))


class _Body:
    """The JSON body of an operation."""

    def __init__(self, node: _Node, compiler: _Compiler) -> None:
        self._required: bool = node.value.get("required", False)
        self._schema = compiler.compile(node.child("content", _JSON, "schema"))
        self._invalid: Mapping[str, Any] | None = node.value.get("x-invalid")

    def read(self, content_type: str | None, body: bytes, problems: list[Item]) -> Any:
        """Parse and check the body; append to `problems` what is wrong with it.

        Raises:
            RequestInvalid: it is not declared as JSON (415), or what is wrong has an answer of its own.
        """
        found: list[Item] = []
        document = self._read(content_type, body, found)
        if found and self._invalid is not None:
            raise RequestInvalid(self._invalid["status"], _refusal(self._invalid))
        problems += found
        return document

    def _read(self, content_type: str | None, body: bytes, problems: list[Item]) -> Any:
        if not body:
            if self._required:
                problems.append(missing(("body",)))
            return None
        if not _JSON_MEDIA_TYPE.fullmatch(_media_type(content_type)):
            raise _unsupported(_JSON)
        try:
            document = _parse_json(_decode(body), ("body",))
        except _Unreadable as unreadable:
            problems.append(unreadable.item)
            return None
        problems += self._schema.problems(document, ("body",))
        return document


class _Form:
    """The form an operation takes: only whether it is one is looked at."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._required_fields: list[str] = schema["required"]

    def read(self, content_type: str | None, body: bytes, problems: list[Item]) -> Any:
        """Append to `problems` what is missing when there is no body at all.

        Raises:
            RequestInvalid: it is not declared as a form (415).
        """
        media_type = _media_type(content_type)
        if not media_type:
            problems += [missing(("body", name)) for name in self._required_fields]
        elif media_type.lower() != _FORM:
            raise _unsupported(_FORM)
        return None


def _body(node: _Node, compiler: _Compiler) -> _Body | _Form:
    if _FORM in node.value["content"]:
        return _Form(node.child("content", _FORM, "schema").value)
    return _Body(node, compiler)


def _refusal(rule: Mapping[str, Any], refused: Any = None) -> dict[str, Any] | None:
    """The answer written in a rule, which may quote what is `{refused}`; None when none is."""
    said = {name: str(rule[name]) for name in ("detail", "error", "exception") if name in rule}
    return {name: text.replace("{refused}", str(refused)) for name, text in said.items()} or None


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip()


def _unsupported(expected: str) -> RequestInvalid:
    return RequestInvalid(415, {"detail": f"Unsupported Media Type: expected {expected}"})


class _Unreadable(Exception):
    """Text that does not even have the form of a value."""

    def __init__(self, problem: Item) -> None:
        super().__init__(problem["msg"])
        self.item = problem


@dataclass(frozen=True, slots=True)
class _Described:
    """An operation as the document has it."""

    parameters: list[_Node]
    body: _Node | None


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, _Described]]:
    for path, path_item in document["paths"].items():
        place = _Node.at(document, ("paths", path))
        shared = place.children("parameters")
        for method in _METHODS & path_item.keys():
            operation = place.child(method)
            body = operation.child("requestBody") if "requestBody" in operation.value else None
            parameters = [*shared, *operation.children("parameters")]
            yield operation.value["operationId"], _Described(parameters, body)


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _with_sent_input(found: Item, texts: Sequence[str]) -> Item:
    match found["loc"]:
        case [_, _]:
            return {**found, "input": texts[0] if len(texts) == 1 else list(texts)}
        case _:
            return found


def _from_text(text: str, type_: str, loc: Location) -> Any:
    match type_:
        case "integer":
            if not _INTEGER.fullmatch(text):
                raise _Unreadable(wrong_type("integer", loc, text))
            return int(text.partition(".")[0])
        case "boolean":
            value = _BOOLEANS.get(text.lower())
            if value is None:
                raise _Unreadable(wrong_type("boolean", loc, text))
            return value
        case _:
            return text


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Unreadable(json_invalid(("body", error.start), "the body is not UTF-8")) from None


def _parse_json(text: str, loc: Location) -> Any:
    """Parse strictly: no NaN, no infinity, no lone surrogates, no bottomless nesting."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _Unreadable(json_invalid((*loc, error.pos), error.msg)) from None
    except (ValueError, RecursionError) as error:
        raise _Unreadable(json_invalid(loc, str(error))) from None
    reason = _unfit(value, _MAX_DEPTH)
    if reason:
        raise _Unreadable(json_invalid(loc, reason))
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _unfit(value: Any, depth: int) -> str | None:
    """Why a parsed document cannot be stored or sent on, if so."""
    match value:
        case str():
            return "lone surrogate in a string" if _LONE_SURROGATE.search(value) else None
        case dict() | list() if depth == 0:
            return "nested too deeply"
        case dict():
            parts: Iterator[Any] = (part for pair in value.items() for part in pair)
        case list():
            parts = iter(value)
        case _:
            return None
    return next(filter(None, (_unfit(part, depth - 1) for part in parts)), None)
