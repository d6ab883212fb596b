"""Keeps keys out of everything that is printed or written: reports travel.

What opens something is taken out wherever it stands. What was only tried as a key, and may be a word like any
other, is taken out where keys stand. Where a shell would have to put a key in again, it can.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
WRONG = "$WRONG_KEY"
_KEY_IN_JSON = re.compile(
    r'("(?:session_api_key|[a-z_]*api_key|access_token|refresh_token|password|value)\\?"\s*:\s*\\?")([^"\\]+)'
)
_KEY_IN_QUERY = re.compile(r"(session_api_key=)([^&\s'\"#]+)")
_KEY_IN_HEADER = re.compile(r"(?i)((?:x-session-api-key|authorization)\s*:\s*(?:bearer\s+)?)([^\s'\"]+)")
_PLACES = (_KEY_IN_JSON, _KEY_IN_QUERY, _KEY_IN_HEADER)
# The value of a state update is no secret.
_STATES = frozenset(
    {"idle", "running", "paused", "waiting_for_confirmation", "finished", "error", "stuck", "deleting"}
)
# A word of a curl line in which a shell has to read a variable.
_VARIABLE_IN_QUOTES = re.compile(
    r"""'((?:[\w-]+:\ |https?://)[^'"`$\\!]*\$[A-Z_]+_KEY\b[^'"`$\\!]*)'""", re.VERBOSE
)
_SHORTEST_SECRET = 4
# What is shorter may be a part of some other word: it is taken out where it stands alone.
_SHORTEST_UNMISTAKABLE = 12


class Redactor:
    """Removes keys from text: those that are known, by their placeholders, and what stands where keys stand.

    More keys may become known while a run is on: those of sandboxes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._placeholders: Mapping[str, str] = {}
        self._wrong: frozenset[str] = frozenset()
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str | None, placeholder: str = REDACTED) -> None:
        """Replace what opens something by a placeholder from now on, wherever it stands."""
        if secret and len(secret) >= _SHORTEST_SECRET:
            with self._lock:
                self._placeholders = {**self._placeholders, **dict.fromkeys(_spellings(secret), placeholder)}

    def learn_wrong(self, key: str | None) -> None:
        """Replace what opens nothing, where keys stand; everywhere if it cannot be mistaken, as it may nearly be one.

        A key that is known to open something stays what it is.
        """
        if not key or key in self._placeholders:
            return
        if len(key) >= _SHORTEST_UNMISTAKABLE:
            self.learn(key, WRONG)
        with self._lock:
            self._wrong |= set(_spellings(key))

    def __call__(self, text: str) -> str:
        for secret, placeholder in sorted(self._placeholders.items(), key=lambda item: -len(item[0])):
            text = _replaced(text, secret, placeholder)
        for place in _PLACES:
            text = place.sub(self._without_key, text)
        return _VARIABLE_IN_QUOTES.sub(r'"\1"', text)

    def _without_key(self, match: re.Match[str]) -> str:
        label, value = match.groups()
        if value.startswith(("$", REDACTED)) or (match.re is _KEY_IN_JSON and value in _STATES):
            return match.group(0)
        return f"{label}{WRONG if value in self._wrong else REDACTED}"


def _spellings(key: str) -> Iterable[str]:
    """A key as it is, and as it stands in a URL."""
    return {key, quote(key, safe=""), quote_plus(key)}


def _replaced(text: str, secret: str, placeholder: str) -> str:
    if len(secret) >= _SHORTEST_UNMISTAKABLE:
        return text.replace(secret, placeholder)
    alone = rf"(?:(?<![\w.-])|(?<=\\[nrt])){re.escape(secret)}(?![\w.-])"
    return re.sub(alone, lambda _: placeholder, text)
