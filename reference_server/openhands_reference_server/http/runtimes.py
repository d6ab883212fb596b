"""`--nested`: V0 conversations with a runtime of their own, as in the Docker and SaaS deployments.

Each such runtime is found at the conversation's own `url`, on the agent server's port, and opens to the
conversation's own `session_api_key`. What a conversation holds (events, files, git, …) is served there
and refused on the app server, which keeps what it is about a conversation: create, find, start, stop.
On that port V0 and V1 have paths of the same shape; whose a request is follows from the generation of
the conversation it names.

A stopped conversation has no url. The app server shows then what is stored of it, and so does its
runtime to a client that was following it to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Request, Response

from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.http import problems
from openhands_reference_server.http.socketio_server import INVALID_KEY, NOT_FOUND, SocketIO, Wsgi
from openhands_reference_server.world import World

_PREFIX = "/api/conversations/"
_MARK = "openhands.runtime"
OPERATIONS = frozenset(
    {
        "getConversationConfig",
        "searchConversationEvents",
        "addConversationEvent",
        "addConversationMessage",
        "getTrajectory",
        "getMicroagents",
        "getMicroagentPrompt",
        "listFiles",
        "selectFile",
        "zipDirectory",
        "uploadFiles",
        "getGitChanges",
        "getGitDiff",
        "getVSCodeUrl",
        "getWebHosts",
    }
)
"""What a runtime serves."""


class Runtimes:
    """The runtimes of all V0 conversations of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def problem(self, request: Request, operation: str) -> Response | None:
        """Why the app server's application does not answer this request; None when it does."""
        conversation_id = request.environ.get(_MARK)
        if conversation_id is not None:
            return self._problem_of_runtime(request, operation, conversation_id)
        named = (request.view_args or {}).get("conversation_id", "")
        if operation in OPERATIONS and self._has_runtime(named):
            elsewhere = "Conversation not found here: its runtime serves it, at the url it has"
            return problems.envelope(404, elsewhere, "CONVERSATION$NOT_FOUND")
        return None

    def is_runtime(self, request: Request) -> bool:
        """Has this request come to a runtime, whose key it needs instead of that of the app server?"""
        return _MARK in request.environ

    def gate(self, key: str, conversation_id: str) -> str | None:
        """Why a Socket.IO client is not let into a runtime."""
        if self._v0(conversation_id) is None:
            return NOT_FOUND
        return None if self._opens(key, canonical(conversation_id)) else INVALID_KEY

    def serves(self, path: str) -> bool:
        """Is a path on the agent server's port that of a runtime?"""
        return self._v0(_named_in(path)) is not None

    def dispatcher(self, agent_server: Wsgi, app_server: Wsgi) -> SocketIO:
        """Everything on the agent server's port: Socket.IO, V0 runtimes, and the agent server."""

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            conversation = self._v0(_named_in(environ["PATH_INFO"]))
            if conversation is None:
                return agent_server(environ, start_response)
            return app_server({**environ, _MARK: conversation.id}, start_response)

        return SocketIO(serve, self._world, self.gate)

    def _problem_of_runtime(self, request: Request, operation: str, conversation_id: str) -> Response | None:
        if operation and not self._opens(request.headers.get("X-Session-API-Key", ""), conversation_id):
            return problems.detail(401, "Unauthorized")
        return None if operation in OPERATIONS else problems.detail(404, "Not Found")

    def _opens(self, key: str, conversation_id: str) -> bool:
        return self._world.keys.sandbox_of(key) == conversation_id

    def _has_runtime(self, conversation_id: str) -> bool:
        conversation = self._v0(conversation_id)
        return conversation is not None and conversation.has_loop

    def _v0(self, conversation_id: str) -> V0Conversation | None:
        found = self._world.core.conversations.get(canonical(conversation_id))
        return found if isinstance(found, V0Conversation) else None


def _named_in(path: str) -> str:
    before, _, rest = path.partition(_PREFIX)
    return "" if before else rest.partition("/")[0]
