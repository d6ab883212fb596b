"""Lets the rest of the kit see, and bridle, what Schemathesis sends.

It generates requests for every operation and for ids it has read in lists. Whatever it does has to be cleaned up
afterwards, must not touch what the run has not made, and must not leave the host that was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import requests
import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.hooks import unregister

from openhands_contract.documents import DocumentName
from openhands_contract.exchange import Exchange

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Watcher(Protocol):
    """Whoever is told of generated requests."""

    def before(self) -> None:
        """A request is about to be sent; keep it waiting as long as the pace demands."""
        ...

    def between(self) -> None:
        """The same, and no later request needs what earlier ones have made."""
        ...

    def spare(self, identifier: str) -> str | None:
        """What to use instead of an id in a request that changes something; None to leave it."""
        ...

    def after(self, exchange: Exchange) -> None:
        """An answer came, or none did."""
        ...

    def should_stop(self) -> bool:
        """Whether there is no point in going on."""
        ...


@contextmanager
def watched(server: DocumentName, watcher: Watcher, *, in_sequences: bool) -> Iterator[None]:
    """Watch every Schemathesis run inside this block. In sequences, requests need what others have made."""

    def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        kwargs["allow_redirects"] = False
        kwargs["proxies"] = {"no_proxy": "*"}  # nor through a proxy that the environment names
        if case.method.upper() not in _READING:
            for name, value in list(case.path_parameters.items()):
                spared = watcher.spare(value) if isinstance(value, str) else None
                if spared is not None:
                    case.path_parameters[name] = spared
        if not in_sequences:
            watcher.between()
        watcher.before()

    def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
        watcher.after(_answered(server, response))

    def after_network_error(context: HookContext, case: Case[Any], request: requests.PreparedRequest) -> None:
        watcher.after(_exchange(server, request, failure="the connection broke or nothing came in time"))

    hooks = (before_call, after_call, after_network_error)
    for hook in hooks:
        schemathesis.hook(hook)
    try:
        yield
    finally:
        for hook in hooks:
            unregister(hook)


def _answered(server: DocumentName, response: Response) -> Exchange:
    return _exchange(
        server,
        response.request,
        status=response.status_code,
        headers={name.lower(): ", ".join(values) for name, values in response.headers.items()},
        body=response.content or b"",
        seconds=response.elapsed,
    )


def _exchange(server: DocumentName, request: requests.PreparedRequest, **answer: Any) -> Exchange:
    body = request.body
    return Exchange(
        server=server,
        method=request.method or "GET",
        url=request.url or "",
        request_headers={name.lower(): _text(value) for name, value in request.headers.items()},
        request_body=body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b"",
        **answer,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
