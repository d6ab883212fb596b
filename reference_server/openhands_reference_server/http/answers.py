"""How answers are written, and how what was asked is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from flask import Response, g, request

from openhands_reference_server.http.connections import has_hung_up, raw_socket
from openhands_reference_server.http.validation import ValidRequest

SUCCESS = {"success": True}


def dumps(value: Any) -> str:
    """Compact JSON in ASCII, which any text survives."""
    return json.dumps(value, separators=(",", ":"))


def json_answer(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(dumps(value), status, mimetype="application/json")


def asked() -> ValidRequest:
    """The present request, validated."""
    return cast(ValidRequest, g.valid_request)


def caller_waits() -> Callable[[], bool]:
    """A question: is the caller of the present request still connected?

    For answers that take long: without asking, a handler would wait on for somebody who has hung up.
    """
    connection = raw_socket(request.environ)
    return lambda: connection is None or not has_hung_up(connection)
