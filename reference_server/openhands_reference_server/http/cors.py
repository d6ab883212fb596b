"""Lets web pages from this machine call, as the real server does: a front end runs on a port of its own.

Answers name the origin itself, also when they tell of an error; a page from anywhere else gets no permission
and cannot read them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_PREFLIGHT_SECONDS = "600"
_READABLE = "Content-Disposition, Retry-After"


def install(app: Flask) -> None:
    """Add it to an application, before everything else that looks at requests."""
    app.before_request(_answer_preflight)
    app.after_request(_allow)


def _answer_preflight() -> Response | None:
    asked = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or asked is None or local_origin() is None:
        return None
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = _METHODS
    answer.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", "content-type, x-session-api-key"
    )
    answer.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
    return answer


def _allow(answer: Response) -> Response:
    origin = local_origin()
    if origin is not None:
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Allow-Credentials"] = "true"
        answer.headers["Access-Control-Expose-Headers"] = _READABLE
        answer.headers.add("Vary", "Origin")
    return answer


def local_origin() -> str | None:
    """The origin of the page that calls, if it is one from this machine."""
    origin = request.headers.get("Origin", "")
    try:
        parts = urlsplit(origin)
        local = parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK
    except ValueError:
        return None
    return origin if local else None
