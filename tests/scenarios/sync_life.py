# Generated from tests/scenarios/async_life.py by scripts/unasync.py. Do not edit.
"""A conversation's whole life, in either generation."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from openhands_client import Conversation, NotFoundError, OpenHands


def live(client: OpenHands, api: Literal["v0", "v1"], *, timeout: float) -> Conversation:
    """Create, watch, talk, pause, resume, stop, start again, rename, find. Returns the running conversation."""
    stages: list[str] = []
    conversation = client.conversations.create(
        "Say hello",
        api=api,
        title="A whole life",
        timeout=timeout,
        on_progress=lambda task: stages.append(str(task.status)),
    )
    assert stages[-1] == ("READY" if api == "v1" else "RUNNING")
    assert (conversation.version, conversation.status) == (api, "RUNNING")
    assert conversation.title == "A whole life"

    events = [event for event in conversation.events()]
    assert conversation.agent_state == "finished"
    assert_each_once(events)
    assert "Say hello" in [text_of(event) for event in events]

    before = len([event for event in conversation.history()])
    conversation.send("And once more")
    assert conversation.wait(timeout=timeout) == "finished"
    history = [event for event in conversation.history()]
    assert len(history) > before
    assert_each_once(history)
    assert [text_of(event) for event in history].count("And once more") == 1

    last = history[-1].id
    conversation.send("A third time")
    rest = [event for event in conversation.events(after=last)]
    assert last not in {event.id for event in rest}
    assert "A third time" in [text_of(event) for event in rest]

    conversation.pause()
    conversation.stop()
    assert conversation.status == "STOPPED"
    conversation.resume(timeout=timeout)
    assert conversation.status == "RUNNING"
    again = {event.id for event in conversation.history()}
    assert again >= {event.id for event in history}

    conversation.rename("Renamed")
    assert conversation.title == "Renamed"
    found = client.conversations.get(conversation.id)
    assert (found.id, found.title, found.version) == (conversation.id, "Renamed", api)
    assert conversation.id in {one.id for one in client.conversations.list()}
    return conversation


def bury(client: OpenHands, conversation: Conversation) -> None:
    """Delete it; after that it is gone."""
    assert conversation.delete() is True
    assert conversation.delete() is False
    with pytest.raises(NotFoundError):
        client.conversations.get(conversation.id)


def assert_each_once(events: list[Any]) -> None:
    ids = [event.id for event in events]
    assert len(ids) == len(set(ids)), "an event came twice"


def text_of(event: Any) -> str:
    """The text of a user's message in either generation."""
    message = getattr(event, "llm_message", None)
    return str(message.text if message is not None else getattr(event, "args", {}).get("content", ""))
