"""Tag `sandboxes`: where V1 conversations live."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World

_PREFIX = "/api/v1/sandboxes"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("sandboxes", __name__)

    @routes.get(_PREFIX, endpoint="batchGetSandboxes")
    def batch_get() -> Response:
        found = world.sandboxes(asked().query["id"])
        return json_answer([one and views.sandbox(one) for one in found])

    @routes.get(f"{_PREFIX}/search", endpoint="searchSandboxes")
    def search() -> Response:
        query = asked().query
        page, next_page_id = world.search_sandboxes(page_id=query["page_id"], limit=query["limit"])
        return json_answer({"items": [views.sandbox(one) for one in page], "next_page_id": next_page_id})

    @routes.post(f"{_PREFIX}/<sandbox_id>/pause", endpoint="pauseSandbox")
    def pause(sandbox_id: str) -> Response:
        world.pause_sandbox(sandbox_id)
        return json_answer(SUCCESS)

    @routes.post(f"{_PREFIX}/<sandbox_id>/resume", endpoint="resumeSandbox")
    def resume(sandbox_id: str) -> Response:
        world.resume_sandbox(sandbox_id)
        return json_answer(SUCCESS)

    return routes
