"""What a V0 client hears over its socket: the replay of what was, and frames of what happens.

The rules are those of OpenHands 1.0 (what is left out, whose `source` is rewritten, which status goes with
which event), but for what a correct server does not do: no event is sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.changes import Event, Record
from openhands_reference_server.domain.titles import default_title
from openhands_reference_server.domain.v0_events import AGENT, ENVIRONMENT

TOO_MANY = "AGENT_ERROR$TOO_MANY_CONVERSATIONS"
_RUNTIME_NEWS = {v0.STARTING: "STATUS$STARTING_RUNTIME", v0.RUNNING: "STATUS$RUNTIME_STARTED"}
_RUNTIME_FAILED = "STATUS$ERROR"
_STATE_CHANGED, _ERROR_STATE = "agent_state_changed", "error"
_LIVE_FROM_ENVIRONMENT = ("run", _STATE_CHANGED, "recall")
_MADE_ROOM = (
    "Too many conversations run at once, and this one was the least recently used: it was stopped. "
    "Start it to go on."
)

EVICTED: Record = {"record": "evicted"}
"""Told to those who listen before a conversation is stopped to make room; never stored."""


def replay(events: Iterable[Event], latest_event_id: int = -1) -> list[Event]:
    """What a client gets that knows the events up to this id.

    Null events and `recall` actions are left out. Of the agent's states only the last one counts; it comes
    at the end, whatever its id.
    """
    unknown = [event for event in events if event["id"] > latest_event_id and not _is_null(event)]
    states = [event for event in unknown if event.get("observation") == _STATE_CHANGED]
    others = [
        event
        for event in unknown
        if event.get("observation") != _STATE_CHANGED and event.get("action") != "recall"
    ]
    return others + states[-1:]


def frames(conversation_id: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What clients hear about a record as it is made; most records are one frame or none."""
    match record["record"]:
        case "event":
            return _event_frames(record["event"])
        case "status":
            status_id = _RUNTIME_NEWS.get(record["status"])
            return [] if status_id is None else [status_update("info", status_id)]
        case "renamed":
            title = record["title"] or default_title(conversation_id)
            news = {"status_update": True, "type": "info", "message": conversation_id}
            return [{**news, "conversation_title": title}]
        case "evicted":
            return [status_update("error", TOO_MANY, _MADE_ROOM)]
        case _:
            return []


def present_status(status: str) -> list[dict[str, Any]]:
    """What a client hears on joining about a runtime that is on its way; it has missed the news of it."""
    return [status_update("info", _RUNTIME_NEWS[status])] if status == v0.STARTING else []


def ends_connections(record: Mapping[str, Any]) -> bool:
    """After this record nobody is there to talk to: clients are disconnected."""
    return record["record"] == "status" and record["status"] in (v0.STOPPED, v0.ARCHIVED)


def status_update(kind: str, status_id: str, message: str = "") -> dict[str, Any]:
    """News that is no event."""
    return {"status_update": True, "type": kind, "id": status_id, "message": message}


def refusal(message: str) -> dict[str, Any]:
    """Answers an action that cannot be taken."""
    return {"error": True, "message": message}


def _event_frames(event: Event) -> list[dict[str, Any]]:
    """An event as it is sent live, after the status it brings along."""
    shown = _shown_live(event)
    if shown is None:
        return []
    extras = event.get("extras") or {}
    failed = event.get("observation") == _STATE_CHANGED and extras.get("agent_state") == _ERROR_STATE
    failure = [status_update("error", _RUNTIME_FAILED, extras.get("reason", ""))] if failed else []
    return [*failure, shown]


def _shown_live(event: Event) -> Event | None:
    """The event as it is sent live; of the environment's only some are, and those as the agent's."""
    if _is_null(event):
        return None
    if event["source"] != ENVIRONMENT:
        return event
    kind = event.get("observation")
    return {**event, "source": AGENT} if kind in (*_LIVE_FROM_ENVIRONMENT, "error") else None


def _is_null(event: Event) -> bool:
    return "null" in (event.get("action"), event.get("observation"))
