"""What an agent server does: the conversations of a sandbox, their agents and their events.

One object plays the agent servers of all sandboxes; whoever asks has shown by its key which one it means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

from openhands_reference_server.domain import paging, v1, v1_events
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import (
    AlreadyRunning,
    ConversationIdTaken,
    ConversationNotFound,
    EventNotFound,
    ForkSourceEvent,
    ServerClosing,
    UserRoleExpected,
)
from openhands_reference_server.domain.event_log import EventFilter
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.domain.times import zoneless
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.world.broadcast import Subscription
from openhands_reference_server.world.core import Core, conversation_topic
from openhands_reference_server.world.sandboxes import Sandboxes

DELETED = "the conversation was deleted"
_PATIENCE = 0.5

StillThere = Callable[[], bool]
"""Says whether somebody still waits for the answer."""


class AgentSide:
    """The agent servers of one world.

    Args:
        core: the world's state.
        sandboxes: where the conversations live.
    """

    def __init__(self, core: Core, sandboxes: Sandboxes) -> None:
        self._core = core
        self._sandboxes = sandboxes

    # -- conversations ------------------------------------------------------------------------------

    def start_conversation(self, sandbox_id: str, request: Mapping[str, Any]) -> tuple[V1Conversation, bool]:
        """A conversation with a described agent, and whether it is new.

        Raises:
            SandboxPaused: the sandbox is frozen.
            ConversationIdTaken: the id belongs to a conversation elsewhere.
        """
        with self._core.lock:
            self._sandboxes.check_running(sandbox_id)
            wanted = request.get("conversation_id")
            known = None if wanted is None else self._core.conversations.get(canonical(wanted))
            if isinstance(known, V1Conversation) and known.sandbox_id == sandbox_id:
                return known, False
            if known is not None:
                raise ConversationIdTaken(str(wanted))
            identifier = self._core.new_conversation_id() if wanted is None else canonical(wanted)
            details = {**v1.details(request), "id": identifier, "sandbox_id": sandbox_id}
            with self._core.changing_v1(None) as changes:
                v1.create(changes, details)
                v1.update_secrets(changes, request.get("secrets") or {})
                v1.take_initial_message(
                    changes,
                    request.get("initial_message"),
                    always_runs=self._core.dialect.initial_message_always_runs,
                )
            return changes.state, True

    def batch_get(self, sandbox_id: str, ids: Iterable[str]) -> list[V1Conversation | None]:
        """Conversations of a sandbox by id, None where it has none."""
        with self._core.lock:
            found = {one.id: one for one in self._core.conversations_in(sandbox_id)}
            return [found.get(canonical(one)) for one in ids]

    def search(
        self, sandbox_id: str, *, status: str | None, sort_order: str, page_id: str | None, limit: int
    ) -> tuple[list[V1Conversation], str | None]:
        """A page of the conversations of a sandbox, and the id of the next one.

        Raises:
            UnknownPage: the page id is not from here.
        """
        by_update, newest_first = sort_order.startswith("UPDATED_AT"), sort_order.endswith("_DESC")

        def key(one: V1Conversation) -> Key:
            return (one.updated_at if by_update else one.created_at, one.id)

        cursor = None if page_id is None else paging.decode(page_id)
        found = sorted(self._with_status(sandbox_id, status), key=key, reverse=newest_first)
        page, last = paging.take(paging.after(found, cursor, key, newest_first=newest_first), limit, key)
        return page, last and paging.encode(last)

    def count(self, sandbox_id: str, *, status: str | None) -> int:
        """How many conversations a search would find."""
        return len(self._with_status(sandbox_id, status))

    def _with_status(self, sandbox_id: str, status: str | None) -> list[V1Conversation]:
        with self._core.lock:
            return [
                one
                for one in self._core.conversations_in(sandbox_id)
                if status is None or one.execution_status == status
            ]

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation with its sub-conversations; the sandbox stays."""
        with self._core.lock:
            self._core.remove_tree(self._core.v1(conversation_id), DELETED)

    def conversation(self, sandbox_id: str, conversation_id: str) -> V1Conversation:
        """A conversation as the agent server of this sandbox sees it.

        Raises:
            SandboxPaused: the sandbox is frozen.
            ConversationNotFound: this sandbox has no such conversation.
        """
        with self._core.lock:
            self._sandboxes.check_running(sandbox_id)
            conversation = self._core.v1(conversation_id)
            if conversation.sandbox_id != sandbox_id:
                raise ConversationNotFound(conversation_id)
            return conversation

    # -- what is asked of an agent ------------------------------------------------------------------

    def change(self, conversation_id: str, decide: Callable[[v1.Writing], None]) -> None:
        """Let the domain decide something about a conversation, and make it true."""
        with self._core.lock, self._core.changing_v1(self._core.v1(conversation_id)) as changes:
            decide(changes)

    def condense(self, conversation_id: str) -> None:
        """Put a summary in the place of what was said so far."""
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            with self._core.changing_v1(conversation) as changes:
                v1.condense(changes, self._core.log(conversation.id).events)

    def suggested_title(self, conversation_id: str, longest: int) -> str:
        """A title of at most so many characters; the conversation does not take it."""
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            return v1.suggested_title(conversation, self._core.log(conversation.id).events, longest)

    def trajectory(self, conversation_id: str) -> tuple[dict[str, Any], list[Event]]:
        """The whole state of a conversation, and all its events."""
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            return v1.full_state(conversation), list(self._core.log(conversation.id).events)

    def send_message(
        self, conversation_id: str, items: list[dict[str, Any]], *, role: str, run: bool
    ) -> None:
        """A message to the agent, of the user unless it says otherwise.

        Raises:
            UserRoleExpected: it does, and this server takes messages of the user only.
        """
        if role != "user" and self._core.dialect.user_messages_only:
            raise UserRoleExpected
        with self._core.lock, self._core.changing_v1(self._core.v1(conversation_id)) as changes:
            v1.send_message(changes, items, role=role, run=run)

    def run(self, conversation_id: str, still_there: StillThere = lambda: True) -> None:
        """Let the agent go on, and wait until it rests; some servers do not wait, and run nothing twice.

        Raises:
            AlreadyRunning: it runs already, and this is such a server.
            ServerClosing: the server ends before the run does.
        """
        waits = self._core.dialect.run_waits
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            if conversation.working and not waits:
                raise AlreadyRunning
            self._publish_full_state(conversation.id)
            with self._core.changing_v1(conversation) as changes:
                v1.start_run(changes)
            if waits:
                self._wait_for_rest(conversation.id, still_there)

    def cut_short(self, conversation_id: str) -> None:
        """Hold the agent in the middle of a step."""
        self.change(conversation_id, v1.cut_short)

    def fork(self, conversation_id: str, request: Mapping[str, Any]) -> V1Conversation:
        """A copy of a conversation in the same sandbox.

        Raises:
            ConversationIdTaken: the id it is to have is that of another.
            ForkSourceEvent: it is to end with an event that does not exist.
        """
        with self._core.lock:
            source, wanted = self._core.v1(conversation_id), request.get("id")
            if wanted is not None and self._core.conversations.get(canonical(wanted)) is not None:
                raise ConversationIdTaken(wanted)
            last = request.get("from_event_id")
            with self._core.changing_v1(None) as changes:
                v1.fork(
                    changes,
                    source,
                    self._events_up_to(source.id, last),
                    conversation_id=self._core.new_conversation_id() if wanted is None else canonical(wanted),
                    from_event_id=last,
                    reset_metrics=request.get("reset_metrics", True),
                    title=(request.get("title") or "").strip() or None,
                    tags=source.tags if request.get("tags") is None else request["tags"],
                )
            return changes.state

    def _events_up_to(self, conversation_id: str, last: str | None) -> list[Event]:
        log = self._core.log(conversation_id)
        if last is None:
            return list(log.events)
        try:
            return log.events[: log.events.index(log.get(last)) + 1]
        except EventNotFound as error:
            raise ForkSourceEvent(last) from error

    def final_response(self, conversation_id: str) -> str:
        """What the agent said at its end; empty before that."""
        with self._core.lock:
            return v1.final_response(self._core.log(self._core.v1(conversation_id).id).events)

    def pause(self, conversation_id: str) -> None:
        """Hold the agent."""
        with self._core.lock:
            with self._core.changing_v1(self._core.v1(conversation_id)) as changes:
                v1.pause(changes)
            self._publish_full_state(changes.state.id)

    def confirm(
        self, conversation_id: str, *, accept: bool, reason: str, still_there: StillThere = lambda: True
    ) -> None:
        """Answer the agent's question; when accepted, wait until the agent rests again.

        Raises:
            ServerClosing: the server ends before the run does.
        """
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            asked = conversation.execution_status == v1.WAITING
            with self._core.changing_v1(conversation) as changes:
                v1.confirm(changes, accept=accept, reason=reason)
            if accept and asked and self._core.dialect.run_waits:
                self._wait_for_rest(conversation.id, still_there)

    # -- events -------------------------------------------------------------------------------------

    def watch(
        self, conversation_id: str, *, resend: EventFilter | None, notify: Callable[[], None]
    ) -> tuple[list[Event], Subscription]:
        """Listen to a V1 conversation: what to show first, and everything that follows it without a gap.

        Args:
            conversation_id: the conversation.
            resend: which of the stored events to show; None shows none.
            notify: called when there is news.
        """
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            first = [self.full_state(conversation)]
            if resend is not None:
                first += filter(resend, self._core.log(conversation.id).events)
            return first, self._core.broadcast.subscribe(conversation_topic(conversation.id), notify=notify)

    def unwatch(self, conversation_id: str, subscription: Subscription) -> None:
        """Listen no more."""
        self._core.broadcast.unsubscribe(conversation_topic(canonical(conversation_id)), subscription)

    def search_events(
        self, conversation_id: str, keep: EventFilter, *, page_id: str | None, limit: int, newest_first: bool
    ) -> tuple[list[Event], str | None]:
        """A page of a V1 conversation's events, and the id of the first event of the next page.

        Raises:
            UnknownPage: the page id is no event of the conversation.
        """
        with self._core.lock:
            log = self._core.log(self._core.v1(conversation_id).id)
            return log.search(keep, page_id=page_id, limit=limit, newest_first=newest_first)

    def count_events(self, conversation_id: str, keep: EventFilter) -> int:
        """How many events a search would find."""
        with self._core.lock:
            return self._core.log(self._core.v1(conversation_id).id).count(keep)

    def event(self, conversation_id: str, event_id: str) -> Event:
        """One event of a V1 conversation.

        Raises:
            EventNotFound: it has no such event.
        """
        with self._core.lock:
            return self._core.log(self._core.v1(conversation_id).id).get(event_id)

    def batch_get_events(self, conversation_id: str, ids: Iterable[str]) -> list[Event | None]:
        """Events of a V1 conversation by id, None where there is none.

        Raises:
            EventNotFound: there is one missing, and this server wants to know them all.
        """
        with self._core.lock:
            log = self._core.log(self._core.v1(conversation_id).id)
            if self._core.dialect.batches_want_known_events:
                return [log.get(one) for one in ids]
            return log.batch_get(ids)

    def full_state(self, conversation: V1Conversation) -> Event:
        """The event that shows the whole state; never stored."""
        now = zoneless(self._core.clock.now())
        identity = {"kind": "ConversationStateUpdateEvent", "id": str(uuid4()), "timestamp": now}
        return {**identity, **v1_events.state_update("full_state", v1.full_state(conversation))}

    def _publish_full_state(self, conversation_id: str) -> None:
        self._core.publish(conversation_id, self.full_state(self._core.v1(conversation_id)))

    def _wait_for_rest(self, conversation_id: str, still_there: StillThere) -> None:
        """Wait, letting go of the lock, until the agent has no next step; then show the state."""
        while self._is_busy(conversation_id) and still_there():
            if self._core.closed:
                raise ServerClosing
            self._core.changed.wait(_PATIENCE)
        if isinstance(self._core.conversations.get(conversation_id), V1Conversation):
            self._publish_full_state(conversation_id)

    def _is_busy(self, conversation_id: str) -> bool:
        conversation = self._core.conversations.get(conversation_id)
        return (
            isinstance(conversation, V1Conversation)
            and conversation.working
            and self._is_reachable(conversation)
        )

    def _is_reachable(self, conversation: V1Conversation) -> bool:
        home = self._core.sandboxes.get(conversation.sandbox_id)
        return home is not None and home.running
