"""Tag `start-tasks`: how far the start of a V1 conversation has come."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World

_PREFIX = "/api/v1/app-conversations/start-tasks"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("start-tasks", __name__)

    @routes.get(_PREFIX, endpoint="batchGetStartTasks")
    def batch_get() -> Response:
        found = world.start_tasks(asked().query["ids"])
        return json_answer([task and views.start_task(task) for task in found])

    @routes.get(f"{_PREFIX}/search", endpoint="searchStartTasks")
    def search() -> Response:
        query = asked().query
        page, next_page_id = world.search_start_tasks(
            conversation_id=query["conversation_id__eq"],
            created_since=query["created_at__gte"],
            sort_order=query["sort_order"],
            page_id=query["page_id"],
            limit=query["limit"],
        )
        items = [views.start_task(task) for task in page]
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_PREFIX}/count", endpoint="countStartTasks")
    def count() -> Response:
        query = asked().query
        found = world.count_start_tasks(
            conversation_id=query["conversation_id__eq"], created_since=query["created_at__gte"]
        )
        return json_answer(found)

    return routes
