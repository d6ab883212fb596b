"""Keys on the agent server: each one opens one sandbox, and nothing of the others."""

from __future__ import annotations

from typing import cast

from flask import g

from openhands_reference_server.domain.errors import SandboxNotFound
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.world import World

KEY_HEADER = "X-Session-API-Key"


def accept_key(world: World, key: str) -> bool:
    """Remember whose key the present request has; False when it is nobody's."""
    try:
        g.sandbox_id = world.sandboxes.of_key(key)
    except SandboxNotFound:
        return False
    return True


def sandbox_of_request() -> str:
    """The sandbox whose key the present request has."""
    return cast(str, g.sandbox_id)


def running_sandbox(world: World) -> str:
    """The same, if its agent server can answer.

    Raises:
        SandboxPaused: the sandbox is frozen.
    """
    sandbox_id = sandbox_of_request()
    world.sandboxes.check_running(sandbox_id)
    return sandbox_id


def conversation_of_key(world: World, conversation_id: str) -> V1Conversation:
    """The conversation, if it lives in the sandbox of the present request's key.

    Raises:
        ConversationNotFound: it does not.
        SandboxPaused: it does, but the sandbox is frozen.
    """
    return world.agents.conversation(sandbox_of_request(), conversation_id)
