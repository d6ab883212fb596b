"""A program that forks while it uses a client: ``python forks.py CASE URL``.

It is a program of its own because pytest has threads, and a fork must not find them in the midst of
something. It fails, or writes something to stderr, when a child and its parent come into each other's way.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

from openhands_client import AsyncOpenHands, BearerAuth, Conversation, OpenHands

fork = multiprocessing.get_context("fork")
REQUESTS = 100


def in_child(action: Callable[[], Any]) -> Any:
    """What the action returns in a forked child. Raises AssertionError when it fails there."""
    reading, writing = fork.Pipe(duplex=False)
    with reading, writing:
        child = fork.Process(target=lambda: writing.send(action()))
        child.start()
        child.join(60)
        assert child.exitcode == 0, f"the child ended with {child.exitcode}"
        return reading.recv()


def requests(url: str) -> None:
    """Both ask at the same time, each for another conversation, and get what they asked for."""
    with OpenHands(url) as client:
        ours, theirs = (client.conversations.create("Hello", api="v1").id for _ in range(2))

        def ask_for(conversation_id: str) -> bool:
            return all(
                client.conversations.get(conversation_id).id == conversation_id for _ in range(REQUESTS)
            )

        child = fork.Process(target=lambda: sys.exit(0 if ask_for(theirs) else 1))
        child.start()
        assert ask_for(ours)
        child.join(60)
        assert child.exitcode == 0


def stream(url: str) -> None:
    """A stream that is open at the fork goes on in both, and the child's end is not the parent's."""
    for api in ("v1", "v0"):
        stream_of(url, api)


def stream_of(url: str, api: Literal["v1", "v0"]) -> None:
    with OpenHands(url) as client:
        conversation = client.conversations.create("Hello", api=api)
        conversation.wait(30)
        events = conversation.events(until="forever")
        known = [next(events).id for _ in conversation.history()]

        def go_on() -> list[Any]:
            conversation.send("From the child")
            ids = next_turn(events)
            client.close()
            return ids

        seen_by_child = in_child(go_on)
        seen_by_parent = next_turn(events)
        assert seen_by_child == seen_by_parent, (seen_by_child, seen_by_parent)
        assert not set(known) & set(seen_by_parent)
        conversation.send("From the parent")
        assert not {*known, *seen_by_parent} & set(next_turn(events))


def next_turn(events: Any) -> list[Any]:
    """The ids of the events up to the agent's next rest."""
    ids = []
    for event in events:
        ids.append(event.id)
        said = getattr(event, "agent_state", None) or getattr(event, "execution_status", None)
        if said == "finished":
            return ids
    raise AssertionError("the stream ended")


def lock(url: str) -> None:
    """A thread of the parent is just fetching a token when the child needs one."""
    main, fetching, go_on = multiprocessing.current_process().pid, threading.Event(), threading.Event()

    def provider() -> str:
        if multiprocessing.current_process().pid == main:
            fetching.set()
            go_on.wait(60)
        return "token"

    with OpenHands(url, auth=BearerAuth(provider)) as client:
        thread = threading.Thread(target=client.alive)
        thread.start()
        fetching.wait(60)
        assert in_child(client.alive) is True
        go_on.set()
        thread.join()


def loops(url: str) -> None:
    """The child of a program that has used an async client has loops, and so connections, of its own."""

    async def use() -> bool:
        return await client.alive()

    client = AsyncOpenHands(url)
    assert asyncio.run(use())
    assert in_child(lambda: asyncio.run(use())) is True

    async def use_and_close() -> bool:
        async with client:
            return await use()

    assert asyncio.run(use_and_close())


def drop(url: str) -> None:
    """A child that drops what it inherited closes nothing of its parent's, and complains about nothing."""
    clients = [OpenHands(url)]
    conversation = clients[0].conversations.create("Hello", api="v1")
    events = [conversation.events()]
    first = next(events[0])

    def drop_all() -> str:
        nonlocal conversation
        clients.clear()
        events.clear()
        del conversation
        return "dropped"

    assert in_child(drop_all) == "dropped"
    rest = list(events[0])
    assert [first.id, *(event.id for event in rest)] == [event.id for event in conversation.history()]
    assert isinstance(conversation, Conversation)
    clients[0].close()


CASES = {case.__name__: case for case in (requests, stream, lock, loops, drop)}

if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2])
