"""A conversation of either generation, for those who do not care which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from openhands_reference_server.domain import v0, v1
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation

Conversation: TypeAlias = V0Conversation | V1Conversation


def fold(state: Conversation | None, record: Mapping[str, Any]) -> Conversation:
    """Apply one record, by the rules of the generation the first record names."""
    if isinstance(state, V0Conversation):
        return v0.fold(state, record)
    if isinstance(state, V1Conversation):
        return v1.fold(state, record)
    return v0.fold(None, record) if record["version"] == "V0" else v1.fold(None, record)


def from_json(data: Mapping[str, Any]) -> Conversation:
    """Read a snapshot."""
    return v0.from_json(data) if data["version"] == "V0" else v1.from_json(data)
