"""Events of one conversation: history, then live; each once, in order; until the agent rests or for ever.

V1: subscribe first, then read the log over REST, so that nothing falls between; what the socket repeats is
dropped by id. When the socket says that the agent came to rest, the log is read once more: a status can
overtake the events that led to it, and is handed out only after them. When asked, the server says what the
agent does now; then, too, the log is read after that.

V0: the log is read from the last id on, whenever the socket says that there is something new.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import quote, urlencode

import pydantic

from openhands_client import models as m
from openhands_client.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    NotFoundError,
    OpenHandsError,
    ServerError,
    StreamError,
)

from . import operations as ops
from . import socketio
from .auth import Endpoint
from .batching import get_one
from .commands import Flow, Socket, SocketClosed, SocketRefused, close, connect, emit, receive, sleep
from .operation import check_id
from .pipeline import call
from .resting import V0_REST, V1_REST, Resting
from .session import Session
from .timing import Backoff, Deadline

Until: TypeAlias = Literal["rest", "forever"]

logger = logging.getLogger("openhands_client")

HANDSHAKE_TIMEOUT = 10.0
FIRST_FRAME_TIMEOUT = 5.0
SETTLE = 2.0  # how long an agent that got a message may take to show that it woke up
SILENCE = 20.0  # without a frame for so long, the log is read in case one was lost
PAGE = 100  # the most that every server accepts
RECONNECTS = 6  # in a row, without news
LASTING = 10.0  # a connection that held for so many seconds did not fail
RECONNECT = Backoff(first=0.2, factor=2.0, longest=10.0)
V0_POLL = Backoff(first=0.1, factor=1.5, longest=1.0)
V0_LOOK_EVERY = 5  # polls without news after which the conversation's status is asked for
CLOSED_UNAUTHENTICATED, CLOSED_UNKNOWN = 4001, 4004


@dataclass
class V1Stream:
    """The events of a V1 conversation, from its agent server. ``after`` is the id of the last event known."""

    session: Session
    conversation_id: str
    endpoint: Endpoint
    after: str | None = None
    until: Until = "rest"
    deadline: Deadline = field(kw_only=True)

    def __post_init__(self) -> None:
        check_id("conversation_id", self.conversation_id)
        self.session = self.session.within(self.deadline)
        self._resting = Resting(V1_REST)
        self._seen: set[str] = set() if self.after is None else {self.after}
        self._checkpoint = self.after  # the log was read without a gap up to here
        self._socket: Socket | None = None
        self._connected_at = 0.0
        self._failures = 0

    def history(self) -> Flow[None]:
        """Emit what is stored, and end."""
        try:
            yield from self._catch_up()
        except APITimeoutError as silence:
            yield from self._ask_for_the_sandbox(silence)
            raise

    def run(self) -> Flow[str]:
        """Emit events; return the state in which the agent came to rest.

        Raises StreamError when reconnecting does not help, APITimeoutError at the deadline.
        """
        while True:
            try:
                if (yield from self._follow()):
                    return self._resting.state or "unknown"
            except _TROUBLES as failure:
                yield from self._recover(failure)
            if self.deadline.passed:
                raise APITimeoutError("the agent did not come to rest in time")

    def _follow(self) -> Flow[bool]:
        """One connection, from the handshake to the agent's rest (true) or the deadline (false)."""
        socket = yield from connect(self._url(), self.deadline.cap(HANDSHAKE_TIMEOUT))
        self._socket = socket
        self._connected_at = self.session.clock()
        yield from self._hear(socket, FIRST_FRAME_TIMEOUT, first=True)  # the state as it is now
        yield from self._catch_up()
        while not self.deadline.passed:
            if self.until == "rest" and self._resting.at_rest:
                return True
            heard = yield from self._hear(socket, SETTLE if self._resting.pending else SILENCE)
            if not heard and not self.deadline.passed:
                yield from self._look()
        return False

    def _hear(self, socket: Socket, timeout: float, *, first: bool = False) -> Flow[bool]:
        """Handle one frame; false when there was none in time.

        Whatever says that the agent rests, the events that led there may still be on their way.
        """
        frame = yield from receive(socket, self.deadline.cap(timeout))
        if frame is None:
            return False
        try:
            event = m.parse_event(frame)
        except pydantic.ValidationError:
            logger.warning("skipped a frame that is no event (%d characters)", len(frame))
            return True
        if isinstance(event, m.ConversationStateUpdateEvent) and event.key == "full_state":
            self._resting.look(event.execution_status or "unknown")  # never stored, so never handed out
            if self._resting.at_rest and not first:
                yield from self._catch_up()
        elif not self._knows(event):
            if self._resting.would_rest(event):
                yield from self._catch_up()
            yield from self._hand_out(event)
        return True

    def _catch_up(self) -> Flow[None]:
        """Read the log on from the checkpoint. Pages begin with the event that their id names."""
        page_id = self._checkpoint
        heard_too_early = False
        while True:
            page = yield from call(
                self.session,
                ops.AGENT_SEARCH_EVENTS,
                endpoint=self.endpoint,
                path={"conversation_id": self.conversation_id},
                query={"page_id": page_id, "limit": PAGE},
                settle=_not_after_silence,
            )
            for event in page.items:
                if not self._knows(event):
                    heard_too_early = True  # whatever follows and is known already
                    yield from self._hand_out(event)
                elif heard_too_early:
                    self._resting.feed(event)  # the agent's last state is the last in the log
                self._checkpoint = event.id
            page_id = page.next_page_id
            if page_id is None:
                return

    def _knows(self, event: m.AnyEvent) -> bool:
        """Whether it was handed out before. What has no id is not stored, and cannot be known again."""
        return isinstance(event.id, str) and event.id in self._seen

    def _hand_out(self, event: m.AnyEvent) -> Flow[None]:
        """Emit an event, unless reading the log has just done so."""
        if self._knows(event):
            return
        if isinstance(event.id, str) and event.id:
            self._seen.add(event.id)
        self._failures = 0
        self._resting.feed(event)
        yield from emit(event)

    def _look(self) -> Flow[None]:
        """Nothing was heard: were frames lost, or was a message stored without waking the agent?

        The log is read after the state was asked for, so that it holds all events that led there.
        """
        info = yield from call(
            self.session,
            ops.AGENT_GET_CONVERSATION,
            endpoint=self.endpoint,
            path={"conversation_id": self.conversation_id},
            settle=_not_after_silence,
        )
        self._resting.enter(info.execution_status or "unknown")
        yield from self._catch_up()

    def _recover(self, failure: Exception) -> Flow[None]:
        """Give up where the reason is final, else wait before the next connection."""
        if self._socket is not None:
            yield from close(self._socket)
            self._socket = None
            if self.session.clock() - self._connected_at >= LASTING:
                self._failures = 0
        _raise_if_unknown(failure, self.conversation_id)
        self._failures += 1
        logger.info("the event stream of %s broke: %s", self.conversation_id, failure)
        refused = self.endpoint
        yield from self._ask_for_the_sandbox(failure)
        if self.endpoint == refused:
            _raise_if_unauthenticated(failure, self.conversation_id)
        if self._failures > RECONNECTS:
            raise StreamError(
                f"the event stream broke {self._failures} times in a row, last: {failure}",
                last_event_id=self._checkpoint,
            ) from failure
        pause = self.session.jittered(RECONNECT.delay(self._failures - 1))
        yield from sleep(self.deadline.cap(pause))

    def _ask_for_the_sandbox(self, failure: Exception) -> Flow[None]:
        """It may be gone, or back at another place with another key."""
        try:
            found = yield from get_one(
                self.session, ops.BATCH_GET_APP_CONVERSATIONS, "ids", self.conversation_id
            )
        except (APIConnectionError, ServerError) as unreachable:
            logger.info("the app server cannot tell why: %s", unreachable)
            return
        if found is not None and found.conversation_url:
            self.endpoint = self.session.endpoint.agent(found.conversation_url, found.session_api_key)
            return
        state = "deleted" if found is None else f"in a sandbox that is {found.sandbox_status}"
        raise StreamError(
            f"the event stream ended: the conversation is {state}. Where it is PAUSED, start() brings it back",
            last_event_id=self._checkpoint,
        ) from failure

    def _url(self) -> str:
        query = {"resend_all": "false"}
        if self.endpoint.session_api_key:
            query["session_api_key"] = self.endpoint.session_api_key
        path = f"/sockets/events/{quote(self.conversation_id, safe='')}?{urlencode(query)}"
        return self.endpoint.socket_url(path)


