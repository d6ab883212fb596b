"""From «start a V1 conversation» to READY: the stream of stages where it works, polling where it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    NotFoundError,
    OpenHandsError,
    StartTaskError,
    StartTaskTimeout,
)

from . import operations as ops
from .commands import Flow, call_back, emit, read, sleep
from .json_array import JsonArrayReader
from .operation import Repeat
from .pipeline import call, open_stream, route_is_missing
from .session import Session
from .timing import Backoff, Deadline

if TYPE_CHECKING:
    from openhands_client.models import AppConversationStartRequest, AppConversationStartTask

logger = logging.getLogger("openhands_client")

POLL = Backoff(first=0.1, factor=1.4, longest=3.0)
SHORTEST_TIMEOUT = 0.05  # seconds; a request right before the deadline still gets a chance
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
        self._told: str | None = None

    def report(self, state: Any) -> Flow[None]:
        """``state`` is anything with a ``status``."""
        status = str(state.status)
        if self._callback is None or status == self._told or self._steps_back(status):
            return
        self._told = status
        yield from call_back(self._callback, state)

    def _steps_back(self, status: str) -> bool:
        if status not in STAGES or self._told not in STAGES:
            return False
        return STAGES.index(status) < STAGES.index(self._told)


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait: until when, how many seconds between looks (None: fast at first), and whom to tell."""

    deadline: Deadline
    interval: float | None = None
    progress: Progress = field(default_factory=Progress)

    def pause(self, turn: int) -> Flow[None]:
        """Wait before look number ``turn``, but not beyond the deadline."""
        yield from sleep(self.deadline.cap(POLL.delay(turn) if self.interval is None else self.interval))


def start_and_wait(
    session: Session, order: AppConversationStartRequest, patience: Patience
) -> Flow[AppConversationStartTask]:
    """Start a conversation and return its READY task.

    Raises StartTaskError, StartTaskTimeout; and, as nothing was started then, whatever
    ``route_is_missing`` is true of.
    """
    task = None
    if session.offers.stream_start is not False:
        try:
            task = yield from _watch_start(session, order, patience)
        except OpenHandsError as failure:
            if not route_is_missing(failure):
                raise
            session.offers.stream_start = False
    if task is None:
        task = yield from call(session, ops.START_APP_CONVERSATION, body=order)
        yield from patience.progress.report(task)
    return (yield from wait_for(session, task, patience))


def wait_for(
    session: Session, task: AppConversationStartTask, patience: Patience
) -> Flow[AppConversationStartTask]:
    """Poll a start task until it is READY. Raises StartTaskError, StartTaskTimeout."""
    turn = 0
    while task.status not in ("READY", "ERROR"):
        yield from patience.pause(turn)
        if patience.deadline.passed:
            raise _too_late(task)
        turn += 1
        task = yield from _poll(session, task, patience.deadline)
        yield from patience.progress.report(task)
    if task.status == "ERROR":
        raise StartTaskError(
            f"the conversation could not be started: {task.detail or 'the server gives no reason'}", task=task
        )
    return task


def get_start_task(
    session: Session, task_id: str, timeout: float | None = None
) -> Flow[AppConversationStartTask | None]:
    (task,) = yield from call(session, ops.BATCH_GET_START_TASKS, query={"ids": [task_id]}, timeout=timeout)
    return task


def _poll(
    session: Session, task: AppConversationStartTask, deadline: Deadline
) -> Flow[AppConversationStartTask]:
    left = deadline.remaining()
    timeout = None if left is None else max(SHORTEST_TIMEOUT, min(left, session.timeout or left))
    try:
        found = yield from get_start_task(session, task.id, timeout)
    except APITimeoutError:
        if deadline.passed:
            raise _too_late(task) from None
        raise
    if found is None:
        raise NotFoundError(f"the server no longer knows the start task {task.id}")
    return found


def stream_start(session: Session, order: AppConversationStartRequest) -> Flow[None]:
    """Start a conversation and emit its task at every stage."""
    yield from _stages(session, order, Deadline(session.clock), emit)


def _watch_start(
    session: Session, order: AppConversationStartRequest, patience: Patience
) -> Flow[AppConversationStartTask]:
    """Start a conversation and follow its stages.

    Returns the last stage read, which is not a final one when the stream broke off: then polling goes on.
    """
    task = yield from _stages(session, order, patience.deadline, patience.progress.report)
    if task is None:
        raise StartTaskError(
            "the server took the order to start a conversation but did not say what became of it. It may have "
            f"been started as {order.conversation_id}; an unknown parent conversation also ends like this"
        )
    return task


def _stages(
    session: Session,
    order: AppConversationStartRequest,
    deadline: Deadline,
    tell: Callable[[AppConversationStartTask], Flow[None]],
) -> Flow[AppConversationStartTask | None]:
    operation = ops.STREAM_START_APP_CONVERSATION
    request = operation.request(session.endpoint.base_url, None, None, order, deadline.remaining())
    body = yield from session.retry.run(
        Repeat.NEVER, lambda: open_stream(session.endpoint, request, str(operation))
    )
    session.offers.stream_start = True
    reader, task = JsonArrayReader(), None
    try:
        while piece := (yield from read(body)):
            for element in reader.feed(piece):
                task = operation.result.validate_python(element)
                yield from tell(task)
    except APIConnectionError as failure:
        if deadline.passed:
            raise _too_late(task) from None
        logger.info("the stream of start stages broke: %s", failure)
    except ValueError as failure:  # broken JSON, or not a task
        logger.info("the stream of start stages is not an array of tasks: %s", type(failure).__name__)
    return task


def _too_late(task: AppConversationStartTask | None) -> StartTaskTimeout:
    stage = f"it is at {task.status}" if task else "the server has not answered yet"
    return StartTaskTimeout(
        f"the conversation was not ready in time: {stage}. It may still come up; a larger timeout= waits longer",
        task=task,
    )
