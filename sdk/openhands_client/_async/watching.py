"""The events of many conversations in one stream. Only here: the sync side would need a thread for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from openhands_client._core.streaming import Until
from openhands_client.errors import OpenHandsError

from .conversations import AsyncConversation

if TYPE_CHECKING:
    from openhands_client import models as m

BUFFER = 100  # events that may wait for whoever iterates; then the streams wait
OPENING = 50  # streams that are opened at the same time; a thousand would overrun most servers
OPENING_TIME = 2.0  # seconds after which one counts as open, though its conversation has had no event


@dataclass(frozen=True)
class Watched:
    """What happened in a conversation: an ``event``, or the end of its stream.

    ``event``  None at the end: the agent came to rest in ``conversation.agent_state``, or …
    ``error``  … the stream cannot go on
    """

    conversation: AsyncConversation
    event: m.AnyEvent | m.V0Event | None = None
    error: OpenHandsError | None = None


Watch: TypeAlias = AsyncGenerator[Watched, None]


async def watch(conversations: Iterable[AsyncConversation], *, until: Until = "rest") -> Watch:
    """Iterate over the events of many conversations as they come, each conversation's in order and once.

    Ends when all have come to rest; with ``until="forever"`` only where streams fail. Failures are values, so that
    one does not end the others. A conversation takes one task and, while it is live, one connection (a V0
    conversation without the extra ``[socketio]`` is asked again and again instead).
    """
    queue: asyncio.Queue[Watched] = asyncio.Queue(BUFFER)
    gate = asyncio.Semaphore(OPENING)
    tasks = [asyncio.create_task(_follow(one, until, queue, gate)) for one in conversations]
    left = len(tasks)
    try:
        while left:
            news = await queue.get()
            left -= news.event is None
            yield news
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(
    conversation: AsyncConversation, until: Until, queue: asyncio.Queue[Watched], gate: asyncio.Semaphore
) -> None:
    await gate.acquire()
    turn = _Turn(gate)
    error = None
    try:
        async with aclosing(conversation.events(until=until)) as events:
            async for event in events:
                turn.end()
                await queue.put(Watched(conversation, event))
    except OpenHandsError as failure:
        error = failure
    finally:
        turn.end()
    await queue.put(Watched(conversation, error=error))


class _Turn:
    """A place among those that are opening a stream; given back once."""

    def __init__(self, gate: asyncio.Semaphore) -> None:
        self._gate: asyncio.Semaphore | None = gate
        self._timer = asyncio.get_running_loop().call_later(OPENING_TIME, self.end)

    def end(self) -> None:
        self._timer.cancel()
        if self._gate is not None:
            self._gate.release()
            self._gate = None
