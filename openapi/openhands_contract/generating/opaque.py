"""Keeps Schemathesis from inventing values that only a server can make.

A page id is a string, so any string satisfies its schema, yet the server rightly refuses those it never handed
out. The documents mark such parameters with `x-opaque`. Before a request is sent, their values are dropped
unless an earlier answer of this run contained them; Schemathesis then judges the request by what was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.hooks import unregister

from openhands_contract.json_text import read_json

_RESPONSE_FIELDS = frozenset({"next_page_id"})


@contextmanager
def only_values_from_the_server() -> Iterator[None]:
    """Filter the requests of every Schemathesis run inside this block."""
    handed_out: set[str] = set()

    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        for parameter in case.operation.query:
            if parameter.definition.get("x-opaque") and case.query.get(parameter.name) not in handed_out:
                case.query.pop(parameter.name, None)

    def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
        try:
            body = read_json(response.content)  # `response.json()` would make JSON of it for every check
        except ValueError:
            return
        if isinstance(body, dict):
            handed_out.update(
                body[name] for name in _RESPONSE_FIELDS & body.keys() if isinstance(body[name], str)
            )

    schemathesis.hook(before_call)
    schemathesis.hook(after_call)
    try:
        yield
    finally:
        unregister(before_call)
        unregister(after_call)
