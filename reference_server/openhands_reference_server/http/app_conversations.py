"""Tag `app-conversations`: start V1 conversations, watch them start, find them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.http.answers import asked, caller_waits, dumps, json_answer
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import AppConversationFilter, World

_PREFIX = "/api/v1/app-conversations"


def blueprint(world: World, views: Views) -> Blueprint:
    """The routes."""
    routes = Blueprint("app-conversations", __name__)

    @routes.post(_PREFIX, endpoint="startAppConversation")
    def start() -> Response:
        return json_answer(views.start_task(world.start_conversation(asked().body)))

    @routes.post(f"{_PREFIX}/stream-start", endpoint="streamStartAppConversation")
    def stream_start() -> Response:
        stages = world.start_and_watch(asked().body, caller_waits())
        return Response(_json_array(views, stages), mimetype="application/json", direct_passthrough=True)

    @routes.get(_PREFIX, endpoint="batchGetAppConversations")
    def batch_get() -> Response:
        found = world.app_conversations(asked().query["ids"])
        return json_answer([view and views.app_conversation(view) for view in found])

    @routes.get(f"{_PREFIX}/search", endpoint="searchAppConversations")
    def search() -> Response:
        query = asked().query
        keep = _filter(query, include_sub_conversations=query["include_sub_conversations"])
        page, next_page_id = world.search_app_conversations(
            keep, page_id=query["page_id"], limit=query["limit"]
        )
        items = [views.app_conversation(view) for view in page]
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_PREFIX}/count", endpoint="countAppConversations")
    def count() -> Response:
        return json_answer(
            world.count_app_conversations(_filter(asked().query, include_sub_conversations=True))
        )

    @routes.get(f"{_PREFIX}/<conversation_id>/file", endpoint="readConversationFile")
    def read_file(conversation_id: str) -> Response:
        pieces = world.read_conversation_file(conversation_id, asked().query["file_path"])
        return Response(_json_string(pieces), mimetype="application/json")

    return routes


def _json_string(pieces: Iterable[str]) -> Iterator[str]:
    """One JSON string, written while it is read."""
    yield '"'
    for text in pieces:
        yield dumps(text)[1:-1]
    yield '"'


def _filter(query: Any, *, include_sub_conversations: bool) -> AppConversationFilter:
    return AppConversationFilter(
        title_contains=query["title__contains"],
        created_since=query["created_at__gte"],
        created_until=query["created_at__lt"],
        updated_since=query["updated_at__gte"],
        updated_until=query["updated_at__lt"],
        sandbox_id=query["sandbox_id__eq"],
        include_sub_conversations=include_sub_conversations,
    )


def _json_array(views: Views, stages: Iterable[StartTask]) -> Iterator[bytes]:
    """One chunk per element, as the real server sends it.

    Raises:
        BrokenPipeError: the task has not ended, but the server does. Both HTTP servers then drop the
            connection, so the client knows that it has not seen everything.
    """
    opening, ended = "[\n", False
    for task in stages:
        yield (opening + dumps(views.start_task(task))).encode()
        opening, ended = ",\n", task.ended
    if not ended:
        raise BrokenPipeError(errno.EPIPE, "the stream ends before its task")
    yield b"]"
