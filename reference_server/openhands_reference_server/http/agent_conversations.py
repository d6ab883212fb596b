"""Tag `conversations` of the agent server: the state of a conversation; run and pause its agent."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.http.answers import SUCCESS, caller_waits, json_answer
from openhands_reference_server.http.session import conversation_of_key
from openhands_reference_server.http.views import agent_conversation
from openhands_reference_server.world import World

_ONE = "/api/conversations/<conversation_id>"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("conversations", __name__)

    @routes.get(_ONE, endpoint="getConversation")
    def get(conversation_id: str) -> Response:
        return json_answer(agent_conversation(conversation_of_key(world, conversation_id)))

    @routes.post(f"{_ONE}/run", endpoint="runConversation")
    def run(conversation_id: str) -> Response:
        world.agents.run(conversation_of_key(world, conversation_id).id, caller_waits())
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/pause", endpoint="pauseConversation")
    def pause(conversation_id: str) -> Response:
        world.agents.pause(conversation_of_key(world, conversation_id).id)
        return json_answer(SUCCESS)

    return routes
