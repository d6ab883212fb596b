"""One conversation API over both generations: a flow per verb, routed as the web frontend's hooks do.

Verbs take a ``Snapshot``, and return a fresh one where they change it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client.errors import (
    APITimeoutError,
    BadRequestError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    OpenHandsError,
    ServerError,
    StartTaskError,
    StartTaskTimeout,
    UnsupportedOperationError,
    ValidationError,
)

from . import operations as ops
from .commands import Flow, emit, silence, sleep
from .compat import Variant, first_known
from .inquiry import Inquiry
from .logs import LogEnd, is_message, log_end, shows_a_new_state
from .operation import Operation, Query
from .ordering import NewConversation, user_message
from .pipeline import Settle, call, route_is_missing
from .places import (
    Snapshot,
    find_agent,
    find_app_conversation,
    find_runtime,
    get_v0,
    get_v1,
    no_agent,
    on_agent,
    on_runtime,
)
from .session import Generation, Session
from .starting import (
    Patience,
    Stages,
    follow,
    in_time,
    look,
    order_task,
    order_v0,
    order_with_stages,
    wait_for,
)
from .streaming import Until, V0Stream, V1Stream, v0_agent_state
from .timing import Backoff, Deadline

T = TypeVar("T")

logger = logging.getLogger("openhands_client")

PAGE = 100  # the most that every server accepts
EVERYTHING = 10_000
START_TIMEOUT = 120.0  # seconds for a conversation that has to be started before it can take a message
RUN_ANSWER_TIMEOUT = 2.0  # seconds; one server line answers only when the run that follows is over
CONFIRMATION_LOOKS = (0.0, 0.3, 0.7, 1.5, 3.0, 6.0, 12.0)  # seconds between them
WAKING = 5.0  # seconds that an agent may take to leave its pause
WAKING_LOOKS = Backoff(first=0.05, factor=1.6, longest=1.0)
HISTORY_TELLS = "history() tells whether it was taken"

# Creating


def create(session: Session, order: NewConversation, api: str | None, patience: Patience) -> Flow[Snapshot]:
    """Start a conversation and wait until it can be talked to."""
    limited = session.within(patience.deadline)
    with in_time(patience.deadline):
        placed = yield from _place(limited, order, api, order_with_stages)
    started = (yield from follow(limited, placed, patience)) if isinstance(placed, Stages) else placed
    streamed = session.offers.stream_start is not False
    return (yield from finish(session, order, started, patience, streamed=streamed))


def begin(
    session: Session, order: NewConversation, api: str | None
) -> Flow[m.AppConversationStartTask | str]:
    """Start a conversation: the start task of V1, or the id of a V0 conversation, to ``finish`` later."""
    return (yield from _place(session, order, api, order_task))


def _place(
    session: Session,
    order: NewConversation,
    api: str | None,
    order_v1: Callable[[Session, m.AppConversationStartRequest], Flow[T]],
) -> Flow[T | str]:
    """Give the order to the right generation; the answer is what ``order_v1`` gives, or the id of a V0
    conversation.

    The other generation is tried only when the first has no such route, so that nothing is started twice.
    """
    generations = generations_for(session, order, api)
    missing: OpenHandsError | None = None
    for generation in generations:
        order.check_for(generation)
        try:
            if generation == "v0":
                return (yield from order_v0(session, order))
            placed = yield from order_v1(session, order.v1_body())
        except OpenHandsError as failure:
            if not route_is_missing(failure) or getattr(session.offers, generation) is True:
                raise
            missing = failure
            session.offers.lack(generation)
        else:
            session.offers.v1 = True
            return placed
    tried = " and ".join(generation.upper() for generation in generations)
    raise UnsupportedOperationError(
        f"{session.endpoint.base_url} has no route to create a conversation ({tried} tried): {missing}. "
        "Is it the address of an OpenHands app server?"
    ) from missing


def finish(
    session: Session,
    order: NewConversation,
    started: m.AppConversationStartTask | str,
    patience: Patience,
    *,
    streamed: bool = False,
    resumed: bool = False,
) -> Flow[Snapshot]:
    """Wait for what ``begin`` began, and do what the server does not do at the start.

    ``resumed``: an earlier run may have done so, or a part of it.
    """
    limited = session.within(patience.deadline)
    snapshot: Snapshot | None = None
    if isinstance(started, str):
        conversation_id = started
        snapshot = yield from _v0_until_running(session, started, patience)
    else:
        task = yield from wait_for(session, started, patience, order.v1_body() if streamed else None)
        if task.app_conversation_id is None:
            raise StartTaskError("the start task is READY but names no conversation", task=task)
        conversation_id = task.app_conversation_id
    try:
        with in_time(patience.deadline, conversation_id=conversation_id):
            snapshot = snapshot or (yield from get_v1(limited, conversation_id))
            return (yield from _complete(limited, order, snapshot, resumed))
    except StartTaskTimeout:
        raise
    except OpenHandsError as failure:
        raise StartTaskError(
            f"conversation {conversation_id} was started, but not all that was asked for could be done: {failure}",
            conversation_id=conversation_id,
        ) from failure


def _complete(session: Session, order: NewConversation, snapshot: Snapshot, resumed: bool) -> Flow[Snapshot]:
    """Title and message, as far as the start itself did not bring them."""
    said = resumed and order.has_message and (yield from _was_said(session, order, snapshot))
    if snapshot.version == "v0" and order.title_before_message and not said:
        yield from rename(session, snapshot, order.title or "")
        yield from _send_v0(session, snapshot, order.message or "", order.image_urls)
        snapshot = yield from refresh(session, snapshot)
    elif snapshot.version == "v1" and order.has_message and not order.run and not said:
        yield from send(session, snapshot, order.message or "", order.image_urls, run=False)
    if order.title is not None and snapshot.title != order.title.strip():
        yield from rename(session, snapshot, order.title)
        snapshot = yield from refresh(session, snapshot)
    return snapshot


def _was_said(session: Session, order: NewConversation, snapshot: Snapshot) -> Flow[bool]:
    """Whether the first message is in the conversation's log."""
    events = yield from LogEnd(snapshot, None).added(session)
    return any(is_message(event, order.message or "", order.image_urls or ()) for event in events)


