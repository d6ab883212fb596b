"""Which V0 conversations may be put to rest, and how, so that nothing of them is lost."""

from __future__ import annotations

from collections.abc import Iterable

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.v0 import V0Conversation


def is_idle(conversation: V0Conversation) -> bool:
    """Its loop runs, and its agent has nothing to do at the moment."""
    return conversation.status == v0.RUNNING and not conversation.working


def passivate(changes: v0.Writing) -> None:
    """End the loop of an idle conversation; a turn that waits for the user is kept for the next start."""
    if not is_idle(changes.state):
        return
    if changes.state.turn.active:
        v0.pause(changes)
    else:
        v0.stop(changes)


def one_to_stop(running: Iterable[V0Conversation]) -> V0Conversation:
    """Who has to make room: the least recently updated of the idle, or of all when none is idle."""
    return min(running, key=lambda one: (not is_idle(one), one.updated_at, one.id))
