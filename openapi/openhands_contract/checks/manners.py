"""Manners of HTTP: methods, bodies, odd input, limits."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from openhands_contract.bench import Answer, Api, Bench
from openhands_contract.checks import checks
from openhands_contract.checks.v0_files import workspace
from openhands_contract.contract_document import METHODS, Document
from openhands_contract.observing import Complaint, Sight, observes
from openhands_contract.outcome import Skipped
from openhands_contract.plausible import Plausible, requests_of
from openhands_contract.v0 import CONVERSATIONS, path, unknown_id

_JSON = "application/json"
_NOWHERE = ("/api/nothing-here", "/api/v1/nothing-here", "/nothing-here", "/api/conversationsx", "/api/v1")
_BURST = 60
_BURST_WORKERS = 12
_LONGEST_WAIT = 10.0
_LARGE = 12 * 1024 * 1024


def _nowhere(api: Api) -> None:
    for where in _NOWHERE:
        for method in ("GET", "POST", "DELETE"):
            answer = api.request(method, where).must(404)
            answer.expect(answer.json == {"detail": "Not Found"}, '{"detail": "Not Found"}', answer.text)


@checks("HTTP-ROUTES-01")
def no_such_path(bench: Bench) -> None:
    """Asks the app server for paths that are in no document."""
    _nowhere(bench.app)


@checks("HTTP-ROUTES-02")
def no_such_path_of_the_agent(bench: Bench) -> None:
    """Asks an agent server for paths that are in no document."""
    _nowhere(bench.v1.agent(bench.v1.workshop()))


def _methods(api: Api, document: Document) -> None:
    """Send one method to each path that it does not have."""
    places = {request.path: request for request in requests_of(document)}
    for number, request in enumerate(places.values()):
        known = document.methods_of(request.path)
        others = [method.upper() for method in METHODS if method.upper() not in known]
        if not others:
            continue
        method = others[number % len(others)]
        answer = api.request(method, request.path).must(405)
        allowed = {
            word.strip().upper() for word in answer.headers.get("allow", "").split(",") if word.strip()
        }
        answer.expect(allowed, "the header `Allow` is there")
        named = document.methods(request.path) or frozenset()
        answer.expect(
            named <= allowed, f"`Allow` names {', '.join(sorted(named))}", ", ".join(sorted(allowed))
        )
        answer.expect(method not in allowed, f"`Allow` does not name {method}", ", ".join(sorted(allowed)))


@checks("HTTP-METHODS-01")
def other_methods(bench: Bench) -> None:
    """Sends to each path of the app server's document a method that it does not have."""
    _methods(bench.app, bench.lab.app_document)


@checks("HTTP-METHODS-02")
def other_methods_of_the_agent(bench: Bench) -> None:
    """Sends to each path of the agent server's document a method that it does not have."""
    _methods(bench.v1.agent(bench.v1.workshop()), bench.lab.agent_document)


@checks("HTTP-METHODS-03")
def head(bench: Bench) -> None:
    """Sends HEAD where GET is answered."""
    for where in ("/alive", CONVERSATIONS, "/api/v1/app-conversations/count"):
        wanted = bench.app.get(where).needs(200)
        answer = bench.app.request("HEAD", where).must(200, 405)
        if answer.status == HTTPStatus.OK:
            kinds = answer.exchange.content_type, wanted.exchange.content_type
            answer.expect(kinds[0] == kinds[1], f"the content type is {kinds[1]}", kinds[0])
        bench.app.get(where).must(200)


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


@checks("HTTP-BODY-01")
def no_json(bench: Bench) -> None:
    """Sends each operation of the app server that takes JSON what is none."""
    _app_refuses(bench, 422, _NO_JSON)


@checks("HTTP-BODY-02")
def no_json_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON what is none."""
    _agent_refuses(bench, 422, _NO_JSON)


@checks("HTTP-BODY-03")
def not_declared(bench: Bench) -> None:
    """Sends each operation of the app server that takes JSON a body that is declared as text."""
    _app_refuses(bench, 415, [b'{"a": 1}'], "text/plain")


@checks("HTTP-BODY-04")
def not_declared_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON a body that is declared as text."""
    _agent_refuses(bench, 415, [b'{"a": 1}'], "text/plain")


@checks("HTTP-BODY-05")
def other_json(bench: Bench) -> None:
    """Sends each operation of the app server that takes an object a text and a number."""
    _app_refuses(bench, 422, _OTHER_JSON)


