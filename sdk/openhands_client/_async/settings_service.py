"""``client.settings``: what the web frontend needs around conversations: options, settings, secrets, user.

Answers differ much between servers, so they are plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openhands_client._core import operations as ops

from .service import AsyncService


class AsyncSettingsService(AsyncService):
    """Options, settings, secrets and the user."""

    async def get_config(self) -> dict[str, Any]:
        """How the server is set up. ``GET /api/options/config``"""
        return await self._call(ops.GET_CONFIG)

    async def list_models(self) -> list[str]:
        """The language models that can be chosen. ``GET /api/options/models``"""
        return await self._call(ops.LIST_MODELS)

    async def list_agents(self) -> list[str]:
        """The agents that can be chosen. ``GET /api/options/agents``"""
        return await self._call(ops.LIST_AGENTS)

    async def list_security_analyzers(self) -> list[str]:
        """The security analyzers that can be chosen. ``GET /api/options/security-analyzers``"""
        return await self._call(ops.LIST_SECURITY_ANALYZERS)

    async def get_settings(self) -> dict[str, Any]:
        """The user's settings, without keys. ``GET /api/settings``; raises NotFoundError before there are any."""
        return await self._call(ops.GET_SETTINGS)

    async def store_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Store settings. ``POST /api/settings``"""
        return await self._call(ops.STORE_SETTINGS, body=dict(settings))

    async def list_secrets(self) -> dict[str, Any]:
        """The names of the user's secrets, without their values. ``GET /api/secrets``"""
        return await self._call(ops.LIST_SECRETS)

    async def create_secret(self, name: str, value: str, description: str | None = None) -> dict[str, Any]:
        """Store a secret. ``POST /api/secrets``; raises ConflictError or BadRequestError when it exists."""
        body = {"name": name, "value": value, "description": description}
        return await self._call(ops.CREATE_SECRET, body=body)

    async def update_secret(
        self, secret_name: str, name: str, description: str | None = None
    ) -> dict[str, Any]:
        """Rename or describe a secret. ``PUT /api/secrets/{secret_name}``"""
        body = {"name": name, "description": description}
        return await self._call(ops.UPDATE_SECRET, path={"secret_name": secret_name}, body=body)

    async def delete_secret(self, secret_name: str) -> dict[str, Any]:
        """Delete a secret. ``DELETE /api/secrets/{secret_name}``"""
        return await self._call(ops.DELETE_SECRET, path={"secret_name": secret_name})

    async def get_user_info(self) -> dict[str, Any]:
        """The user as the git provider knows them. ``GET /api/user/info``"""
        return await self._call(ops.GET_USER_INFO)

    async def list_user_repositories(self) -> list[dict[str, Any]]:
        """The user's repositories at the git provider. ``GET /api/user/repositories``"""
        return await self._call(ops.LIST_USER_REPOSITORIES)
