"""Manners of HTTP: methods, bodies, odd input, limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_files import workspace
from openhands_contract.contract_document import Document
from openhands_contract.lab.bench import Answer, Api, Bench
from openhands_contract.lab.plausible import Plausible, requests_of
from openhands_contract.lab.v0 import path, unknown_id

_JSON = "application/json"
_LARGE = 12 * 1024 * 1024


def _taking_json(document: Document, conversation_id: str | None = None) -> Iterator[Plausible]:
    requests = requests_of(document, conversation_id)
    return (request for request in requests if request.takes_json and request.tag != "webhooks")


def _app_refuses(bench: Bench, status: int, contents: Collection[bytes], kind: str = _JSON) -> None:
    """Send wrong bodies for a conversation that exists and runs, so that nothing else is wrong."""
    identifier = workspace(bench)
    for request in _taking_json(bench.lab.app_document, identifier):
        _refuses(bench.app, request, status, contents, kind)


def _agent_refuses(bench: Bench, status: int, contents: Collection[bytes], kind: str = _JSON) -> None:
    started = bench.v1.workshop()
    for request in _taking_json(bench.lab.agent_document, started.dashed):
        _refuses(bench.v1.agent(started), request, status, contents, kind)


def _refuses(api: Api, request: Plausible, status: int, contents: Collection[bytes], kind: str) -> None:
    # What else a path names does not exist, and a server may say that first.
    statuses = (status, 404) if "/secrets/" in request.path else (status,)
    for content in contents:
        request.send(api, content=content, headers={"Content-Type": kind}).must(*statuses)


_NO_JSON = (b"{", b'{"a": }', b"{'a': 1}", b"\xff\xfe{}")
_OTHER_JSON = (b'"a text"', b"7")


@checks("HTTP-JSON-01")
def no_json(bench: Bench) -> None:
    """Sends each operation of the app server that takes JSON what is none."""
    _app_refuses(bench, 422, _NO_JSON)


@checks("HTTP-JSON-02")
def no_json_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON what is none."""
    _agent_refuses(bench, 422, _NO_JSON)


@checks("HTTP-JSON-03")
def not_declared(bench: Bench) -> None:
    """Sends each operation of the app server that takes JSON a body that is declared as text."""
    _app_refuses(bench, 415, [b'{"a": 1}'], "text/plain")


@checks("HTTP-JSON-04")
def not_declared_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON a body that is declared as text."""
    _agent_refuses(bench, 415, [b'{"a": 1}'], "text/plain")


@checks("HTTP-JSON-05")
def other_json(bench: Bench) -> None:
    """Sends each operation of the app server that takes an object a text and a number."""
    _app_refuses(bench, 422, _OTHER_JSON)


@checks("HTTP-JSON-06")
def other_json_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON a text and a number."""
    _agent_refuses(bench, 422, _OTHER_JSON)


@checks("HTTP-JSON-07")
def far_too_large(bench: Bench) -> None:
    """Sends a title of twelve million characters."""
    bench.app.patch(path(unknown_id()), {"title": "t" * _LARGE}).must(413, 422)
    bench.app.get("/alive").must(200)


@checks("HTTP-JSON-08")
def with_a_charset(bench: Bench) -> None:
    """Sends a body that is declared as `application/json; charset=utf-8`."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    content = json.dumps({"title": "Größe"}, ensure_ascii=False).encode()
    answer = bench.app.request("PATCH", path(unknown_id()), content=content, headers=headers)
    answer.expect(answer.status not in (415, 422), "the body is taken", answer.status)


_ODD_VALUES = (
    "%FF",
    "%00",
    "%ED%A0%80",
    "%EF%BC%91",
    "",
    "-1",
    "1e3",
    "0x10",
    "99999999999999999999999999",
    "NaN",
    "%27%20OR%201%3D1--",
    "..%2F..%2Fetc%2Fpasswd",
    "%7B%7D",
    "null",
    "a" * 3000,
)
_ODD_JSON: tuple[bytes, ...] = (
    b'{"title": "\\ud800"}',
    b'{"title": "\\u0000"}',
    b'{"title": NaN}',
    b'{"title": 1e999}',
    b'{"title": "a", "title": "b"}',
    b'\xef\xbb\xbf{"title": "a"}',
    b'{"title": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"\\u0000": 1}',
    b'{"": ""}',
    b'{"title": {"$ref": "#"}}',
    b"null",
    b"[]",
    b"",
    b'{"title": 123456789012345678901234567890123456789012345678901234567890}',
)


_ODD_TAKERS = ("updateConversation", "addConversationMessage", "addConversationEvent", "updateSecret")
_ODD_TAKERS_OF_AGENTS = ("updateConversation", "sendEvent", "respondToConfirmation", "batchGetEvents")


def _answered(answer: Answer) -> None:
    answer.expect(answer.exchange.answered, "an answer", answer.exchange.failure)
    fine = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.SERVICE_UNAVAILABLE
    answer.expect(fine, "no server error", answer.status)


def _odd_queries(api: Api, document: Document) -> None:
    """Send odd values for each parameter of each operation that reads."""
    for request in requests_of(document):
        names = _query_names(document, request) if request.method == "GET" else []
        for number, name in enumerate(names):
            others = "&".join(f"{key}={_first(value)}" for key, value in request.query.items() if key != name)
            for value in (
                _ODD_VALUES[(number + step) % len(_ODD_VALUES)] for step in range(0, len(_ODD_VALUES), 3)
            ):
                _answered(api.get(f"{request.path}?{name}={value}&{others}".rstrip("&")))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _query_names(document: Document, request: Plausible) -> list[str]:
    method, template = document.operations[request.operation]
    described = document.content["paths"][template][method.lower()].get("parameters", [])
    return [one["name"] for one in map(document.resolved, described) if one["in"] == "query"]


@checks("HTTP-ODD-01")
def odd_queries(bench: Bench) -> None:
    """Sends odd values for each parameter in the query of each operation of the app server that reads."""
    _odd_queries(bench.app, bench.lab.app_document)


@checks("HTTP-ODD-02")
def odd_json(bench: Bench) -> None:
    """Sends odd JSON to operations of the app server that would not make anything of it."""
    for request in _taking_json(bench.lab.app_document):
        if request.operation in _ODD_TAKERS:
            for content in _ODD_JSON:
                _answered(request.send(bench.app, content=content, headers={"Content-Type": _JSON}))


@checks("HTTP-ODD-03")
def odd_for_the_agent(bench: Bench) -> None:
    """Sends odd values and odd JSON to the agent server."""
    agent = bench.v1.agent(bench.v1.workshop())
    _odd_queries(agent, bench.lab.agent_document)
    for request in _taking_json(bench.lab.agent_document):
        if request.operation in _ODD_TAKERS_OF_AGENTS:
            for content in _ODD_JSON:
                _answered(request.send(agent, content=content, headers={"Content-Type": _JSON}))
