"""Titles: the default one, and the one made from the first message."""

from __future__ import annotations

_LONGEST = 50


def default_title(conversation_id: str) -> str:
    """What an untitled conversation is called."""
    return f"Conversation {conversation_id[:5]}"


def title_from_message(text: str, longest: int = _LONGEST) -> str:
    """The first line of a message that is not blank, shortened to so many characters."""
    line = text.strip().splitlines()[0].strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
