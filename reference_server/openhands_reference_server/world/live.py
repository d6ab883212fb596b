"""Those who follow V0 conversations live: what each hears, how many there are, what happens when all leave.

A follower gets the replay and everything after it, each thing once: both are taken under the world's
lock, where events are published too. When the last follower has left and `close_delay` seconds have
passed, an idle conversation is passivated: it is stopped with its history, and the next follower (or a
start) brings it back. Conversations nobody has ever followed are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from openhands_reference_server.domain import v0, v0_live, v0_rest
from openhands_reference_server.domain.errors import ConversationNotFound
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.workspace.files import UploadLimits
from openhands_reference_server.world.broadcast import Subscription
from openhands_reference_server.world.core import Core, conversation_topic
from openhands_reference_server.world.scheduler import Step

DEFAULT_CLOSE_DELAY = 15.0
DEFAULT_MAX_CONCURRENT = 3


@dataclass(frozen=True, slots=True)
class V0Options:
    """How a server treats V0 conversations.

    Attributes:
        close_delay: seconds after the last client left until an idle conversation is stopped.
        max_concurrent_conversations: how many may run at once.
        nested: each has a runtime of its own, with its own url and key.
        uploads: how much an upload may bring.
    """

    close_delay: float = DEFAULT_CLOSE_DELAY
    max_concurrent_conversations: int = DEFAULT_MAX_CONCURRENT
    nested: bool = False
    uploads: UploadLimits = field(default_factory=UploadLimits)


@dataclass(frozen=True, slots=True)
class Follower:
    """One client of one conversation.

    Attributes:
        conversation_id: whom it follows.
        first: the frames it has to hear first.
        news: the records made since.
    """

    conversation_id: str
    first: list[dict[str, Any]]
    news: Subscription

    def frames(self) -> Iterator[dict[str, Any]]:
        """All frames, as they come; ends when the conversation or the server has no more to say."""
        yield from self.first
        while True:
            records = self.news.get()
            for record in records:
                yield from v0_live.frames(self.conversation_id, record)
                if v0_live.ends_connections(record):
                    return
            if not records and self.news.closed is not None:
                return


class Live:
    """All followers of one world.

    Args:
        core: the world's state.
        start: brings up the loop of a conversation by its id; nothing happens when it runs.
        close_delay: seconds from the last follower's leaving to the passivation.
    """

    def __init__(self, core: Core, start: Callable[[str], Any], *, close_delay: float) -> None:
        self._core = core
        self._start = start
        self._close_delay = close_delay
        self._followers: Counter[str] = Counter()
        self._endings: dict[str, Step] = {}

    def connections(self, conversation_id: str) -> int:
        """How many follow a conversation."""
        return self._followers[conversation_id]

    def join(self, conversation_id: str, latest_event_id: int) -> Follower:
        """Follow a conversation from the event after this one; one that is stopped is started.

        Raises:
            ConversationNotFound: there is none of this generation.
            IllegalTransition: it has ended for good.
        """
        with self._core.lock:
            wanted = self._core.v0(conversation_id).id
            self._start(wanted)
            conversation = self._core.v0(wanted)
            ending = self._endings.pop(wanted, None)
            if ending is not None:
                ending.cancel()
            self._followers[wanted] += 1
            first = v0_live.replay(self._core.log(wanted).events, latest_event_id)
            first += v0_live.present_status(conversation.status)
            return Follower(wanted, first, self._core.broadcast.subscribe(conversation_topic(wanted)))

    def leave(self, follower: Follower) -> None:
        """Follow no more."""
        with self._core.lock:
            wanted = follower.conversation_id
            self._core.broadcast.unsubscribe(conversation_topic(wanted), follower.news)
            follower.news.close("the follower has left")
            self._followers[wanted] -= 1
            if self._followers[wanted] <= 0:
                del self._followers[wanted]
                self._end_later(wanted)

    def _end_later(self, conversation_id: str) -> None:
        found = self._core.conversations.get(conversation_id)
        if isinstance(found, V0Conversation) and found.has_loop and not self._core.closed:
            ending = self._core.scheduler.after(self._close_delay, partial(self._end, conversation_id))
            self._endings[conversation_id] = ending

    def _end(self, conversation_id: str) -> None:
        """Passivate; an agent at work is asked again after another delay."""
        with self._core.lock:
            if self._core.closed or self._endings.pop(conversation_id, None) is None:
                return
            try:
                conversation = self._core.v0(conversation_id)
            except ConversationNotFound:
                return
            if v0_rest.is_idle(conversation):
                with self._core.changing_v0(conversation) as changes:
                    v0_rest.passivate(changes)
            else:
                self._end_later(conversation_id)


class Room:
    """Keeps the number of agent loops within a limit.

    Args:
        core: the world's state.
        limit: how many V0 conversations may run at once.
    """

    def __init__(self, core: Core, limit: int) -> None:
        self._core = core
        self._limit = limit

    def make_for(self, newcomer: str) -> None:
        """Stop other conversations until there is room for this one; their clients are told why."""
        running = [
            one
            for one in self._core.conversations
            if isinstance(one, V0Conversation) and one.has_loop and one.id != newcomer
        ]
        while len(running) >= self._limit:
            last = v0_rest.one_to_stop(running)
            running.remove(last)
            self._core.publish(last.id, v0_live.EVICTED)
            with self._core.changing_v0(last) as changes:
                v0.stop(changes)