def generations_for(session: Session, order: NewConversation, api: str | None) -> list[Generation]:
    """The generations to try, best first. The caller's choice stands; what only one can do goes there."""
    choice = api or session.api
    if choice in ("v0", "v1"):
        return ["v1" if choice == "v1" else "v0"]
    if order.only_v0:
        return ["v0"]
    if order.only_v1:
        return ["v1"]
    # The first V1 line takes a suggested task without a word and then ignores it.
    wanted: list[Generation] = ["v0", "v1"] if order.suggested_task else ["v1", "v0"]
    return [one for one in wanted if getattr(session.offers, one) is not False] or wanted


def _v0_until_running(session: Session, conversation_id: str, patience: Patience) -> Flow[Snapshot]:
    session = session.within(patience.deadline)
    turn = 0
    while True:
        with in_time(patience.deadline, conversation_id=conversation_id):
            snapshot = yield from look(patience, partial(get_v0, session, conversation_id))
        yield from patience.progress.report(snapshot)
        if snapshot.status == "RUNNING":
            return snapshot
        if snapshot.status != "STARTING":
            raise StartTaskError(
                f"conversation {conversation_id} is {snapshot.status} instead of RUNNING",
                conversation_id=conversation_id,
            )
        yield from patience.pause(turn)
        turn += 1
        if patience.deadline.passed:
            raise StartTaskTimeout(
                f"conversation {conversation_id} is still {snapshot.status}", conversation_id=conversation_id
            )


# Finding


def get(session: Session, conversation_id: str, api: str | None = None) -> Flow[Snapshot]:
    """Find a conversation in whichever generation has it. Raises NotFoundError."""
    choice = api or session.api
    if choice == "v1":
        return (yield from get_v1(session, conversation_id))
    if choice == "v0" or session.offers.v1 is False or not _looks_like_a_uuid(conversation_id):
        return (yield from get_v0(session, conversation_id))
    try:
        return (yield from get_v1(session, conversation_id))
    except OpenHandsError as failure:
        if route_is_missing(failure):
            session.offers.lack("v1")
            return (yield from get_v0(session, conversation_id))
        if not isinstance(failure, NotFoundError) or session.offers.v0 is False:
            raise
        not_in_v1 = failure
    try:
        return (yield from get_v0(session, conversation_id))
    except OpenHandsError as failure:
        if not route_is_missing(failure):
            raise
        session.offers.lack("v0")
        raise not_in_v1 from None