@checks("HTTP-BODY-06")
def other_json_for_the_agent(bench: Bench) -> None:
    """Sends each operation of the agent server that takes JSON a text and a number."""
    _agent_refuses(bench, 422, _OTHER_JSON)


@checks("HTTP-BODY-07")
def far_too_large(bench: Bench) -> None:
    """Sends a title of twelve million characters."""
    bench.app.patch(path(unknown_id()), {"title": "t" * _LARGE}).must(413, 422)
    bench.app.get("/alive").must(200)


@checks("HTTP-BODY-08")
def with_a_charset(bench: Bench) -> None:
    """Sends a body that is declared as `application/json; charset=utf-8`."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    content = json.dumps({"title": "Größe"}, ensure_ascii=False).encode()
    answer = bench.app.request("PATCH", path(unknown_id()), content=content, headers=headers)
    answer.expect(answer.status not in (415, 422), "the body is taken", answer.status)


@observes(
    "HTTP-TEXT-01",
    when=lambda sight: sight.exchange.content_type == _JSON and sight.exchange.method != "HEAD",
)
def is_utf8(sight: Sight) -> Complaint:
    """Looks at the charset of JSON, and reads it."""
    declared = sight.exchange.headers["content-type"].lower()
    charset = declared.partition("charset=")[2].strip(' "')
    if charset and charset not in ("utf-8", "utf8"):
        return f"the charset is {charset}"
    try:
        json.loads(sight.exchange.body.decode("utf-8"))
    except ValueError as error:
        return f"it is no JSON in UTF-8: {error}"
    return None


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
        if request.operation in (
            "updateConversation",
            "addConversationMessage",
            "addConversationEvent",
            "updateSecret",
        ):
            for content in _ODD_JSON:
                _answered(request.send(bench.app, content=content, headers={"Content-Type": _JSON}))


@checks("HTTP-ODD-03")
def odd_for_the_agent(bench: Bench) -> None:
    """Sends odd values and odd JSON to the agent server."""
    agent = bench.v1.agent(bench.v1.workshop())
    _odd_queries(agent, bench.lab.agent_document)
    for request in _taking_json(bench.lab.agent_document):
        if request.operation in (
            "updateConversation",
            "sendEvent",
            "respondToConfirmation",
            "batchGetEvents",
        ):
            for content in _ODD_JSON:
                _answered(request.send(agent, content=content, headers={"Content-Type": _JSON}))


# ---- limits --------------------------------------------------------------------------------------------------


def _seconds(exchange_headers: Any) -> float | None:
    try:
        return float(exchange_headers.get("retry-after", ""))
    except ValueError:
        return None


@observes("HTTP-LIMIT-01", when=lambda sight: sight.exchange.status == HTTPStatus.TOO_MANY_REQUESTS)
def says_when(sight: Sight) -> Complaint:
    """Looks for `Retry-After` in every 429."""
    after = sight.exchange.headers.get("retry-after")
    if after is None:
        return "the header Retry-After is missing"
    seconds = _seconds(sight.exchange.headers)
    return None if seconds is not None and seconds >= 0 else f"Retry-After is {after!r}, no number of seconds"


def _burst(bench: Bench) -> list[Answer]:
    """Many requests at once; those that were refused for their number."""
    with ThreadPoolExecutor(_BURST_WORKERS, thread_name_prefix="burst") as pool:
        asked = [
            pool.submit(bench.app.get, CONVERSATIONS, {"limit": 1}, retry_refused=False)
            for _ in range(_BURST)
        ]
        answers = [one.result() for one in asked]
    refused = [answer for answer in answers if answer.status == HTTPStatus.TOO_MANY_REQUESTS]
    if not refused:
        raise Skipped(f"the server did not limit {_BURST} requests at once")
    return refused


@checks("HTTP-LIMIT-01")
def too_many(bench: Bench) -> None:
    """Sends many requests at once, and looks at those that are refused."""
    for answer in _burst(bench):
        answer.expect(_seconds(answer.headers) is not None, "`Retry-After` is a number of seconds")


@checks("HTTP-LIMIT-02")
def waiting(bench: Bench) -> None:
    """Sends many requests at once, waits as long as it is told, and asks again."""
    refused = _burst(bench)
    seconds = max(_seconds(answer.headers) or 0.0 for answer in refused)
    if seconds > _LONGEST_WAIT:
        raise Skipped(f"the server wants {seconds:g} s to pass")
    bench.lab.pause(seconds)
    again = bench.app.get("/alive", retry_refused=False)
    again.must(200)
