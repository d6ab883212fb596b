"""How requests are refused, and what no answer may give away."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.exchange import Exchange
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.plausible import requests_of
from openhands_contract.lab.v0 import CONVERSATIONS, path, unknown_id
from openhands_contract.observing import Complaint, Sight, observes
from openhands_contract.outcome import Skipped

_SOCKETIO = "/socket.io/"
_MSG_ID = re.compile(r"[A-Z0-9_]+\$[A-Z0-9_]+")
_SHORTEST_KEY = 8


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


@observes("HTTP-ERRORS-11", when=_refused)
def says_something(sight: Sight) -> Complaint:
    """Looks for what an error says."""
    body = _object(sight.exchange)
    if body is None:
        return None
    said = [body[name] for name in ("detail", "error", "message") if name in body]
    if not said or not all(said):
        return f"{sight.exchange.status} says nothing: {sight.exchange.text[:200]}"
    return None


@observes(
    "HTTP-ERRORS-13", when=lambda sight: "msg_id" in (_object(sight.exchange) or {}) and _refused(sight)
)
def is_an_envelope(sight: Sight) -> Complaint:
    """Looks at the names in error envelopes."""
    body = _object(sight.exchange) or {}
    if body.get("status") != "error":
        return f"`status` is {body.get('status')!r}"
    if not isinstance(body["msg_id"], str) or not _MSG_ID.fullmatch(body["msg_id"]):
        return f"`msg_id` is {body['msg_id']!r}"
    return None


@observes("HTTP-ERRORS-14", when=_answered)
def repeats_no_key(sight: Sight) -> Complaint:
    """Looks for the key of the request in the answer."""
    exchange = sight.exchange
    headers = exchange.request_headers
    _, _, token = headers.get("authorization", "").partition(" ")
    given = headers.get("x-session-api-key") or token
    if len(given) < _SHORTEST_KEY or given in exchange.url or given.encode() in exchange.request_body:
        return None
    pattern = re.compile(rf"(?<![\w.-]){re.escape(given)}(?![\w.-])")
    shown = "\n".join((exchange.text, *exchange.headers.values()))
    return "the answer repeats the key" if pattern.search(shown) else None


@checks("HTTP-ERRORS-12")
def names_the_field(bench: Bench) -> None:
    """Makes a mistake in a body and one in a query, and looks for the names of the fields."""
    _names(bench.app.post(CONVERSATIONS, {"initial_user_msg": 7}), "body", "initial_user_msg")
    _names(bench.app.get(CONVERSATIONS, {"limit": "many"}), "query", "limit")
    _names(bench.app.patch(path(unknown_id()), {"title": "t" * 201}), "body", "title")


def _names(answer: Answer, place: str, name: str) -> None:
    answer.must(422)
    places = [item["loc"] for item in answer.pick("detail")]
    answer.expect([place, name] in places, f"an item has the `loc` {[place, name]}", places)


def _without(answer: Answer, value: str) -> None:
    answer.expect(
        value not in answer.text, "the answer does not have the value of the secret", answer.text[:200]
    )


@checks("AGENT-CONV-31")
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
