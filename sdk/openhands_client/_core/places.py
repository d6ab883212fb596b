"""Where a conversation lives, and how to perform an operation there.

A ``Snapshot`` is what the server last said of a conversation. A V0 conversation lives on the app server or on a
runtime of its own; a V1 conversation on the agent server of its sandbox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from openhands_client import models as m
from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConflictError,
    NotFoundError,
    OpenHandsError,
    OutcomeUnknownError,
)

from . import operations as ops
from .auth import Endpoint
from .batching import get_one
from .commands import FilePart, Flow
from .operation import JsonBody, Operation, Query, Repeat
from .pipeline import Settle, call
from .session import Generation, Session

T = TypeVar("T")

logger = logging.getLogger("openhands_client")

STATUS_OF_SANDBOX = {
    "STARTING": "STARTING",
    "RUNNING": "RUNNING",
    "PAUSED": "STOPPED",
    "STOPPED": "STOPPED",
    "ERROR": "ERROR",
    "MISSING": "ARCHIVED",
}


@dataclass
class Snapshot:
    """What the server last said of a conversation.

    ``seen_agent_state`` is what its events told; the info of a V0 conversation does not tell it.
    """

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

    def learn(self, fresh: Snapshot) -> None:
        """Take over what the server says now: a sandbox that was restarted has another address and key."""
        self.info = fresh.info


# Finding


def get_v1(session: Session, conversation_id: str) -> Flow[Snapshot]:
    return Snapshot((yield from find_app_conversation(session, conversation_id)))


def find_app_conversation(session: Session, conversation_id: str) -> Flow[m.AppConversation]:
    found = yield from get_one(session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", conversation_id)
    session.offers.v1 = True
    if found is None:
        raise NotFoundError(f"there is no conversation {conversation_id}")
    return found


def get_v0(session: Session, conversation_id: str) -> Flow[Snapshot]:
    return Snapshot(
        (yield from call(session, ops.GET_CONVERSATION, path={"conversation_id": conversation_id}))
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
    settle: Settle[T] | None = None,
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
            settle=settle,
        )
    )


def find_runtime(session: Session, snapshot: Snapshot) -> Endpoint:
    """Where a V0 conversation lives. Raises UnsafeURLError."""
    info = snapshot.info
    if isinstance(info, m.AppConversation) or not info.url or info.url.startswith("/"):
        return session.endpoint
    return session.endpoint.agent(info.url, info.session_api_key)


# The agent server of a V1 conversation


def on_agent(
    session: Session,
    snapshot: Snapshot,
    operation: Operation[T],
    *,
    query: Query | None = None,
    body: JsonBody | None = None,
    timeout: float | None = None,
    settle: Settle[T] | None = None,
) -> Flow[T]:
    """Perform an operation on the conversation's agent server.

    Raises ConflictError when none runs; OutcomeUnknownError when it stopped running meanwhile.
    """
    path = {"conversation_id": snapshot.id}

    def settled(failure: OpenHandsError) -> Flow[T | None]:
        if isinstance(failure, APITimeoutError):
            yield from _raise_if_paused(session, snapshot, operation, failure)
        if settle is not None:
            return (yield from settle(failure))
        if operation.repeat is not Repeat.SAFE:
            raise failure
        return None

    def act(agent: Endpoint) -> Flow[T]:
        return call(
            session,
            operation,
            endpoint=agent,
            path=path,
            query=query,
            body=body,
            timeout=timeout,
            settle=settled,
        )

    return (yield from with_agent(session, snapshot, act))


def _raise_if_paused(
    session: Session, snapshot: Snapshot, operation: Operation[T], silence: APITimeoutError
) -> Flow[None]:
    """The agent server did not answer: a paused one takes connections and never does."""
    if session.out_of_time:
        return
    try:
        fresh = yield from get_v1(session, snapshot.id)
    except OpenHandsError as trouble:
        logger.info("the app server cannot tell whether the sandbox runs: %s", trouble)
        return
    snapshot.learn(fresh)
    if find_agent(session, fresh) is not None:
        return
    if operation.repeat is Repeat.SAFE:
        raise no_agent(fresh) from silence
    raise OutcomeUnknownError(
        f"{no_agent(fresh).message}. It took the connection without an answer to {operation}, and may act on that "
        "when it runs again; nothing was repeated. history() tells what was taken",
        conversation_id=snapshot.id,
    ) from silence


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
    snapshot.learn(fresh)
    endpoint = find_agent(session, fresh)
    if endpoint is None:
        raise no_agent(fresh)
    return (yield from action(endpoint))


def find_agent(session: Session, snapshot: Snapshot) -> Endpoint | None:
    """The agent server's endpoint, if the snapshot names one. Raises UnsafeURLError."""
    info = snapshot.info
    url = info.conversation_url if isinstance(info, m.AppConversation) else info.url
    return session.endpoint.agent(url, info.session_api_key) if url else None


def no_agent(snapshot: Snapshot) -> ConflictError:
    """The error for a conversation whose sandbox does not run."""
    sandbox = ""
    if isinstance(snapshot.info, m.AppConversation):
        sandbox = f" (its sandbox is {snapshot.info.sandbox_status})"
    return ConflictError(
        f"conversation {snapshot.id} is {snapshot.status}{sandbox}, so it has no agent server now"
        + (". start() brings it back" if snapshot.status == "STOPPED" else "")
    )
