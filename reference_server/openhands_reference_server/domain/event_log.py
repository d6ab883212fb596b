"""The stored events of one conversation, in their order, and how they are searched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from openhands_reference_server.domain import v1_events
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import EventNotFound, UnknownPage
from openhands_reference_server.domain.times import has_zone, parse, zoneless


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a search keeps; times are ISO 8601, with or without zone, `since` inclusive, `until` exclusive."""

    kind: str | None = None
    source: str | None = None
    body: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def zoned(self) -> bool:
        """Has one of its times a zone?"""
        return any(has_zone(time) for time in (self.since, self.until) if time)

    def __call__(self, event: Event) -> bool:
        """Does it keep this event?"""
        at = event["timestamp"]
        return (
            (self.kind is None or event["kind"] == self.kind.rpartition(".")[2])
            and (self.source is None or event["source"] == self.source)
            and (self.body is None or self.body.lower() in _message_text(event).lower())
            and (self.since is None or at >= zoneless(parse(self.since)))
            and (self.until is None or at < zoneless(parse(self.until)))
        )


@dataclass(frozen=True, slots=True)
class NumberedFilter:
    """What a V0 search keeps; `since` and `until` are both inclusive."""

    query: str | None = None
    include_types: frozenset[str] | None = None
    exclude_types: frozenset[str] = frozenset()
    source: str | None = None
    since: str | None = None
    until: str | None = None
    exclude_hidden: bool = False

    def __call__(self, event: Event) -> bool:
        """Does it keep this event?"""
        at, kind = event["timestamp"], event.get("action") or event.get("observation")
        return (
            (self.include_types is None or kind in self.include_types)
            and kind not in self.exclude_types
            and (self.source is None or event["source"] == self.source)
            and (self.since is None or at >= zoneless(parse(self.since)))
            and (self.until is None or at <= zoneless(parse(self.until)))
            and not (self.exclude_hidden and _is_hidden(event))
            and (self.query is None or self.query.lower() in json.dumps(event, ensure_ascii=False).lower())
        )


def _is_hidden(event: Event) -> bool:
    return bool((event.get("args") or event.get("extras") or {}).get("hidden"))


def _message_text(event: Event) -> str:
    return v1_events.text_of(event["llm_message"]["content"]) if event["kind"] == "MessageEvent" else ""


class EventLog:
    """Events in the order they happened; appended to, never changed.

    Attributes:
        events: those that happened here.
        reported: those an agent server elsewhere has told the app server of; searches here pass over them.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.events: list[Event] = []
        self.reported: list[Event] = []
        self._positions: dict[Any, int] = {}
        self._reports: dict[str, Event] = {}
        self.extend(records)

    def extend(self, records: Iterable[Mapping[str, Any]]) -> list[Event]:
        """Take up the events among these records; returns them."""
        added: list[Event] = []
        for record in records:
            if record["record"] == "event":
                event = record["event"]
                self._positions[event["id"]] = len(self.events)
                self.events.append(event)
                added.append(event)
            elif record["record"] == "reported":
                self._reports[record["event"]["id"]] = record["event"]
                self.reported.append(record["event"])
        return added

    def known(self, event_id: str) -> Event | None:
        """One V1 event, wherever it happened, by its UUID in any spelling; None when there is none."""
        position = self._position(event_id)
        if position is not None:
            return self.events[position]
        return self._reports.get(v1_events.event_id(event_id))

    def get(self, event_id: str) -> Event:
        """One V1 event, by its UUID in any spelling.

        Raises:
            EventNotFound: there is none.
        """
        position = self._position(event_id)
        if position is None:
            raise EventNotFound(event_id)
        return self.events[position]

    def batch_get(self, ids: Iterable[str]) -> list[Event | None]:
        """V1 events by id, None where there is none."""
        positions = map(self._position, ids)
        return [None if position is None else self.events[position] for position in positions]

    def search(
        self, keep: EventFilter, *, page_id: str | None, limit: int, newest_first: bool
    ) -> tuple[list[Event], str | None]:
        """One page, and the id of the first event of the next one.

        Raises:
            UnknownPage: the page id is not an event of this log.
        """
        page: list[Event] = []
        for event in self._walk(page_id, newest_first=newest_first):
            if not keep(event):
                continue
            if len(page) == limit:
                return page, event["id"]
            page.append(event)
        return page, None

    def count(self, keep: EventFilter) -> int:
        """How many events a search would find."""
        return sum(keep(event) for event in self.events)

    def numbered(
        self, keep: Callable[[Event], bool], *, start: int, end: int | None, reverse: bool, limit: int
    ) -> tuple[list[Event], bool]:
        """V0: events with `start <= id <= end`, at most `limit`, and whether there are more."""
        last = len(self.events) if end is None else end + 1
        found = self.events[start:last]
        kept = filter(keep, reversed(found) if reverse else found)
        page = list(islice(kept, limit + 1))
        return page[:limit], len(page) > limit

    def _walk(self, page_id: str | None, *, newest_first: bool) -> Iterator[Event]:
        position = None if page_id is None else self._position(page_id)
        if page_id is not None and position is None:
            raise UnknownPage(page_id)
        if newest_first:
            first = len(self.events) - 1 if position is None else position
            return (self.events[index] for index in range(first, -1, -1))
        return (self.events[index] for index in range(position or 0, len(self.events)))

    def _position(self, event_id: str) -> int | None:
        return self._positions.get(v1_events.event_id(event_id))