@dataclass
class V0Stream:
    """The events of a V0 conversation. ``after`` is the id of the last event known.

    The socket only says that there is news; the log says what, in order and without gaps. Without the extra
    ``[socketio]``, or where the server has no socket, the log is asked again and again instead.
    """

    session: Session
    conversation_id: str
    endpoint: Endpoint
    after: int | None = None
    until: Until = "rest"
    deadline: Deadline = field(kw_only=True)

    def __post_init__(self) -> None:
        self.session = self.session.within(self.deadline)
        self._resting = Resting(V0_REST)
        self._next_id = 0 if self.after is None else self.after + 1
        self._socket: Socket | None = None
        self._listens = socketio.available()
        self._connected_at = 0.0
        self._socket_failures = 0
        self._failures = 0
        if not self._listens:
            logger.info("events are polled: the extra openhands-client[socketio] is not installed")

    def history(self) -> Flow[None]:
        """Emit what is stored, and end."""
        yield from self._read_log()

    def run(self) -> Flow[str]:
        """Emit events; return the state in which the agent came to rest.

        Raises StreamError when the server stays away, APITimeoutError at the deadline.
        """
        while True:
            try:
                if (yield from self._follow()):
                    return self._resting.state or "unknown"
            except (APIConnectionError, ServerError) as failure:
                yield from self._recover(failure)
            if self.deadline.passed:
                raise APITimeoutError("the agent did not come to rest in time")

    def _follow(self) -> Flow[bool]:
        """Read on until the agent rests (true) or the deadline (false)."""
        if self.after is not None and self._resting.state is None:
            state = yield from v0_agent_state(self.session, self.conversation_id, self.endpoint)
            self._resting.look(state or "unknown")
        quiet = 0
        while not self.deadline.passed:
            news = yield from self._read_log()
            self._failures = 0
            if self.until == "rest" and self._resting.at_rest:
                return True
            if self._listens and self._socket is None:
                yield from self._listen()
                continue  # what happened before the socket opened stands in the log
            quiet = 0 if news else quiet + 1
            if self._socket is None:
                yield from sleep(self.deadline.cap(V0_POLL.delay(quiet)))
                silent = quiet > 0 and quiet % V0_LOOK_EVERY == 0
            else:
                silent = not (yield from self._wait_for_news(self._socket))
            if silent and (yield from self._look()):
                self._resting.doubt_no_more()
        return False

    def _recover(self, failure: Exception) -> Flow[None]:
        self._failures += 1
        logger.info("the events of %s could not be read: %s", self.conversation_id, failure)
        if self._failures > RECONNECTS:
            raise StreamError(
                f"the events could not be read {self._failures} times in a row, last: {failure}",
                last_event_id=self._next_id - 1,
            ) from failure
        pause = self.session.jittered(RECONNECT.delay(self._failures - 1))
        yield from sleep(self.deadline.cap(pause))

    def _read_log(self) -> Flow[bool]:
        """Emit what is new in the log; tell whether there was anything."""
        first = self._next_id
        while True:
            page = yield from call(
                self.session,
                ops.SEARCH_CONVERSATION_EVENTS,
                endpoint=self.endpoint,
                path={"conversation_id": self.conversation_id},
                query={"start_id": self._next_id, "limit": PAGE},
            )
            fresh = [event for event in page.events if event.id >= self._next_id]
            for event in fresh:
                self._next_id = event.id + 1
                self._resting.feed(event)
                yield from emit(event)
            if not (page.has_more and fresh):
                return self._next_id > first

    def _listen(self) -> Flow[None]:
        """Open the socket, unless the conversation is stopped: that would start it."""
        if not (yield from self._look()):
            self._listens = self.until == "forever"
            if self._listens:
                yield from sleep(self.deadline.cap(V0_POLL.longest))
            return
        try:
            self._socket = yield from socketio.listen(
                self.endpoint, self.conversation_id, self._next_id - 1, HANDSHAKE_TIMEOUT, self.deadline
            )
            self._connected_at = self.session.clock()
        except (SocketClosed, SocketRefused, APIConnectionError, socketio.Refused) as failure:
            yield from self._do_without_socket(failure)

    def _wait_for_news(self, socket: Socket) -> Flow[bool]:
        """Return when the log is worth reading; false after a long silence."""
        try:
            while (event := (yield from socketio.next_event(socket, self.deadline.cap(SILENCE)))) is not None:
                event_id = event.get("id")  # of other things than events, it is text
                if isinstance(event_id, int) and event_id >= self._next_id:
                    self._socket_failures = 0
                    return True
        except (SocketClosed, socketio.Refused) as end:
            self._socket = None
            yield from close(socket)
            if self.session.clock() - self._connected_at >= LASTING:
                self._socket_failures = 0
            yield from self._do_without_socket(end)
            return True
        return False

    def _do_without_socket(self, failure: Exception) -> Flow[None]:
        """Wait before the next connection; where that does not help, the log is polled."""
        self._socket_failures += 1
        self._listens = self._socket_failures <= RECONNECTS and not isinstance(failure, socketio.Refused)
        logger.info("no event socket for conversation %s: %s", self.conversation_id, failure)
        pause = self.session.jittered(RECONNECT.delay(self._socket_failures - 1))
        yield from sleep(self.deadline.cap(pause))

    def _look(self) -> Flow[bool]:
        """Whether the agent loop runs; one that does not will say nothing more."""
        path = {"conversation_id": self.conversation_id}
        info = yield from call(self.session, ops.GET_CONVERSATION, path=path)
        if info.status not in ("STOPPED", "ERROR", "ARCHIVED"):
            return True
        yield from self._read_log()
        self._resting.enter("error" if info.status == "ERROR" else "stopped")
        return False


