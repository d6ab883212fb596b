"""What a caller saw of one conversation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Api = Literal["v0", "v1"]


@dataclass
class Life:
    """``seen`` holds the ids of events in the order in which they came.

    With ``repository``, each has a branch of its own there: the mark by which the SDK knows its own V0
    conversations. ``unclear`` says what the caller was told to find out by itself.
    """

    number: int
    api: Api
    seed: int
    repository: str | None = "acme/app"
    conversation_id: str | None = None
    seen: list[Any] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    failure: BaseException | None = None

    @property
    def name(self) -> str:
        return f"life-{self.seed}-{self.number}"

    @property
    def branch(self) -> str | None:
        return None if self.repository is None else self.name

    @property
    def messages(self) -> tuple[str, str]:
        return f"Hello from {self.name}", f"And again from {self.name}"


def said(event: Any) -> str | None:
    """What the user says in it, in either generation."""
    if getattr(event, "source", None) != "user":
        return None
    message = getattr(event, "llm_message", None)
    return str(message.text) if message is not None else getattr(event, "args", {}).get("content")


def failures_of(lives: Iterable[Life]) -> str:
    """Which of them failed, and how."""
    return "\n".join(f"{life.name} ({life.api}): {life.failure!r}" for life in lives if life.failure)
