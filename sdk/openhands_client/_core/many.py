"""Many conversations at once: bounded, failures as values, and resumed where an earlier run was ended.

Whatever ended that run, no conversation is created twice: a journal says what may have been begun, and that
is looked for before anything is sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from openhands_client import models as m
from openhands_client.errors import (
    ClientClosedError,
    InvalidArgumentError,
    NotFoundError,
    OpenHandsError,
    OutcomeUnknownError,
    StartTaskError,
    StartTaskTimeout,
)

from .commands import Flow, alone, call_back, together
from .creation_journal import Past, Record, header, read_past
from .ordering import ConversationRequest, NewConversation
from .pipeline import route_is_missing
from .places import Snapshot, get_v0
from .retry import leaves_open
from .session import Session
from .starting import Patience, find_start, get_start_task, in_time
from .timing import Deadline
from .unified import begin, finish, generations_for, get

C = TypeVar("C")

Started: TypeAlias = "m.AppConversationStartTask | str"  # what begin() gives

AT_ONCE = 8


@dataclass(frozen=True)
class CreationResult(Generic[C]):
    """What came of one request: its ``conversation``, or the ``error`` why there is none."""

    request: ConversationRequest
    conversation: C | None = None
    error: OpenHandsError | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a conversation."""
        return self.error is None

    def unwrap(self) -> C:
        """The conversation. Raises the error where there is none."""
        if self.conversation is None:
            raise self.error or OpenHandsError("there is no conversation")
        return self.conversation


class CreationProgress(NamedTuple):
    """``done`` of ``total`` requests have come to an end, and ``failed`` of them to a bad one; ``last`` is new."""

    done: int
    failed: int
    total: int
    last: CreationResult[Any]


def requests_of(given: Iterable[ConversationRequest | Mapping[str, Any] | str]) -> list[ConversationRequest]:
    """Raises InvalidArgumentError for what is no list of requests."""
    if isinstance(given, str | Mapping):
        raise InvalidArgumentError(
            "create_many() takes a list of requests; create() takes one. Nothing was sent"
        )
    return [ConversationRequest.of(one) for one in given]


@dataclass(eq=False)
class ManyCreations(Generic[C]):
    """Creates a conversation for each request. ``handle`` makes the caller's conversation of a snapshot.

    ``records`` are what a journal holds so far, and ``note`` adds to it; without a journal there is no ``note``.
    ``timeout`` and ``interval`` (seconds) are for each conversation by itself.
    """

    session: Session
    requests: Sequence[ConversationRequest]
    handle: Callable[[Snapshot], C]
    timeout: float | None
    interval: float | None = None
    on_progress: Callable[[CreationProgress], Any] | None = None
    records: Sequence[Record] = ()
    note: Callable[[Record], Any] | None = None

    def run(self, concurrency: int) -> Flow[list[CreationResult[C]]]:
        """The results, in the order of the requests. Raises InvalidArgumentError for the journal of others."""
        if concurrency < 1:
            raise InvalidArgumentError(f"concurrency must be 1 or more, not {concurrency}; nothing was sent")
        first = header(self.session.endpoint.base_url, self.requests)
        past = read_past(self.records, first)
        if self.note is not None and not self.records:
            yield from call_back(self.note, first)
        tally = _Tally(len(self.requests), self.on_progress)
        flows = [self._one(number, past.get(number), tally) for number in range(len(self.requests))]
        return (yield from together(flows, concurrency, threads=True))

    def _one(self, number: int, past: Past | None, tally: _Tally) -> Flow[CreationResult[C]]:
        request = self.requests[number]
        try:
            result = CreationResult(request, self.handle((yield from self._bring_up(number, past))))
        except ClientClosedError:
            raise
        except OpenHandsError as failure:
            result = CreationResult[C](request, error=failure)
        yield from alone(tally, tally.add(result))
        return result

    def _bring_up(self, number: int, past: Past | None) -> Flow[Snapshot]:
        """The conversation of one request, from wherever an earlier run had brought it."""
        if past is not None and past.stage == "ready":
            return (yield from get(self.session, past.conversation_id, past.generations[0]))
        if past is not None and past.stage == "failed":
            past = None
        order = self.requests[number].order(uuid.uuid4().hex if past is None else past.conversation_id)
        patience = Patience(Deadline.after(self.session.clock, self.timeout), self.interval)
        session = self.session.within(patience.deadline)
        with in_time(patience.deadline):
            started = None if past is None else (yield from begun(session, past))
            resumed = started is not None
            if started is None:
                started = yield from self._begin(session, number, order)
        try:
            snapshot = yield from finish(self.session, order, started, patience, resumed=resumed)
        except StartTaskError as failure:
            if failure.task is not None:
                yield from self._note(number, Past("failed", order.conversation_id, ("v1",)))
            raise
        yield from self._note(number, Past("ready", snapshot.id, (snapshot.version,)))
        return snapshot

    def _begin(self, session: Session, number: int, order: NewConversation) -> Flow[Started]:
        api = self.requests[number].api
        generations = tuple(generations_for(session, order, api))
        yield from self._note(number, Past("sent", order.conversation_id, generations))
        try:
            started = yield from begin(session, order, api)
        except OpenHandsError as failure:
            if _nothing_was_started(failure):
                yield from self._note(number, Past("failed", order.conversation_id, generations))
            raise
        if isinstance(started, str):
            yield from self._note(number, Past("started", started, ("v0",)))
        else:
            yield from self._note(number, Past("started", order.conversation_id, ("v1",), started.id))
        return started

    def _note(self, number: int, past: Past) -> Flow[None]:
        if self.note is not None:
            yield from call_back(self.note, past.record(number))


class _Tally:
    """Counts results, and tells; one at a time."""

    def __init__(self, total: int, tell: Callable[[CreationProgress], Any] | None) -> None:
        self._total, self._tell = total, tell
        self._done = self._failed = 0

    def add(self, result: CreationResult[Any]) -> Flow[None]:
        self._done += 1
        self._failed += not result.ok
        if self._tell is not None:
            yield from call_back(self._tell, CreationProgress(self._done, self._failed, self._total, result))


def begun(session: Session, past: Past) -> Flow[Started | None]:
    """What an earlier run began: a start task (V1), the id of a V0 conversation, or None for nothing.

    Raises OutcomeUnknownError where that cannot be told.
    """
    if past.stage == "started" and past.generations == ("v0",):
        return past.conversation_id
    if past.task_id is not None:
        task = yield from get_start_task(session, past.task_id)
        if task is not None:
            return task
    for generation in past.generations:  # the first one that the server has is the one that was asked
        if generation == "v1":
            try:
                return (yield from find_start(session, past.conversation_id))
            except OpenHandsError as failure:
                if not route_is_missing(failure):
                    raise
        elif (yield from _has_v0(session, past.conversation_id)):
            raise OutcomeUnknownError(
                "an earlier run ended while it asked for this conversation, and V0 conversations bear no mark by "
                "which it could be known again. conversations.list() shows whether it is there. Where it is not, "
                "delete the last line of this request from the journal, and it is asked for again"
            )
    return None


def _has_v0(session: Session, some_id: str) -> Flow[bool]:
    try:
        yield from get_v0(session, some_id)
    except OpenHandsError as failure:
        if route_is_missing(failure):
            return False
        if not isinstance(failure, NotFoundError):
            raise
    return True


def _nothing_was_started(failure: OpenHandsError) -> bool:
    return not (leaves_open(failure) or isinstance(failure, OutcomeUnknownError | StartTaskTimeout))
