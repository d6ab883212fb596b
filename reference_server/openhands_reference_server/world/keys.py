"""Session keys of sandboxes: derived from the server's secret, stored nowhere.

A key names its sandbox and proves it, so one look tells whose it is: `<sandbox id>.<HMAC>`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac


class SessionKeys:
    """Makes and checks the keys of one server."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key_of(self, sandbox_id: str) -> str:
        """The key of a sandbox; always the same one."""
        proof = hmac.new(self._secret, b"sandbox:" + sandbox_id.encode(), hashlib.sha256).digest()
        return f"{sandbox_id}.{base64.urlsafe_b64encode(proof).decode().rstrip('=')}"

    def sandbox_of(self, key: str) -> str | None:
        """The sandbox a key belongs to; None when the server has not made it. Takes constant time."""
        sandbox_id = key.partition(".")[0]
        try:
            genuine = hmac.compare_digest(self.key_of(sandbox_id).encode(), key.encode())
        except UnicodeEncodeError:
            return None
        return sandbox_id if genuine else None
