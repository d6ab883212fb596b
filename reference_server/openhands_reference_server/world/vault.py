"""Seals what must not be readable where it is kept: Fernet, with a key made from the server's secret."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken


class Unsealable(Exception):
    """Sealed with another secret, or tampered with."""


class Vault:
    """Seals and opens for one server."""

    def __init__(self, secret: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret).digest()))

    def seal(self, value: Any) -> str:
        """A JSON value as text that tells nothing."""
        return self._fernet.encrypt(json.dumps(value).encode()).decode()

    def open(self, sealed: str) -> Any:
        """Undo `seal`.

        Raises:
            Unsealable: this server did not seal it.
        """
        try:
            return json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken:
            raise Unsealable("sealed with another secret") from None
