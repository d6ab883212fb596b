"""Tag `settings`: what a front end needs besides conversations. Honest where there is nothing to tell."""

from __future__ import annotations

from flask import Blueprint, Response

from openhands_reference_server.domain import v1
from openhands_reference_server.domain.settings import DEFAULTS
from openhands_reference_server.http.answers import asked, json_answer
from openhands_reference_server.world import World

_CONFIG = {
    "APP_MODE": "oss",
    "GITHUB_CLIENT_ID": "",
    "POSTHOG_CLIENT_KEY": "",
    "FEATURE_FLAGS": {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
}
_NO_TOKEN = "Git provider token required"  # noqa: S105  # a sentence, no token


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("settings", __name__)
    settings = world.settings

    @routes.get("/api/options/config", endpoint="getConfig")
    def config() -> Response:
        return json_answer(_CONFIG)

    @routes.get("/api/options/models", endpoint="listModels")
    def models() -> Response:
        return json_answer([v1.DEFAULT_MODEL])

    @routes.get("/api/options/agents", endpoint="listAgents")
    def agents() -> Response:
        return json_answer([DEFAULTS["agent"]])

    @routes.get("/api/options/security-analyzers", endpoint="listSecurityAnalyzers")
    def security_analyzers() -> Response:
        return json_answer([])

    @routes.get("/api/settings", endpoint="getSettings")
    def get_settings() -> Response:
        return json_answer(settings.read())

    @routes.post("/api/settings", endpoint="storeSettings")
    def store_settings() -> Response:
        settings.store(asked().body)
        return _done("Settings stored")

    @routes.get("/api/secrets", endpoint="listSecrets")
    def list_secrets() -> Response:
        known = [{"name": name, "description": what} for name, what in settings.secrets().items()]
        return json_answer({"custom_secrets": known})

    @routes.post("/api/secrets", endpoint="createSecret")
    def create_secret() -> Response:
        body = asked().body
        settings.create_secret(body["name"], body["value"], body.get("description"))
        return _done("Secret created successfully", 201)

    @routes.put("/api/secrets/<secret_name>", endpoint="updateSecret")
    def update_secret(secret_name: str) -> Response:
        body = asked().body
        settings.change_secret(secret_name, body["name"], body.get("description"))
        return _done("Secret updated successfully")

    @routes.delete("/api/secrets/<secret_name>", endpoint="deleteSecret")
    def delete_secret(secret_name: str) -> Response:
        settings.delete_secret(secret_name)
        return _done("Secret deleted successfully")

    @routes.get("/api/user/info", endpoint="getUserInfo")
    def user_info() -> Response:
        return json_answer(_NO_TOKEN, 401)

    @routes.get("/api/user/repositories", endpoint="listUserRepositories")
    def user_repositories() -> Response:
        return json_answer(_NO_TOKEN, 401)

    return routes


def _done(message: str, status: int = 200) -> Response:
    return json_answer({"message": message}, status)