def refresh(session: Session, snapshot: Snapshot) -> Flow[Snapshot]:
    """What the server says now, including what the agent is doing."""
    if snapshot.version == "v1":
        return (yield from get_v1(session, snapshot.id))
    fresh = yield from get_v0(session, snapshot.id)
    endpoint = find_runtime(session, fresh)
    return Snapshot(fresh.info, (yield from v0_agent_state(session, snapshot.id, endpoint)))


def listing(
    session: Session, *, limit: int | None, repository: str | None, trigger: str | None
) -> Flow[None]:
    """Emit the caller's conversations as snapshots, newest first, each once."""
    output = _Output(limit)
    if session.api != "v1" and session.offers.v0 is not False:
        try:
            return (yield from _list_v0(session, output, repository, trigger))
        except OpenHandsError as failure:
            if session.api == "v0" or not route_is_missing(failure):
                raise
            session.offers.v0 = False
    yield from _list_v1(session, output, repository, trigger)


class _Output:
    """Emits each conversation once, and no more than ``limit``."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit
        self._seen: set[str] = set()
        self._pages: set[str] = set()

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def wants(self, page_id: str | None) -> bool:
        """Whether there is such a page, and it was not asked for before: a broken chain of pages has no end."""
        if page_id is None or page_id in self._pages or self.full:
            return False
        self._pages.add(page_id)
        return True

    def add(self, snapshots: Iterable[Snapshot]) -> Flow[None]:
        for snapshot in snapshots:
            if self.full:
                return
            if snapshot.id not in self._seen:
                self._seen.add(snapshot.id)
                self._left = None if self._left is None else self._left - 1
                yield from emit(snapshot)


def _list_v0(session: Session, output: _Output, repository: str | None, trigger: str | None) -> Flow[None]:
    """The V0 list shows both generations.

    One server line loses items between its pages, and a filter hides that it did. Where that may have
    happened, everything is asked for at once; a server that refuses so large a page has pages that can be
    trusted.
    """
    query = {"selected_repository": repository, "conversation_trigger": trigger, "limit": PAGE}
    page = None
    if repository is None and trigger is None:
        page = yield from _v0_page(session, query)
        yield from output.add(Snapshot(info) for info in page.results)
        if output.full or (page.next_page_id is None and len(page.results) < PAGE):
            return
    try:
        page = yield from _v0_page(session, {**query, "limit": EVERYTHING})
    except (ValidationError, BadRequestError):
        logger.debug("the server bounds its pages; following them one by one")
        page = page or (yield from _v0_page(session, query))
    yield from output.add(Snapshot(info) for info in page.results)
    while output.wants(page.next_page_id):
        page = yield from _v0_page(session, {**query, "page_id": page.next_page_id})
        yield from output.add(Snapshot(info) for info in page.results)


def _v0_page(session: Session, query: Query) -> Flow[m.ConversationInfoResultSet]:
    page = yield from call(session, ops.LIST_CONVERSATIONS, query=query)
    session.offers.v0 = True
    return page


def _list_v1(session: Session, output: _Output, repository: str | None, trigger: str | None) -> Flow[None]:
    query: dict[str, Any] = {"limit": PAGE}
    while not output.full:
        page = yield from call(session, ops.SEARCH_APP_CONVERSATIONS, query=query)
        yield from output.add(
            Snapshot(item)
            for item in page.items
            if repository in (None, item.selected_repository) and trigger in (None, item.trigger)
        )
        if not output.wants(page.next_page_id):
            return
        query["page_id"] = page.next_page_id


# Talking


def send(
    session: Session,
    snapshot: Snapshot,
    text: str,
    image_urls: Sequence[str] | None = None,
    *,
    run: bool = True,
) -> Flow[None]:
    """Send a message as the user. A V0 conversation whose agent loop is not running is started first.

    After a failure that leaves it open, the log is read before the message is sent again.
    """
    if snapshot.version == "v1":
        yield from send_message(session, snapshot, user_message(text, image_urls, run=run))
        return
    if not run:
        raise UnsupportedOperationError("a V0 conversation cannot take a message without running its agent")
    try:
        yield from _send_v0(session, snapshot, text, image_urls)
    except ConflictError as failure:
        if (yield from get_v0(session, snapshot.id)).status == "RUNNING":
            raise
        logger.info("conversation %s is not running (%s): starting it", snapshot.id, failure)
        yield from start(session, snapshot, Patience(Deadline.after(session.clock, START_TIMEOUT)))
        yield from _send_v0(session, snapshot, text, image_urls)


def send_message(
    session: Session, snapshot: Snapshot, message: m.SendMessageRequest
) -> Flow[m.SuccessResponse]:
    """Send a message to a V1 conversation's agent server, once."""
    images = [url for item in message.content if isinstance(item, m.ImageContent) for url in item.image_urls]
    text = "\n".join(item.text for item in message.content if isinstance(item, m.TextContent))
    before = yield from log_end(session, snapshot)
    inquiry = _message_inquiry(session, before, text, images)
    return (yield from on_agent(session, snapshot, ops.AGENT_SEND_EVENT, body=message, settle=inquiry.settle))


