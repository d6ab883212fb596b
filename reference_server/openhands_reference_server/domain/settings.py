"""The settings and custom secrets of a user: their state, and what of it may be shown.

What comes in here is sealed already, and stays so: the state holds no readable key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

from openhands_reference_server.domain import v1
from openhands_reference_server.domain.changes import Changes
from openhands_reference_server.domain.errors import SecretExists, SecretNotFound

KEYS = ("llm_api_key", "search_api_key", "sandbox_api_key")
"""Settings that are never shown."""

DEFAULTS: Mapping[str, Any] = {
    "language": "en",
    "agent": "CodeActAgent",
    "max_iterations": None,
    "security_analyzer": None,
    "confirmation_mode": False,
    "llm_model": v1.DEFAULT_MODEL,
    "llm_api_key": None,
    "llm_base_url": None,
    "remote_runtime_resource_factor": 1,
    "enable_default_condenser": True,
    "enable_sound_notifications": False,
    "enable_proactive_conversation_starters": True,
    "enable_solvability_analysis": True,
    "user_consents_to_analytics": None,
    "sandbox_base_container_image": None,
    "sandbox_runtime_container_image": None,
    "mcp_config": None,
    "search_api_key": None,
    "sandbox_api_key": None,
    "max_budget_per_task": None,
    "condenser_max_size": None,
    "email": None,
    "email_verified": None,
    "git_user_name": None,
    "git_user_email": None,
    "v1_enabled": False,
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A custom secret; its value is sealed."""

    sealed: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class UserSettings:
    """The fold of a user's records; `sealed` are the settings, None before there are any."""

    id: str
    created_at: str
    sealed: str | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a snapshot."""
        return asdict(self)


Writing: TypeAlias = Changes[UserSettings]


def from_json(data: Mapping[str, Any]) -> UserSettings:
    """Undo `to_json`."""
    secrets = {name: Secret(**one) for name, one in data["secrets"].items()}
    return UserSettings(**{**data, "secrets": secrets})


def fold(state: UserSettings | None, record: Mapping[str, Any]) -> UserSettings:
    """Apply one record."""
    if state is None:
        return UserSettings(id=record["id"], created_at=record["at"])
    match record["record"]:
        case "settings-stored":
            return replace(state, sealed=record["sealed"])
        case "secret-stored":
            return replace(state, secrets={**state.secrets, record["name"]: Secret(**record["secret"])})
        case "secret-deleted":
            left = {name: one for name, one in state.secrets.items() if name != record["name"]}
            return replace(state, secrets=left)
        case _:
            return state


def create(changes: Writing, user_id: str) -> None:
    """A user who has stored nothing yet."""
    changes.record("created", id=user_id)


def store(changes: Writing, sealed: str) -> None:
    """Replace the settings."""
    changes.record("settings-stored", sealed=sealed)


def create_secret(changes: Writing, name: str, secret: Secret) -> None:
    """Keep a secret.

    Raises:
        SecretExists: there is one of this name.
    """
    if name in changes.state.secrets:
        raise SecretExists(name)
    changes.record("secret-stored", name=name, secret=asdict(secret))


def change_secret(changes: Writing, name: str, new_name: str, description: str | None) -> None:
    """Rename or describe a secret.

    Raises:
        SecretNotFound: there is none of this name.
        SecretExists: there is another one of the new name.
    """
    secret = changes.state.secrets.get(name)
    if secret is None:
        raise SecretNotFound(name)
    if new_name != name:
        if new_name in changes.state.secrets:
            raise SecretExists(new_name)
        changes.record("secret-deleted", name=name)
    changes.record("secret-stored", name=new_name, secret=asdict(replace(secret, description=description)))


def delete_secret(changes: Writing, name: str) -> None:
    """Forget a secret.

    Raises:
        SecretNotFound: there is none of this name.
    """
    if name not in changes.state.secrets:
        raise SecretNotFound(name)
    changes.record("secret-deleted", name=name)


def merged(known: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings after these were sent: a key that is null stays, an empty one goes."""
    settings = {**DEFAULTS, **(known or {})}
    for name in DEFAULTS.keys() & given.keys():
        value = given[name]
        if name not in KEYS:
            settings[name] = value
        elif value is not None:
            settings[name] = value or None
    return settings


def shown(settings: Mapping[str, Any], state: UserSettings) -> dict[str, Any]:
    """The settings without keys, with what is known of them."""
    secrets = {name: {"description": one.description} for name, one in sorted(state.secrets.items())}
    return {
        **settings,
        **dict.fromkeys(KEYS),
        "secrets_store": {"provider_tokens": {}, "custom_secrets": secrets},
        "provider_tokens_set": {},
        "llm_api_key_set": settings["llm_api_key"] is not None,
        "search_api_key_set": settings["search_api_key"] is not None,
    }
