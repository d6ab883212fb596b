"""How requests are refused, and what no answer may give away."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import Any

from openhands_contract.bench import Answer, Bench
from openhands_contract.checks import checks
from openhands_contract.exchange import Exchange
from openhands_contract.observing import Complaint, Sight, observes
from openhands_contract.outcome import Skipped
from openhands_contract.plausible import requests_of
from openhands_contract.v0 import CONVERSATIONS, path, unknown_id
from openhands_contract.v1 import user_message

_SOCKETIO = "/socket.io/"
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})
_MSG_ID = re.compile(r"[A-Z0-9_]+\$[A-Z0-9_]+")
_INSIDES = re.compile(
    r"Traceback \(most recent call last\)"
    r"|File \\*\"[^\"]+\\*\", line \d+"
    r"|/site-packages/|/dist-packages/|/node_modules/"
    r"|goroutine \d+ \["
    r"|\bat [\w.$<>]+\([\w.]+:\d+\)"
    r"|<title>[^<]*(?:Werkzeug|Debugger)"
)
_SHORTEST_KEY = 6


def _refused(sight: Sight) -> bool:
    """Whether a request failed, of those that the documents are about."""
    exchange = sight.exchange
    return (
        exchange.status >= HTTPStatus.BAD_REQUEST
        and exchange.method != "HEAD"
        and not _is_elsewhere(exchange)
    )


def _answered(sight: Sight) -> bool:
    return sight.exchange.answered and not _is_elsewhere(sight.exchange)


def _is_elsewhere(exchange: Exchange) -> bool:
    """Socket.IO has answers of its own."""
    return _SOCKETIO in exchange.path


def _object(exchange: Exchange) -> dict[str, Any] | None:
    try:
        body = exchange.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


@observes("ERROR-SHAPE-01", when=_refused)
def is_an_object(sight: Sight) -> Complaint:
    """Looks whether an error is a JSON object, declared as JSON."""
    exchange = sight.exchange
    if exchange.content_type != "application/json":
        return f"{exchange.status} is declared as {exchange.content_type or 'nothing'}: {exchange.text[:200]}"
    if _object(exchange) is None and not _is_described(sight):
        return f"{exchange.status} is no JSON object: {exchange.text[:200]}"
    return None


def _is_described(sight: Sight) -> bool:
    """Whether the document itself has something else, as for the accounts of git providers."""
    return sight.operation is not None and not sight.operation.complaints(sight.exchange)


@observes("ERROR-SHAPE-02", when=_refused)
def says_something(sight: Sight) -> Complaint:
    """Looks for what an error says."""
    body = _object(sight.exchange)
    if body is None:
        return None
    said = [body[name] for name in ("detail", "error", "message") if name in body]
    if not said or not all(said):
        return f"{sight.exchange.status} says nothing: {sight.exchange.text[:200]}"
    return None


@observes("ERROR-SHAPE-03", when=lambda sight: sight.exchange.status == HTTPStatus.UNPROCESSABLE_ENTITY)
def says_where(sight: Sight) -> Complaint:
    """Looks at the items of a 422."""
    body = _object(sight.exchange) or {}
    items = body.get("detail")
    if not isinstance(items, list) or not items:
        return f"`detail` is no list: {sight.exchange.text[:200]}"
    for item in items:
        place = item.get("loc") if isinstance(item, dict) else None
        if not isinstance(place, list) or not place or place[0] not in _PLACES:
            return f"an item has no place: {item}"
        if not item.get("msg") or not item.get("type"):
            return f"an item does not say what is wrong: {item}"
    return None


@observes(
    "ERROR-SHAPE-05", when=lambda sight: "msg_id" in (_object(sight.exchange) or {}) and _refused(sight)
)
def is_an_envelope(sight: Sight) -> Complaint:
    """Looks at the names in error envelopes."""
    body = _object(sight.exchange) or {}
    if body.get("status") != "error":
        return f"`status` is {body.get('status')!r}"
    if not isinstance(body["msg_id"], str) or not _MSG_ID.fullmatch(body["msg_id"]):
        return f"`msg_id` is {body['msg_id']!r}"
    return None


@observes("ERROR-SECRET-01", when=_refused)
def shows_no_insides(sight: Sight) -> Complaint:
    """Looks for stack traces and file names in errors."""
    found = _INSIDES.search(sight.exchange.text)
    if found is None or found.group() in sight.exchange.request_body.decode("utf-8", errors="replace"):
        return None
    return f"the error shows the insides of the server: {found.group()}"


@observes("ERROR-SECRET-02", when=_answered)
def repeats_no_key(sight: Sight) -> Complaint:
    """Looks for the key of the request in the answer."""
    exchange = sight.exchange
    headers = exchange.request_headers
    given = headers.get("x-session-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if len(given) < _SHORTEST_KEY or given in exchange.url or given.encode() in exchange.request_body:
        return None
    pattern = re.compile(rf"(?<![\w.-]){re.escape(given)}(?![\w.-])")
    shown = "\n".join((exchange.text, *exchange.headers.values()))
    return "the answer repeats the key" if pattern.search(shown) else None


@observes("ERROR-SERVER-01", when=_answered)
def is_no_server_error(sight: Sight) -> Complaint:
    """Looks for statuses of the 500s."""
    status = sight.exchange.status
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.SERVICE_UNAVAILABLE:
        return None
    return f"{sight.exchange.method} {sight.exchange.path} is answered with {status}"


@checks("ERROR-SHAPE-04")
def names_the_field(bench: Bench) -> None:
    """Makes a mistake in a body and one in a query, and looks for the names of the fields."""
    _names(bench.app.post(CONVERSATIONS, {"initial_user_msg": 7}), "body", "initial_user_msg")
    _names(bench.app.get(CONVERSATIONS, {"limit": "many"}), "query", "limit")
    _names(bench.app.patch(path(unknown_id()), {"title": "t" * 201}), "body", "title")


def _names(answer: Answer, place: str, name: str) -> None:
    answer.must(422)
    places = [item["loc"] for item in answer.pick("detail")]
    answer.expect([place, name] in places, f"an item has the `loc` {[place, name]}", places)


@checks("ERROR-SECRET-03")
def secrets_of_the_user(bench: Bench) -> None:
    """Stores a custom secret, lists, describes and stores it again, and looks for its value in the answers."""
    name, value = f"KIT_{secrets.token_hex(6).upper()}", f"kit-value-{secrets.token_hex(16)}"
    bench.lab.redact.learn(value, "$A_SECRET")
    bench.later(lambda: bench.app.delete(f"/api/secrets/{name}"))
    answers = [
        bench.app.post("/api/secrets", {"name": name, "value": value}).needs(201),
        bench.app.get("/api/secrets").must(200),
        bench.app.put(f"/api/secrets/{name}", {"name": name, "description": "described"}).must(200),
        bench.app.get("/api/settings"),
    ]
    for answer in answers:
        _without(answer, value)
    listed = [secret["name"] for secret in answers[1].pick("custom_secrets")]
    answers[1].expect(name in listed, "the secret is listed by its name", listed)


def _without(answer: Answer, value: str) -> None:
    answer.expect(
        value not in answer.text, "the answer does not have the value of the secret", answer.text[:200]
    )


@checks("ERROR-SECRET-04")
def secrets_of_an_agent(bench: Bench) -> None:
    """Gives an agent a secret, and looks for its value in all there is to read of the conversation."""
    started, value = bench.v1.workshop(), f"kit-value-{secrets.token_hex(16)}"
    bench.lab.redact.learn(value, "$A_SECRET")
    agent = bench.v1.agent(started)
    body = {"secrets": {"KIT_TOKEN": {"kind": "StaticSecret", "value": value}}}
    _without(agent.post(f"{started.path}/secrets", body).needs(200), value)
    with bench.arranging("a message"):
        agent.post(f"{started.path}/events", user_message("Use your token.", run=False)).needs(200)
    for rest in ("", "/events/search"):
        _without(agent.get(f"{started.path}{rest}").must(200), value)
    trajectory = agent.get(f"/api/file/download-trajectory/{started.dashed}").must(200)
    trajectory.expect(value.encode() not in trajectory.content, "the trajectory does not have the value")


@checks("ERROR-SECRET-05")
def keys_of_an_agent(bench: Bench) -> None:
    """Starts a conversation whose agent has a key, and looks for the key in all there is to read of it."""
    started, value = bench.v1.workshop(), f"kit-value-{secrets.token_hex(16)}"
    bench.lab.redact.learn(value, "$A_SECRET")
    agent = bench.v1.agent(started)
    request = next(
        one for one in requests_of(bench.lab.agent_document) if one.operation == "startConversation"
    )
    if "agent" not in request.json:
        raise Skipped("the document has no example of an agent")
    described = {**request.json["agent"], "llm": {"model": "openai/gpt-4o", "api_key": value}}
    made = agent.post(request.path, {**request.json, "agent": described}).needs(200, 201)
    place = f"{request.path}/{made.pick('id')}"
    bench.later(lambda: agent.delete(place))
    for answer in (made, agent.get(place).must(200), agent.get(f"{place}/events/search").must(200)):
        _without(answer, value)
