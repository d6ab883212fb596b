"""Access and refresh tokens, as RFC 6749 has them: given out, renewed, expired and revoked. No HTTP here.

A refresh token is good for one use, and its successor comes with the new access token. One that is used a
second time was stolen, or its successor was: everything that came of it is revoked (RFC 9700, 4.14.2). Tokens
are kept as hashes; the time is that of the server's clock.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openhands_reference_server.users.accounts import Accounts, OAuthClient, digest

DEFAULT_LIFETIME = 3600.0
CLIENT_CREDENTIALS, REFRESH_TOKEN = "client_credentials", "refresh_token"


class Refused(Exception):  # the word of the RFC for it is an error code
    """A request without a grant; `code` is one of RFC 6749, 5.2."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token endpoint gives out; `expires_in` in seconds."""

    access_token: str = field(repr=False)
    expires_in: float
    refresh_token: str | None = field(default=None, repr=False)


@dataclass
class _Family:
    """All tokens that come of one first refresh token."""

    client: OAuthClient
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class _AccessToken:
    user: str
    expires_at: float
    family: _Family | None


class TokenDesk:
    """Gives out tokens, and knows whose they are.

    Args:
        accounts: the clients.
        now: the time in seconds.
        lifetime: seconds an access token is good for.
    """

    def __init__(
        self, accounts: Accounts, now: Callable[[], float], lifetime: float = DEFAULT_LIFETIME
    ) -> None:
        self._clients = accounts.clients
        self._now = now
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._access: dict[str, _AccessToken] = {}
        self._fresh: dict[str, _Family] = {}
        self._used: dict[str, _Family] = {}
        for client in self._clients.values():
            for token in client.refresh_tokens:
                self._fresh[token] = _Family(client)

    def grant(self, form: Mapping[str, str], client_id: str, client_secret: str) -> Grant:
        """Answer a token request.

        Args:
            form: its parameters.
            client_id: who asks.
            client_secret: what shows it; empty for clients that have none.

        Raises:
            Refused: no token for this one.
        """
        client = self._client(client_id, client_secret)
        match form.get("grant_type"):
            case None | "":
                raise Refused("invalid_request", "grant_type is missing")
            case "client_credentials":
                if not client.secret:
                    raise Refused("unauthorized_client", "a client without a secret has no credentials")
                return self._give(client, None)
            case "refresh_token":
                return self._refresh(client, form.get("refresh_token", ""))
            case _:
                raise Refused("unsupported_grant_type", "grant_type is client_credentials or refresh_token")

    def user_of(self, access_token: str) -> str | None:
        """Whose token this is; None: nobody's, or not any more."""
        with self._lock:
            token = self._access.get(digest(access_token))
        if token is None or token.expires_at <= self._now() or (token.family and token.family.revoked):
            return None
        return token.user

    def expire(self) -> int:
        """Let all access tokens expire now; returns how many were still good."""
        with self._lock:
            now = self._now()
            good = sum(token.expires_at > now for token in self._access.values())
            self._access.clear()
        return good

    def _client(self, client_id: str, client_secret: str) -> OAuthClient:
        client = self._clients.get(client_id)
        shown = digest(client_secret) if client_secret else ""
        if client is None or not hmac.compare_digest(client.secret, shown):
            raise Refused("invalid_client", "no such client, or not its secret")
        return client

    def _refresh(self, client: OAuthClient, refresh_token: str) -> Grant:
        if not refresh_token:
            raise Refused("invalid_request", "refresh_token is missing")
        key = digest(refresh_token)
        with self._lock:
            used = self._used.get(key)
            if used is not None and used.client == client:
                used.revoked = True
                raise Refused(
                    "invalid_grant", "the refresh token was used before; what came of it is revoked"
                )
            family = self._fresh.get(key)
            if family is None or family.client != client or family.revoked:
                raise Refused("invalid_grant", "no such refresh token, or it was revoked")
            self._used[key] = self._fresh.pop(key)
        return self._give(client, family)

    def _give(self, client: OAuthClient, family: _Family | None) -> Grant:
        access = secrets.token_urlsafe(32)
        refresh = None if family is None else secrets.token_urlsafe(32)
        now = self._now()
        with self._lock:
            self._access = {key: token for key, token in self._access.items() if token.expires_at > now}
            self._access[digest(access)] = _AccessToken(client.user, now + self._lifetime, family)
            if refresh is not None and family is not None:
                self._fresh[digest(refresh)] = family
        return Grant(access, self._lifetime, refresh)
