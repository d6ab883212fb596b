"""Keys on the agent server: each one opens one sandbox, and nothing of the others."""

from __future__ import annotations

from flask import g

from openhands_reference_server.domain.errors import SandboxNotFound
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.world import World


def accept_key(world: World, key: str) -> bool:
    """Remember whose key the present request has; False when it is nobody's."""
    try:
        g.sandbox_id = world.sandbox_of_key(key)
    except SandboxNotFound:
        return False
    return True


def conversation_of_key(world: World, conversation_id: str) -> V1Conversation:
    """The conversation, if it lives in the sandbox of the present request's key.

    Raises:
        ConversationNotFound: it does not.
        SandboxPaused: it does, but the sandbox is frozen.
    """
    return world.agent_conversation(g.sandbox_id, conversation_id)
