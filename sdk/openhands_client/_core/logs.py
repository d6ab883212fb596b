"""Where the log of a conversation ended, and what was added since: it shows whether a request was performed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from openhands_client import models as m

from . import operations as ops
from .commands import Flow
from .operation import Query
from .places import Snapshot, on_agent, on_runtime
from .resting import is_user_message, state_of
from .session import Session

PAGE = 100  # the most that every server accepts

LoggedEvent: TypeAlias = "m.AnyEvent | m.V0Event"


@dataclass(frozen=True)
class LogEnd:
    """The last event of a conversation's log at some time; None for an empty log."""

    snapshot: Snapshot
    last_id: str | int | None

    def added(self, session: Session) -> Flow[Sequence[LoggedEvent]]:
        """The events that were stored since."""
        if self.snapshot.version == "v0":
            return (yield from self._added_v0(session))
        return (yield from self._added_v1(session))

    def _added_v0(self, session: Session) -> Flow[Sequence[m.V0Event]]:
        found: list[m.V0Event] = []
        next_id = 0 if self.last_id is None else int(self.last_id) + 1
        while True:
            query = {"start_id": next_id, "limit": PAGE}
            page = yield from on_runtime(session, self.snapshot, ops.SEARCH_CONVERSATION_EVENTS, query=query)
            fresh = [event for event in page.events if event.id >= next_id]
            found += fresh
            if not (page.has_more and fresh):
                return found
            next_id = fresh[-1].id + 1

    def _added_v1(self, session: Session) -> Flow[Sequence[m.AnyEvent]]:
        """Pages begin with the event that their id names; one that is unknown gives the first page."""
        found: dict[str | None, m.AnyEvent] = {}
        page_id = None if self.last_id is None else str(self.last_id)
        while True:
            page = yield from _v1_page(session, self.snapshot, {"page_id": page_id, "limit": PAGE})
            found |= {event.id: event for event in page.items}
            page_id = page.next_page_id
            if page_id is None:
                break
        ids = list(found)
        known = ids.index(self.last_id) + 1 if self.last_id in found else 0
        return list(found.values())[known:]


def log_end(session: Session, snapshot: Snapshot) -> Flow[LogEnd]:
    """Where the log ends now."""
    events: Sequence[LoggedEvent]
    if snapshot.version == "v0":
        query: Query = {"reverse": True, "limit": 1}
        events = (
            yield from on_runtime(session, snapshot, ops.SEARCH_CONVERSATION_EVENTS, query=query)
        ).events
    else:
        query = {"sort_order": "TIMESTAMP_DESC", "limit": 1}
        events = (yield from _v1_page(session, snapshot, query)).items
    return LogEnd(snapshot, events[0].id if events else None)


def _v1_page(session: Session, snapshot: Snapshot, query: Query) -> Flow[m.EventPage]:
    return (yield from on_agent(session, snapshot, ops.AGENT_SEARCH_EVENTS, query=query))


def is_message(event: LoggedEvent, text: str, image_urls: Sequence[str]) -> bool:
    """Whether this is a message of the user with this text and these images."""
    if not is_user_message(event):
        return False
    if isinstance(event, m.MessageEvent):
        content = event.llm_message.content
        images = [url for item in content if isinstance(item, m.ImageContent) for url in item.image_urls]
        return event.llm_message.text == text and images == list(image_urls)
    if isinstance(event, m.V0Event):
        said = event.args.get("content", event.message)
        return said == text and list(event.args.get("image_urls") or ()) == list(image_urls)
    return False


def shows_a_new_state(event: LoggedEvent) -> bool:
    """Whether the agent went on, or came to another state: so it does after every confirmation."""
    if isinstance(event, m.ObservationEvent | m.UserRejectObservation):
        return True
    if isinstance(event, m.V0Event) and event.action == "change_agent_state":
        return True
    return state_of(event) is not None