def _send_v0(session: Session, snapshot: Snapshot, text: str, image_urls: Sequence[str] | None) -> Flow[None]:
    before = yield from log_end(session, snapshot)
    inquiry = _message_inquiry(session, before, text, image_urls or ())
    settle = partial(_settle_v0, session, snapshot, inquiry)
    if image_urls:
        arguments = {"content": text, "image_urls": list(image_urls), "file_urls": []}
        body: dict[str, Any] = {"action": "message", "args": arguments}
        yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_EVENT, body=body, settle=settle)
    else:
        body = {"message": text}
        yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_MESSAGE, body=body, settle=settle)


def _message_inquiry(
    session: Session, before: LogEnd, text: str, image_urls: Sequence[str]
) -> Inquiry[m.SuccessResponse]:
    def look(session: Session) -> Flow[m.SuccessResponse | None]:
        added = yield from before.added(session)
        return m.SuccessResponse() if any(is_message(event, text, image_urls) for event in added) else None

    conversation_id = before.snapshot.id
    what = f"the message to conversation {conversation_id}"
    return Inquiry(session, what, look, HISTORY_TELLS, conversation_id)


def _settle_v0(
    session: Session,
    snapshot: Snapshot,
    inquiry: Inquiry[m.SuccessResponse],
    failure: OpenHandsError,
) -> Flow[m.SuccessResponse | None]:
    """Servers say 500 when the agent loop is down, which a repeat does not change. Raises ConflictError then."""
    found = yield from inquiry.settle(failure)
    if found is None and isinstance(failure, ServerError) and failure.status_code == 500:
        status = (yield from get_v0(session, snapshot.id)).status
        if status != "RUNNING":
            raise ConflictError(f"conversation {snapshot.id} is {status}. start() brings it up") from failure
    return found


def confirm(session: Session, snapshot: Snapshot, accept: bool, reason: str | None) -> Flow[None]:
    """Answer an action that waits for confirmation.

    One server line answers only when the run that follows is over; the log shows much earlier that it began.
    """
    if snapshot.version == "v0":
        state = "user_confirmed" if accept else "user_rejected"
        yield from _change_agent_state(session, snapshot, state)
        return
    before = yield from log_end(session, snapshot)
    what = f"the answer to what conversation {snapshot.id} asked"
    inquiry = _state_inquiry(session, before, what, CONFIRMATION_LOOKS)
    yield from on_agent(
        session,
        snapshot,
        ops.AGENT_RESPOND_TO_CONFIRMATION,
        body=m.ConfirmationResponseRequest(accept=accept, reason=reason),
        timeout=RUN_ANSWER_TIMEOUT,
        settle=inquiry.settle,
    )


def _state_inquiry(
    session: Session, before: LogEnd, what: str, pauses: Sequence[float] | None = None
) -> Inquiry[m.SuccessResponse]:
    def look(session: Session) -> Flow[m.SuccessResponse | None]:
        added = yield from before.added(session)
        return m.SuccessResponse() if any(shows_a_new_state(event) for event in added) else None

    return Inquiry(session, what, look, HISTORY_TELLS, before.snapshot.id, pauses=pauses)


def events(
    session: Session,
    snapshot: Snapshot,
    *,
    after: str | int | None = None,
    until: Until = "rest",
    timeout: float | None = None,
) -> Flow[str]:
    """Emit events, stored and live; return the state in which the agent came to rest."""
    stream = yield from _stream(session, snapshot, after, until, timeout)
    return (yield from stream.run())


