"""Tag `webhooks`: what agent servers report to the app server. They show the key of their sandbox."""

from __future__ import annotations

from flask import Blueprint, Response, request

from openhands_reference_server.http import problems
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.session import KEY_HEADER, accept_key, sandbox_of_request
from openhands_reference_server.world import World

OPERATIONS = ("reportEvents", "reportConversation")
"""These want the key of a sandbox, and never that of the app server."""

_PREFIX = "/api/v1/webhooks"


def refusal(world: World) -> Response | None:
    """The answer to a report without the key of a sandbox."""
    key = request.headers.get(KEY_HEADER, "")
    if not key:
        return problems.detail(401, f"{KEY_HEADER} header is required")
    return None if accept_key(world, key) else problems.detail(401, "Invalid session API key")


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("webhooks", __name__)

    @routes.post(f"{_PREFIX}/events/<conversation_id>", endpoint="reportEvents")
    def report_events(conversation_id: str) -> Response:
        world.events.report(sandbox_of_request(), conversation_id, asked().body)
        return json_answer(SUCCESS)

    @routes.post(f"{_PREFIX}/conversations", endpoint="reportConversation")
    def report_conversation() -> Response:
        world.events.report_conversation(sandbox_of_request(), asked().body)
        return json_answer(SUCCESS)

    return routes
