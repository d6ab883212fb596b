"""Tag `pending-messages`: messages for conversations that are still being started."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.world import World


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("pending-messages", __name__)

    @routes.post("/api/v1/conversations/<conversation_id>/pending-messages", endpoint="addPendingMessage")
    def add(conversation_id: str) -> Response:
        queued = world.pending.add(conversation_id, asked().body)
        return json_answer({"id": queued.id, "queued": True, "position": queued.position}, 201)

    return routes
