"""`/_control`: faults, journal, clock, reset and namespaces over HTTP, as `openapi/control.yaml` describes them.

One application for all namespaces: the front says with each request whose controls are meant.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, cast

from flask import Blueprint, Response, request

from openhands_reference_server.control.faults import FaultRule, effect_from_json, effect_to_json
from openhands_reference_server.control.journal import Exchange, NotSeen
from openhands_reference_server.control.matching import Match
from openhands_reference_server.control.namespaces import PREFIX, Namespace, Namespaces, TooManyNamespaces
from openhands_reference_server.dialects import DOCS
from openhands_reference_server.domain.errors import DomainError
from openhands_reference_server.domain.times import zoned
from openhands_reference_server.http import cors, problems
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.application import new_application
from openhands_reference_server.http.journaling import Environ, StartResponse

TOKEN_HEADER = "X-Control-Token"  # noqa: S105  # the name of a header
_NAMESPACE = "openhands.namespace"


class ControlApi:
    """The application behind `/_control`.

    Args:
        namespaces: what can be made and deleted.
        token: what `X-Control-Token` has to say; None: nothing.
    """

    def __init__(self, namespaces: Namespaces, token: str | None) -> None:
        self._token = None if token is None else token.encode()
        routes = Blueprint("control", __name__)
        _add_faults(routes)
        _add_journal(routes)
        _add_state(routes)
        _add_namespaces(routes, namespaces)
        self._app = new_application(
            "control",
            DOCS,
            [routes],
            rules=(),
            domain_problem=_domain_problem,
            before=self._refusal,
        )

    def serve(self, namespace: Namespace, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request about this namespace."""
        return self._app({**environ, _NAMESPACE: namespace}, start_response)

    def _refusal(self) -> Response | None:
        if "Origin" in request.headers and cors.local_origin() is None:
            return problems.detail(403, "Only pages from this machine may control the server")
        if self._token is None:
            return None
        sent = request.headers.get(TOKEN_HEADER, "").encode("latin-1", "replace")
        genuine = hmac.compare_digest(sent, self._token)
        return None if genuine else problems.detail(401, f"{TOKEN_HEADER} is missing or wrong")


def _namespace() -> Namespace:
    return cast(Namespace, request.environ[_NAMESPACE])


def _domain_problem(error: DomainError) -> Response:
    raise error


def _add_faults(routes: Blueprint) -> None:
    @routes.get("/faults", endpoint="listFaults")
    def list_faults() -> Response:
        return json_answer([_fault(rule) for rule in _namespace().faults.rules()])

    @routes.post("/faults", endpoint="addFault")
    def add_fault() -> Response:
        body = asked().body
        try:
            rule = _namespace().faults.add(
                effect_from_json(body),
                _match(body.get("match")),
                skip=body.get("skip", 0),
                times=body.get("times"),
                probability=body.get("probability", 1.0),
                seed=body.get("seed", 0),
            )
        except ValueError as error:
            return problems.refused(problems.invalid("body", body["kind"], str(error), body))
        return json_answer(_fault(rule), 201)

    @routes.delete("/faults", endpoint="clearFaults")
    def clear_faults() -> Response:
        _namespace().faults.clear()
        return json_answer(SUCCESS)

    @routes.get("/faults/<fault_id>", endpoint="getFault")
    def get_fault(fault_id: str) -> Response:
        rule = _namespace().faults.get(fault_id)
        return _no_fault(fault_id) if rule is None else json_answer(_fault(rule))

    @routes.delete("/faults/<fault_id>", endpoint="removeFault")
    def remove_fault(fault_id: str) -> Response:
        removed = _namespace().faults.remove(fault_id)
        return json_answer(SUCCESS) if removed else _no_fault(fault_id)


def _add_journal(routes: Blueprint) -> None:
    @routes.get("/journal", endpoint="listExchanges")
    def list_exchanges() -> Response:
        query = asked().query
        try:
            match = _match({name: value for name, value in query.items() if name not in ("status", "limit")})
        except ValueError as error:
            return problems.refused(problems.invalid("query", "path_regex", str(error), query["path_regex"]))
        found = _namespace().journal.exchanges(match, query["status"])
        return json_answer([_exchange(one) for one in found[-query["limit"] :]])

    @routes.delete("/journal", endpoint="clearJournal")
    def clear_journal() -> Response:
        _namespace().journal.clear()
        return json_answer(SUCCESS)

    @routes.post("/journal/wait", endpoint="waitForExchanges")
    def wait_for_exchanges() -> Response:
        body = asked().body or {}
        try:
            seen = _namespace().journal.wait_for(
                _match(body.get("match")),
                count=body.get("count", 1),
                timeout=body.get("timeout", 5.0),
                status=body.get("status"),
            )
        except NotSeen as error:
            exchanges = [_exchange(one) for one in error.seen]
            return json_answer({"detail": str(error), "count": len(exchanges), "exchanges": exchanges}, 408)
        except ValueError as error:
            return problems.refused(problems.invalid("body", "match", str(error), body.get("match")))
        return json_answer({"count": len(seen), "exchanges": [_exchange(one) for one in seen]})


def _add_state(routes: Blueprint) -> None:
    @routes.post("/reset", endpoint="reset")
    def reset() -> Response:
        _namespace().reset()
        return json_answer(SUCCESS)

    @routes.get("/clock", endpoint="getClock")
    def get_clock() -> Response:
        return json_answer({"now": zoned(_namespace().now())})

    @routes.post("/clock/advance", endpoint="advanceClock")
    def advance_clock() -> Response:
        return json_answer({"now": zoned(_namespace().advance(asked().body["seconds"]))})

    @routes.post("/tokens/expire", endpoint="expireTokens")
    def expire_tokens() -> Response:
        return json_answer({"expired": _namespace().expire_tokens()})


def _add_namespaces(routes: Blueprint, namespaces: Namespaces) -> None:
    @routes.get("/namespaces", endpoint="listNamespaces")
    def list_namespaces() -> Response:
        return json_answer([_entry(name) for name in namespaces.names()])

    @routes.put("/namespaces/<name>", endpoint="createNamespace")
    def create_namespace(name: str) -> Response:
        try:
            namespaces.get(name)
        except TooManyNamespaces as error:
            return problems.detail(409, str(error))
        except ValueError as error:
            return problems.refused(problems.invalid("path", "name", str(error), name))
        return json_answer(_entry(name))

    @routes.delete("/namespaces/<name>", endpoint="deleteNamespace")
    def delete_namespace(name: str) -> Response:
        removed = namespaces.remove(name)
        return json_answer(SUCCESS) if removed else problems.detail(404, f"Namespace not found: {name}")


def _match(given: Mapping[str, Any] | None) -> Match:
    return Match(**(given or {}))


def _no_fault(fault_id: str) -> Response:
    return problems.detail(404, f"Fault not found: {fault_id}")


def _fault(rule: FaultRule) -> dict[str, Any]:
    match = rule.match
    return {
        "id": rule.id,
        **effect_to_json(rule.effect),
        "match": {
            "method": match.method,
            "path": match.path,
            "path_regex": match.path_regex,
            "server": match.server,
            "operation": match.operation,
            "protocol": match.protocol,
        },
        "skip": rule.skip,
        "times": rule.times,
        "probability": rule.probability,
        "seed": rule.seed,
        "seen": rule.seen,
        "hits": rule.hits,
    }


def _exchange(one: Exchange) -> dict[str, Any]:
    return {
        "id": one.id,
        "server": one.asked.server,
        "protocol": one.asked.protocol,
        "operation": one.asked.operation,
        "method": one.asked.method,
        "path": one.asked.path,
        "query": one.query,
        "headers": [list(pair) for pair in one.headers],
        "body": one.body,
        "status": one.status,
        "answer_headers": [list(pair) for pair in one.answer_headers],
        "answer": one.answer,
        "started_at": zoned(one.started_at),
        "duration": one.duration,
        "faults": list(one.faults),
        "events": one.events,
    }


def _entry(name: str) -> dict[str, Any]:
    return {"name": name, "path": f"{PREFIX}{name}"}
