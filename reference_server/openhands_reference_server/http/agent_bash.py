"""Tag `bash` of the agent server: a shell in the workspace, where the server was told to have one."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.http.session import running_sandbox
from openhands_reference_server.world import World
from openhands_reference_server.world.bash import BashFilter

_PREFIX = "/api/bash"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("bash", __name__)

    @routes.post(f"{_PREFIX}/start_bash_command", endpoint="startBashCommand")
    def start() -> Response:
        return json_answer(world.bash.start(running_sandbox(world), asked().body))

    @routes.post(f"{_PREFIX}/execute_bash_command", endpoint="executeBashCommand")
    def execute() -> Response:
        return json_answer(world.bash.execute(running_sandbox(world), asked().body))

    @routes.get(f"{_PREFIX}/bash_events/search", endpoint="searchBashEvents")
    def search() -> Response:
        query = asked().query
        keep = BashFilter(
            kind=query["kind__eq"],
            command_id=query["command_id__eq"],
            since=query["timestamp__gte"],
            until=query["timestamp__lt"],
        )
        items, next_page_id = world.bash.search(
            running_sandbox(world),
            keep,
            page_id=query["page_id"],
            limit=query["limit"],
            newest_first=query["sort_order"] == "TIMESTAMP_DESC",
        )
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_PREFIX}/bash_events/<not_search:event_id>", endpoint="getBashEvent")
    def get(event_id: str) -> Response:
        return json_answer(world.bash.get(running_sandbox(world), event_id))

    @routes.delete(f"{_PREFIX}/bash_events", endpoint="clearBashEvents")
    def clear() -> Response:
        return json_answer({"cleared_count": world.bash.clear(running_sandbox(world))})

    return routes
