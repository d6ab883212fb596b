"""One conversation API over both generations: a flow per verb, routed as the web frontend's hooks do.

A ``Snapshot`` is what the server last said of a conversation. Verbs take one and return a fresh one where
they change it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from openhands_client import models as m
from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
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
from .auth import Endpoint
from .batching import get_one
from .commands import FilePart, Flow, emit, silence
from .compat import Variant, first_known
from .operation import JsonBody, Operation, Query
from .ordering import NewConversation, user_message
from .pipeline import call, route_is_missing
from .session import Generation, Session
from .starting import Patience, Stages, follow, in_time, order_task, order_with_stages, wait_for
from .streaming import Until, V0Stream, V1Stream, v0_agent_state
from .timing import Deadline

T = TypeVar("T")

logger = logging.getLogger("openhands_client")

PAGE = 100  # the most that every server accepts
EVERYTHING = 10_000
START_TIMEOUT = 120.0  # seconds for a conversation that has to be started before it can take a message
RUN_ANSWER_TIMEOUT = 2.0  # seconds; one server line answers /run only when the run is over
STATUS_OF_SANDBOX = {
    "STARTING": "STARTING",
    "RUNNING": "RUNNING",
    "PAUSED": "STOPPED",
    "STOPPED": "STOPPED",
    "ERROR": "ERROR",
    "MISSING": "ARCHIVED",
}


@dataclass(frozen=True)
class Snapshot:
    """``seen_agent_state`` is what its events told; the info of a V0 conversation does not tell it."""

    info: m.ConversationInfo | m.AppConversation
    seen_agent_state: str | None = None

    @property
    def id(self) -> str:
        return self.info.id if isinstance(self.info, m.AppConversation) else self.info.conversation_id

    @property
    def version(self) -> Generation:
        if isinstance(self.info, m.AppConversation):
            return "v1"
        return "v1" if self.info.conversation_version == "V1" else "v0"  # the V0 list shows both

    @property
    def title(self) -> str | None:
        return self.info.title

    @property
    def status(self) -> m.ConversationStatus:
        """V1 conversations are as alive as their sandbox."""
        if isinstance(self.info, m.AppConversation):
            sandbox = str(self.info.sandbox_status)
            return m.ConversationStatus(STATUS_OF_SANDBOX.get(sandbox, sandbox))
        return self.info.status

    @property
    def agent_state(self) -> str | None:
        if self.seen_agent_state is None and isinstance(self.info, m.AppConversation):
            return self.info.execution_status
        return self.seen_agent_state

    def with_agent_state(self, state: str) -> Snapshot:
        """The same conversation, with its agent seen in another state."""
        return replace(self, seen_agent_state=state)


# Creating


def create(session: Session, order: NewConversation, api: str | None, patience: Patience) -> Flow[Snapshot]:
    """Start a conversation and wait until it can be talked to."""
    with in_time(patience.deadline):
        placed = yield from _place(session.within(patience.deadline), order, api, order_with_stages)
    started = (yield from follow(placed, patience)) if isinstance(placed, Stages) else placed
    return (yield from finish(session, order, started, patience))


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
                return (yield from _order_v0(session, order))
            placed = yield from order_v1(session, order.v1_body())
        except OpenHandsError as failure:
            if not route_is_missing(failure):
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
) -> Flow[Snapshot]:
    """Wait for what ``begin`` began, and do what the server does not do at the start."""
    if isinstance(started, str):
        snapshot = yield from _v0_until_running(session, started, patience)
        if order.title_before_message:
            yield from rename(session, snapshot, order.title or "")
            yield from _send_v0(session, snapshot, order.message or "", order.image_urls)
            snapshot = yield from refresh(session, snapshot)
    else:
        task = yield from wait_for(session, started, patience)
        if task.app_conversation_id is None:
            raise StartTaskError("the start task is READY but names no conversation", task=task)
        snapshot = yield from get_v1(session, task.app_conversation_id)
        if order.has_message and not order.run:
            yield from send(session, snapshot, order.message or "", order.image_urls, run=False)
    if order.title is not None and snapshot.title != order.title.strip():
        yield from rename(session, snapshot, order.title)
        snapshot = yield from refresh(session, snapshot)
    return snapshot


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


def _order_v0(session: Session, order: NewConversation) -> Flow[str]:
    response = yield from call(session, ops.CREATE_CONVERSATION, body=order.v0_body())
    session.offers.v0 = True
    return response.conversation_id


def _v0_until_running(session: Session, conversation_id: str, patience: Patience) -> Flow[Snapshot]:
    session = session.within(patience.deadline)
    turn = 0
    while True:
        with in_time(patience.deadline):
            snapshot = yield from get_v0(session, conversation_id)
        yield from patience.progress.report(snapshot)
        if snapshot.status == "RUNNING":
            return snapshot
        if snapshot.status != "STARTING":
            raise StartTaskError(f"conversation {conversation_id} is {snapshot.status} instead of RUNNING")
        yield from patience.pause(turn)
        turn += 1
        if patience.deadline.passed:
            raise StartTaskTimeout(f"conversation {conversation_id} is still {snapshot.status}")


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


def get_v1(session: Session, conversation_id: str) -> Flow[Snapshot]:
    return Snapshot((yield from _find_v1(session, conversation_id)))


def _find_v1(session: Session, conversation_id: str) -> Flow[m.AppConversation]:
    found = yield from get_one(session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", conversation_id)
    session.offers.v1 = True
    if found is None:
        raise NotFoundError(f"there is no conversation {conversation_id}")
    return found


def get_v0(session: Session, conversation_id: str) -> Flow[Snapshot]:
    return Snapshot(
        (yield from call(session, ops.GET_CONVERSATION, path={"conversation_id": conversation_id}))
    )


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
    """Send a message as the user. A V0 conversation whose agent loop is not running is started first."""
    if snapshot.version == "v1":
        message = user_message(text, image_urls, run=run)
        yield from on_agent(session, snapshot, ops.AGENT_SEND_EVENT, body=message)
        return
    if not run:
        raise UnsupportedOperationError("a V0 conversation cannot take a message without running its agent")
    try:
        yield from _send_v0(session, snapshot, text, image_urls)
    except (ConflictError, ServerError) as failure:
        # Servers say 409 or 500 when the agent loop is down; a gateway's 502 or 504 leaves it open.
        if failure.status_code > 500 or (yield from get_v0(session, snapshot.id)).status == "RUNNING":
            raise
        logger.info("conversation %s is not running (%s): starting it", snapshot.id, failure)
        yield from start(session, snapshot, Patience(Deadline.after(session.clock, START_TIMEOUT)))
        yield from _send_v0(session, snapshot, text, image_urls)


def _send_v0(session: Session, snapshot: Snapshot, text: str, image_urls: Sequence[str] | None) -> Flow[None]:
    if image_urls:
        arguments = {"content": text, "image_urls": list(image_urls), "file_urls": []}
        body: dict[str, Any] = {"action": "message", "args": arguments}
        yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_EVENT, body=body)
    else:
        yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_MESSAGE, body={"message": text})


def confirm(session: Session, snapshot: Snapshot, accept: bool, reason: str | None) -> Flow[None]:
    """Answer an action that waits for confirmation."""
    if snapshot.version == "v0":
        state = "user_confirmed" if accept else "user_rejected"
        yield from _change_agent_state(session, snapshot, state)
        return
    body = m.ConfirmationResponseRequest(accept=accept, reason=reason)
    try:
        yield from on_agent(session, snapshot, ops.AGENT_RESPOND_TO_CONFIRMATION, body=body)
    except APITimeoutError as failure:
        if not failure.request_sent:
            raise
        # One server line answers only when the run that follows is over. Taken is taken.
        info = yield from on_agent(session, snapshot, ops.AGENT_GET_CONVERSATION)
        if info.execution_status == "waiting_for_confirmation":
            raise


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
        raise _no_agent(snapshot)
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
        snapshot = yield from refresh(session, snapshot)
    return snapshot


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
    newer, older = ops.DELETE_APP_CONVERSATION, ops.DELETE_CONVERSATION
    variants: list[Variant[Any]] = [Variant(older, lambda: call(session, older, path=path))]
    if _looks_like_a_uuid(conversation_id):
        variants.insert(0, Variant(newer, lambda: call(session, newer, path=path)))
    try:
        return (yield from first_known(session, session.endpoint, *variants)) is not False
    except NotFoundError:
        return False


def _run(session: Session, snapshot: Snapshot) -> Flow[None]:
    try:
        yield from on_agent(
            session, snapshot, ops.AGENT_RUN_CONVERSATION, body={}, timeout=RUN_ANSWER_TIMEOUT
        )
    except APITimeoutError as failure:
        if not failure.request_sent:
            raise
        logger.debug("/run has not answered yet: this server line answers when the run is over")
    except ConflictError:
        logger.debug("the agent of %s is running already", snapshot.id)


def _change_agent_state(session: Session, snapshot: Snapshot, state: str) -> Flow[None]:
    body = {"action": "change_agent_state", "args": {"agent_state": state}}
    yield from on_runtime(session, snapshot, ops.ADD_CONVERSATION_EVENT, body=body)


def _v1_until_running(session: Session, conversation_id: str, patience: Patience) -> Flow[Snapshot]:
    session = session.within(patience.deadline)
    turn = 0
    while True:
        with in_time(patience.deadline):
            snapshot = yield from get_v1(session, conversation_id)
        if find_agent(session, snapshot) is not None:
            return snapshot
        if snapshot.status in ("ERROR", "ARCHIVED"):
            raise _no_agent(snapshot)
        yield from patience.pause(turn)
        turn += 1
        if patience.deadline.passed:
            raise StartTaskTimeout(f"the sandbox of conversation {conversation_id} did not come up in time")


def _sandbox_of(session: Session, snapshot: Snapshot) -> Flow[str]:
    info = snapshot.info
    return (
        info.sandbox_id
        if isinstance(info, m.AppConversation)
        else (yield from _find_v1(session, snapshot.id)).sandbox_id
    )


# The runtime of a V0 conversation


def on_runtime(
    session: Session,
    snapshot: Snapshot,
    operation: Operation[T],
    *,
    query: Query | None = None,
    body: JsonBody | None = None,
    files: Sequence[FilePart] = (),
) -> Flow[T]:
    """Perform an operation where the conversation lives: on the app server, or on a runtime of its own."""
    return (
        yield from call(
            session,
            operation,
            endpoint=find_runtime(session, snapshot),
            path={"conversation_id": snapshot.id},
            query=query,
            body=body,
            files=files,
        )
    )


def find_runtime(session: Session, snapshot: Snapshot) -> Endpoint:
    """Where a V0 conversation lives. Raises UnsafeURLError."""
    info = snapshot.info
    if isinstance(info, m.AppConversation) or not info.url or info.url.startswith("/"):
        return session.endpoint
    return session.endpoint.nested(info.url, info.conversation_id, info.session_api_key)


# The agent server of a V1 conversation


def on_agent(
    session: Session,
    snapshot: Snapshot,
    operation: Operation[T],
    *,
    body: JsonBody | None = None,
    timeout: float | None = None,
) -> Flow[T]:
    """Perform an operation on the conversation's agent server. Raises ConflictError when none runs."""
    path = {"conversation_id": snapshot.id}
    return (
        yield from with_agent(
            session,
            snapshot,
            lambda agent: call(session, operation, endpoint=agent, path=path, body=body, timeout=timeout),
        )
    )


