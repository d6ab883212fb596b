"""Compares what callers saw with what the server holds, once everything is calm again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from openhands_client import Conversation, OpenHands

from .life import Life, said

AT_ONCE = 8
FAULTS = (
    "lives that failed",
    "lives that hung",
    "events lost",
    "events seen twice",
    "events out of order",
    "messages lost",
    "messages stored twice",
    "conversations created twice",
    "threads left",
    "sockets left",
    "tasks left",
)


def all_ids(url: str) -> set[str]:
    """The conversations that there are."""
    with OpenHands(url) as calm:
        return {conversation.id for conversation in calm.conversations.list()}


def judge(
    url: str, lives: Sequence[Life], older: Collection[str] = (), api_key: str | None = None
) -> Counter[str]:
    """What went wrong, by kind; and how much there was that could have. ``older`` conversations do not count."""
    found: Counter[str] = Counter({"lives": len(lives)})
    with OpenHands(url, api_key=api_key) as calm, ThreadPoolExecutor(AT_ONCE) as threads:
        for one in threads.map(lambda life: _judge_one(calm, life), lives):
            found.update(one)
        there = [conversation for conversation in calm.conversations.list() if conversation.id not in older]
        beginnings = Counter(threads.map(_beginning, there))
    for life in lives:
        found["conversations created twice"] += max(0, beginnings[life.branch or life.messages[0]] - 1)
    return found


def _judge_one(calm: OpenHands, life: Life) -> Counter[str]:
    found: Counter[str] = Counter()
    found["lives that failed"] += life.failure is not None
    for kind in life.unclear:
        found[f"callers had to find out: {kind}"] += 1
    if life.conversation_id is None:
        return found
    history = _history(calm.conversations.get(life.conversation_id))
    texts = [said(event) for event in history]
    for message in life.messages:
        found["messages lost"] += texts.count(message) == 0
        found["messages stored twice"] += max(0, texts.count(message) - 1)
    rests = [place for place, event in enumerate(history) if _state_of(event) == "finished"]
    due = [event.id for event in history[: rests[-1] + 1 if rests else None]]
    place = {event.id: number for number, event in enumerate(history)}
    order = [place[id_] for id_ in life.seen if id_ in place]
    found["events"] += len(life.seen)
    found["events lost"] += len(set(due) - set(life.seen))
    found["events seen twice"] += len(life.seen) - len(set(life.seen))
    found["events out of order"] += sum(later < earlier for earlier, later in pairwise(order))
    return found


def _history(conversation: Conversation) -> list[Any]:
    if conversation.version == "v1" and conversation.status != "RUNNING":
        conversation.start()  # its log is read from its sandbox
    return list(conversation.history())


def _beginning(conversation: Conversation) -> str | None:
    """What tells whose it is: its branch, or else its first message."""
    branch = getattr(conversation.info, "selected_branch", None)
    if branch is not None:
        return str(branch)
    handle = conversation.refresh()
    return next((text for event in _history(handle) if (text := said(event)) is not None), None)


def _state_of(event: Any) -> str | None:
    """The agent's state that an event announces, in either generation."""
    if getattr(event, "kind", None) == "ConversationStateUpdateEvent":
        return str(event.value) if event.key == "execution_status" else None
    return getattr(event, "agent_state", None)


def table(title: str, *parts: Mapping[str, int]) -> str:
    """Counts, one per line."""
    rows = [row for part in parts for row in part.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", title, *(f"  {name:<{width}}  {count:>7}" for name, count in rows)])


def faults_in(found: Mapping[str, int]) -> dict[str, int]:
    """What should be zero and is not."""
    return {kind: found.get(kind, 0) for kind in FAULTS if found.get(kind, 0)}


def in_order(found: Mapping[str, int]) -> dict[str, int]:
    """What should be zero, then the rest."""
    rest = {kind: count for kind, count in found.items() if kind not in FAULTS}
    return rest | {kind: found.get(kind, 0) for kind in FAULTS}
