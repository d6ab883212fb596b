"""What all use cases share: the state of the world, one lock, and the way a decision becomes true.

The lock policy: every change (decide, store, replace the state, publish) happens under one re-entrant
lock, so records, states and broadcasts have one order. Nobody waits under it for anything but the
disk; waiting for a run, a task or a socket is done on `changed`, which lets go of it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain import conversations, sandbox, start_task, v0, v1
from openhands_reference_server.domain.changes import Changes, Event, Fold, Record, State
from openhands_reference_server.domain.conversations import Conversation
from openhands_reference_server.domain.errors import ConversationNotFound, SandboxNotFound, ServerClosing
from openhands_reference_server.domain.event_log import EventLog
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.sandbox import Sandbox
from openhands_reference_server.domain.script import AgentScript, Script
from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.domain.times import parse
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.storage import Kind, Store
from openhands_reference_server.world.broadcast import Broadcast, InProcessBroadcast
from openhands_reference_server.world.registry import Registry
from openhands_reference_server.world.scheduler import Clock, Scheduler

_TICK = timedelta(microseconds=1)


def conversation_topic(conversation_id: str) -> str:
    """Where the events of a conversation are published."""
    return f"conversation/{conversation_id}"


def start_task_topic(task_id: str) -> str:
    """Where the states of a start task are published."""
    return f"start-task/{task_id}"


class Core:
    """The state of one world.

    Attributes:
        lock: held during every change; see the module.
        changed: notified after every change.
        script: what starts and agents do. It may be replaced: what has begun goes on as it began.
        dialect: which server line the world plays.
        attend: called after every change of a conversation; set by `agents.Agents`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        broadcast: Broadcast | None = None,
        script: Script | None = None,
        dialect: Dialect = DOCS,
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.clock = clock
        self.dialect = dialect
        self.broadcast = broadcast or InProcessBroadcast()
        self.script = script or AgentScript()
        self.scheduler = Scheduler(clock)
        self.conversations: Registry[Conversation] = Registry(
            store, Kind.CONVERSATION, conversations.fold, conversations.from_json
        )
        self.sandboxes: Registry[Sandbox] = Registry(store, Kind.SANDBOX, sandbox.fold, sandbox.from_json)
        self.start_tasks: Registry[StartTask] = Registry(
            store, Kind.START_TASK, start_task.fold, start_task.from_json
        )
        self.attend: Callable[[str], None] = lambda conversation_id: None
        self.closed = False
        self._closing = threading.Lock()
        self._ended = False
        self._store = store
        self._logs: dict[str, EventLog] = {}
        self._children: dict[str, list[str]] = defaultdict(list)
        self._last_stamp = clock.now() - _TICK

    def load(self) -> None:
        """Take up what the store has."""
        for registry in (self.conversations, self.sandboxes, self.start_tasks):
            registry.load()
        for conversation in self.conversations:
            self._last_stamp = max(self._last_stamp, parse(conversation.updated_at))
            if isinstance(conversation, V1Conversation) and conversation.parent_conversation_id:
                self._children[conversation.parent_conversation_id].append(conversation.id)

    def close(self) -> None:
        """End everything that waits, save snapshots, let go of the store.

        Returns when all this is done, whoever did it.
        """
        with self._closing:
            if self._ended:
                return
            with self.lock:
                self.closed = True
                self.changed.notify_all()
            self.broadcast.close()
            self.scheduler.close()
            with self.lock:
                for registry in (self.conversations, self.sandboxes, self.start_tasks):
                    registry.save_snapshots()
                self._store.close()
            self._ended = True

    # -- times and ids ------------------------------------------------------------------------------

    def stamp(self) -> datetime:
        """The present time, but later than any stamp before: the order of stamps is the order of events."""
        self._last_stamp = max(self.clock.now(), self._last_stamp + _TICK)
        return self._last_stamp

    def new_conversation_id(self) -> str:
        """An id no conversation has."""
        while self.conversations.get(made := uuid4().hex) is not None:
            continue
        return made

    # -- looking up ---------------------------------------------------------------------------------

    def conversation(self, conversation_id: str) -> Conversation:
        """A conversation of either generation, by its id in any spelling.

        Raises:
            ConversationNotFound: there is none.
        """
        found = self.conversations.get(canonical(conversation_id))
        if found is None:
            raise ConversationNotFound(conversation_id)
        return found

    def v0(self, conversation_id: str) -> V0Conversation:
        """A V0 conversation.

        Raises:
            ConversationNotFound: there is none of this generation.
        """
        found = self.conversation(conversation_id)
        if not isinstance(found, V0Conversation):
            raise ConversationNotFound(conversation_id)
        return found

    def v1(self, conversation_id: str) -> V1Conversation:
        """A V1 conversation.

        Raises:
            ConversationNotFound: there is none of this generation.
        """
        found = self.conversation(conversation_id)
        if not isinstance(found, V1Conversation):
            raise ConversationNotFound(conversation_id)
        return found

    def sandbox(self, sandbox_id: str) -> Sandbox:
        """A sandbox.

        Raises:
            SandboxNotFound: there is none.
        """
        found = self.sandboxes.get(sandbox_id)
        if found is None:
            raise SandboxNotFound(sandbox_id)
        return found

    def conversations_in(self, sandbox_id: str) -> list[V1Conversation]:
        """All conversations of a sandbox."""
        return [
            one
            for one in self.conversations
            if isinstance(one, V1Conversation) and one.sandbox_id == sandbox_id
        ]

    def children_of(self, conversation_id: str) -> list[str]:
        """The ids of the sub-conversations, oldest first."""
        return list(self._children.get(conversation_id, ()))

    def log(self, conversation_id: str) -> EventLog:
        """The events of a conversation; read from the store when they are first asked for."""
        log = self._logs.get(conversation_id)
        if log is None:
            log = self._logs[conversation_id] = EventLog(self._store.read(Kind.CONVERSATION, conversation_id))
        return log

    def records(self, conversation_id: str) -> Iterable[Record]:
        """The whole log of a conversation, oldest first."""
        return self._store.read(Kind.CONVERSATION, conversation_id)

    # -- changing -----------------------------------------------------------------------------------

    @contextmanager
    def changing_v0(self, state: V0Conversation | None) -> Iterator[Changes[V0Conversation]]:
        """Collect a decision about a V0 conversation; it becomes true when the block ends."""
        changes = self._changes(state, v0.fold)
        yield changes
        self._commit_conversation(changes)

    @contextmanager
    def changing_v1(self, state: V1Conversation | None) -> Iterator[Changes[V1Conversation]]:
        """Collect a decision about a V1 conversation; it becomes true when the block ends."""
        changes = self._changes(state, v1.fold)
        yield changes
        self._commit_conversation(changes)

    @contextmanager
    def changing_sandbox(self, state: Sandbox | None) -> Iterator[Changes[Sandbox]]:
        """Collect a decision about a sandbox; it becomes true when the block ends."""
        changes = self._changes(state, sandbox.fold)
        yield changes
        if changes.records:
            self.sandboxes.commit(changes.state.id, changes.records, changes.state)
            self.changed.notify_all()

    @contextmanager
    def changing_task(self, state: StartTask | None) -> Iterator[Changes[StartTask]]:
        """Collect a decision about a start task; it becomes true when the block ends."""
        changes = self._changes(state, start_task.fold)
        yield changes
        if changes.records:
            task = changes.state
            self.start_tasks.commit(task.id, changes.records, task)
            if task.ended:
                self.start_tasks.save_snapshot(task.id)
            self.broadcast.publish(start_task_topic(task.id), task)
            self.changed.notify_all()

    def new_id(self) -> UUID:
        """A random UUID."""
        return uuid4()

    def _changes(self, state: State | None, fold: Fold[State]) -> Changes[State]:
        if self.closed:
            raise ServerClosing
        return Changes(state, fold=fold, now=self.stamp, new_id=self.new_id)

    def remove_conversation(self, conversation: Conversation, reason: str) -> None:
        """Delete a conversation; those who listen to it are told why."""
        self.conversations.remove(conversation.id)
        self._logs.pop(conversation.id, None)
        self._children.pop(conversation.id, None)
        if isinstance(conversation, V1Conversation) and conversation.parent_conversation_id:
            siblings = self._children.get(conversation.parent_conversation_id, [])
            if conversation.id in siblings:
                siblings.remove(conversation.id)
        self.broadcast.close_topic(conversation_topic(conversation.id), reason)
        self.attend(conversation.id)
        self.changed.notify_all()

    def remove_tree(self, conversation: Conversation, reason: str) -> None:
        """Delete a conversation with its sub-conversations."""
        for child in self.children_of(conversation.id):
            self.remove_tree(self.conversation(child), reason)
        self.remove_conversation(conversation, reason)

    def publish(self, conversation_id: str, event: Event) -> None:
        """Show an event (V0: a record) to those who listen, without storing it."""
        self.broadcast.publish(conversation_topic(conversation_id), event)

    def _commit_conversation(self, changes: Changes[Any]) -> None:
        if not changes.records:
            return
        state: Conversation = changes.state
        new = self.conversations.get(state.id) is None
        self.conversations.commit(state.id, changes.records, state)
        if new:
            self._logs[state.id] = EventLog()
            if isinstance(state, V1Conversation) and state.parent_conversation_id:
                self._children[state.parent_conversation_id].append(state.id)
        log = self._logs.get(state.id)
        if log is not None:
            log.extend(changes.records)
        if not state.working:
            self.conversations.save_snapshot(state.id)
        for record in changes.records:
            if isinstance(state, V0Conversation):
                self.publish(state.id, record)  # V0 clients hear about more than events
            elif record["record"] == "event":
                self.publish(state.id, record["event"])
        self.attend(state.id)
        self.changed.notify_all()
