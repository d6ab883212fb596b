# Generated from sdk/openhands_client/_async/v1_conversation_service.py by scripts/unasync.py. Do not edit.
"""``client.v1``: the web frontend's V1ConversationService, and the rest of the V1 conversation routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from openhands_client import models as m
from openhands_client._core import operations as ops
from openhands_client._core.batching import batch_get
from openhands_client._core.ordering import user_message
from openhands_client._core.starting import get_start_task, stream_start
from openhands_client._core.unified import get_v1, on_agent

from .compat import Stream
from .service import Service

RECENT = timedelta(minutes=20)


class V1ConversationService(Service):
    """V1 conversations: starting them, finding them, and the agent server they live on.

    Methods that take a ``conversation_url`` talk to that agent server, with its ``session_api_key`` and
    nothing else; both stand in the AppConversation while its sandbox runs. They raise UnsafeURLError for
    a URL that is not plain http(s), or that gives up https.
    """

    def create_conversation(
        self,
        selected_repository: str | None = None,
        git_provider: str | None = None,
        initial_user_msg: str | None = None,
        selected_branch: str | None = None,
        conversation_instructions: str | None = None,
        suggested_task: Mapping[str, Any] | None = None,
        trigger: str | None = None,
        parent_conversation_id: str | None = None,
        agent_type: str | None = None,
    ) -> m.AppConversationStartTask:
        """Begin to start a conversation; poll ``get_start_task`` until READY. ``POST /api/v1/app-conversations``

        A suggested task makes the server write the first message itself.
        """
        wants_message = initial_user_msg is not None and suggested_task is None
        request = m.AppConversationStartRequest(
            selected_repository=selected_repository,
            git_provider=None if git_provider is None else m.ProviderType(git_provider.lower()),
            initial_message=user_message(initial_user_msg or "", None, run=True) if wants_message else None,
            selected_branch=selected_branch,
            system_message_suffix=conversation_instructions,
            suggested_task=None if suggested_task is None else dict(suggested_task),
            trigger=None if trigger is None else m.ConversationTrigger(trigger),
            parent_conversation_id=parent_conversation_id,
            agent_type=None if agent_type is None else m.AgentType(agent_type),
        )
        return self.start(request)

    def start(self, request: m.AppConversationStartRequest) -> m.AppConversationStartTask:
        """Begin to start a conversation, with every field there is. ``POST /api/v1/app-conversations``"""
        return self._call(ops.START_APP_CONVERSATION, body=request)

    def stream_start(self, request: m.AppConversationStartRequest) -> Stream[m.AppConversationStartTask]:
        """Start a conversation and iterate over its start task's stages as they come.

        ``POST /api/v1/app-conversations/stream-start``
        """
        return self._driver.iterate(stream_start(self._driver.session, request))

    def get_start_task(self, task_id: str) -> m.AppConversationStartTask | None:
        """One start task; None when there is none. ``GET /api/v1/app-conversations/start-tasks``"""
        return self._driver.run(get_start_task(self._driver.session, task_id))

    def batch_get_start_tasks(self, ids: Sequence[str]) -> list[m.AppConversationStartTask | None]:
        """Start tasks in the order of ``ids``, None for missing ones.

        ``GET /api/v1/app-conversations/start-tasks``
        """
        return self._driver.run(batch_get(self._driver.session, ops.BATCH_GET_START_TASKS, "ids", ids))

    def search_start_tasks(self, limit: int = 100) -> list[m.AppConversationStartTask]:
        """The start tasks of the last 20 minutes, newest first.

        ``GET /api/v1/app-conversations/start-tasks/search``
        """
        since = datetime.now(UTC) - RECENT
        return (self.search_start_tasks_page(limit=limit, created_at__gte=since)).items

    def search_start_tasks_page(
        self,
        *,
        conversation_id__eq: str | None = None,
        created_at__gte: datetime | None = None,
        sort_order: str | None = None,
        page_id: str | None = None,
        limit: int = 100,
    ) -> m.AppConversationStartTaskPage:
        """One page of start tasks. ``GET /api/v1/app-conversations/start-tasks/search``"""
        query = {
            "conversation_id__eq": conversation_id__eq,
            "created_at__gte": created_at__gte,
            "sort_order": sort_order,
            "page_id": page_id,
            "limit": limit,
        }
        return self._call(ops.SEARCH_START_TASKS, query=query)

    def count_start_tasks(
        self, *, conversation_id__eq: str | None = None, created_at__gte: datetime | None = None
    ) -> int:
        """How many start tasks there are. ``GET /api/v1/app-conversations/start-tasks/count``"""
        query = {"conversation_id__eq": conversation_id__eq, "created_at__gte": created_at__gte}
        return self._call(ops.COUNT_START_TASKS, query=query)

    def batch_get_app_conversations(self, ids: Sequence[str]) -> list[m.AppConversation | None]:
        """Conversations in the order of ``ids``, None for missing ones. ``GET /api/v1/app-conversations``"""
        return self._driver.run(batch_get(self._driver.session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", ids))

    def search_app_conversations(
        self,
        *,
        title__contains: str | None = None,
        created_at__gte: datetime | None = None,
        created_at__lt: datetime | None = None,
        updated_at__gte: datetime | None = None,
        updated_at__lt: datetime | None = None,
        page_id: str | None = None,
        limit: int = 100,
        include_sub_conversations: bool = False,
    ) -> m.AppConversationPage:
        """One page of conversations, newest first. ``GET /api/v1/app-conversations/search``"""
        query = {
            "title__contains": title__contains,
            "created_at__gte": created_at__gte,
            "created_at__lt": created_at__lt,
            "updated_at__gte": updated_at__gte,
            "updated_at__lt": updated_at__lt,
            "page_id": page_id,
            "limit": limit,
            "include_sub_conversations": include_sub_conversations,
        }
        return self._call(ops.SEARCH_APP_CONVERSATIONS, query=query)

    def count_app_conversations(
        self,
        *,
        title__contains: str | None = None,
        created_at__gte: datetime | None = None,
        created_at__lt: datetime | None = None,
        updated_at__gte: datetime | None = None,
        updated_at__lt: datetime | None = None,
    ) -> int:
        """How many conversations there are. ``GET /api/v1/app-conversations/count``"""
        query = {
            "title__contains": title__contains,
            "created_at__gte": created_at__gte,
            "created_at__lt": created_at__lt,
            "updated_at__gte": updated_at__gte,
            "updated_at__lt": updated_at__lt,
        }
        return self._call(ops.COUNT_APP_CONVERSATIONS, query=query)

    def get_conversation_config(self, conversation_id: str) -> m.ConversationConfig:
        """The sandbox that carries a conversation. ``GET /api/conversations/{conversation_id}/config``"""
        path = {"conversation_id": conversation_id}
        return self._call(ops.GET_CONVERSATION_CONFIG, path=path)

    def send_message(self, conversation_id: str, message: m.SendMessageRequest) -> m.SuccessResponse:
        """Send a message to a conversation, whose agent server is looked up first.

        ``POST /api/conversations/{conversation_id}/events`` on the agent server
        """
        session = self._driver.session
        snapshot = self._driver.run(get_v1(session, conversation_id))
        return self._driver.run(on_agent(session, snapshot, ops.AGENT_SEND_EVENT, body=message))

    def pause_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Pause the agent after the step it is at.

        ``POST /api/conversations/{conversation_id}/pause`` on the agent server
        """
        return self._call(
            ops.AGENT_PAUSE_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body={},
        )

    def resume_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Let the agent run. Some servers answer at once, others only when the run is over.

        ``POST /api/conversations/{conversation_id}/run`` on the agent server
        """
        return self._call(
            ops.AGENT_RUN_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body={},
        )

    def get_runtime_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.AgentConversationInfo:
        """A conversation as its agent server sees it.

        ``GET /api/conversations/{conversation_id}`` on the agent server
        """
        return self._call(
            ops.AGENT_GET_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
        )

    def get_agent_server_info(self, conversation_url: str) -> m.ServerInfo:
        """Version and uptime (seconds) of an agent server. ``GET /server_info`` there"""
        return self._call(ops.AGENT_SERVER_INFO, endpoint=self._agent(conversation_url, None))

    def is_agent_server_alive(self, conversation_url: str) -> bool:
        """Whether an agent server answers. ``GET /alive`` there; raises APIConnectionError when none does."""
        self._call(ops.AGENT_ALIVE, endpoint=self._agent(conversation_url, None))
        return True

    def is_agent_server_healthy(self, conversation_url: str) -> bool:
        """Whether an agent server is healthy. ``GET /health`` there; raises ServerError when it is not."""
        self._call(ops.AGENT_HEALTH, endpoint=self._agent(conversation_url, None))
        return True