def history(session: Session, snapshot: Snapshot) -> Flow[None]:
    """Emit the stored events."""
    stream = yield from _stream(session, snapshot, None, "rest", None)
    yield from stream.history()


def wait(session: Session, snapshot: Snapshot, timeout: float | None) -> Flow[str]:
    """The state in which the agent comes to rest."""
    return (yield from silence(events(session, snapshot, timeout=timeout)))


def _stream(
    session: Session, snapshot: Snapshot, after: str | int | None, until: Until, timeout: float | None
) -> Flow[V0Stream | V1Stream]:
    deadline = Deadline.after(session.clock, timeout)
    if snapshot.version == "v0":
        last = None if after is None else _v0_event_id(after)
        runtime = find_runtime(session, snapshot)
        return V0Stream(session, snapshot.id, runtime, last, until, deadline=deadline)
    if find_agent(session, snapshot) is None:
        snapshot = yield from get_v1(session, snapshot.id)
    endpoint = find_agent(session, snapshot)
    if endpoint is None:
        raise no_agent(snapshot)
    last_id = None if after is None else str(after)
    return V1Stream(session, snapshot.id, endpoint, last_id, until, deadline=deadline)


def _v0_event_id(event_id: str | int) -> int:
    try:
        return int(event_id)
    except ValueError:
        raise InvalidArgumentError(f"after must be the number of a V0 event, not {event_id!r}") from None


# Life cycle


def start(session: Session, snapshot: Snapshot, patience: Patience) -> Flow[Snapshot]:
    """Bring a stopped conversation back, and wait until it runs."""
    if snapshot.version == "v0":
        yield from call(session, ops.START_CONVERSATION, path={"conversation_id": snapshot.id}, body={})
        return (yield from _v0_until_running(session, snapshot.id, patience))
    sandbox = yield from _sandbox_of(session, snapshot)
    yield from call(session, ops.RESUME_SANDBOX, path={"sandbox_id": sandbox}, body={})
    return (yield from _v1_until_running(session, snapshot.id, patience))


def stop(session: Session, snapshot: Snapshot) -> Flow[Snapshot]:
    """Stop the agent loop (V0) or pause the sandbox (V1). ``start`` brings either back."""
    if snapshot.version == "v0":
        yield from call(session, ops.STOP_CONVERSATION, path={"conversation_id": snapshot.id})
    else:
        sandbox = yield from _sandbox_of(session, snapshot)
        yield from call(session, ops.PAUSE_SANDBOX, path={"sandbox_id": sandbox}, body={})
    return (yield from refresh(session, snapshot))


def pause(session: Session, snapshot: Snapshot) -> Flow[Snapshot]:
    """Let the agent pause after the step it is at; the conversation stays up where the server can do that."""
    if snapshot.version == "v1":
        yield from on_agent(session, snapshot, ops.AGENT_PAUSE_CONVERSATION, body={})
        return (yield from refresh(session, snapshot))
    try:
        yield from call(session, ops.PAUSE_CONVERSATION, path={"conversation_id": snapshot.id})
    except OpenHandsError as failure:
        if not route_is_missing(failure):
            raise
        yield from _change_agent_state(session, snapshot, "paused")
    return (yield from refresh(session, snapshot))


def resume(session: Session, snapshot: Snapshot, patience: Patience) -> Flow[Snapshot]:
    """Undo ``pause`` and ``stop``: bring the conversation up, and let a paused agent go on."""
    snapshot = yield from refresh(session, snapshot)
    if snapshot.status != "RUNNING":
        snapshot = yield from start(session, snapshot, patience)
    if snapshot.agent_state == "paused":
        if snapshot.version == "v0":
            yield from _change_agent_state(session, snapshot, "running")
        else:
            yield from _run(session, snapshot)
        snapshot = yield from _until_awake(session, snapshot)
    return snapshot


def _until_awake(session: Session, snapshot: Snapshot) -> Flow[Snapshot]:
    """The agent was told to go on; shortly after, servers may still say that it is paused."""
    deadline = Deadline.after(session.clock, WAKING)
    turn = 0
    while True:
        snapshot = yield from refresh(session, snapshot)
        if snapshot.agent_state != "paused" or deadline.passed:
            return snapshot
        yield from sleep(deadline.cap(WAKING_LOOKS.delay(turn)))
        turn += 1


