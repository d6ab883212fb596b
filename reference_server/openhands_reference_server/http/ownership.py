"""Conversations and sandboxes of other users: whoever names one learns that it is not theirs.

Searches, counts and batches need nothing of this, whatever they filter by: they are made of the user's own
world, where things of others are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Response, g

from openhands_reference_server.http import problems
from openhands_reference_server.http.validation import ValidRequest

IsForeign = Callable[[str], bool]
"""Does this id belong to a conversation or sandbox of another user?"""

PERMISSION_DENIED = "AUTHORIZATION$PERMISSION_DENIED"
_NAMING = (
    "conversation_id",
    "parent_conversation_id",
    "sandbox_id",
)


def refusal(is_foreign: IsForeign) -> Response | None:
    """The answer to a valid request that names something of another user; None to all others."""
    asked: ValidRequest | None = g.get("valid_request")
    if asked is None or not any(map(is_foreign, _named(asked))):
        return None
    return problems.envelope(403, "Permission denied: this belongs to another user", PERMISSION_DENIED)


def _named(asked: ValidRequest) -> Iterator[str]:
    body: Mapping[str, Any] = asked.body if isinstance(asked.body, Mapping) else {}
    for part in (asked.path, asked.query, body):
        yield from (part[name] for name in _NAMING if isinstance(part.get(name), str))
