# Generated from sdk/openhands_client/_async/event_service.py by scripts/unasync.py. Do not edit.
"""``client.event_service``: the web frontend's EventService, and the other routes to V1 events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from openhands_client._core import operations as ops
from openhands_client._core.app_events import all_events, batch_get_events, count_events, search_events

from .compat import Stream
from .service import Service

if TYPE_CHECKING:
    from openhands_client import models as m


PAGE = 100  # the most that every server accepts


class EventService(Service):
    """Events of V1 conversations.

    The agent server has all of them. The app server has those it was told of, perhaps none.
    Methods that take a ``conversation_url`` talk to that agent server, with its ``session_api_key``.
    """

    def respond_to_confirmation(
        self,
        conversation_id: str,
        conversation_url: str,
        request: m.ConfirmationResponseRequest,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Accept or reject the action that waits for confirmation. Some servers answer after the run only.

        ``POST /api/conversations/{conversation_id}/events/respond_to_confirmation`` on the agent server
        """
        return self._call(
            ops.AGENT_RESPOND_TO_CONFIRMATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body=request,
        )

    def get_event_count(self, conversation_id: str) -> int:
        """How many events the app server has of a conversation. ``GET /api/v1/events/count``"""
        return self.count_events(conversation_id__eq=conversation_id)

    def search_events(
        self,
        *,
        conversation_id__eq: str | None = None,
        kind__eq: str | None = None,
        timestamp__gte: datetime | None = None,
        timestamp__lt: datetime | None = None,
        sort_order: str | None = None,
        page_id: str | None = None,
        limit: int = 100,
    ) -> m.EventPage:
        """One page of the events the app server has.

        ``GET /api/v1/events/search``, or ``GET /api/v1/conversation/{conversation_id}/events/search`` where the
        server asks for one conversation at a time.
        """
        query = {
            "kind__eq": kind__eq,
            "timestamp__gte": timestamp__gte,
            "timestamp__lt": timestamp__lt,
            "sort_order": sort_order,
            "page_id": page_id,
            "limit": limit,
        }
        flow = search_events(self._driver.session, conversation_id__eq, query)
        return self._driver.run(flow)

    def all_events(self, conversation_id: str | None = None) -> Stream[m.AnyEvent]:
        """Iterate over all the events the app server has, of one conversation or of all, each once.

        Routes as for ``search_events``, whose pages lose events on some servers; here they do not.
        """
        query = {"limit": PAGE}
        return self._driver.iterate(all_events(self._driver.session, conversation_id, query))

    def count_events(
        self,
        *,
        conversation_id__eq: str | None = None,
        kind__eq: str | None = None,
        timestamp__gte: datetime | None = None,
        timestamp__lt: datetime | None = None,
    ) -> int:
        """How many events the app server has. Routes as for ``search_events``, with ``count``."""
        query = {"kind__eq": kind__eq, "timestamp__gte": timestamp__gte, "timestamp__lt": timestamp__lt}
        flow = count_events(self._driver.session, conversation_id__eq, query)
        return self._driver.run(flow)

    def batch_get_events(
        self, ids: Sequence[str], conversation_id: str | None = None
    ) -> list[m.AnyEvent | None]:
        """Events in the order of ``ids``, None for missing ones. Newer servers need the ``conversation_id``.

        ``GET /api/v1/events``, or ``GET /api/v1/conversation/{conversation_id}/events``
        """
        flow = batch_get_events(self._driver.session, conversation_id, ids)
        return self._driver.run(flow)

    def report_events(
        self, conversation_id: str, events: Sequence[m.AnyEvent], session_api_key: str
    ) -> m.SuccessResponse:
        """Tell the app server of events, as agent servers do, with the key of the sandbox.

        ``POST /api/v1/webhooks/events/{conversation_id}``
        """
        return self._call(
            ops.REPORT_EVENTS,
            endpoint=self._reporting(session_api_key),
            path={"conversation_id": conversation_id},
            body=[event.to_dict() for event in events],
        )

    def search_conversation_events(
        self,
        conversation_id: str,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        page_id: str | None = None,
        limit: int = 100,
        sort_order: str | None = None,
    ) -> m.EventPage:
        """One page of a conversation's events; ``page_id`` is the id of its first event.

        ``GET /api/conversations/{conversation_id}/events/search`` on the agent server
        """
        return self._call(
            ops.AGENT_SEARCH_EVENTS,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            query={"page_id": page_id, "limit": limit, "sort_order": sort_order},
        )

    def count_conversation_events(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> int:
        """How many events a conversation has.

        ``GET /api/conversations/{conversation_id}/events/count`` on the agent server
        """
        return self._call(
            ops.AGENT_COUNT_EVENTS,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
        )

    def get_conversation_event(
        self,
        conversation_id: str,
        event_id: str,
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.AnyEvent:
        """One event.

        ``GET /api/conversations/{conversation_id}/events/{event_id}`` on the agent server
        """
        return self._call(
            ops.AGENT_GET_EVENT,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id, "event_id": event_id},
        )

    def send_event(
        self,
        conversation_id: str,
        conversation_url: str,
        message: m.SendMessageRequest,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Send a message; ``run`` says whether the agent should act on it.

        ``POST /api/conversations/{conversation_id}/events`` on the agent server
        """
        return self._call(
            ops.AGENT_SEND_EVENT,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body=message,
        )

    def batch_get_conversation_events(
        self,
        conversation_id: str,
        event_ids: Sequence[str],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> list[m.AnyEvent | None]:
        """A conversation's events in the order of ``event_ids``; the ids travel in the body of the GET.

        ``GET /api/conversations/{conversation_id}/events`` on the agent server
        """
        return self._call(
            ops.AGENT_BATCH_GET_EVENTS,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body=list(event_ids),
        )
