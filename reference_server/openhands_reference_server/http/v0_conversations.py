"""Tag `v0-conversations`: the life of conversations of both generations, as V0 sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.views import Views, v0_status
from openhands_reference_server.world import World

_PREFIX = "/api/conversations"
_ONE = f"{_PREFIX}/<conversation_id>"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("v0-conversations", __name__)

    @routes.post(_PREFIX, endpoint="createConversation")
    def create() -> Response:
        return _response(world.create_v0(_details(asked().body)).id, v0.STARTING)

    @routes.get(_PREFIX, endpoint="listConversations")
    def list_conversations() -> Response:
        query = asked().query
        page, next_page_id = world.list_conversations(
            page_id=query["page_id"],
            limit=query["limit"],
            repository=query["selected_repository"],
            trigger=query["conversation_trigger"],
            include_sub_conversations=query["include_sub_conversations"],
        )
        return json_answer(
            {"results": [views.conversation(one) for one in page], "next_page_id": next_page_id}
        )

    @routes.get(_ONE, endpoint="getConversation")
    def get(conversation_id: str) -> Response:
        return json_answer(views.conversation(world.conversation(conversation_id)))

    @routes.patch(_ONE, endpoint="updateConversation")
    def update(conversation_id: str) -> Response:
        world.rename(conversation_id, asked().body["title"])
        return json_answer(True)

    @routes.delete(_ONE, endpoint="deleteConversation")
    def delete(conversation_id: str) -> Response:
        return json_answer(world.delete(conversation_id))

    @routes.post(f"{_ONE}/start", endpoint="startConversation")
    def start(conversation_id: str) -> Response:
        before = world.start(conversation_id)
        ran = v0_status(before) == v0.RUNNING
        return _response(_id_of(before), v0.RUNNING if ran else v0.STARTING)

    @routes.post(f"{_ONE}/stop", endpoint="stopConversation")
    def stop(conversation_id: str) -> Response:
        ran = world.stop(conversation_id)
        message = "Conversation stopped successfully" if ran else "Conversation was not running"
        return _response(_id_of(world.conversation(conversation_id)), v0.STOPPED, message)

    @routes.post(f"{_ONE}/pause", endpoint="pauseConversation")
    def pause(conversation_id: str) -> Response:
        world.pause(conversation_id)
        return json_answer(SUCCESS)

    @routes.get(f"{_ONE}/config", endpoint="getConversationConfig")
    def config(conversation_id: str) -> Response:
        one = world.conversation(conversation_id)
        runtime_id = None if isinstance(one, V0Conversation) else one.conversation.sandbox_id
        return json_answer({"runtime_id": runtime_id, "session_id": conversation_id})

    return routes


def _id_of(one: Any) -> str:
    found: str = one.id if isinstance(one, V0Conversation) else one.conversation.id
    return found


def _response(conversation_id: str, status: str, message: str | None = None) -> Response:
    return json_answer(
        {
            "status": "ok",
            "conversation_id": conversation_id,
            "message": message,
            "conversation_status": status,
        }
    )


def _details(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a create request says about the conversation; the special kinds say it in their own fields."""
    task = body.get("suggested_task") or {}
    microagent = body.get("create_microagent") or {}
    repository = body.get("repository") or task.get("repo") or microagent.get("repo")
    provider = body.get("git_provider") or task.get("git_provider") or microagent.get("git_provider")
    return {
        "selected_repository": repository,
        "selected_branch": body.get("selected_branch"),
        "git_provider": provider,
        "trigger": _trigger(body),
        "title": task.get("title") or microagent.get("title") or None,
        "instructions": body.get("conversation_instructions"),
        "initial_message": body.get("initial_user_msg"),
        "image_urls": body.get("image_urls"),
    }


def _trigger(body: Mapping[str, Any]) -> str:
    if body.get("suggested_task"):
        return "suggested_task"
    return "microagent_management" if body.get("create_microagent") else "gui"
