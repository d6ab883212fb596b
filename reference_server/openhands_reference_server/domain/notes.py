"""What people say about a conversation: ratings, feedback, experiments.

Notes are records in the log of their conversation. They change nothing about it, so they are folded apart
from its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from openhands_reference_server.domain.changes import Changes

Writing: TypeAlias = Changes[Any]


@dataclass(slots=True)
class Notes:
    """All notes of one conversation.

    Attributes:
        ratings: by event id; None stands for the conversation as a whole.
        experiment: there is a configuration of an experiment.
    """

    ratings: dict[int | None, Mapping[str, Any]] = field(default_factory=dict)
    experiment: bool = False

    def fold(self, record: Mapping[str, Any]) -> None:
        """Take up one record."""
        match record["record"]:
            case "rated":
                self.ratings[record["event_id"]] = record["rating"]
            case "experiment":
                self.experiment = True
            case _:
                return


def rate(changes: Writing, event_id: int | None, rating: Mapping[str, Any]) -> None:
    """Rate an event, or all of the conversation; replaces an earlier rating."""
    changes.record("rated", event_id=event_id, rating=dict(rating))


def submit_feedback(changes: Writing, feedback: Mapping[str, Any]) -> str:
    """Say what the conversation was worth; returns the id of the feedback."""
    feedback_id = changes.new_id().hex
    changes.record("feedback", id=feedback_id, feedback=dict(feedback))
    return feedback_id


def note_experiment(changes: Writing, config: Mapping[str, str]) -> None:
    """Keep the configuration of an experiment."""
    changes.record("experiment", config=dict(config))
