"""Where the agent stands in answering: which message, how far, what it waits for, what comes next.

It is part of the state of both generations and travels inside the records that change it, so that a
fold knows after a restart where the script has to go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """The agent's place in the script.

    Attributes:
        number: how many turns have begun.
        text: the message of the present turn.
        active: the turn has not ended; it may rest (paused, rejected, waiting).
        acts: acts completed in this turn.
        pending: the observation of an action that was announced but not yet carried out.
        queue: messages nobody has answered yet.
        rejected: which acts of this turn, counted from 0, the user has rejected.
    """

    number: int = 0
    text: str = ""
    active: bool = False
    acts: int = 0
    pending: Mapping[str, Any] | None = None
    queue: tuple[str, ...] = ()
    rejected: tuple[int, ...] = ()

    def queued(self, text: str) -> Turn:
        """One more message waits."""
        return replace(self, queue=(*self.queue, text))

    def begun(self) -> Turn:
        """The oldest waiting message is taken up."""
        text, *rest = self.queue
        return Turn(number=self.number + 1, text=text, active=True, queue=tuple(rest))

    def announced(self, pending: Mapping[str, Any]) -> Turn:
        """An action is on the record; its observation is still to come."""
        return replace(self, pending=pending)

    def acted(self) -> Turn:
        """An act is completed."""
        return replace(self, acts=self.acts + 1, pending=None)

    def refused(self) -> Turn:
        """The announced act was rejected: it is over, and will not be done."""
        return replace(self.acted(), rejected=(*self.rejected, self.acts))

    def ended(self) -> Turn:
        """The turn is over; waiting messages stay."""
        return replace(self, active=False, pending=None)

    def dropped(self) -> Turn:
        """The turn is over, and nobody will answer what waits."""
        return replace(self, active=False, pending=None, queue=())

    @property
    def has_work(self) -> bool:
        """There is something the agent could go on with."""
        return self.active or bool(self.queue)

    def to_json(self) -> dict[str, Any]:
        """As it stands in records and snapshots."""
        return {**asdict(self), "queue": list(self.queue), "rejected": list(self.rejected)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Turn:
        """Undo `to_json`."""
        return cls(**{**data, "queue": tuple(data["queue"]), "rejected": tuple(data.get("rejected", ()))})
