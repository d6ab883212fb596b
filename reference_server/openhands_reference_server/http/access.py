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

    def accepts(self, key: str) -> bool:
        """May somebody with this key (empty: with none) listen over Socket.IO?"""
        ...


class OpenAccess:
    """Everybody may call."""

    def allows(self, request: Request) -> bool:
        """Yes."""
        return True

    def accepts(self, key: str) -> bool:
        """Yes, whatever the key."""
        return True


class SessionKeyAccess:
    """Only who has the key may call, as `X-Session-API-Key`."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def allows(self, request: Request) -> bool:
        """Is the key there and right? Takes constant time."""
        sent = request.headers.get("X-Session-API-Key", "")
        return hmac.compare_digest(sent.encode("latin-1", "replace"), self._key)

    def accepts(self, key: str) -> bool:
        """Is it the right key? Takes constant time."""
        return hmac.compare_digest(key.encode("utf-8", "replace"), self._key)


USER = "openhands.user"
"""Where in the WSGI environment it stands who has shown to be which user; no client can write there."""


class UserAccess:
    """Only one user may call: somebody in front of the application has found out who calls."""

    def __init__(self, user: str | None) -> None:
        self._user = user

    def allows(self, request: Request) -> bool:
        """Is it this user? Nobody is no user."""
        return self._user is not None and request.environ.get(USER) == self._user

    def accepts(self, key: str) -> bool:
        """Who comes as far as this has shown the key before."""
        return self._user is not None


def access_with(session_api_key: str | None) -> Access:
    """Access for who has this key; for everybody when there is none."""
    return OpenAccess() if session_api_key is None else SessionKeyAccess(session_api_key)
