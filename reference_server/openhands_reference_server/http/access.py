"""Who may call the app server."""

from __future__ import annotations

import hmac
from typing import Protocol

from flask import Request


class Access(Protocol):
    """Decides about a request."""

    def allows(self, request: Request) -> bool:
        """May this request be served?"""
        ...


class OpenAccess:
    """Everybody may call."""

    def allows(self, request: Request) -> bool:
        """Yes."""
        return True


class SessionKeyAccess:
    """Only who has the key may call, as `X-Session-API-Key`."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def allows(self, request: Request) -> bool:
        """Is the key there and right? Takes constant time."""
        sent = request.headers.get("X-Session-API-Key", "")
        return hmac.compare_digest(sent.encode("latin-1", "replace"), self._key)
