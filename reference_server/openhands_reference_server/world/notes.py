"""Keeps what people say about conversations, and sends it nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from openhands_reference_server.domain import notes
from openhands_reference_server.domain.changes import Changes
from openhands_reference_server.domain.conversations import Conversation
from openhands_reference_server.domain.notes import Notes
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.world.core import Core


class NoteBook:
    """The notes on all conversations of one world. Everything raises ConversationNotFound."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._notes: dict[str, Notes] = {}

    def rate(self, conversation_id: str, event_id: int | None, rating: Mapping[str, Any]) -> None:
        """Rate an event of a conversation of either generation, or the conversation."""
        with self._core.lock:
            conversation = self._core.conversation(conversation_id)
            with self._noting(conversation) as changes:
                notes.rate(changes, event_id, rating)

    def ratings(self, conversation_id: str) -> dict[int, Mapping[str, Any]]:
        """The ratings of single events."""
        with self._core.lock:
            found = self._of(self._core.conversation(conversation_id)).ratings
            return {event_id: rating for event_id, rating in found.items() if event_id is not None}

    def submit_feedback(self, conversation_id: str, feedback: Mapping[str, Any]) -> str:
        """Say what a V0 conversation was worth; returns the id of the feedback."""
        with self._core.lock, self._noting(self._core.v0(conversation_id)) as changes:
            return notes.submit_feedback(changes, feedback)

    def note_experiment(self, conversation_id: str, config: Mapping[str, str] | None) -> None:
        """Keep the configuration of an experiment with a V0 conversation; only the first one counts."""
        with self._core.lock:
            conversation = self._core.v0(conversation_id)
            if config is None or self._of(conversation).experiment:
                return
            with self._noting(conversation) as changes:
                notes.note_experiment(changes, config)

    @contextmanager
    def _noting(self, conversation: Conversation) -> Iterator[Changes[Any]]:
        known = self._of(conversation)
        if isinstance(conversation, V0Conversation):
            with self._core.changing_v0(conversation) as changes:
                yield changes
            made = changes.records
        else:
            with self._core.changing_v1(conversation) as changing:
                yield changing
            made = changing.records
        for record in made:
            known.fold(record)

    def _of(self, conversation: Conversation) -> Notes:
        known = self._notes.get(conversation.id)
        if known is None:
            self._forget_deleted()
            known = self._notes[conversation.id] = Notes()
            for record in self._core.records(conversation.id):
                known.fold(record)
        return known

    def _forget_deleted(self) -> None:
        for gone in [one for one in self._notes if self._core.conversations.get(one) is None]:
            del self._notes[gone]
