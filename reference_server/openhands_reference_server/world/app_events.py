"""The events of V1 conversations as the app server knows them, and how agent servers report more.

The app server and the agent servers of this process share their logs, so what happens here needs no
report. Reports come from agent servers elsewhere (or from tests that play one): what is new in them is
kept beside the events of the conversation, which they do not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openhands_reference_server.domain import paging, v1
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import ConversationNotFound, NotForeseen
from openhands_reference_server.domain.event_log import EventFilter
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.world.core import Core


class AppEvents:
    """The events of all V1 conversations of one world."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # -- asking -------------------------------------------------------------------------------------

    def search(
        self,
        conversation_id: str | None,
        keep: EventFilter,
        *,
        page_id: str | None,
        limit: int,
        newest_first: bool,
    ) -> tuple[list[Event], str | None]:
        """A page of events in the order of time, of one conversation or of all.

        Raises:
            UnknownPage: the page id is not from here.
        """
        cursor = None if page_id is None else paging.decode(page_id)
        found = self._kept(conversation_id, keep)
        found.sort(key=_key, reverse=newest_first)
        rest = list(paging.after(found, cursor, _key, newest_first=newest_first))
        page, last = paging.take(rest, limit, _key)
        if last is not None and self._core.dialect.event_pages_lose_items:
            last = _key(rest[limit])  # named by the first event of the next page, which begins behind it
        return page, last and paging.encode(last)

    def count(self, conversation_id: str | None, keep: EventFilter) -> int:
        """How many events a search would find."""
        return len(self._kept(conversation_id, keep))

    def _kept(self, conversation_id: str | None, keep: EventFilter) -> list[Event]:
        """The events that a search finds, in no order.

        Raises:
            NotForeseen: times are to be compared that this server cannot compare.
        """
        events = self._events_of(conversation_id)
        if events and keep.zoned and self._core.dialect.compares_no_zones:
            raise NotForeseen("can't compare offset-naive and offset-aware datetimes")
        return [event for event in events if keep(event)]

    def batch_get(self, ids: Iterable[str], conversation_id: str | None = None) -> list[Event | None]:
        """Events by id, of one conversation or of all; None where there is none."""
        with self._core.lock:
            logs = [self._core.log(one) for one in self._asked_for(conversation_id)]
            return [next(filter(None, (log.known(one) for log in logs)), None) for one in ids]

    def _events_of(self, conversation_id: str | None) -> list[Event]:
        with self._core.lock:
            logs = [self._core.log(one) for one in self._asked_for(conversation_id)]
            return [event for log in logs for event in (*log.events, *log.reported)]

    def _asked_for(self, conversation_id: str | None) -> list[str]:
        """The ids of the conversations that are meant: one that exists, or all."""
        if conversation_id is None:
            return [one.id for one in self._core.conversations if _is_v1(one)]
        found = self._core.conversations.get(canonical(conversation_id))
        return [found.id] if isinstance(found, V1Conversation) else []

    # -- reports ------------------------------------------------------------------------------------

    def report(self, sandbox_id: str, conversation_id: str, events: Iterable[Event]) -> None:
        """Take up what an agent server says has happened; what is known already is left alone.

        Raises:
            ConversationNotFound: there is no such conversation in this sandbox.
        """
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            if conversation.sandbox_id != sandbox_id:
                raise ConversationNotFound(conversation_id)
            log = self._core.log(conversation.id)
            new = {event["id"]: event for event in map(v1.as_reported, events) if not log.known(event["id"])}
            with self._core.changing_v1(conversation) as changes:
                for event in new.values():
                    v1.report(changes, event)

    def report_conversation(self, sandbox_id: str, info: Mapping[str, Any]) -> None:
        """Take up what an agent server says of a conversation; one nobody has heard of is new.

        Raises:
            ConversationNotFound: its id belongs to a conversation elsewhere.
        """
        with self._core.lock:
            known = self._core.conversations.get(canonical(info["id"]))
            if isinstance(known, V0Conversation) or (known and known.sandbox_id != sandbox_id):
                raise ConversationNotFound(info["id"])
            with self._core.changing_v1(known) as changes:
                if known is None:
                    v1.take_up(changes, canonical(info["id"]), sandbox_id, info)
                v1.report_info(changes, info)


def _is_v1(one: Any) -> bool:
    return isinstance(one, V1Conversation)


def _key(event: Event) -> Key:
    return (event["timestamp"], event["id"])
