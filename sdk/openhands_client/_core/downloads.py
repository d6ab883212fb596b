"""Answers too large for memory: handed on piece by piece as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from .auth import Endpoint
from .commands import Flow, call_back, read
from .compat import Variant, first_known
from .operation import Operation, Query
from .pipeline import open_stream, repeated
from .session import Session


class Download(NamedTuple):
    """One way to ask for a file."""

    operation: Operation[Any]
    path: Mapping[str, str] | None = None
    query: Query | None = None


def download(
    session: Session, endpoint: Endpoint, write: Callable[[bytes], Any], *downloads: Download
) -> Flow[None]:
    """Hand the body of an answer to ``write``, by the first route that the server has."""
    variants = [Variant(one.operation, partial(_fetch, session, endpoint, write, one)) for one in downloads]
    yield from first_known(session, endpoint, *variants)


def _fetch(session: Session, endpoint: Endpoint, write: Callable[[bytes], Any], one: Download) -> Flow[None]:
    request = one.operation.request(endpoint.base_url, one.path, one.query, None, session.timeout)
    body = yield from repeated(
        session, one.operation, lambda: open_stream(endpoint, request, str(one.operation))
    )
    while piece := (yield from read(body)):
        yield from call_back(write, piece)
