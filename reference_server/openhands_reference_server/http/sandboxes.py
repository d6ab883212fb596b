"""Tags `sandboxes` and `sandbox-specs`: where V1 conversations live, and what such places are made from."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.domain.errors import UnknownPage
from openhands_reference_server.http import problems
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World

_PREFIX = "/api/v1/sandboxes"
_SPECS = "/api/v1/sandbox-specs"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("sandboxes", __name__)

    @routes.get(_PREFIX, endpoint="batchGetSandboxes")
    def batch_get() -> Response:
        found = world.sandboxes.batch_get(asked().query["id"])
        return json_answer([one and views.sandbox(one) for one in found])

    @routes.get(f"{_PREFIX}/search", endpoint="searchSandboxes")
    def search() -> Response:
        query = asked().query
        page, next_page_id = world.sandboxes.search(page_id=query["page_id"], limit=query["limit"])
        return json_answer({"items": [views.sandbox(one) for one in page], "next_page_id": next_page_id})

    @routes.post(_PREFIX, endpoint="startSandbox")
    def start() -> Response:
        return json_answer(views.sandbox(world.sandboxes.start(asked().query["sandbox_spec_id"])))

    @routes.delete(f"{_PREFIX}/<not_search:sandbox_id>", endpoint="deleteSandbox")
    def delete(sandbox_id: str) -> Response:
        also = asked().query["sandbox_id"]
        if world.dialect.reads_sandbox_of_query:
            sandbox_id = also
        elif also not in (None, sandbox_id):
            raise problems.invalid("query", "sandbox_id", "not the sandbox the path names", also)
        world.sandboxes.delete(sandbox_id)
        return json_answer(SUCCESS)

    @routes.post(f"{_PREFIX}/<sandbox_id>/pause", endpoint="pauseSandbox")
    def pause(sandbox_id: str) -> Response:
        world.sandboxes.pause(sandbox_id)
        return json_answer(SUCCESS)

    @routes.post(f"{_PREFIX}/<sandbox_id>/resume", endpoint="resumeSandbox")
    def resume(sandbox_id: str) -> Response:
        world.sandboxes.resume(sandbox_id)
        return json_answer(SUCCESS)

    @routes.get(_SPECS, endpoint="batchGetSandboxSpecs")
    def batch_get_specs() -> Response:
        specs = {spec["id"]: spec for spec in world.sandboxes.specs()}
        return json_answer([specs.get(one) for one in asked().query["id"]])

    @routes.get(f"{_SPECS}/search", endpoint="searchSandboxSpecs")
    def search_specs() -> Response:
        page_id = asked().query["page_id"]
        if page_id is not None:
            raise UnknownPage(page_id)  # there is only one page
        return json_answer({"items": world.sandboxes.specs(), "next_page_id": None})

    return routes