def rename(session: Session, snapshot: Snapshot, title: str) -> Flow[None]:
    """Change the title, by the V1 route where there is one, else by the V0 route, which knows both generations."""
    path, body = {"conversation_id": snapshot.id}, {"title": title}
    newer, older = ops.UPDATE_APP_CONVERSATION, ops.UPDATE_CONVERSATION
    variants: list[Variant[Any]] = [Variant(older, lambda: call(session, older, path=path, body=body))]
    if snapshot.version == "v1":
        variants.insert(0, Variant(newer, lambda: call(session, newer, path=path, body=body)))
    yield from first_known(session, session.endpoint, *variants)


def delete(session: Session, conversation_id: str) -> Flow[bool]:
    """Delete a conversation of either generation; false when there was none."""
    path = {"conversation_id": conversation_id}

    def look(session: Session) -> Flow[bool | None]:
        try:
            yield from get(session, conversation_id)
        except NotFoundError:
            return True
        return None

    what = f"the deletion of conversation {conversation_id}"
    inquiry = Inquiry(session, what, look, "conversations.get() tells", conversation_id, harmless=True)

    def variant(operation: Operation[Any]) -> Variant[Any]:
        return Variant(operation, lambda: call(session, operation, path=path, settle=inquiry.settle))

    variants = [variant(ops.DELETE_CONVERSATION)]
    if _looks_like_a_uuid(conversation_id):
        variants.insert(0, variant(ops.DELETE_APP_CONVERSATION))
    try:
        return (yield from first_known(session, session.endpoint, *variants)) is not False
    except NotFoundError:
        return False


def _run(session: Session, snapshot: Snapshot) -> Flow[None]:
    def look(session: Session) -> Flow[m.SuccessResponse | None]:
        fresh = yield from get_v1(session, snapshot.id)
        return None if fresh.agent_state == "paused" else m.SuccessResponse()

    what = f"the order to run the agent of conversation {snapshot.id}"
    inquiry = Inquiry(session, what, look, "refresh() tells", snapshot.id, harmless=True)
    try:
        yield from on_agent(
            session,
            snapshot,
            ops.AGENT_RUN_CONVERSATION,
            body={},
            timeout=RUN_ANSWER_TIMEOUT,
            settle=inquiry.settle,
        )
    except APITimeoutError as failure:
        if not failure.request_sent:
            raise
        logger.debug("/run has not answered yet: one server line answers when the run is over")
    except ConflictError as failure:
        if failure.response is None:
            raise  # there is no agent server
        logger.debug("the agent of %s is running already", snapshot.id)


def _change_agent_state(session: Session, snapshot: Snapshot, state: str) -> Flow[None]:
    before = yield from log_end(session, snapshot)
    what = f"{state!r} as the state of conversation {snapshot.id}"
    settle: Settle[m.SuccessResponse] = partial(
        _settle_v0, session, snapshot, _state_inquiry(session, before, what)
    )
    body = {"action": "change_agent_state", "args": {"agent_state": state}}
    yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_EVENT, body=body, settle=settle)


def _v1_until_running(session: Session, conversation_id: str, patience: Patience) -> Flow[Snapshot]:
    session = session.within(patience.deadline)
    turn = 0
    while True:
        with in_time(patience.deadline, conversation_id=conversation_id):
            snapshot = yield from look(patience, partial(get_v1, session, conversation_id))
        if find_agent(session, snapshot) is not None:
            return snapshot
        if snapshot.status in ("ERROR", "ARCHIVED"):
            raise no_agent(snapshot)
        yield from patience.pause(turn)
        turn += 1
        if patience.deadline.passed:
            raise StartTaskTimeout(
                f"the sandbox of conversation {conversation_id} did not come up in time",
                conversation_id=conversation_id,
            )


def _sandbox_of(session: Session, snapshot: Snapshot) -> Flow[str]:
    info = snapshot.info
    return (
        info.sandbox_id
        if isinstance(info, m.AppConversation)
        else (yield from find_app_conversation(session, snapshot.id)).sandbox_id
    )


def _looks_like_a_uuid(conversation_id: str) -> bool:
    try:
        uuid.UUID(conversation_id)
    except ValueError:
        return False
    return True
