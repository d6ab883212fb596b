"""How answers are written, and how what was asked is read."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, cast

from flask import Response, g, request

from openhands_reference_server.http.validation import ValidRequest

# Look without taking and without waiting; not to be had on Windows.
_PEEK: int | None = socket.MSG_PEEK | socket.MSG_DONTWAIT if hasattr(socket, "MSG_DONTWAIT") else None

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
    connection: socket.socket | None = request.environ.get("werkzeug.socket") or request.environ.get(
        "gunicorn.socket"
    )

    def waits() -> bool:
        if connection is None or _PEEK is None:
            return True
        try:
            return connection.recv(1, _PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    return waits
