"""``client.v1``: the web frontend's V1ConversationService, and the rest of the V1 conversation routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client._core import operations as ops
from openhands_client._core.agent_files import file_downloads, upload_file
from openhands_client._core.batching import batch_get
from openhands_client._core.downloads import Download
from openhands_client._core.operation import Operation
from openhands_client._core.ordering import user_message
from openhands_client._core.places import get_v1
from openhands_client._core.starting import get_start_task, order_task, stream_start
from openhands_client._core.unified import send_message
from openhands_client.local_files import Source, opened

from .compat import Stream
from .service import AsyncService

T = TypeVar("T")

RECENT = timedelta(minutes=20)


class AsyncV1ConversationService(AsyncService):
    """V1 conversations: starting them, finding them, and the agent server they live on.

    Methods that take a ``conversation_url`` talk to that agent server, with its ``session_api_key`` and
    nothing else; both stand in the AppConversation while its sandbox runs. They raise UnsafeURLError for
    a URL that is not plain http(s), or that gives up https.
    """

    async def create_conversation(
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
        return await self.start(request)

    async def start(self, request: m.AppConversationStartRequest) -> m.AppConversationStartTask:
        """Begin to start a conversation, with every field there is. ``POST /api/v1/app-conversations``

        It gets a ``conversation_id`` where the request has none, to be found by when the answer is lost.
        """
        return await self._driver.run(order_task(self._driver.session, request))

    def stream_start(self, request: m.AppConversationStartRequest) -> Stream[m.AppConversationStartTask]:
        """Start a conversation and iterate over its start task's stages as they come.

        ``POST /api/v1/app-conversations/stream-start``
        """
        return self._driver.iterate(stream_start(self._driver.session, request))

    async def get_start_task(self, task_id: str) -> m.AppConversationStartTask | None:
        """One start task; None when there is none. ``GET /api/v1/app-conversations/start-tasks``"""
        return await self._driver.run(get_start_task(self._driver.session, task_id))

    async def batch_get_start_tasks(self, ids: Sequence[str]) -> list[m.AppConversationStartTask | None]:
        """Start tasks in the order of ``ids``, None for missing ones.

        ``GET /api/v1/app-conversations/start-tasks``
        """
        return await self._driver.run(batch_get(self._driver.session, ops.BATCH_GET_START_TASKS, "ids", ids))

    async def search_start_tasks(self, limit: int = 100) -> list[m.AppConversationStartTask]:
        """The start tasks of the last 20 minutes, newest first.

        ``GET /api/v1/app-conversations/start-tasks/search``
        """
        since = datetime.now(UTC) - RECENT
        return (await self.search_start_tasks_page(limit=limit, created_at__gte=since)).items

    async def search_start_tasks_page(
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
        return await self._call(ops.SEARCH_START_TASKS, query=query)

    async def count_start_tasks(
        self, *, conversation_id__eq: str | None = None, created_at__gte: datetime | None = None
    ) -> int:
        """How many start tasks there are. ``GET /api/v1/app-conversations/start-tasks/count``"""
        query = {"conversation_id__eq": conversation_id__eq, "created_at__gte": created_at__gte}
        return await self._call(ops.COUNT_START_TASKS, query=query)

    async def batch_get_app_conversations(self, ids: Sequence[str]) -> list[m.AppConversation | None]:
        """Conversations in the order of ``ids``, None for missing ones. ``GET /api/v1/app-conversations``"""
        return await self._driver.run(
            batch_get(self._driver.session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", ids)
        )

    async def search_app_conversations(
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
        return await self._call(ops.SEARCH_APP_CONVERSATIONS, query=query)

    async def count_app_conversations(
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
        return await self._call(ops.COUNT_APP_CONVERSATIONS, query=query)

    async def get_conversation_config(self, conversation_id: str) -> m.ConversationConfig:
        """The sandbox that carries a conversation. ``GET /api/conversations/{conversation_id}/config``"""
        path = {"conversation_id": conversation_id}
        return await self._call(ops.GET_CONVERSATION_CONFIG, path=path)

    async def send_message(self, conversation_id: str, message: m.SendMessageRequest) -> m.SuccessResponse:
        """Send a message to a conversation, whose agent server is looked up first. It is sent once.

        ``POST /api/conversations/{conversation_id}/events`` on the agent server
        """
        session = self._driver.session
        snapshot = await self._driver.run(get_v1(session, conversation_id))
        return await self._driver.run(send_message(session, snapshot, message))

    async def pause_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Pause the agent after the step it is at.

        ``POST /api/conversations/{conversation_id}/pause`` on the agent server
        """
        return await self._call(
            ops.AGENT_PAUSE_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body={},
        )

    async def resume_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Let the agent run. Some servers answer at once, others only when the run is over.

        ``POST /api/conversations/{conversation_id}/run`` on the agent server
        """
        return await self._call(
            ops.AGENT_RUN_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
            body={},
        )

    async def get_runtime_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.AgentConversationInfo:
        """A conversation as its agent server sees it.

        ``GET /api/conversations/{conversation_id}`` on the agent server
        """
        return await self._call(
            ops.AGENT_GET_CONVERSATION,
            endpoint=self._agent(conversation_url, session_api_key),
            path={"conversation_id": conversation_id},
        )

    async def get_agent_server_info(self, conversation_url: str) -> m.ServerInfo:
        """Version and uptime (seconds) of an agent server. ``GET /server_info`` there"""
        return await self._call(ops.AGENT_SERVER_INFO, endpoint=self._agent(conversation_url, None))

    async def is_agent_server_alive(self, conversation_url: str) -> bool:
        """Whether an agent server answers. ``GET /alive`` there; raises APIConnectionError when none does."""
        await self._call(ops.AGENT_ALIVE, endpoint=self._agent(conversation_url, None))
        return True

    async def is_agent_server_healthy(self, conversation_url: str) -> bool:
        """Whether an agent server is healthy. ``GET /health`` there; raises ServerError when it is not."""
        await self._call(ops.AGENT_HEALTH, endpoint=self._agent(conversation_url, None))
        return True

    async def search_conversations(
        self, limit: int = 20, page_id: str | None = None
    ) -> m.AppConversationPage:
        """One page of conversations, newest first. ``GET /api/v1/app-conversations/search``"""
        return await self.search_app_conversations(limit=limit, page_id=page_id)

    async def search_conversations_by_sandbox_id(
        self, sandbox_id: str, limit: int = 100
    ) -> list[m.AppConversation]:
        """The conversations in a sandbox, among the newest ``limit``. ``GET /api/v1/app-conversations/search``

        Servers that do not know the filter ignore it, so it is applied here as well.
        """
        query = {"sandbox_id__eq": sandbox_id, "limit": limit, "include_sub_conversations": True}
        page = await self._call(ops.SEARCH_APP_CONVERSATIONS, query=query)
        return [item for item in page.items if item.sandbox_id == sandbox_id]

    async def read_conversation_file(
        self, conversation_id: str, file_path: str = "/workspace/project/PLAN.md"
    ) -> str:
        """A text file of the conversation's sandbox; empty when there is none.

        ``GET /api/v1/app-conversations/{conversation_id}/file``
        """
        path, query = {"conversation_id": conversation_id}, {"file_path": file_path}
        return await self._call(ops.READ_CONVERSATION_FILE, path=path, query=query)

    async def update_conversation(
        self, conversation_id: str, updates: Mapping[str, Any]
    ) -> m.AppConversation:
        """Change title, public, selected_repository, selected_branch or git_provider.

        ``PATCH /api/v1/app-conversations/{conversation_id}``; raises UnsupportedOperationError on older servers.
        """
        path = {"conversation_id": conversation_id}
        return await self._call(ops.UPDATE_APP_CONVERSATION, path=path, body=dict(updates))

    async def update_conversation_public_flag(
        self, conversation_id: str, is_public: bool
    ) -> m.AppConversation:
        """Show a conversation to everybody, or not. ``PATCH /api/v1/app-conversations/{conversation_id}``"""
        return await self.update_conversation(conversation_id, {"public": is_public})

    async def update_conversation_repository(
        self,
        conversation_id: str,
        repository: str | None,
        branch: str | None = None,
        git_provider: str | None = None,
    ) -> m.AppConversation:
        """Attach a repository (``owner/name``), or with None none.

        ``PATCH /api/v1/app-conversations/{conversation_id}``
        """
        updates: dict[str, Any] = {"selected_repository": repository}
        if branch is not None:
            updates["selected_branch"] = branch
        if git_provider is not None:
            updates["git_provider"] = git_provider.lower()
        return await self.update_conversation(conversation_id, updates)

    async def delete_conversation(self, conversation_id: str) -> m.SuccessResponse:
        """Delete a conversation. ``DELETE /api/v1/app-conversations/{conversation_id}``; newer servers only."""
        return await self._call(ops.DELETE_APP_CONVERSATION, path={"conversation_id": conversation_id})

    async def send_app_message(
        self, conversation_id: str, message: m.SendMessageRequest
    ) -> m.SuccessResponse:
        """Send a message through the app server, which wakes a paused sandbox.

        ``POST /api/v1/app-conversations/{conversation_id}/send-message``; newer servers only
        """
        path = {"conversation_id": conversation_id}
        return await self._call(ops.SEND_APP_MESSAGE, path=path, body=message)

    async def add_pending_message(
        self, conversation_id: str, message: m.SendMessageRequest
    ) -> dict[str, Any]:
        """Queue a message for a conversation that is still being started.

        ``POST /api/v1/conversations/{conversation_id}/pending-messages``; newer servers only
        """
        path = {"conversation_id": conversation_id}
        return await self._call(ops.ADD_PENDING_MESSAGE, path=path, body=message)

    async def get_skills(self, conversation_id: str) -> dict[str, Any]:
        """The skills it can use. ``GET /api/v1/app-conversations/{conversation_id}/skills``; newer servers only"""
        return await self._call(ops.GET_SKILLS, path={"conversation_id": conversation_id})

    async def get_hooks(self, conversation_id: str) -> dict[str, Any]:
        """The hooks it runs. ``GET /api/v1/app-conversations/{conversation_id}/hooks``; newer servers only"""
        return await self._call(ops.GET_HOOKS, path={"conversation_id": conversation_id})

    async def download_conversation(self, conversation_id: str, target: str | PathLike[str]) -> Path:
        """Save its trajectory as a zip file, whole or not at all.

        ``GET /api/v1/app-conversations/{conversation_id}/download``; newer servers only
        """
        wanted = Download(ops.DOWNLOAD_CONVERSATION, {"conversation_id": conversation_id})
        return await self._download([wanted], target)

    async def get_current_user(self) -> dict[str, Any]:
        """The user and their settings, without keys. ``GET /api/v1/users/me``"""
        return await self._call(ops.GET_CURRENT_USER)

    async def report_conversation(
        self, conversation: Mapping[str, Any], session_api_key: str
    ) -> m.SuccessResponse:
        """Tell the app server of a conversation, as agent servers do. ``POST /api/v1/webhooks/conversations``"""
        return await self._call(
            ops.REPORT_CONVERSATION, endpoint=self._reporting(session_api_key), body=dict(conversation)
        )

    async def start_agent_conversation(
        self, request: Mapping[str, Any], conversation_url: str, session_api_key: str | None = None
    ) -> m.AgentConversationInfo:
        """Start a conversation on an agent server, past the app server.

        ``POST /api/conversations`` on the agent server
        """
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_START_CONVERSATION, endpoint=place, body=dict(request))

    async def search_agent_conversations(
        self,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        status: str | None = None,
        sort_order: str | None = None,
        page_id: str | None = None,
        limit: int = 100,
    ) -> m.AgentConversationPage:
        """One page of an agent server's conversations. ``GET /api/conversations/search`` there"""
        query = {"status": status, "sort_order": sort_order, "page_id": page_id, "limit": limit}
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_SEARCH_CONVERSATIONS, endpoint=place, query=query)

    async def count_agent_conversations(
        self, conversation_url: str, session_api_key: str | None = None, *, status: str | None = None
    ) -> int:
        """How many conversations an agent server has. ``GET /api/conversations/count`` there"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_COUNT_CONVERSATIONS, endpoint=place, query={"status": status})

    async def batch_get_agent_conversations(
        self, ids: Sequence[str], conversation_url: str, session_api_key: str | None = None
    ) -> list[m.AgentConversationInfo | None]:
        """An agent server's conversations in the order of ``ids``. ``GET /api/conversations`` there"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_BATCH_GET_CONVERSATIONS, endpoint=place, query={"ids": list(ids)})

    async def update_agent_conversation(
        self, conversation_id: str, title: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Rename a conversation on its agent server only. ``PATCH /api/conversations/{conversation_id}`` there"""
        return await self._ask_agent_server(
            ops.AGENT_UPDATE_CONVERSATION,
            conversation_id,
            conversation_url,
            session_api_key,
            {"title": title},
        )

    async def delete_agent_conversation(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Delete a conversation on its agent server only. ``DELETE /api/conversations/{conversation_id}`` there"""
        return await self._ask_agent_server(
            ops.AGENT_DELETE_CONVERSATION, conversation_id, conversation_url, session_api_key
        )

    async def generate_title(
        self,
        conversation_id: str,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        max_length: int = 50,
    ) -> str:
        """A title made from the conversation. ``POST …/generate_title`` on the agent server; older servers only"""
        body = {"max_length": max_length}
        title = await self._ask_agent_server(
            ops.AGENT_GENERATE_TITLE, conversation_id, conversation_url, session_api_key, body
        )
        return title.title

    async def ask_agent(
        self, conversation_id: str, question: str, conversation_url: str, session_api_key: str | None = None
    ) -> str:
        """Ask on the side; it leaves no trace in the conversation. ``POST …/ask_agent`` on the agent server"""
        body = {"question": question}
        answer = await self._ask_agent_server(
            ops.AGENT_ASK_AGENT, conversation_id, conversation_url, session_api_key, body
        )
        return answer.response

    async def condense(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Shorten what the model has to read. ``POST …/condense`` on the agent server"""
        return await self._ask_agent_server(
            ops.AGENT_CONDENSE, conversation_id, conversation_url, session_api_key
        )

    async def set_confirmation_policy(
        self,
        conversation_id: str,
        policy: Mapping[str, Any],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """What the agent asks before it does: ``{"kind": "AlwaysConfirm" | "NeverConfirm" | "ConfirmRisky"}``.

        ``POST …/confirmation_policy`` on the agent server
        """
        body = {"policy": dict(policy)}
        return await self._ask_agent_server(
            ops.AGENT_SET_CONFIRMATION_POLICY, conversation_id, conversation_url, session_api_key, body
        )

    async def set_security_analyzer(
        self,
        conversation_id: str,
        security_analyzer: Mapping[str, Any] | None,
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """What judges the risk of actions; None: nothing. ``POST …/security_analyzer`` on the agent server"""
        body = {"security_analyzer": None if security_analyzer is None else dict(security_analyzer)}
        return await self._ask_agent_server(
            ops.AGENT_SET_SECURITY_ANALYZER, conversation_id, conversation_url, session_api_key, body
        )

    async def update_secrets(
        self,
        conversation_id: str,
        secrets: Mapping[str, str],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Secrets that the agent's commands may use. ``POST …/secrets`` on the agent server"""
        body = {"secrets": dict(secrets)}
        return await self._ask_agent_server(
            ops.AGENT_UPDATE_SECRETS, conversation_id, conversation_url, session_api_key, body
        )

    async def interrupt(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Stop the agent at once, in the middle of a step. ``POST …/interrupt``; newer servers only"""
        return await self._ask_agent_server(
            ops.AGENT_INTERRUPT, conversation_id, conversation_url, session_api_key
        )

    async def fork(
        self,
        conversation_id: str,
        conversation_url: str,
        session_api_key: str | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> m.AgentConversationInfo:
        """A copy of the conversation to go on from. ``POST …/fork`` on the agent server; newer servers only"""
        return await self._ask_agent_server(
            ops.AGENT_FORK, conversation_id, conversation_url, session_api_key, dict(request or {})
        )

    async def start_goal(
        self,
        conversation_id: str,
        goal: Mapping[str, Any],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> m.SuccessResponse:
        """Let the agent work until a goal is reached. ``POST …/goal`` on the agent server; newer servers only"""
        return await self._ask_agent_server(
            ops.AGENT_START_GOAL, conversation_id, conversation_url, session_api_key, dict(goal)
        )

    async def stop_goal(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Give the goal up. ``POST …/goal/stop`` on the agent server; newer servers only"""
        return await self._ask_agent_server(
            ops.AGENT_STOP_GOAL, conversation_id, conversation_url, session_api_key
        )

    async def resume_goal(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.SuccessResponse:
        """Take the goal up again. ``POST …/goal/resume`` on the agent server; newer servers only"""
        return await self._ask_agent_server(
            ops.AGENT_RESUME_GOAL, conversation_id, conversation_url, session_api_key
        )

    async def get_final_response(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> str:
        """What the agent said at its end. ``GET …/agent_final_response``; newer servers only"""
        answer = await self._ask_agent_server(
            ops.AGENT_GET_FINAL_RESPONSE, conversation_id, conversation_url, session_api_key
        )
        return answer.response

    async def download_trajectory(
        self,
        conversation_id: str,
        target: str | PathLike[str],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> Path:
        """Save all events as a zip file, whole or not at all.

        ``GET /api/file/download-trajectory/{conversation_id}`` on the agent server
        """
        wanted = Download(ops.AGENT_DOWNLOAD_TRAJECTORY, {"conversation_id": conversation_id})
        return await self._download([wanted], target, self._agent(conversation_url, session_api_key))

    async def upload_file(
        self, conversation_url: str, session_api_key: str | None, file: Source, path: str | None = None
    ) -> m.SuccessResponse:
        """Put one file into the sandbox, at an absolute ``path``, by default in ``/workspace``.

        ``POST /api/file/upload`` on the agent server
        """
        place = self._agent(conversation_url, session_api_key)
        with opened([file], "file") as parts:
            target = path or f"/workspace/{parts[0].name}"
            flow = upload_file(self._driver.session, place, target, parts)
            return await self._driver.run(flow)

    async def download_file(
        self,
        path: str,
        target: str | PathLike[str],
        conversation_url: str,
        session_api_key: str | None = None,
    ) -> Path:
        """Save a file of the sandbox, named by its absolute path, as ``target``, whole or not at all.

        ``GET /api/file/download`` on the agent server
        """
        place = self._agent(conversation_url, session_api_key)
        return await self._download(file_downloads(path), target, place)

    async def get_vscode_url(
        self, conversation_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> m.VSCodeUrl:
        """Where an editor listens, if one does. ``GET /api/vscode/url`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_GET_VSCODE_URL, endpoint=place)

    async def get_vscode_status(
        self, conversation_url: str, session_api_key: str | None = None
    ) -> dict[str, Any]:
        """Whether there is an editor. ``GET /api/vscode/status`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_GET_VSCODE_STATUS, endpoint=place)

    async def get_desktop_url(
        self, conversation_url: str, session_api_key: str | None = None
    ) -> dict[str, Any]:
        """Where the sandbox's desktop is shown, if it has one. ``GET /api/desktop/url`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_GET_DESKTOP_URL, endpoint=place)

    async def list_tools(self, conversation_url: str, session_api_key: str | None = None) -> list[str]:
        """The tools that agents can use. ``GET /api/tools/`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_LIST_TOOLS, endpoint=place)

    async def execute_bash_command(
        self,
        command: str,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        cwd: str | None = None,
        timeout: int = 300,
    ) -> m.BashOutput:
        """Run a command in the sandbox and wait for its end, at most ``timeout`` seconds.

        ``POST /api/bash/execute_bash_command`` on the agent server
        """
        body = {"command": command, "cwd": cwd, "timeout": timeout}
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_EXECUTE_BASH_COMMAND, endpoint=place, body=body)

    async def start_bash_command(
        self,
        command: str,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        cwd: str | None = None,
        timeout: int = 300,
    ) -> m.BashCommand:
        """Start a command in the sandbox. ``POST /api/bash/start_bash_command`` on the agent server"""
        body = {"command": command, "cwd": cwd, "timeout": timeout}
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_START_BASH_COMMAND, endpoint=place, body=body)

    async def search_bash_events(
        self,
        conversation_url: str,
        session_api_key: str | None = None,
        *,
        command_id__eq: str | None = None,
        sort_order: str | None = None,
        page_id: str | None = None,
        limit: int = 100,
    ) -> m.BashEventPage:
        """One page of commands and their outputs. ``GET /api/bash/bash_events/search`` on the agent server"""
        query = {
            "command_id__eq": command_id__eq,
            "sort_order": sort_order,
            "page_id": page_id,
            "limit": limit,
        }
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_SEARCH_BASH_EVENTS, endpoint=place, query=query)

    async def get_bash_event(
        self, event_id: str, conversation_url: str, session_api_key: str | None = None
    ) -> dict[str, Any]:
        """A command or a piece of output. ``GET /api/bash/bash_events/{event_id}`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_GET_BASH_EVENT, endpoint=place, path={"event_id": event_id})

    async def clear_bash_events(
        self, conversation_url: str, session_api_key: str | None = None
    ) -> dict[str, Any]:
        """Forget all commands and outputs; the answer says how many. ``DELETE /api/bash/bash_events``

        On the agent server.
        """
        place = self._agent(conversation_url, session_api_key)
        return await self._call(ops.AGENT_CLEAR_BASH_EVENTS, endpoint=place)

    async def _ask_agent_server(
        self,
        operation: Operation[T],
        conversation_id: str,
        conversation_url: str,
        session_api_key: str | None,
        body: Mapping[str, Any] | None = None,
    ) -> T:
        """An operation on one conversation of an agent server."""
        place = self._agent(conversation_url, session_api_key)
        path = {"conversation_id": conversation_id}
        return await self._call(operation, endpoint=place, path=path, body=body)
