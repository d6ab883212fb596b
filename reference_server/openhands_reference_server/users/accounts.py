"""Who the users are, and what shows that somebody is one of them. Secrets are known by their hashes only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


def digest(secret: str) -> str:
    """The hash of a secret that somebody shows."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A program that gets tokens for a user; its secrets as hashes. An empty secret: it has none."""

    id: str
    user: str
    secret: str
    refresh_tokens: tuple[str, ...]


class Accounts:
    """All users.

    Args:
        users: their ids.
        keys: whose an API key is, by its hash.
        clients: the clients of the token endpoint, by their ids.
    """

    def __init__(
        self, users: tuple[str, ...], keys: Mapping[str, str], clients: Mapping[str, OAuthClient]
    ) -> None:
        self.users = users
        self.clients = clients
        self._keys = keys

    def __repr__(self) -> str:
        return f"Accounts({', '.join(self.users)})"

    def user_of_key(self, key: str) -> str | None:
        """Whose API key this is; None: nobody's."""
        return self._keys.get(digest(key))
