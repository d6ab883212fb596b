"""The app server's events: one server line has all in one place, the other one place per conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from openhands_client import models as m
from openhands_client.errors import InvalidArgumentError

from . import operations as ops
from .batching import batch_get
from .commands import Flow, emit
from .compat import Variant, first_known
from .operation import Operation, Query
from .pipeline import call
from .session import Session

T = TypeVar("T")

_NAMES_AN_EVENT = re.compile(r"_([0-9a-f]{32})$")


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


def all_events(session: Session, conversation_id: str | None, query: Query) -> Flow[None]:
    """Emit the events on all pages, each once.

    The pages of one server line begin after the event that their id names, so that it is on none; it is asked
    for by itself.
    """
    seen: set[str] = set()
    asked: set[str] = set()
    page_id: str | None = None
    while page_id is None or page_id not in asked:
        page = yield from search_events(session, conversation_id, {**query, "page_id": page_id})
        items: list[m.AnyEvent | None] = [*page.items]
        named = _event_named_by(page_id)
        if named is not None and named not in seen | {_hex(event.id) for event in page.items}:
            items = [*(yield from batch_get_events(session, conversation_id, [named])), *items]
        for event in items:
            if event is not None and _hex(event.id) not in seen:
                seen.add(_hex(event.id))
                yield from emit(event)
        if page.next_page_id is None:
            return
        if page_id is not None:
            asked.add(page_id)
        page_id = page.next_page_id


def _event_named_by(page_id: str | None) -> str | None:
    """The id at the end of ``20261120232355_MessageEvent_c0de…``."""
    named = _NAMES_AN_EVENT.search(page_id or "")
    return named[1] if named else None


def _hex(event_id: object) -> str:
    """Ids come with dashes and without."""
    return str(event_id).replace("-", "")


def _either(
    session: Session, conversation_id: str | None, query: Query, newer: Operation[T], older: Operation[T]
) -> Flow[T]:
    of_all = {**query, "conversation_id__eq": conversation_id}
    variants = [Variant(older, lambda: call(session, older, query=of_all))]
    if conversation_id is not None:
        path = {"conversation_id": conversation_id}
        variants.insert(0, Variant(newer, lambda: call(session, newer, path=path, query=query)))
    elif (session.endpoint.base_url, older) in session.offers.missing:
        raise InvalidArgumentError("this server needs to know of which conversation; nothing was sent")
    return (yield from first_known(session, session.endpoint, *variants))
