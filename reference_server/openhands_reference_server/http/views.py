"""How states look on the wire. Field by field, because clients read them field by field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain import sandbox as sandboxes
from openhands_reference_server.domain import v0, v1, v1_events
from openhands_reference_server.domain.identifiers import dashed
from openhands_reference_server.domain.sandbox import Sandbox
from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.world import ConversationView
from openhands_reference_server.world.keys import SessionKeys

# How the V0 routes show a V1 conversation: the status of the sandbox, then that of the agent.
_V0_STATUS = {
    sandboxes.STARTING: v0.STARTING,
    sandboxes.RUNNING: v0.RUNNING,
    sandboxes.PAUSED: v0.STOPPED,
    sandboxes.MISSING: v0.ARCHIVED,
}
_FAILED = (v1.FAILED, v1.STUCK)


class Views:
    """Renders states for one server.

    Args:
        agent_server: where the agent server is.
        keys: makes the keys for it.
        connections: counts the Socket.IO clients of a V0 conversation.
        nested: V0 conversations have runtimes of their own.
        dialect: whose shapes it renders.
    """

    def __init__(
        self,
        agent_server: AgentAddress,
        keys: SessionKeys,
        connections: Callable[[str], int],
        *,
        nested: bool = False,
        dialect: Dialect = DOCS,
    ) -> None:
        self._dialect = dialect
        self._agent_server = agent_server
        self._keys = keys
        self._connections = connections
        self._nested = nested

    def start_task(self, task: StartTask) -> dict[str, Any]:
        """AppConversationStartTask."""
        return {
            "id": task.id,
            "created_by_user_id": None,
            "status": task.status,
            "detail": task.detail,
            "app_conversation_id": task.app_conversation_id,
            "sandbox_id": task.sandbox_id,
            "agent_server_url": self._agent_server.url() if task.has_agent_server else None,
            "request": task.request,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        }

    def app_conversation(self, view: ConversationView) -> dict[str, Any]:
        """AppConversation."""
        one = view.conversation
        newer = {"agent_kind": "openhands", "public": one.public, "tags": dict(one.tags)}
        return {
            **(newer if self._dialect.newer_fields else {}),
            "id": one.id,
            "created_by_user_id": None,
            "sandbox_id": one.sandbox_id,
            "selected_repository": one.selected_repository,
            "selected_branch": one.selected_branch,
            "git_provider": one.git_provider,
            "title": one.shown_title,
            "trigger": one.trigger,
            "pr_number": list(one.pr_number),
            "llm_model": one.llm_model,
            "metrics": one.metrics
            or {
                "model_name": "default",
                "accumulated_cost": v1_events.cost(one.calls),
                "max_budget_per_task": None,
                "accumulated_token_usage": v1_events.usage(one.calls),
            },
            "parent_conversation_id": one.parent_conversation_id,
            "sub_conversation_ids": list(view.children),
            "created_at": one.created_at,
            "updated_at": one.updated_at,
            "sandbox_status": view.sandbox_status,
            "execution_status": one.execution_status if view.reachable else None,
            "conversation_url": self._conversation_url(view),
            "session_api_key": self._session_key(view),
        }

    def conversation(self, one: V0Conversation | ConversationView) -> dict[str, Any]:
        """ConversationInfo of V0, for both generations."""
        return self._v0(one) if isinstance(one, V0Conversation) else self._v1_as_v0(one)

    def listed_conversation(self, one: V0Conversation | ConversationView) -> dict[str, Any]:
        """The same, in a list."""
        shown = self.conversation(one)
        return {**shown, "num_connections": 0} if self._dialect.lists_count_no_connections else shown

    def sandbox(self, one: Sandbox) -> dict[str, Any]:
        """SandboxInfo."""
        url = {"name": "AGENT_SERVER", "url": self._agent_server.url(), "port": self._agent_server.port}
        return {
            "id": one.id,
            "created_by_user_id": None,
            "sandbox_spec_id": sandboxes.SPEC_ID,
            "status": one.status,
            "session_api_key": self._keys.key_of(one.id) if one.running else None,
            "exposed_urls": [url] if one.running else None,
            "created_at": one.created_at,
        }

    def _v0(self, one: V0Conversation) -> dict[str, Any]:
        at_runtime = self._nested and one.has_loop
        url = f"/api/conversations/{one.id}" if one.has_loop else None
        return {
            "conversation_id": one.id,
            "title": one.shown_title,
            "last_updated_at": one.updated_at,
            "status": one.status,
            "runtime_status": self._dialect.v0_ready if one.status == v0.RUNNING else one.runtime_status,
            "selected_repository": one.selected_repository,
            "selected_branch": one.selected_branch,
            "git_provider": one.git_provider,
            "trigger": one.trigger,
            "num_connections": self._connections(one.id),
            "url": f"{self._agent_server.url()}{url}" if at_runtime else url,
            "session_api_key": self._keys.key_of(one.id) if at_runtime else None,
            "created_at": one.created_at,
            "pr_number": list(one.pr_number),
            "conversation_version": "V0",
            "sub_conversation_ids": [],
        }

    def _v1_as_v0(self, view: ConversationView) -> dict[str, Any]:
        one = view.conversation
        runtime_status = "STATUS$ERROR" if one.execution_status in _FAILED else "STATUS$READY"
        return {
            "conversation_id": one.id,
            "title": one.shown_title,
            "last_updated_at": one.updated_at,
            "status": v0_status(view),
            "runtime_status": runtime_status if view.reachable else None,
            "selected_repository": one.selected_repository,
            "selected_branch": one.selected_branch,
            "git_provider": one.git_provider,
            "trigger": one.trigger,
            "num_connections": 0,
            "url": self._conversation_url(view),
            "session_api_key": self._session_key(view),
            "created_at": one.created_at,
            "pr_number": list(one.pr_number),
            "conversation_version": "V1",
            "sub_conversation_ids": list(view.children),
        }

    def _conversation_url(self, view: ConversationView) -> str | None:
        if not view.reachable:
            return None
        return f"{self._agent_server.url()}/api/conversations/{view.conversation.id}"

    def _session_key(self, view: ConversationView) -> str | None:
        return self._keys.key_of(view.conversation.sandbox_id) if view.reachable else None


def v0_status(one: V0Conversation | ConversationView) -> str:
    """The ConversationStatus of either generation."""
    return one.status if isinstance(one, V0Conversation) else _V0_STATUS[one.sandbox_status]


def agent_conversation(one: V1Conversation, dialect: Dialect) -> dict[str, Any]:
    """ConversationInfo of the agent server."""
    newer = {
        "tags": dict(one.tags),
        "forked_from_conversation_id": one.forked_from_conversation_id,
        "forked_from_event_id": one.forked_from_event_id,
    }
    return {
        **(newer if dialect.newer_fields else {}),
        **v1.full_state(one),
        "id": dashed(one.id),
        "title": one.title,
        "metrics": None,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }
