"""``client.v0``: the web frontend's ConversationService, method by method, and the rest of the V0 routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openhands_client._core import operations as ops

from .service import AsyncService

if TYPE_CHECKING:
    from openhands_client import models as m


class AsyncConversationService(AsyncService):
    """V0 conversations."""

    async def get_user_conversations(
        self, limit: int = 20, page_id: str | None = None
    ) -> m.ConversationInfoResultSet:
        """One page of conversations of both generations, newest first. ``GET /api/conversations``

        ``page_id`` is the ``next_page_id`` of the page before.
        """
        return await self._call(ops.LIST_CONVERSATIONS, query={"limit": limit, "page_id": page_id})

    async def search_conversations(
        self,
        selected_repository: str | None = None,
        conversation_trigger: str | None = None,
        limit: int = 100,
    ) -> list[m.ConversationInfo]:
        """The newest conversations of a repository (``owner/name``) or trigger. ``GET /api/conversations``"""
        query = {
            "limit": limit,
            "selected_repository": selected_repository,
            "conversation_trigger": conversation_trigger,
        }
        return (await self._call(ops.LIST_CONVERSATIONS, query=query)).results

    async def create_conversation(
        self,
        selected_repository: str | None = None,
        git_provider: str | None = None,
        initial_user_msg: str | None = None,
        suggested_task: Mapping[str, Any] | None = None,
        selected_branch: str | None = None,
        conversation_instructions: str | None = None,
        create_microagent: Mapping[str, Any] | None = None,
        *,
        image_urls: Sequence[str] | None = None,
        replay_json: str | None = None,
        mcp_config: Mapping[str, Any] | None = None,
    ) -> m.ConversationResponse:
        """Create a conversation and start its agent loop in the background. ``POST /api/conversations``

        Never sent twice: V0 has no way to tell whether a first try arrived.
        """
        body = {
            "repository": selected_repository,
            "git_provider": git_provider,
            "selected_branch": selected_branch,
            "initial_user_msg": initial_user_msg,
            "image_urls": None if image_urls is None else list(image_urls),
            "replay_json": replay_json,
            "suggested_task": suggested_task,
            "create_microagent": create_microagent,
            "conversation_instructions": conversation_instructions,
            "mcp_config": mcp_config,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return await self._call(ops.CREATE_CONVERSATION, body=given)

    async def get_conversation(self, conversation_id: str) -> m.ConversationInfo:
        """One conversation of either generation. ``GET /api/conversations/{conversation_id}``

        Raises NotFoundError, also where a server answers 200 ``null``.
        """
        return await self._call(ops.GET_CONVERSATION, path={"conversation_id": conversation_id})

    async def start_conversation(
        self, conversation_id: str, providers: Sequence[str] | None = None
    ) -> m.ConversationResponse:
        """Start or resume the agent loop. ``POST /api/conversations/{conversation_id}/start``"""
        body = {} if providers is None else {"providers_set": [name.lower() for name in providers]}
        path = {"conversation_id": conversation_id}
        return await self._call(ops.START_CONVERSATION, path=path, body=body)

    async def stop_conversation(self, conversation_id: str) -> m.ConversationResponse:
        """Stop the agent loop. ``POST /api/conversations/{conversation_id}/stop``

        Servers disagree whether the answer's status is the one before or after; ask again for it.
        """
        return await self._call(ops.STOP_CONVERSATION, path={"conversation_id": conversation_id})

    async def pause_conversation(self, conversation_id: str) -> m.SuccessResponse:
        """Suspend the agent loop. ``POST /api/conversations/{conversation_id}/pause``; not on every server."""
        return await self._call(ops.PAUSE_CONVERSATION, path={"conversation_id": conversation_id})

    async def update_conversation(self, conversation_id: str, updates: Mapping[str, str]) -> bool:
        """Rename a conversation of either generation: ``{"title": …}`` with 1 to 200 characters.

        ``PATCH /api/conversations/{conversation_id}``
        """
        path = {"conversation_id": conversation_id}
        return await self._call(ops.UPDATE_CONVERSATION, path=path, body=dict(updates))

    async def delete_user_conversation(self, conversation_id: str) -> bool:
        """Delete a conversation of either generation; false when there was none.

        ``DELETE /api/conversations/{conversation_id}``
        """
        return await self._call(ops.DELETE_CONVERSATION, path={"conversation_id": conversation_id})

    async def get_runtime_id(self, conversation_id: str) -> m.ConversationConfig:
        """Which runtime carries the conversation. ``GET /api/conversations/{conversation_id}/config``"""
        path = {"conversation_id": conversation_id}
        return await self._call(ops.GET_CONVERSATION_CONFIG, path=path)

    async def search_events(
        self,
        conversation_id: str,
        *,
        start_id: int = 0,
        end_id: int | None = None,
        reverse: bool = False,
        limit: int = 20,
    ) -> m.EventsPage:
        """Stored events with ids from ``start_id`` to ``end_id``, both included; at most 100.

        ``GET /api/conversations/{conversation_id}/events``
        """
        query = {"start_id": start_id, "end_id": end_id, "reverse": reverse, "limit": limit}
        path = {"conversation_id": conversation_id}
        return await self._call(ops.SEARCH_CONVERSATION_EVENTS, path=path, query=query)

    async def add_event(self, conversation_id: str, event: Mapping[str, Any]) -> m.SuccessResponse:
        """Hand a V0 action to a running conversation. ``POST /api/conversations/{conversation_id}/events``"""
        path = {"conversation_id": conversation_id}
        return await self._call(ops.ADD_CONVERSATION_EVENT, path=path, body=dict(event))

    async def add_message(self, conversation_id: str, message: str) -> m.SuccessResponse:
        """Send a message to a running conversation. ``POST /api/conversations/{conversation_id}/message``"""
        path = {"conversation_id": conversation_id}
        return await self._call(ops.ADD_CONVERSATION_MESSAGE, path=path, body={"message": message})
