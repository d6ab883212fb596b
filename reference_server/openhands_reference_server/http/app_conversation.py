"""Tag `app-conversation`: one V1 conversation, for those who do not go to its agent server."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.domain import sandbox
from openhands_reference_server.domain.errors import ConversationNotFound
from openhands_reference_server.http.agent_files import attachment, git_changes_shown, pieces
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World
from openhands_reference_server.world.trajectory import archive

_ONE = "/api/v1/app-conversations/<not_search:conversation_id>"
_FIELDS = ("title", "public", "selected_repository", "selected_branch", "git_provider")


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("app-conversation", __name__)
    _add_changing(routes, world, views)
    _add_looking_inside(routes, world)
    return routes


def _add_changing(routes: Blueprint, world: World, views: Views) -> None:
    @routes.patch(_ONE, endpoint="updateAppConversation")
    def update(conversation_id: str) -> Response:
        given = asked().body
        world.app_side.update(conversation_id, {name: given[name] for name in _FIELDS if name in given})
        return json_answer(_shown(world, views, conversation_id))

    @routes.delete(_ONE, endpoint="deleteAppConversation")
    def delete(conversation_id: str) -> Response:
        world.app_side.check(conversation_id)
        world.delete(conversation_id)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/send-message", endpoint="sendAppMessage")
    def send_message(conversation_id: str) -> Response:
        world.app_side.send_message(conversation_id, asked().body)
        return json_answer({"success": True, "sandbox_status": sandbox.RUNNING, "message": None})


def _add_looking_inside(routes: Blueprint, world: World) -> None:
    @routes.get(f"{_ONE}/skills", endpoint="getSkills")
    def skills(conversation_id: str) -> Response:
        found = [one.to_json() for one in world.app_side.skills(conversation_id)]
        shown = [{name: one[name] for name in ("name", "type", "content", "triggers")} for one in found]
        return json_answer({"skills": shown})

    @routes.get(f"{_ONE}/hooks", endpoint="getHooks")
    def hooks(conversation_id: str) -> Response:
        return json_answer({"hooks": world.app_side.hooks(conversation_id)})

    @routes.get(f"{_ONE}/download", endpoint="downloadConversation")
    def download(conversation_id: str) -> Response:
        file = archive(*world.agents.trajectory(conversation_id))
        answer = attachment(pieces(file), f"{conversation_id}.zip", "application/zip")
        answer.call_on_close(file.close)
        return answer

    @routes.get(f"{_ONE}/git/changes", endpoint="getAppGitChanges")
    def git_changes(conversation_id: str) -> Response:
        query = asked().query
        return json_answer(
            git_changes_shown(world.app_side.git_changes(conversation_id, query["path"], query["ref"]))
        )

    @routes.get(f"{_ONE}/git/diff", endpoint="getAppGitDiff")
    def git_diff(conversation_id: str) -> Response:
        query = asked().query
        modified, original = world.app_side.git_diff(conversation_id, query["path"], query["ref"])
        return json_answer({"modified": modified, "original": original})


def _shown(world: World, views: Views, conversation_id: str) -> dict[str, Any]:
    [view] = world.app_conversations([conversation_id])
    if view is None:
        raise ConversationNotFound(conversation_id)
    return views.app_conversation(view)