def with_agent(session: Session, snapshot: Snapshot, action: Callable[[Endpoint], Flow[T]]) -> Flow[T]:
    """Do something at the conversation's agent server.

    Its address and key change when the sandbox is restarted; then they are looked up, and used, once more.
    Raises ConflictError when no agent server runs.
    """
    endpoint = find_agent(session, snapshot)
    if endpoint is not None:
        try:
            return (yield from action(endpoint))
        except (AuthenticationError, APIConnectionError) as failure:
            if isinstance(failure, APIConnectionError) and failure.request_sent:
                raise
            logger.info("the agent server of %s is not what it was: %s", snapshot.id, failure)
    fresh = yield from get_v1(session, snapshot.id)
    endpoint = find_agent(session, fresh)
    if endpoint is None:
        raise _no_agent(fresh)
    return (yield from action(endpoint))


def find_agent(session: Session, snapshot: Snapshot) -> Endpoint | None:
    """The agent server's endpoint, if the snapshot names one. Raises UnsafeURLError."""
    info = snapshot.info
    url = info.conversation_url if isinstance(info, m.AppConversation) else info.url
    return session.endpoint.agent(url, info.session_api_key) if url else None


def _no_agent(snapshot: Snapshot) -> ConflictError:
    return ConflictError(
        f"conversation {snapshot.id} is {snapshot.status}, so it has no agent server now"
        + (". start() brings it back" if snapshot.status == "STOPPED" else "")
    )


def _looks_like_a_uuid(conversation_id: str) -> bool:
    try:
        uuid.UUID(conversation_id)
    except ValueError:
        return False
    return True
