"""``client.v0``: the web frontend's ConversationService, method by method, and the rest of the V0 routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client._core import operations as ops
from openhands_client._core.auth import Endpoint
from openhands_client._core.commands import FilePart
from openhands_client._core.downloads import Download
from openhands_client._core.operation import JsonBody, Operation, Query
from openhands_client._core.places import Snapshot, find_runtime
from openhands_client.errors import NotFoundError, UnsupportedOperationError
from openhands_client.local_files import OnBytes, Source, opened

from .service import AsyncService

T = TypeVar("T")


class AsyncConversationService(AsyncService):
    """V0 conversations.

    A conversation may live on a runtime of its own, at its own ``url`` and with its own ``session_api_key``.
    Once it is the current conversation, what it holds is asked for there, with that key and never with yours.
    """

    _current: m.ConversationInfo | None = None

    def get_current_conversation(self) -> m.ConversationInfo | None:
        """The conversation whose own address is used."""
        return self._current

    def set_current_conversation(self, conversation: m.ConversationInfo | None) -> None:
        """Use the ``url`` and ``session_api_key`` of this conversation; None: of none.

        Raises UnsafeURLError when the url is not plain http(s), or gives up https.
        """
        if conversation is not None:
            find_runtime(self._driver.session, Snapshot(conversation))
        self._current = conversation

    def get_conversation_url(self, conversation_id: str) -> str:
        """The URL below which the routes of a conversation are."""
        return f"{self._runtime(conversation_id).base_url}/api/conversations/{conversation_id}"

    def _runtime(self, conversation_id: str) -> Endpoint:
        if self._current is not None and self._current.conversation_id == conversation_id:
            return find_runtime(self._driver.session, Snapshot(self._current))
        return self._driver.session.endpoint

    async def _ask(
        self,
        operation: Operation[T],
        conversation_id: str,
        *,
        query: Query | None = None,
        body: JsonBody | None = None,
        files: Sequence[FilePart] = (),
    ) -> T:
        """Perform an operation where the conversation lives."""
        return await self._call(
            operation,
            endpoint=self._runtime(conversation_id),
            path={"conversation_id": conversation_id},
            query=query,
            body=body,
            files=files,
        )

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
        return await self._ask(ops.GET_CONVERSATION_CONFIG, conversation_id)

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
        return await self._ask(ops.SEARCH_CONVERSATION_EVENTS, conversation_id, query=query)

    async def add_event(self, conversation_id: str, event: Mapping[str, Any]) -> m.SuccessResponse:
        """Hand a V0 action to a running conversation. ``POST /api/conversations/{conversation_id}/events``"""
        return await self._ask(ops.ADD_CONVERSATION_EVENT, conversation_id, body=dict(event))

    async def add_message(self, conversation_id: str, message: str) -> m.SuccessResponse:
        """Send a message to a running conversation. ``POST /api/conversations/{conversation_id}/message``"""
        return await self._ask(ops.ADD_CONVERSATION_MESSAGE, conversation_id, body={"message": message})

    async def get_trajectory(self, conversation_id: str) -> m.Trajectory:
        """All events that are meant to be seen. ``GET /api/conversations/{conversation_id}/trajectory``"""
        return await self._ask(ops.GET_TRAJECTORY, conversation_id)

    async def get_microagents(self, conversation_id: str) -> m.MicroagentsResponse:
        """The microagents it has loaded. ``GET /api/conversations/{conversation_id}/microagents``"""
        return await self._ask(ops.GET_MICROAGENTS, conversation_id)

    async def get_microagent_prompt(self, conversation_id: str, event_id: int) -> str:
        """A prompt for a microagent that remembers what an event taught.

        ``GET /api/conversations/{conversation_id}/remember-prompt``
        """
        query = {"event_id": event_id}
        return (await self._ask(ops.GET_MICROAGENT_PROMPT, conversation_id, query=query)).prompt

    async def get_vscode_url(self, conversation_id: str) -> m.VSCodeUrl:
        """Where an editor listens, if one does. ``GET /api/conversations/{conversation_id}/vscode-url``"""
        return await self._ask(ops.GET_VS_CODE_URL, conversation_id)

    async def get_web_hosts(self, conversation_id: str) -> list[str]:
        """Addresses of what the agent serves. ``GET /api/conversations/{conversation_id}/web-hosts``"""
        return (await self._ask(ops.GET_WEB_HOSTS, conversation_id)).urls

    async def get_files(self, conversation_id: str, path: str | None = None) -> list[str]:
        """The entries of a directory, by default the workspace.

        ``GET /api/conversations/{conversation_id}/list-files``
        """
        return await self._ask(ops.LIST_FILES, conversation_id, query={"path": path})

    async def select_file(self, conversation_id: str, file: str) -> str:
        """The content of a text file. ``GET /api/conversations/{conversation_id}/select-file``"""
        return (await self._ask(ops.SELECT_FILE, conversation_id, query={"file": file})).code

    async def upload_files(
        self, conversation_id: str, files: Sequence[Source], on_progress: OnBytes | None = None
    ) -> m.FileUploadSuccessResponse:
        """Put files into the workspace: paths, or pairs of a name and bytes or a binary file object.

        ``on_progress(sent, total)`` counts bytes. ``POST /api/conversations/{conversation_id}/upload-files``
        """
        with opened(files, "files", on_progress) as parts:
            return await self._ask(ops.UPLOAD_FILES, conversation_id, files=parts)

    async def zip_directory(self, conversation_id: str, target: str | PathLike[str]) -> Path:
        """Save the zipped workspace as ``target``, whole or not at all.

        ``GET /api/conversations/{conversation_id}/zip-directory``
        """
        wanted = Download(ops.ZIP_DIRECTORY, {"conversation_id": conversation_id})
        return await self._download([wanted], target, self._runtime(conversation_id))

    async def get_git_changes(self, conversation_id: str) -> list[m.GitChange]:
        """The files that differ from the last commit.

        ``GET /api/conversations/{conversation_id}/git/changes``
        """
        return await self._ask(ops.GET_GIT_CHANGES, conversation_id)

    async def get_git_diff(self, conversation_id: str, path: str) -> m.GitDiff:
        """A file as it is, and as it was. ``GET /api/conversations/{conversation_id}/git/diff``"""
        return await self._ask(ops.GET_GIT_DIFF, conversation_id, query={"path": path})

    async def add_experiment_config(self, conversation_id: str, config: Mapping[str, str] | None) -> bool:
        """Note an experiment for a conversation; false means that it worked.

        ``POST /api/conversations/{conversation_id}/exp-config``
        """
        body = {"config": None if config is None else dict(config)}
        path = {"conversation_id": conversation_id}
        return await self._call(ops.ADD_EXPERIMENT_CONFIG, path=path, body=body)

    async def get_microagent_management_conversations(
        self, selected_repository: str, page_id: str | None = None, limit: int = 100
    ) -> m.ConversationInfoResultSet:
        """The conversations about the microagents of a repository (``owner/name``).

        ``GET /api/microagent-management/conversations``
        """
        query = {"selected_repository": selected_repository, "page_id": page_id, "limit": limit}
        return await self._call(ops.LIST_MICROAGENT_MANAGEMENT_CONVERSATIONS, query=query)

    async def submit_feedback(self, conversation_id: str, feedback: Mapping[str, Any]) -> m.FeedbackResponse:
        """Send feedback, with the trajectory, to whoever the server collects it for.

        ``feedback`` has email, version, permissions (public, private) and polarity (positive, negative).
        ``POST /api/conversations/{conversation_id}/submit-feedback``
        """
        path = {"conversation_id": conversation_id}
        return await self._call(ops.SUBMIT_FEEDBACK, path=path, body=dict(feedback))

    async def submit_conversation_feedback(
        self, conversation_id: str, rating: int, event_id: int | None = None, reason: str | None = None
    ) -> m.FeedbackResponse:
        """Rate a conversation, or one of its events, from 1 to 5. ``POST /feedback/conversation``"""
        body = {
            "conversation_id": conversation_id,
            "event_id": event_id,
            "rating": rating,
            "reason": reason,
            "metadata": {"source": "likert-scale"},
        }
        given = {name: value for name, value in body.items() if value is not None}
        return await self._call(ops.SUBMIT_CONVERSATION_FEEDBACK, body=given)

    async def check_feedback_exists(self, conversation_id: str, event_id: int) -> m.FeedbackStatus:
        """The rating of an event; one that does not exist where the server knows no feedback.

        ``GET /feedback/conversation/{conversation_id}/{event_id}``
        """
        path = {"conversation_id": conversation_id, "event_id": str(event_id)}
        try:
            return await self._call(ops.CHECK_FEEDBACK_EXISTS, path=path)
        except (NotFoundError, UnsupportedOperationError):
            return m.FeedbackStatus()

    async def get_batch_feedback(self, conversation_id: str) -> dict[str, m.FeedbackStatus]:
        """The ratings of all events, by event id; none where the server knows no feedback.

        ``GET /feedback/conversation/{conversation_id}/batch``
        """
        try:
            return await self._call(ops.GET_BATCH_FEEDBACK, path={"conversation_id": conversation_id})
        except (NotFoundError, UnsupportedOperationError):
            return {}
