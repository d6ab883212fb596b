"""What both Flask applications have in common: validation, errors, headers, documents.

Each route's endpoint is the `operationId` of its operation in the OpenAPI document, so one hook finds
the operation of every request and validates it before the route sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Flask, Response, g, request
from werkzeug import routing
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from openhands_contract import documents
from openhands_reference_server.dialects import Dialect
from openhands_reference_server.dialects.answers import Rule
from openhands_reference_server.domain.errors import DomainError
from openhands_reference_server.http import cors, problems
from openhands_reference_server.http.answers import dumps
from openhands_reference_server.http.docs_page import docs_page
from openhands_reference_server.http.metrics import Metrics
from openhands_reference_server.http.validation import RequestValidator

MAX_BODY_BYTES = 10 * 1024 * 1024
_BESIDE_THE_DOCUMENT = ("openapi", "docs", "redoc", "metrics")
_HEADERS = {
    "Cache-Control": "no-cache, no-store, must-revalidate, max-age=0",
    "Pragma": "no-cache",
    "Expires": "0",
}


class _EventIdConverter(routing.BaseConverter):
    """Any text but the name of a route beside it, which would gain the methods of `…/events/{event_id}`."""

    regex = "(?!respond_to_confirmation$)[^/]+"


class _NotSearchConverter(routing.BaseConverter):
    """Any text but the names of the routes beside it, which have methods of their own."""

    regex = "(?!(search|count|start-tasks|stream-start)$)[^/]+"


class _FilePathConverter(routing.PathConverter):
    """The rest of the path as it is: absolute ones begin with a slash of their own, and lines may end in it."""

    regex = r"[\s\S]*?"
    part_isolating = False


class _Route(routing.Rule):
    """Only matches: no URL is ever built from a route, and code to build them is most of what a start costs."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_url


def _no_url(*_: Any, **__: Any) -> tuple[str, str]:
    raise NotImplementedError("routes of this server build no URLs")


class _Application(Flask):
    """Has the routes that the document has: a blueprint's other ones belong to other dialects."""

    url_rule_class = _Route

    def __init__(self, operations: frozenset[str]) -> None:
        self._operations = operations
        super().__init__(__name__, static_folder=None)

    def add_url_rule(self, rule: str, endpoint: str | None = None, *args: Any, **options: Any) -> None:
        """Add a route, unless it is that of an operation of another dialect."""
        blueprint, _, operation = (endpoint or "").rpartition(".")
        if not blueprint or operation in self._operations:
            super().add_url_rule(rule, endpoint, *args, **options)


def new_application(
    document_name: documents.AnyDocument,
    dialect: Dialect,
    blueprints: list[Blueprint],
    *,
    domain_problem: Callable[[DomainError], Response],
    rules: tuple[Rule, ...],
    before: Callable[[], Response | None],
) -> Flask:
    """Make one of the two applications.

    Args:
        document_name: its OpenAPI document.
        dialect: which of its dialects it speaks.
        blueprints: its routes, one blueprint per tag.
        domain_problem: how it says what the domain refuses.
        rules: what its dialect says otherwise.
        before: looks at every request before it is validated (keys, ids), also where there is no route;
            may answer it.
    """
    document = _document(document_name, dialect.name)
    app = _Application(_operation_ids(document))
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.converters |= {
        "event_id": _EventIdConverter,
        "not_search": _NotSearchConverter,
        "file_path": _FilePathConverter,
    }
    cors.install(app)
    Metrics().install(app)
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    _add_documents(app, document)
    _add_validation(app, validator(document_name, dialect), before)
    problems.install(app, domain_problem, rules)
    app.after_request(_add_headers)
    if dialect.redirects_slashes:
        _redirect_slashes(app)
    return app


def _redirect_slashes(app: Flask) -> None:
    """Send on who asks with a slash too many or too few at the end, as FastAPI does."""

    def redirect() -> Response | None:
        if request.url_rule is not None or request.routing_exception is None:
            return None
        path = request.path.rstrip("/") if request.path.endswith("/") else f"{request.path}/"
        if not path or not app.url_map.bind("").test(path, request.method):
            return None
        query = f"?{request.query_string.decode()}" if request.query_string else ""
        return Response(
            status=307, headers={"Location": f"{request.host_url.rstrip('/')}{quote(path)}{query}"}
        )

    app.before_request_funcs.setdefault(None, []).insert(0, redirect)


def operation_id() -> str:
    """The operation of the present request."""
    return (request.endpoint or "").rpartition(".")[2]


def operation_of(app: Flask, environ: Mapping[str, Any]) -> str | None:
    """The operation a request is about to reach; None where there is none."""
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    try:
        endpoint, _ = app.url_map.bind("").match(path, environ["REQUEST_METHOD"], websocket=websocket)
    except HTTPException:
        return None
    return str(endpoint).rpartition(".")[2]


@cache
def _document(name: documents.AnyDocument, dialect: documents.Dialect) -> dict[str, Any]:
    return documents.load(name, dialect)


def _operation_ids(document: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "operationId" in operation
    )


def validator(name: documents.AnyDocument, dialect: Dialect) -> RequestValidator:
    """One per process: compiled validators are worth sharing between servers."""
    return _validator(name, dialect.name)


@cache
def _validator(name: documents.AnyDocument, dialect: documents.Dialect) -> RequestValidator:
    return RequestValidator(_document(name, dialect))


def _add_validation(app: Flask, rules: RequestValidator, before: Callable[[], Response | None]) -> None:
    def validate() -> Response | None:
        if operation_id() in _BESIDE_THE_DOCUMENT:
            return None
        if request.method == "HEAD" and request.url_rule is not None:
            raise MethodNotAllowed(valid_methods=_methods_of_path(app))
        answer = before()
        if answer is not None or request.url_rule is None or request.url_rule.websocket:
            return answer
        operation = operation_id()
        g.valid_request = rules.validate(
            operation,
            path=request.view_args or {},
            query=list(request.args.items(multi=True)),
            headers=dict(request.headers),
            content_type=request.content_type,
            body=b"" if rules.reads_form(operation) else _body(),
        )
        return None

    app.before_request(validate)


def _body() -> bytes:
    """The body of the present request.

    Raises:
        RequestEntityTooLarge: it is too large; Werkzeug itself cuts off what comes in chunks.
    """
    body = request.get_data(cache=False)
    if len(body) >= MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return body


def _methods_of_path(app: Flask) -> list[str]:
    return list(app.url_map.bind("").allowed_methods(request.path))


def _add_documents(app: Flask, document: dict[str, Any]) -> None:
    def openapi() -> Response:
        return Response(dumps(document), mimetype="application/json")

    def docs() -> Response:
        return Response(docs_page(document, request.script_root), mimetype="text/html")

    app.add_url_rule("/openapi.json", "openapi", openapi)
    app.add_url_rule("/docs", "docs", docs)
    app.add_url_rule("/redoc", "redoc", docs)


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
