"""Tag `v0-events`: what happened in a V0 conversation, and how to say more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.domain.event_log import NumberedFilter
from openhands_reference_server.http.answers import SUCCESS, asked, json_answer
from openhands_reference_server.world import World

_ONE = "/api/conversations/<conversation_id>"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("v0-events", __name__)

    @routes.get(f"{_ONE}/events", endpoint="searchConversationEvents")
    def search(conversation_id: str) -> Response:
        query = asked().query
        events, has_more = world.v0_events(
            conversation_id,
            start=max(0, query["start_id"]),
            end=query["end_id"],
            reverse=query["reverse"],
            limit=query["limit"],
            keep=_filter(query.get("filter") or asked().body or {}),
        )
        return json_answer({"events": events, "has_more": has_more})

    @routes.post(f"{_ONE}/events", endpoint="addConversationEvent")
    def add_event(conversation_id: str) -> Response:
        world.send_v0_action(conversation_id, asked().body)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/message", endpoint="addConversationMessage")
    def add_message(conversation_id: str) -> Response:
        world.send_v0_message(conversation_id, asked().body["message"])
        return json_answer(SUCCESS)

    return routes


def _filter(given: Mapping[str, Any]) -> NumberedFilter:
    include, exclude = given.get("include_types"), given.get("exclude_types")
    return NumberedFilter(
        query=given.get("query"),
        include_types=None if include is None else frozenset(include),
        exclude_types=frozenset(exclude or ()),
        source=given.get("source"),
        since=given.get("start_date"),
        until=given.get("end_date"),
        exclude_hidden=bool(given.get("exclude_hidden")),
    )
