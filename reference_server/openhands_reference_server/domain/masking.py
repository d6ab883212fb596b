"""What is secret in a description of an agent, and how it looks where it is shown."""

from __future__ import annotations

from typing import Any

MASK = "*" * 10
_SECRET = frozenset(
    {"api_key", "aws_access_key_id", "aws_secret_access_key", "authorization", "password", "secret", "token"}
)
_SECRETS = frozenset({"env", "headers", "extra_headers", "secrets"})


def masked(value: Any) -> Any:
    """The same with every secret text replaced; nothing else is changed."""
    match value:
        case dict():
            return {name: _masked_field(name, one) for name, one in value.items()}
        case list():
            return [masked(one) for one in value]
        case _:
            return value


def _masked_field(name: str, value: Any) -> Any:
    if name.lower() in _SECRETS and isinstance(value, dict):
        return {key: _hidden(one) for key, one in value.items()}
    return _hidden(value) if name.lower() in _SECRET else masked(value)


def _hidden(value: Any) -> Any:
    return MASK if isinstance(value, str) and value else masked(value)