def v0_agent_state(session: Session, conversation_id: str, endpoint: Endpoint) -> Flow[str | None]:
    """The last agent state in the log of a V0 conversation, if one of its last events announced one."""
    page = yield from call(
        session,
        ops.SEARCH_CONVERSATION_EVENTS,
        endpoint=endpoint,
        path={"conversation_id": conversation_id},
        query={"reverse": True, "limit": PAGE},
    )
    states = (event.agent_state for event in page.events)
    return next((state for state in states if state is not None), None)


_TROUBLES = (SocketClosed, SocketRefused, APIConnectionError, AuthenticationError, ServerError)


def _not_after_silence(failure: OpenHandsError) -> Flow[None]:
    """A paused sandbox takes connections and never answers: before another try, somebody asks for it."""
    if isinstance(failure, APITimeoutError):
        raise failure
    yield from ()


def _raise_if_unknown(failure: Exception, conversation_id: str) -> None:
    refused = isinstance(failure, SocketRefused) and failure.status_code == 404
    if refused or (isinstance(failure, SocketClosed) and failure.code == CLOSED_UNKNOWN):
        raise NotFoundError(f"the agent server has no conversation {conversation_id}: {failure}") from failure


def _raise_if_unauthenticated(failure: Exception, conversation_id: str) -> None:
    if isinstance(failure, AuthenticationError):
        raise failure
    refused = isinstance(failure, SocketRefused) and failure.status_code in (401, 403)
    if refused or (isinstance(failure, SocketClosed) and failure.code == CLOSED_UNAUTHENTICATED):
        raise AuthenticationError(
            f"the agent server refused the event stream of {conversation_id}: {failure}. The session API key is wrong"
        ) from failure
