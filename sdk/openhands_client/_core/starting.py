"""From «start a conversation» to READY: the stream of stages where it works, polling where it does not.

Whatever happens to answers on the way, an order makes one conversation: see ``Inquiry``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    NotFoundError,
    OpenHandsError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
    StartTaskError,
    StartTaskTimeout,
)

from . import operations as ops
from .batching import get_one
from .commands import Body, Flow, call_back, close, emit, read, sleep
from .inquiry import Inquiry
from .json_array import JsonArrayReader
from .pipeline import call, exchange, limited, open_stream, repeated, route_is_missing
from .session import Session
from .timing import SHORTEST_TIMEOUT, Backoff, Deadline

if TYPE_CHECKING:
    from openhands_client.models import (
        AppConversationStartRequest,
        AppConversationStartTask,
        ConversationInfo,
    )

    from .ordering import NewConversation

T = TypeVar("T")

logger = logging.getLogger("openhands_client")

NEWEST = 100  # the most that every server gives at once
STALLED = 60.0  # seconds without a step after which a start whose stream was lost is taken for given up
UNANSWERED = 5  # looks in a row after which a server is taken to be gone, each with all its tries
CLOCK_STEP = 0.5  # seconds; servers tell the whole ones that have passed, which errs on the safe side anyway
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


def look(patience: Patience, ask: Callable[[], Flow[T]]) -> Flow[T]:
    """What the server says, even if it does not answer for a while: the start goes on without us."""
    turn = 0
    while True:
        try:
            return (yield from ask())
        except (APIConnectionError, ServerError, RateLimitError) as failure:
            if turn >= UNANSWERED or patience.deadline.passed:
                raise
            logger.info("the server cannot be asked how the start goes: %s", failure)
        turn += 1
        yield from patience.pause(turn)


@contextmanager
def in_time(
    deadline: Deadline, task: AppConversationStartTask | None = None, conversation_id: str | None = None
) -> Iterator[None]:
    """What takes too long because the time for the start is up is a StartTaskTimeout."""
    try:
        yield
    except APITimeoutError:
        if deadline.leaves(SHORTEST_TIMEOUT):
            raise
        raise too_late(task, conversation_id) from None


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
    """Order a V1 conversation, once; the answer is its start task."""
    order = _with_id(order)
    settle = _inquiry(session, order).settle
    return (yield from call(session, ops.START_APP_CONVERSATION, body=order, settle=settle))


def order_with_stages(
    session: Session, order: AppConversationStartRequest
) -> Flow[Stages | AppConversationStartTask]:
    """Order a V1 conversation, once, with its stages streamed where the server does that.

    A failure that ``route_is_missing`` is true of says that nothing was started.
    """
    if session.offers.stream_start is not False:
        try:
            return (yield from open_stages(session, order, timeout=None))
        except OpenHandsError as failure:
            if not route_is_missing(failure):
                raise
            was_there, session.offers.stream_start = session.offers.stream_start, False
        if was_there and (task := (yield from find_start(session, order.conversation_id or ""))) is not None:
            return task  # a gateway may have said that, and not the server
    return (yield from order_task(session, order))


def open_stages(
    session: Session, order: AppConversationStartRequest, *, timeout: float | None
) -> Flow[Stages | AppConversationStartTask]:
    """Order a V1 conversation, once, and have its stages streamed; or its task, if the stream was lost at once.

    A real server goes on with the start only as long as somebody reads the stream.
    """
    operation = ops.STREAM_START_APP_CONVERSATION
    order = _with_id(order)
    request = operation.request(session.endpoint.base_url, None, None, order, timeout)

    def attempt() -> Flow[Stages | AppConversationStartTask]:
        limits = limited(request, session.deadline)
        body = yield from open_stream(session.endpoint, limits, str(operation))
        session.offers.stream_start = True
        return Stages(order, body)

    return (yield from repeated(session, operation, attempt, _inquiry(session, order).settle))


def _with_id(order: AppConversationStartRequest) -> AppConversationStartRequest:
    """The same order with an id by which the conversation can be found."""
    if order.conversation_id is not None:
        return order
    return order.model_copy(update={"conversation_id": uuid.uuid4().hex})


def _inquiry(session: Session, order: AppConversationStartRequest) -> Inquiry[AppConversationStartTask]:
    """A start that nothing is seen of may be ordered again: it has its id, and servers have one of each."""
    conversation_id = order.conversation_id or ""
    return _StartInquiry(
        session,
        f"the order to start conversation {conversation_id}",
        lambda session: find_start(session, conversation_id),
        f"conversations.get({conversation_id!r}) tells",
        conversation_id,
        harmless=True,
    )


class _StartInquiry(Inquiry[T]):
    """Where the time for the start is up, that is what the caller is told."""

    def settle(self, failure: OpenHandsError) -> Flow[T | None]:
        try:
            found = yield from super().settle(failure)
        except OpenHandsError:
            if not self.session.out_of_time:
                raise
            found = None
        if found is None and self.session.out_of_time:
            raise too_late(None, self.conversation_id) from failure
        return found


def find_start(session: Session, conversation_id: str) -> Flow[AppConversationStartTask | None]:
    """The start of the conversation with this id: its task, or, made up for it, that of one that is there.

    Servers filter tasks by conversation only when they are READY, so the newest are looked through.
    """
    from openhands_client.models import AppConversationStartTask, StartTaskStatus

    tasks = yield from _newest_tasks(session)
    ours = [task for task in tasks if _is_start_of(task, conversation_id)]
    for status in (StartTaskStatus.READY, None, StartTaskStatus.ERROR):
        for task in ours:
            if task.status == status or (status is None and not task.is_terminal):
                return task
    found = yield from get_one(session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", conversation_id)
    if found is None:
        return None
    return AppConversationStartTask(
        id=found.id,
        status=StartTaskStatus.READY,
        app_conversation_id=found.id,
        sandbox_id=found.sandbox_id,
    )


def _newest_tasks(session: Session) -> Flow[list[AppConversationStartTask]]:
    try:
        page = yield from call(session, ops.SEARCH_START_TASKS, query={"limit": NEWEST})
    except OpenHandsError as failure:
        if not route_is_missing(failure):
            raise
        return []
    return page.items


def _is_start_of(task: AppConversationStartTask, conversation_id: str) -> bool:
    """Ids come with dashes and without."""
    ids = (task.app_conversation_id, task.request.conversation_id if task.request else None)
    return conversation_id.replace("-", "") in [id_.replace("-", "") for id_ in ids if id_]


def order_v0(session: Session, order: NewConversation) -> Flow[str]:
    """Order a V0 conversation, once; the answer is its id.

    It has no id to be found by. So it is ordered again only when no conversation like it came up meanwhile.
    """
    inquiry = _V0Inquiry(session, order)
    response = yield from call(session, ops.CREATE_CONVERSATION, body=order.v0_body(), settle=inquiry.settle)
    session.offers.v0 = True
    return response.conversation_id


class _V0Inquiry:
    """Looks for conversations that may have come of an order."""

    def __init__(self, session: Session, order: NewConversation) -> None:
        self._session = session
        self._order = order
        self._began = session.clock()

    def settle(self, failure: OpenHandsError) -> Flow[None]:
        """Nothing, if the server certainly started none. Raises OutcomeUnknownError, StartTaskTimeout."""
        inquiry = _StartInquiry(
            self._session,
            "the order to start a V0 conversation",
            self._look,
            "conversations.list() shows what there is, newest first",
        )
        candidates = yield from inquiry.settle(failure)
        if candidates:
            reason = f"{' and '.join(candidates)} came up since, and may be it"
            raise inquiry.unknown(failure, reason, candidates) from failure

    def _look(self, session: Session) -> Flow[list[str] | None]:
        operation = ops.LIST_CONVERSATIONS
        request = operation.request(session.endpoint.base_url, None, {"limit": NEWEST}, None, session.timeout)
        answer = yield from repeated(
            session,
            operation,
            lambda: exchange(session.endpoint, limited(request, session.deadline), str(operation)),
        )
        age = session.clock() - self._began + CLOCK_STEP
        since = None if answer.sent_at is None else answer.sent_at - age
        page = operation.decode(answer)
        return [one.conversation_id for one in page.results if self._may_be_ours(one, since)] or None

    def _may_be_ours(self, info: ConversationInfo, since: float | None) -> bool:
        is_new = since is None or info.created_at is None or info.created_at.timestamp() >= since
        wanted = (self._order.repository, self._order.branch)
        return is_new and (info.selected_repository, info.selected_branch) == wanted


def follow(session: Session, stages: Stages, patience: Patience) -> Flow[AppConversationStartTask]:
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
    conversation_id = stages.order.conversation_id or ""
    if task is None and not patience.deadline.leaves(SHORTEST_TIMEOUT):
        raise too_late(None, conversation_id)
    if task is None:
        with in_time(patience.deadline, conversation_id=conversation_id):
            task = yield from find_start(session, conversation_id)
    if task is None:
        raise StartTaskError(
            "the server took the order to start a conversation but did not say what became of it. It may have "
            f"been started as {conversation_id}; an unknown parent conversation also ends like this",
            conversation_id=conversation_id,
        )
    return task


def stream_start(session: Session, order: AppConversationStartRequest) -> Flow[None]:
    """Start a conversation, once, and emit its task at every stage."""
    stages = yield from open_stages(session, order, timeout=session.timeout)
    if not isinstance(stages, Stages):
        yield from emit(stages)
        return
    while (news := (yield from stages.read())) is not None:
        for task in news:
            yield from emit(task)


def wait_for(
    session: Session,
    task: AppConversationStartTask,
    patience: Patience,
    order: AppConversationStartRequest | None = None,
) -> Flow[AppConversationStartTask]:
    """Poll a start task until it is READY. Raises StartTaskError, StartTaskTimeout.

    With the ``order`` of a start whose stream was lost, it is given again, once, where the task does not move
    any more: real servers give up a start whose stream nobody reads.
    """
    session = session.within(patience.deadline)
    turn = 0
    moved_at = session.clock()
    yield from patience.progress.report(task)
    while not task.is_terminal:
        yield from patience.pause(turn)
        if patience.deadline.passed:
            raise too_late(task)
        turn += 1
        with in_time(patience.deadline, task):
            fresh = yield from look(patience, partial(_poll, session, task))
            if (fresh.status, fresh.updated_at) != (task.status, task.updated_at):
                moved_at = session.clock()
            task = fresh
            if order is not None and not task.is_terminal and session.clock() - moved_at >= STALLED:
                logger.info("the start of %s stands still; it is ordered again", order.conversation_id)
                task = yield from order_task(session, _in_the_same_place(order, task))
                order = None
        yield from patience.progress.report(task)
    if task.status == "ERROR":
        raise StartTaskError(
            f"the conversation could not be started: {task.detail or 'the server gives no reason'}", task=task
        )
    return task


def _in_the_same_place(
    order: AppConversationStartRequest, task: AppConversationStartTask
) -> AppConversationStartRequest:
    """The order, for the sandbox that the task has got already: its agent server has one conversation per id."""
    if task.sandbox_id is None:
        return order
    return order.model_copy(update={"sandbox_id": task.sandbox_id})


def get_start_task(session: Session, task_id: str) -> Flow[AppConversationStartTask | None]:
    return (yield from get_one(session, ops.BATCH_GET_START_TASKS, "ids", task_id))


def _poll(session: Session, task: AppConversationStartTask) -> Flow[AppConversationStartTask]:
    found = yield from get_start_task(session, task.id)
    if found is None:
        raise NotFoundError(f"the server no longer knows the start task {task.id}")
    return found


def too_late(task: AppConversationStartTask | None, conversation_id: str | None = None) -> StartTaskTimeout:
    """The error for a start that took too long. Its conversation may still come up."""
    stage = f"it is at {task.status}" if task else "the server has not answered yet"
    if task is not None and conversation_id is None:
        wanted = task.request.conversation_id if task.request else None
        conversation_id = task.app_conversation_id or wanted
    name = f" as {conversation_id}" if conversation_id else ""
    return StartTaskTimeout(
        f"the conversation was not ready in time: {stage}. It may still come up{name}; a larger timeout= waits longer",
        task=task,
        conversation_id=conversation_id,
    )
