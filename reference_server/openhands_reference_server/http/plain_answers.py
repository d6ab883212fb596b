"""Answers of the layers in front of the applications, which have no web framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any


def problem(start_response: Callable[..., Any], status: str, detail: str) -> Iterable[bytes]:
    """Answer with a `detail`."""
    body = json.dumps({"detail": detail}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
