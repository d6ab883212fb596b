"""Wrong servers for those who listen: what reaches them, whom it reaches, and how long they may stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from flask import request

from openhands_reference_server.domain.errors import SandboxPaused
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.http import sockets
from openhands_reference_server.world import World, agent_side, broadcast
from openhands_reference_server.world.agent_side import AgentSide
from openhands_reference_server.world.bash import Bash
from openhands_reference_server.world.broadcast import InProcessBroadcast, Subscription
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.keys import SessionKeys
from openhands_reference_server.world.live import Live
from openhands_reference_server.world.sandboxes import Sandboxes
from tests.contract.mutants.machinery import inside

_RESTING = ("paused", "waiting_for_confirmation", "finished", "error", "stuck")


def is_v1(message: Any) -> bool:
    """Is a published message for the streams of agent servers, and no record of V0?"""
    return isinstance(message, dict) and "kind" in message


def _is_v0(message: Any) -> bool:
    return isinstance(message, dict) and "record" in message


def _is_v0_event(message: Any) -> bool:
    return _is_v0(message) and message["record"] == "event"


def news(change: Callable[[Subscription, list[Any]], list[Any]], concerned: Callable[[Any], bool]) -> Any:
    """Other news than those that were published."""
    drain = Subscription.drain

    def changed(self: Subscription) -> list[Any]:
        messages = drain(self)
        return change(self, messages) if messages and concerned(messages[0]) else messages

    return patch.object(Subscription, "drain", changed)


def _heard_by_all(concerned: Callable[[Any], bool]) -> Any:
    """Whoever listens to a conversation hears all of its kind."""
    publish = InProcessBroadcast.publish
    topics: dict[str, None] = {}

    def everywhere(self: InProcessBroadcast, topic: str, message: Any) -> None:
        if not concerned(message):
            publish(self, topic, message)
            return
        topics[topic] = None
        for one in list(topics):
            publish(self, one, message)

    return patch.object(InProcessBroadcast, "publish", everywhere)


# -- agent servers ----------------------------------------------------------------------------------


@inside("The WebSocket of an id that is no UUID is accepted.", "AGENT-LIVE-15")
def any_id_is_one() -> Iterator[object]:
    with patch.object(sockets, "_is_uuid", lambda text: True):
        yield


@inside("Who listens is sent away when the agent rests.", "AGENT-LIVE-17")
def the_end_of_a_run_ends_streams() -> Iterator[object]:
    def ending(subscription: Subscription, messages: list[Any]) -> list[Any]:
        if any(one.get("key") == "execution_status" and one.get("value") in _RESTING for one in messages):
            subscription.close(broadcast.SHUTDOWN)
        return messages

    with news(ending, is_v1):
        yield


@inside("Live events do not say when they happened.", "AGENT-LIVE-18")
def events_without_a_time() -> Iterator[object]:
    def timeless(subscription: Subscription, messages: list[Any]) -> list[Any]:
        return [{name: value for name, value in one.items() if name != "timestamp"} for one in messages]

    with news(timeless, is_v1):
        yield


@inside("Who listens to a conversation hears all of its sandbox.", "AGENT-LIVE-20")
def neighbours_are_heard() -> Iterator[object]:
    with _heard_by_all(is_v1):
        yield


@inside("Commands on record are not sent again.", "AGENT-LIVE-22", options={"enable_bash": True})
def old_commands_are_lost() -> Iterator[object]:
    watch = Bash.watch

    def forgetful(self: Bash, sandbox_id: str, **more: Any) -> Any:
        _, subscription = watch(self, sandbox_id, **more)
        return [], subscription

    with patch.object(Bash, "watch", forgetful):
        yield


@inside("Commands on record come newest first.", "AGENT-LIVE-22", options={"enable_bash": True})
def old_commands_in_disorder() -> Iterator[object]:
    watch = Bash.watch

    def turned(self: Bash, sandbox_id: str, **more: Any) -> Any:
        first, subscription = watch(self, sandbox_id, **more)
        return first[::-1], subscription

    with patch.object(Bash, "watch", turned):
        yield


@inside(
    "Who asks for bash events needs only the beginning of a key.",
    "AGENT-LIVE-24",
    options={"enable_bash": True},
)
def bash_takes_half_a_key() -> Iterator[object]:
    sandbox_of = SessionKeys.sandbox_of

    def lenient(self: SessionKeys, key: str) -> str | None:
        return key.partition(".")[0] if request.path == "/sockets/bash-events" else sandbox_of(self, key)

    with patch.object(SessionKeys, "sandbox_of", lenient):
        yield


@inside("The key of one sandbox opens the streams of all.", "AGENT-LIVE-25")
def one_key_for_all_streams() -> Iterator[object]:
    def anybodys(world: World, conversation_id: str) -> V1Conversation:
        return world.core.v1(conversation_id)

    with patch.object(sockets, "conversation_of_key", anybodys):
        yield


@inside("Who connects while a sandbox is paused is let in, and told the state.", "V1-PAUSE-02")
def paused_speaks() -> Iterator[object]:
    check = Sandboxes.check_running

    def lenient(self: Sandboxes, sandbox_id: str) -> None:
        if not request.path.startswith("/sockets/"):
            check(self, sandbox_id)

    with patch.object(Sandboxes, "check_running", lenient):
        yield


@contextmanager
def _after_a_pause(change: Callable[[list[Any], Subscription], list[Any]]) -> Iterator[object]:
    """Streams of sandboxes that were resumed begin in another way."""
    resume, watch = Sandboxes.resume, AgentSide.watch
    resumed: set[str] = set()

    def remembered(self: Sandboxes, sandbox_id: str) -> None:
        resume(self, sandbox_id)
        resumed.add(sandbox_id)

    def changed(self: AgentSide, conversation_id: str, **more: Any) -> Any:
        first, subscription = watch(self, conversation_id, **more)
        if self._core.v1(conversation_id).sandbox_id in resumed:
            first = change(first, subscription)
        return first, subscription

    with patch.object(Sandboxes, "resume", remembered), patch.object(AgentSide, "watch", changed):
        yield


@inside("After a pause streams know nothing of what was before.", "V1-PAUSE-04")
def resumed_streams_forget() -> Iterator[object]:
    with _after_a_pause(lambda first, subscription: first[:1]):
        yield


@inside("After a pause nobody can listen any more.", "V1-PAUSE-04")
def resumed_streams_are_closed() -> Iterator[object]:
    def close(first: list[Any], subscription: Subscription) -> list[Any]:
        subscription.close(broadcast.SHUTDOWN)
        return []

    with _after_a_pause(close):
        yield


@inside("Who listens to a conversation is kept when it is deleted.", "V1-DELETE-11")
def listeners_of_the_deleted_are_kept() -> Iterator[object]:
    close_topic = InProcessBroadcast.close_topic

    def kept(self: InProcessBroadcast, topic: str, reason: str) -> None:
        if reason != agent_side.DELETED:
            close_topic(self, topic, reason)

    with patch.object(InProcessBroadcast, "close_topic", kept):
        yield


@inside("A deleted conversation is said to be in a paused sandbox.", "V1-DELETE-12")
def deleted_seems_paused() -> Iterator[object]:
    delete, find = AgentSide.delete, sockets.conversation_of_key
    deleted: set[str] = set()

    def remembered(self: AgentSide, conversation_id: str) -> None:
        deleted.add(canonical(conversation_id))
        delete(self, conversation_id)

    def wrong(world: World, conversation_id: str) -> V1Conversation:
        if canonical(conversation_id) in deleted:
            raise SandboxPaused(conversation_id)
        return find(world, conversation_id)

    with patch.object(AgentSide, "delete", remembered), patch.object(sockets, "conversation_of_key", wrong):
        yield


# -- Socket.IO --------------------------------------------------------------------------------------


@inside("Only one of two clients hears what commands print.", "V0-LIVE-15")
def one_client_hears_less() -> Iterator[object]:
    listeners: list[int] = []

    def less(subscription: Subscription, messages: list[Any]) -> list[Any]:
        if id(subscription) not in listeners:
            listeners.append(id(subscription))
        hears_all = listeners.index(id(subscription)) % 2
        return [one for one in messages if hears_all or not _is_output(one)]

    with news(less, _is_v0):
        yield


def _is_output(record: Any) -> bool:
    return _is_v0_event(record) and record["event"].get("observation") == "run"


@inside("Connecting to a stopped conversation leaves it stopped.", "V0-LIVE-22")
def connecting_starts_nothing() -> Iterator[object]:
    make = Live.__init__

    def lazy(self: Live, core: Core, start: Callable[[str], Any], **more: Any) -> None:
        make(self, core, lambda conversation_id: None, **more)

    with patch.object(Live, "__init__", lazy):
        yield


@inside("Who connects to a stopped conversation is turned away.", "V0-LIVE-22")
def stopped_lets_nobody_in() -> Iterator[object]:
    join = Live.join

    def strict(self: Live, conversation_id: str, latest_event_id: int) -> Any:
        conversation = self._core.v0(conversation_id)
        if not conversation.has_loop:
            raise SandboxPaused(conversation_id)
        return join(self, conversation_id, latest_event_id)

    with patch.object(Live, "join", strict):
        yield


@inside("Who listens to a conversation hears those of others.", "V0-LIVE-25")
def other_conversations_are_heard() -> Iterator[object]:
    with _heard_by_all(_is_v0_event):
        yield
