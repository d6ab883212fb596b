"""Tag `feedback`: what people think of conversations. It stays here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.world import World

_RATINGS = "/feedback/conversation"
_STORED = "Feedback stored"
_NO_RATING = {"exists": False}


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("feedback", __name__)

    @routes.post("/api/conversations/<conversation_id>/submit-feedback", endpoint="submitFeedback")
    def submit(conversation_id: str) -> Response:
        feedback_id = world.notes.submit_feedback(conversation_id, asked().body)
        collected = {"message": _STORED, "feedback_id": feedback_id, "password": ""}
        return json_answer({"status": "success", "message": _STORED, "statusCode": 200, "body": collected})

    @routes.post(_RATINGS, endpoint="submitConversationFeedback")
    def rate() -> Response:
        body = asked().body
        rating = {name: body.get(name) for name in ("rating", "reason", "metadata")}
        world.notes.rate(body["conversation_id"], body.get("event_id"), rating)
        return json_answer({"status": "success", "message": _STORED})

    @routes.get(f"{_RATINGS}/<conversation_id>/<event_id>", endpoint="checkFeedbackExists")
    def check(conversation_id: str, event_id: str) -> Response:
        rating = world.notes.ratings(conversation_id).get(asked().path["event_id"])
        return json_answer(_NO_RATING if rating is None else _shown(rating))

    @routes.get(f"{_RATINGS}/<conversation_id>/batch", endpoint="getBatchFeedback")
    def batch(conversation_id: str) -> Response:
        ratings = world.notes.ratings(conversation_id)
        return json_answer({str(event_id): _shown(rating) for event_id, rating in sorted(ratings.items())})

    return routes


def _shown(rating: Mapping[str, Any]) -> dict[str, Any]:
    return {"exists": True, **rating}
