"""What became of a request whose answer never came: found out before anything is repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from openhands_client.errors import OpenHandsError, OutcomeUnknownError, ServerError

from .commands import Flow, sleep
from .retry import may_still_act
from .session import Session
from .timing import Deadline

T = TypeVar("T")

LOOKS = (0.0, 0.3, 0.7, 1.5)  # seconds before each look: what is under way may take a moment to show
LONGEST_LOOK = 15.0  # seconds


@dataclass(frozen=True)
class Inquiry(Generic[T]):
    """How to find out whether the server did something. Its ``settle`` is for ``pipeline.call``.

    ``what``      a sentence's beginning, such as «the message to conversation c0de»
    ``look``      gives what the operation would have answered, if there are traces that it was performed
    ``advice``    how the caller can find out later
    ``harmless``  whether a repeat does no harm even if the server has only not acted yet
    ``pauses``    before each look, in seconds; None: the usual ones
    """

    session: Session
    what: str
    look: Callable[[Session], Flow[T | None]]
    advice: str
    conversation_id: str | None = None
    harmless: bool = False
    pauses: Sequence[float] | None = None

    def settle(self, failure: OpenHandsError) -> Flow[T | None]:
        """The answer, if there are traces; None if the server certainly did nothing. Raises OutcomeUnknownError."""
        if self.session.out_of_time:
            raise failure
        pauses = LOOKS if self.pauses is None else self.pauses
        enough = 1 if _is_over(failure) else len(pauses)
        blind: OpenHandsError | None = None
        for turn, pause in enumerate(pauses):
            if turn >= enough and blind is None:
                break
            yield from sleep(self.session.cap(pause))
            try:
                found = yield from self.look(self._briefly())
            except OpenHandsError as trouble:
                blind = trouble
                continue
            if found is not None:
                return found
            blind = None
        if blind is not None:
            raise self.unknown(failure, f"looking for it failed as well: {blind}") from failure
        if may_still_act(failure) and not self.harmless:
            raise self.unknown(
                failure, "there is no trace of it, but the server may still be at it"
            ) from failure
        return None

    def unknown(
        self, failure: OpenHandsError, reason: str, candidates: Sequence[str] = ()
    ) -> OutcomeUnknownError:
        """The error for those who have to find out themselves."""
        return OutcomeUnknownError(
            f"it is unknown whether {self.what} was taken ({failure}): {reason}. It was not repeated. {self.advice}",
            conversation_id=self.conversation_id,
            candidates=candidates,
        )

    def _briefly(self) -> Session:
        seconds = self.session.cap(LONGEST_LOOK)
        return self.session.within(Deadline.after(self.session.clock, seconds))


def _is_over(failure: OpenHandsError) -> bool:
    """Whether the server itself said that it failed: then nothing is under way any more."""
    return isinstance(failure, ServerError) and failure.status_code in (500, 503)
