"""The settings a server has stored for the user, so that they can be put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openhands_contract.contract_document import Document

SETTINGS = "/api/settings"
_KEYS = ("llm_api_key", "search_api_key", "sandbox_api_key")


def has_keys(stored: Mapping[str, Any]) -> bool:
    """Whether there are model keys among them. They are never answered, so nobody could put them back."""
    return any(stored.get(f"{name}_set") for name in _KEYS)


def restoring(stored: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """What to send so that they are again as they were, without any keys."""
    properties = document.content["components"]["schemas"]["StoreSettingsRequest"]["properties"]
    unset = {name: None for name, schema in properties.items() if _may_be_null(schema)}
    before = {name: value for name, value in stored.items() if name in properties}
    return {**unset, **before, **dict.fromkeys(_KEYS, "")}


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    return "null" in schema.get("type", ()) or any(map(_may_be_null, schema.get("anyOf", ())))
