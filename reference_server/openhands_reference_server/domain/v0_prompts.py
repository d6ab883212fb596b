"""Prompts made from the events of V0."""

from __future__ import annotations

from openhands_reference_server.domain.changes import Event

_REMEMBER = """\
Write a microagent for this repository, as a Markdown file in `.openhands/microagents`, so that every agent \
that works here from now on remembers the following.

{told}

Say in the front matter when it applies, and in the text what to do. Keep it short."""


def remember(event: Event) -> str:
    """A prompt for a microagent that remembers what an event taught; always the same for the same event."""
    return _REMEMBER.format(told=_quoted(_told(event)))


def _told(event: Event) -> str:
    args = event.get("args") or {}
    told = args.get("content") or event.get("content") or event.get("message")
    return str(told or f"{event['source']}: {event.get('action') or event.get('observation')}")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
