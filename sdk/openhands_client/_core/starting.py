"""From «start a V1 conversation» to READY: the stream of stages where it works, polling where it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    NotFoundError,
    OpenHandsError,
    ResponseFormatError,
    StartTaskError,
    StartTaskTimeout,
)

from . import operations as ops
from .batching import get_one
from .commands import Body, Flow, call_back, close, emit, read, sleep
from .json_array import JsonArrayReader
from .pipeline import call, limited, open_stream, route_is_missing
from .session import Session
from .timing import SHORTEST_TIMEOUT, Backoff, Deadline

if TYPE_CHECKING:
    from openhands_client.models import AppConversationStartRequest, AppConversationStartTask

logger = logging.getLogger("openhands_client")

POLL = Backoff(first=0.1, factor=1.4, longest=3.0)
STAGES = (
    "WORKING",
    "WAITING_FOR_SANDBOX",
    "PREPARING_REPOSITORY",
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    "STARTING_CONVERSATION",
    "READY",
)


class Progress:
    """Tells the user's callback about each stage once, and never of a step back."""

    def __init__(self, callback: Callable[[Any], Any] | None = None) -> None:
        self._callback = callback
        self._told: set[str] = set()
        self._furthest = -1

    def report(self, state: Any) -> Flow[None]:
        """``state`` is anything with a ``status``."""
        status = str(state.status)
        step = STAGES.index(status) if status in STAGES else self._furthest
        if self._callback is None or status in self._told or step < self._furthest:
            return
        self._told.add(status)
        self._furthest = step
        yield from call_back(self._callback, state)


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait: until when, how many seconds between looks (None: fast at first), and whom to tell."""

    deadline: Deadline
    interval: float | None = None
    progress: Progress = field(default_factory=Progress)

    def pause(self, turn: int) -> Flow[None]:
        """Wait before look number ``turn``, but not beyond the deadline."""
        yield from sleep(self.deadline.cap(POLL.delay(turn) if self.interval is None else self.interval))


@contextmanager
def in_time(deadline: Deadline, task: AppConversationStartTask | None = None) -> Iterator[None]:
    """What takes too long because the time for the start is up is a StartTaskTimeout."""
    try:
        yield
    except APITimeoutError:
        if deadline.leaves(SHORTEST_TIMEOUT):
            raise
        raise too_late(task) from None


class Stages:
    """The stages of a start that the server has taken the order for, as it streams them."""

    def __init__(self, order: AppConversationStartRequest, body: Body) -> None:
        self.order = order
        self._body = body
        self._reader = JsonArrayReader()

    def read(self, timeout: float | None = None) -> Flow[list[AppConversationStartTask] | None]:
        """The next stages, perhaps none yet; None at the end. Fails with APIConnectionError, ResponseFormatError."""
        decode = ops.STREAM_START_APP_CONVERSATION.result.validate_python
        piece = yield from read(self._body, timeout)
        try:
            if piece:
                return [decode(element) for element in self._reader.feed(piece)]
        except ValueError:  # pydantic's are ValueErrors too
            raise ResponseFormatError("the stream of start stages is not an array of start tasks") from None
        if not self._reader.finished:
            raise ResponseFormatError("the stream of start stages ended before its end")
        return None

    def close(self) -> Flow[None]:
        yield from close(self._body)


def order_task(session: Session, order: AppConversationStartRequest) -> Flow[AppConversationStartTask]:
    """Order a V1 conversation; the answer is its start task, at the first stage."""
    return (yield from call(session, ops.START_APP_CONVERSATION, body=order))


def order_with_stages(
    session: Session, order: AppConversationStartRequest
) -> Flow[Stages | AppConversationStartTask]:
    """Order a V1 conversation, with its stages streamed where the server does that.

    A failure that ``route_is_missing`` is true of says that nothing was started.
    """
    if session.offers.stream_start is not False:
        try:
            return (yield from open_stages(session, order, timeout=None))
        except OpenHandsError as failure:
            if not route_is_missing(failure):
                raise
            session.offers.stream_start = False
    return (yield from order_task(session, order))


def open_stages(
    session: Session, order: AppConversationStartRequest, *, timeout: float | None
) -> Flow[Stages]:
    """Order a V1 conversation, and have its stages streamed.

    A real server goes on with the start only as long as somebody reads the stream.
    """
    operation = ops.STREAM_START_APP_CONVERSATION
    request = operation.request(session.endpoint.base_url, None, None, order, timeout)
    body = yield from session.retry.run(
        operation.repeat,
        lambda: open_stream(session.endpoint, limited(request, session.deadline), str(operation)),
        session.deadline,
    )
    session.offers.stream_start = True
    return Stages(order, body)


def follow(stages: Stages, patience: Patience) -> Flow[AppConversationStartTask]:
    """Watch a start; return the last stage that was read.

    That is not a final one when the stream broke off: then polling goes on from there. A stream that is silent
    is not left before the deadline, because that would end the start. Raises StartTaskError when the server
    said nothing at all.
    """
    task = None
    while patience.deadline.leaves(SHORTEST_TIMEOUT):
        try:
            news = yield from stages.read(patience.deadline.timeout(None))
        except (APIConnectionError, ResponseFormatError) as failure:
            logger.info("the stream of start stages broke: %s", failure)
            break
        if news is None:
            break
        for task in news:
            yield from patience.progress.report(task)
    yield from stages.close()
    if task is None and not patience.deadline.leaves(SHORTEST_TIMEOUT):
        raise too_late(None)
    if task is None:
        raise StartTaskError(
            "the server took the order to start a conversation but did not say what became of it. It may have "
            f"been started as {stages.order.conversation_id}; an unknown parent conversation also ends like this"
        )
    return task


def stream_start(session: Session, order: AppConversationStartRequest) -> Flow[None]:
    """Start a conversation and emit its task at every stage."""
    stages = yield from open_stages(session, order, timeout=session.timeout)
    while (news := (yield from stages.read())) is not None:
        for task in news:
            yield from emit(task)


def wait_for(
    session: Session, task: AppConversationStartTask, patience: Patience
) -> Flow[AppConversationStartTask]:
    """Poll a start task until it is READY. Raises StartTaskError, StartTaskTimeout."""
    session = session.within(patience.deadline)
    turn = 0
    yield from patience.progress.report(task)
    while task.status not in ("READY", "ERROR"):
        yield from patience.pause(turn)
        if patience.deadline.passed:
            raise too_late(task)
        turn += 1
        with in_time(patience.deadline, task):
            task = yield from _poll(session, task)
        yield from patience.progress.report(task)
    if task.status == "ERROR":
        raise StartTaskError(
            f"the conversation could not be started: {task.detail or 'the server gives no reason'}", task=task
        )
    return task


def get_start_task(session: Session, task_id: str) -> Flow[AppConversationStartTask | None]:
    return (yield from get_one(session, ops.BATCH_GET_START_TASKS, "ids", task_id))


def _poll(session: Session, task: AppConversationStartTask) -> Flow[AppConversationStartTask]:
    found = yield from get_start_task(session, task.id)
    if found is None:
        raise NotFoundError(f"the server no longer knows the start task {task.id}")
    return found


def too_late(task: AppConversationStartTask | None) -> StartTaskTimeout:
    stage = f"it is at {task.status}" if task else "the server has not answered yet"
    return StartTaskTimeout(
        f"the conversation was not ready in time: {stage}. It may still come up; a larger timeout= waits longer",
        task=task,
    )
