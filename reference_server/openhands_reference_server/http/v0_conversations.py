"""Tag `v0-conversations`: the life of conversations of both generations, as V0 sees it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v0_requests import InvalidReplay, details_of, read_replay
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.http.validation_items import item
from openhands_reference_server.http.views import Views, v0_status
from openhands_reference_server.world import World

_PREFIX = "/api/conversations"
_ONE = f"{_PREFIX}/<conversation_id>"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("v0-conversations", __name__)

    @routes.post(_PREFIX, endpoint="createConversation")
    def create() -> Response:
        body = asked().body
        details = details_of(body, with_bearer=_with_bearer())
        history = _history(body.get("replay_json"), look_later=world.dialect.reads_replay_later)
        return _response(world.create_v0(details, history).id, v0.STARTING)

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
            {"results": [views.listed_conversation(one) for one in page], "next_page_id": next_page_id}
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
        before = v0_status(world.conversation(conversation_id))
        ran = world.stop(conversation_id)
        message = "Conversation stopped successfully" if ran else "Conversation was not running"
        told = before if world.dialect.tells_status_before_stop else v0.STOPPED
        return _response(_id_of(world.conversation(conversation_id)), told, message)

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


def _history(text: str | None, *, look_later: bool) -> list[Event]:
    """The events of `replay_json`; who looks later finds none in what cannot be read.

    Raises:
        RequestInvalid: it holds none.
    """
    try:
        return [] if text is None else read_replay(text)
    except InvalidReplay as error:
        if look_later:
            return []
        entry = item("value_error", ("body", "replay_json"), f"Value error, {error}", text)
        raise RequestInvalid(422, {"detail": [entry]}) from error


def _with_bearer() -> bool:
    return request.authorization is not None and request.authorization.type == "bearer"
