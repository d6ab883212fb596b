"""Tag `v0-conversations`: what a V0 conversation holds besides its state."""

from __future__ import annotations

import sys

from flask import Blueprint, Response

from openhands_reference_server.domain.errors import EventHidden, EventNotFound
from openhands_reference_server.domain.event_log import NumberedFilter
from openhands_reference_server.domain.v0_prompts import remember
from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World

_ONE = "/api/conversations/<conversation_id>"
_VISIBLE = NumberedFilter(exclude_hidden=True)


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("v0-contents", __name__)

    @routes.get(f"{_ONE}/trajectory", endpoint="getTrajectory")
    def trajectory(conversation_id: str) -> Response:
        events, _ = world.v0_events(
            conversation_id, start=0, end=None, reverse=False, limit=sys.maxsize - 1, keep=_VISIBLE
        )
        return json_answer({"trajectory": events})

    @routes.get(f"{_ONE}/microagents", endpoint="getMicroagents")
    def microagents(conversation_id: str) -> Response:
        loaded = world.workspaces.microagents(conversation_id)
        return json_answer({"microagents": [one.to_json() for one in loaded]})

    @routes.get(f"{_ONE}/remember-prompt", endpoint="getMicroagentPrompt")
    def remember_prompt(conversation_id: str) -> Response:
        event_id = asked().query["event_id"]
        found, _ = world.v0_events(
            conversation_id, start=event_id, end=event_id, reverse=False, limit=1, keep=lambda event: True
        )
        if not found:
            raise EventNotFound(event_id)
        if not _VISIBLE(found[0]):
            raise EventHidden(event_id)
        return json_answer({"status": "success", "prompt": remember(found[0])})

    @routes.post(f"{_ONE}/exp-config", endpoint="addExperimentConfig")
    def experiment(conversation_id: str) -> Response:
        world.notes.note_experiment(conversation_id, asked().body.get("config"))
        return json_answer(False)

    @routes.get("/api/microagent-management/conversations", endpoint="listMicroagentManagementConversations")
    def microagent_management() -> Response:
        query = asked().query
        page, next_page_id = world.list_conversations(
            page_id=query["page_id"],
            limit=query["limit"],
            repository=query["selected_repository"],
            trigger="microagent_management",
        )
        return json_answer(
            {"results": [views.conversation(one) for one in page], "next_page_id": next_page_id}
        )

    return routes
