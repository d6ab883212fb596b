"""Tag `users`: who is asking, and what that user has set."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.domain.errors import NotForeseen, SettingsNotFound
from openhands_reference_server.domain.masking import MASK
from openhands_reference_server.domain.settings import DEFAULTS, KEYS
from openhands_reference_server.http.answers import json_answer
from openhands_reference_server.world import World


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("users", __name__)

    @routes.get("/api/v1/users/me", endpoint="getCurrentUser")
    def me() -> Response:
        try:
            known = world.settings.read()
        except SettingsNotFound as error:
            if world.dialect.user_needs_settings:
                raise NotForeseen from error
            known = {}
        settings = {name: known.get(name, default) for name, default in DEFAULTS.items()}
        masked = {name: MASK if known.get(f"{name}_set") else None for name in KEYS}
        return json_answer({**settings, **masked, "secrets_store": {"provider_tokens": {}}, "id": None})

    return routes
