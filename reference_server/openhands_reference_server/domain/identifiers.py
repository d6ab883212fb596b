"""Which identifiers exist, and which the server refuses to look at.

Ids made here are 32 hexadecimal digits (conversations, tasks) or 22 base62 digits (sandboxes), so
they are safe as names of directories. Ids from outside may be anything up to 100 characters; they
are looked up, never turned into paths.
"""

from __future__ import annotations

from uuid import UUID

MAX_ID_LENGTH = 100
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SANDBOX_ID_LENGTH = 22


class InvalidIdentifier(ValueError):
    """An id with the wrong syntax; the text is the `detail` of the documented 400."""


def check_conversation_id(text: str) -> None:
    """Apply the documented syntax rules, in the documented order.

    Raises:
        InvalidIdentifier: the id is too long, or contains NUL, path parts or control characters.
    """
    if len(text) > MAX_ID_LENGTH:
        raise InvalidIdentifier("Conversation ID is too long")
    if "\x00" in text:
        raise InvalidIdentifier("Conversation ID contains invalid characters")
    if ".." in text or "/" in text or "\\" in text:
        raise InvalidIdentifier("Conversation ID contains invalid path characters")
    if any(ord(character) < 0x20 for character in text):
        raise InvalidIdentifier("Conversation ID contains control characters")


def canonical(text: str) -> str:
    """The form ids are stored under: a UUID in any spelling becomes 32 hex digits, the rest stays."""
    try:
        return UUID(text).hex
    except ValueError:
        return text


def dashed(identifier: str) -> str:
    """The form the agent server shows."""
    return str(UUID(identifier))


def sandbox_id(random: UUID) -> str:
    """Write a random UUID the way sandbox ids look: base62, 22 characters."""
    number, digits = random.int, ""
    for _ in range(_SANDBOX_ID_LENGTH):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits
