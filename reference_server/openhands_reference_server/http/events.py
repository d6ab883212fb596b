"""Tag `events` of the app server: what V1 conversations have reported."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.domain.event_log import EventFilter
from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.world import World

_PREFIX = "/api/v1/events"
_BELOW = "/api/v1/conversation/<conversation_id>/events"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("events", __name__)

    @routes.get(f"{_PREFIX}/search", endpoint="searchEvents")
    def search() -> Response:
        query = asked().query
        items, next_page_id = world.events.search(
            query["conversation_id__eq"],
            _filter(query),
            page_id=query["page_id"],
            limit=query["limit"],
            newest_first=query["sort_order"] == "TIMESTAMP_DESC",
        )
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_PREFIX}/count", endpoint="countEvents")
    def count() -> Response:
        query = asked().query
        return json_answer(world.events.count(query["conversation_id__eq"], _filter(query)))

    @routes.get(_PREFIX, endpoint="batchGetEvents")
    def batch_get() -> Response:
        return json_answer(world.events.batch_get(asked().query["id"]))

    _add_below_conversations(routes, world)
    return routes


def _add_below_conversations(routes: Blueprint, world: World) -> None:
    """The same, where the conversation is named in the path."""

    @routes.get(f"{_BELOW}/search", endpoint="searchEventsOf")
    def search(conversation_id: str) -> Response:
        query = asked().query
        items, next_page_id = world.events.search(
            conversation_id,
            _filter(query),
            page_id=query["page_id"],
            limit=query["limit"],
            newest_first=query["sort_order"] == "TIMESTAMP_DESC",
        )
        return json_answer({"items": items, "next_page_id": next_page_id})

    @routes.get(f"{_BELOW}/count", endpoint="countEventsOf")
    def count(conversation_id: str) -> Response:
        return json_answer(world.events.count(conversation_id, _filter(asked().query)))

    @routes.get(_BELOW, endpoint="batchGetEventsOf")
    def batch_get(conversation_id: str) -> Response:
        return json_answer(world.events.batch_get(asked().query["id"], conversation_id))


def _filter(query: Any) -> EventFilter:
    return EventFilter(kind=query["kind__eq"], since=query["timestamp__gte"], until=query["timestamp__lt"])
