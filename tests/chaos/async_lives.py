"""One conversation from its creation to its end, as a careful caller lives it."""

from __future__ import annotations

import logging

from openhands_client import (
    AsyncConversation,
    AsyncOpenHands,
    OpenHandsError,
    OutcomeUnknownError,
    StreamError,
)

from .life import Life, said

logger = logging.getLogger(__name__)

STREAMS = 20  # how often a stream that gave up is taken up again


async def live(client: AsyncOpenHands, life: Life, *, timeout: float) -> Life:
    """Create, READY, events to rest, one more message, events to rest, stop. A failure is noted, not raised."""
    try:
        conversation = await create(client, life, timeout)
        life.conversation_id = conversation.id
        await watch(conversation, life)
        await send(conversation, life)
        await watch(conversation, life)
        await conversation.stop()
    except OpenHandsError as failure:
        life.failure = failure
    return life


async def create(client: AsyncOpenHands, life: Life, timeout: float) -> AsyncConversation:
    """Where it remains unclear whether a V0 conversation was created, the candidates' first messages tell."""
    while True:
        try:
            return await client.conversations.create(
                life.messages[0],
                api=life.api,
                repository=life.repository,
                branch=life.branch,
                timeout=timeout,
            )
        except OutcomeUnknownError as unknown:
            life.unclear.append("create")
            for candidate in unknown.candidates:
                found = await (await client.conversations.get(candidate)).start(timeout=timeout)
                if await has(found, life.messages[0]):
                    return found


async def watch(conversation: AsyncConversation, life: Life) -> None:
    """The events of one turn, to the agent's rest."""
    for _ in range(STREAMS):
        try:
            async for event in conversation.events(after=life.seen[-1] if life.seen else None):
                life.seen.append(event.id)
            return
        except StreamError as broken:
            life.unclear.append("watch")
            logger.info("%s: %s", life.name, broken)
    raise StreamError(f"the stream of {life.name} gave up {STREAMS} times")


async def send(conversation: AsyncConversation, life: Life) -> None:
    """Where it remains unclear whether a message was taken, the history tells."""
    while True:
        try:
            return await conversation.send(life.messages[1])
        except OutcomeUnknownError:
            life.unclear.append("send")
            if await has(conversation, life.messages[1]):
                return None


async def has(conversation: AsyncConversation, message: str) -> bool:
    """Whether the user said that in this conversation."""
    return message in [said(event) async for event in conversation.history()]
