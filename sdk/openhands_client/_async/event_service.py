"""``client.event_service``: the web frontend's EventService, and the other routes to V1 events."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from openhands_client._core import operations as ops

from .service import AsyncService

if TYPE_CHECKING:
    from openhands_client import models as m


class AsyncEventService(AsyncService):
    """Events of V1 conversations.

    The agent server has all of them. The app server has those it was told of, perhaps none.
    Methods that take a ``conversation_url`` talk to that agent server, with its ``session_api_key``.
    """

    async def respond_to_confirmation(
        self,
        conversation_id: str,
        conversation_url: str,
        request: m.ConfirmationResponseRequest,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Accept or reject the action that waits for confirmation. Some servers answer after the run only.

        ``POST /api/conversations/{conversation_id}/events/respond_to_confirmation`` on the agent server
        """
        return await self._call(
            ops.AGENT_RESPOND_TO_CONFIRMATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body=request,
        )

    async def get_event_count(self, conversation_id: str) -> int:
        """How many events the app server has of a conversation. ``GET /api/v1/events/count``"""
        return await self._call(ops.COUNT_EVENTS, query={"conversation_id__eq": conversation_id})

    async def search_events(
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
        """One page of the events the app server has. ``GET /api/v1/events/search``"""
        query = {
            "conversation_id__eq": conversation_id__eq,
            "kind__eq": kind__eq,
            "timestamp__gte": timestamp__gte,
            "timestamp__lt": timestamp__lt,
            "sort_order": sort_order,
            "page_id": page_id,
            "limit": limit,
        }
        return await self._call(ops.SEARCH_EVENTS, query=query)

    async def search_conversation_events(
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
        return await self._call(
            ops.AGENT_SEARCH_EVENTS,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            query={"page_id": page_id, "limit": limit, "sort_order": sort_order},
        )

    async def count_conversation_events(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> int:
        """How many events a conversation has.

        ``GET /api/conversations/{conversation_id}/events/count`` on the agent server
        """
        return await self._call(
            ops.AGENT_COUNT_EVENTS,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
        )

    async def get_conversation_event(
        self,
        conversation_id: str,
        event_id: str,
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.AnyEvent:
        """One event.

        ``GET /api/conversations/{conversation_id}/events/{event_id}`` on the agent server
        """
        return await self._call(
            ops.AGENT_GET_EVENT,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id, "event_id": event_id},
        )

    async def send_event(
        self,
        conversation_id: str,
        conversation_url: str,
        message: m.SendMessageRequest,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Send a message; ``run`` says whether the agent should act on it.

        ``POST /api/conversations/{conversation_id}/events`` on the agent server
        """
        return await self._call(
            ops.AGENT_SEND_EVENT,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body=message,
        )
