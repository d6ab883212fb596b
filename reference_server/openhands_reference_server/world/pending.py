"""Messages for conversations that are still being started, as the app server of line 1.11 keeps them.

Who has only a start task, or an id chosen beforehand, can speak already: what waits is said when the
conversation is there. Nothing of this outlives the process, as start tasks in progress do not either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openhands_reference_server.domain import v1, v1_events
from openhands_reference_server.domain.errors import TooManyPending
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.world.core import Core

_MOST = 10


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits, and as which one in the queue, from 1."""

    id: str
    position: int


class PendingMessages:
    """All messages that wait in one world."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: dict[str, list[Mapping[str, Any]]] = defaultdict(list)

    def add(self, awaited: str, message: Mapping[str, Any]) -> Queued:
        """Keep a message until the conversation, or that of the start task, with this id is there.

        Raises:
            TooManyPending: enough of them wait already.
        """
        with self._core.lock:
            queue = self._waiting[canonical(awaited)]
            if len(queue) >= _MOST:
                raise TooManyPending(_MOST)
            queue.append(message)
            return Queued(str(self._core.new_id()), len(queue))

    def deliver(self, task: StartTask) -> None:
        """Say what waits for the conversation that this task has started."""
        for awaited in (task.id, task.app_conversation_id):
            for message in self._waiting.pop(awaited or "", ()):
                with self._core.changing_v1(self._core.v1(task.app_conversation_id or "")) as changes:
                    items = v1_events.content(message["content"])
                    v1.send_message(changes, items, role=message.get("role", "user"), run=True)
