"""Which server has which route: the only place that knows server lines apart.

An operation says which lines have it (``Operation.lines``). Where lines do the same thing by different
routes, ``ALTERNATIVES`` lists them, newest first. Nobody asks a server for its version beforehand: the first
answer to a route tells, and is remembered, so that an unknown newer server is met with the newest known route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from openhands_client.errors import OpenHandsError, ResponseFormatError, UnsupportedOperationError

from . import operations as ops
from .auth import Endpoint
from .commands import Flow
from .operation import EVERY_LINE, Operation
from .pipeline import call, route_is_missing
from .session import Session

T = TypeVar("T")

ALTERNATIVES: dict[str, tuple[Operation[Any], ...]] = {
    "rename a conversation": (ops.UPDATE_APP_CONVERSATION, ops.UPDATE_CONVERSATION),
    "delete a conversation": (ops.DELETE_APP_CONVERSATION, ops.DELETE_CONVERSATION),
    "search the app server's events": (ops.SEARCH_EVENTS_OF, ops.SEARCH_EVENTS),
    "count the app server's events": (ops.COUNT_EVENTS_OF, ops.COUNT_EVENTS),
    "get the app server's events by id": (ops.BATCH_GET_EVENTS_OF, ops.BATCH_GET_EVENTS),
    "upload a file": (ops.AGENT_UPLOAD_FILE, ops.AGENT_UPLOAD_FILE_TO_PATH),
    "download a file": (ops.AGENT_DOWNLOAD_FILE, ops.AGENT_DOWNLOAD_FILE_AT_PATH),
    "list git changes": (ops.AGENT_GIT_CHANGES, ops.AGENT_GIT_CHANGES_AT_PATH),
    "show a git diff": (ops.AGENT_GIT_DIFF, ops.AGENT_GIT_DIFF_AT_PATH),
}


class Variant(NamedTuple, Generic[T]):
    """One way to ask: a route, and how to put the question to it."""

    operation: Operation[Any]
    ask: Callable[[], Flow[T]]


def first_known(session: Session, endpoint: Endpoint, *variants: Variant[T]) -> Flow[T]:
    """Ask by the first route that the server has. Raises UnsupportedOperationError when it has none.

    What a server lacked before is asked last, but it is asked: a server differs from its gateway while it is
    down.
    """
    missing: OpenHandsError | None = None
    known_missing = session.offers.missing
    for variant in sorted(
        variants, key=lambda variant: (endpoint.base_url, variant.operation) in known_missing
    ):
        try:
            answer = yield from variant.ask()
        except OpenHandsError as failure:
            if not route_is_missing(failure):
                raise
            missing = failure
            known_missing.add((endpoint.base_url, variant.operation))
        else:
            known_missing.discard((endpoint.base_url, variant.operation))
            return answer
    if isinstance(missing, ResponseFormatError):
        raise missing  # a web page says more than we could
    routes = " or ".join(str(variant.operation) for variant in variants)
    version = yield from _version(session, endpoint)
    raise UnsupportedOperationError(f"{endpoint.base_url} ({version}) has no {routes}") from missing


def ask(
    session: Session, operation: Operation[T], endpoint: Endpoint, flow: Callable[[], Flow[T]]
) -> Flow[T]:
    """Perform an operation; where some line lacks its route, the error says so instead of «not found»."""
    if operation.lines == EVERY_LINE:
        return (yield from flow())
    return (yield from first_known(session, endpoint, Variant(operation, flow)))


def _version(session: Session, endpoint: Endpoint) -> Flow[str]:
    """The name and version of a server, as far as it tells."""
    try:
        info = yield from call(session, ops.SERVER_INFO, endpoint=endpoint)
    except OpenHandsError:
        return "of unknown version"
    return " ".join(part for part in (info.title, info.version) if part) or "it does not tell its version"
