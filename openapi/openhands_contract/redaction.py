"""Keeps keys out of everything that is printed or written: reports travel."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping

REDACTED = "[redacted]"
_KEY_IN_JSON = re.compile(
    r'("(?:session_api_key|[a-z_]*api_key|access_token|refresh_token|password|value)\\?"\s*:\s*\\?")[^"\\]+'
)
_KEY_IN_QUERY = re.compile(r"(session_api_key=)[^&\s'\"]+")
_KEY_IN_HEADER = re.compile(r"(?i)((?:x-session-api-key|authorization)\s*:\s*(?:bearer\s+)?)[^\s'\"]+")
_SHORTEST_SECRET = 4


class Redactor:
    """Removes keys from text: those that are known, by their placeholders, and what looks like one.

    More keys may become known while a run is on: those of sandboxes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._placeholders: dict[str, str] = {}
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str | None, placeholder: str = REDACTED) -> None:
        """Replace a key by a placeholder from now on."""
        if secret and len(secret) >= _SHORTEST_SECRET:
            with self._lock:
                self._placeholders = {**self._placeholders, secret: placeholder}

    def __call__(self, text: str) -> str:
        for secret, placeholder in _longest_first(self._placeholders):
            text = text.replace(secret, placeholder)
        text = _KEY_IN_JSON.sub(_unless_placeholder, text)
        text = _KEY_IN_QUERY.sub(_unless_placeholder, text)
        return _KEY_IN_HEADER.sub(_unless_placeholder, text)


def _longest_first(placeholders: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(placeholders.items(), key=lambda item: -len(item[0]))


def _unless_placeholder(match: re.Match[str]) -> str:
    label, value = match.group(1), match.group(0)[len(match.group(1)) :]
    return match.group(0) if value.startswith(("$", "[redacted")) else f"{label}{REDACTED}"
