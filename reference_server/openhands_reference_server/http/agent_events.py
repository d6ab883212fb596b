"""Tag `events` of the agent server: what happened in a conversation, and how to say more."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.dialects import Dialect
from openhands_reference_server.domain import v1, v1_events
from openhands_reference_server.domain.event_log import EventFilter
from openhands_reference_server.http.answers import SUCCESS, asked, caller_waits, json_answer
from openhands_reference_server.http.session import conversation_of_key
from openhands_reference_server.world import World

_PREFIX = "/api/conversations/<conversation_id>/events"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("events", __name__)

    @routes.get(f"{_PREFIX}/search", endpoint="searchEvents")
    def search(conversation_id: str) -> Response:
        query = asked().query
        items, next_page_id = world.agents.search_events(
            conversation_of_key(world, conversation_id).id,
            _filter(query, world.dialect),
            page_id=query["page_id"],
            limit=query["limit"],
            newest_first=query["sort_order"] == "TIMESTAMP_DESC",
        )
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_PREFIX}/count", endpoint="countEvents")
    def count(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        return json_answer(world.agents.count_events(conversation.id, _filter(asked().query, world.dialect)))

    @routes.get(f"{_PREFIX}/<event_id:event_id>", endpoint="getEvent")
    def get(conversation_id: str, event_id: str) -> Response:
        return json_answer(world.agents.event(conversation_of_key(world, conversation_id).id, event_id))

    @routes.get(_PREFIX, endpoint="batchGetEvents")
    def batch_get(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        return json_answer(world.agents.batch_get_events(conversation.id, asked().body))

    @routes.post(_PREFIX, endpoint="sendEvent")
    def send(conversation_id: str) -> Response:
        message = asked().body
        conversation = conversation_of_key(world, conversation_id)
        role, items = message.get("role", "user"), message.get("content", [])
        world.agents.send_message(conversation.id, items, role=role, run=message.get("run", False))
        return json_answer(SUCCESS)

    @routes.post(f"{_PREFIX}/respond_to_confirmation", endpoint="respondToConfirmation")
    def respond(conversation_id: str) -> Response:
        answer = asked().body
        conversation = conversation_of_key(world, conversation_id)
        reason = answer.get("reason", v1.DEFAULT_REJECTION)
        world.agents.confirm(
            conversation.id, accept=answer["accept"], reason=reason, still_there=caller_waits()
        )
        return json_answer(SUCCESS)

    return routes


def _filter(query: Any, dialect: Dialect) -> EventFilter:
    kind = query["kind"]
    if dialect.full_kind_paths and kind is not None:
        kind = v1_events.kind_at(kind)
    return EventFilter(
        kind=kind,
        source=query["source"],
        body=query["body"],
        since=query["timestamp__gte"],
        until=query["timestamp__lt"],
    )
