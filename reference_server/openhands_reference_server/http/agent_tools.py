"""Tag `tools` of the agent server: what agents can use, and the editor and desktop this server lacks."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.domain.errors import ToolDisabled
from openhands_reference_server.domain.v1_events import TOOLS
from openhands_reference_server.http.answers import json_answer
from openhands_reference_server.http.session import running_sandbox
from openhands_reference_server.world import World

_EDITOR = ("VSCode", "enable_vscode=true")
_DESKTOP = ("Desktop", "enable_vnc=true")


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("tools", __name__)

    @routes.get("/api/tools/", endpoint="listTools")
    def tools() -> Response:
        running_sandbox(world)
        return json_answer(list(TOOLS))

    @routes.get("/api/vscode/url", endpoint="getVscodeUrl")
    def vscode_url() -> Response:
        raise ToolDisabled(*_EDITOR)

    @routes.get("/api/vscode/status", endpoint="getVscodeStatus")
    def vscode_status() -> Response:
        running_sandbox(world)
        return json_answer({"running": False, "enabled": False, "message": str(ToolDisabled(*_EDITOR))})

    @routes.get("/api/desktop/url", endpoint="getDesktopUrl")
    def desktop_url() -> Response:
        raise ToolDisabled(*_DESKTOP)

    return routes
