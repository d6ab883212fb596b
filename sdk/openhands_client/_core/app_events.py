"""The app server's events: one server line has all in one place, the other one place per conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from openhands_client import models as m
from openhands_client.errors import InvalidArgumentError

from . import operations as ops
from .batching import batch_get
from .commands import Flow
from .compat import Variant, first_known
from .operation import Operation, Query
from .pipeline import call
from .session import Session

T = TypeVar("T")


def search_events(session: Session, conversation_id: str | None, query: Query) -> Flow[m.EventPage]:
    """One page of events, of one conversation or of all."""
    return (yield from _either(session, conversation_id, query, ops.SEARCH_EVENTS_OF, ops.SEARCH_EVENTS))


def count_events(session: Session, conversation_id: str | None, query: Query) -> Flow[int]:
    """How many events there are, of one conversation or of all."""
    return (yield from _either(session, conversation_id, query, ops.COUNT_EVENTS_OF, ops.COUNT_EVENTS))


def batch_get_events(
    session: Session, conversation_id: str | None, ids: Sequence[str]
) -> Flow[list[m.AnyEvent | None]]:
    """Events by id."""
    newer, older = ops.BATCH_GET_EVENTS_OF, ops.BATCH_GET_EVENTS
    variants = [Variant(older, lambda: batch_get(session, older, "id", ids))]
    if conversation_id is not None:
        path = {"conversation_id": conversation_id}
        variants.insert(0, Variant(newer, lambda: batch_get(session, newer, "id", ids, path)))
    return (yield from first_known(session, session.endpoint, *variants))


def _either(
    session: Session, conversation_id: str | None, query: Query, newer: Operation[T], older: Operation[T]
) -> Flow[T]:
    of_all = {**query, "conversation_id__eq": conversation_id}
    variants = [Variant(older, lambda: call(session, older, query=of_all))]
    if conversation_id is not None:
        path = {"conversation_id": conversation_id}
        variants.insert(0, Variant(newer, lambda: call(session, newer, path=path, query=query)))
    elif older in session.offers.missing:
        raise InvalidArgumentError("this server needs to know of which conversation; nothing was sent")
    return (yield from first_known(session, session.endpoint, *variants))
