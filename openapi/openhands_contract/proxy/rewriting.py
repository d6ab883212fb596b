"""Puts the proxy's own address where an answer says where an agent server is, while the answer streams past.

Everything else stays as it is, byte for byte. What is held back of a chunk is at most the beginning of a field
that may have to be changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

Decision = Callable[[str, str, bool], str | None]
"""Given the name of a field, its value, and whether it is an address named AGENT_SERVER: the new value, if any."""

_NAMES = ("conversation_url", "agent_server_url", "url")
_SPACE = r"[ \t\r\n]"
_LONGEST_URL = 2048
_VALUE = rf"(?:[^\"\\]|\\.){{0,{_LONGEST_URL}}}"
_ROLE = ('"name"', ":", '"AGENT_SERVER"', ",")

_FIELD = re.compile(
    (
        rf'(?P<head>(?P<role>"name"{_SPACE}*:{_SPACE}*"AGENT_SERVER"{_SPACE}*,{_SPACE}*)?'
        rf'"(?P<name>{"|".join(_NAMES)})"{_SPACE}*:{_SPACE}*")(?P<value>{_VALUE})"'
    ).encode()
)


def _beginning(tokens: Sequence[str], rest: str = "") -> str:
    """A pattern for every beginning of some tokens with space between them, followed by `rest`."""
    pattern = rest
    for token in reversed(tokens):
        pattern = f"{_SPACE}*(?:{pattern})?" if pattern else f"{_SPACE}*"
        for character in reversed(token):
            pattern = f"{re.escape(character)}(?:{pattern})?"
    return pattern


_FIELD_BEGINS = "|".join(
    _beginning((f'"{name}"', ":"), rf"\"(?:[^\"\\]|\\.){{0,{_LONGEST_URL}}}\\?") for name in _NAMES
)
_UNFINISHED = re.compile(rf"(?:{_beginning(_ROLE, _FIELD_BEGINS)}|{_FIELD_BEGINS})\Z".encode())


class Rewriter:
    """Changes the addresses in a JSON text that comes in pieces."""

    def __init__(self, decide: Decision) -> None:
        self._decide = decide
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece; returns what can be passed on."""
        text = self._held + chunk
        unfinished = _UNFINISHED.search(text, self._after_last_field(text))
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return _FIELD.sub(self._replaced, text[:end])

    def finish(self) -> bytes:
        """What was held back and is not followed by anything."""
        held, self._held = self._held, b""
        return _FIELD.sub(self._replaced, held)

    def whole(self, text: bytes) -> bytes:
        """Change a text that is there as a whole."""
        return self.feed(text) + self.finish()

    @staticmethod
    def _after_last_field(text: bytes) -> int:
        """Where to look for an unfinished field: a finished one is none."""
        start = max(0, len(text) - 2 * _LONGEST_URL)
        ends = [found.end() for found in _FIELD.finditer(text, start)]
        return ends[-1] if ends else start

    def _replaced(self, found: re.Match[bytes]) -> bytes:
        try:
            value = json.loads(b'"' + found["value"] + b'"')
        except ValueError:
            return found.group()
        new = self._decide(found["name"].decode(), value, found["role"] is not None)
        return found.group() if new is None else found["head"] + json.dumps(new)[1:].encode()
