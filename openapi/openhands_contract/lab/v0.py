"""Conversations of the first generation, for checks that need one to work on."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from openhands_contract.lab.bench import Answer, Bench

CONVERSATIONS = "/api/conversations"
# More than one answer can have.
_LINES = tuple(f"Line {number}: Äpfel und ÖL ({number})" for number in range(110))
# In these states of its agent a V0 conversation waits for the user.
RESTING = frozenset({"awaiting_user_input", "finished", "rejected", "error", "stopped", "paused"})


def path(conversation_id: str, rest: str = "") -> str:
    """The URL path of a conversation, or of something below it."""
    return f"{CONVERSATIONS}/{quote(conversation_id, safe='')}{rest}"


def unknown_id() -> str:
    """The id of a conversation that nobody has made."""
    return secrets.token_hex(16)


class V0:
    """Makes V0 conversations and brings them into a state."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._app = bench.app

    def create(self, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request to create; whatever it makes goes when the check ends."""
        answer = self._app.post(CONVERSATIONS, body or {})
        if answer.status == 200 and isinstance(made := answer.json, dict):
            identifier = made.get("conversation_id")
            if isinstance(identifier, str):
                self._bench.later(lambda: self._app.delete(path(identifier)))
        return answer

    def new(self, **fields: Any) -> str:
        """Create a conversation in order to test something else; return its id."""
        with self._bench.arranging("a new V0 conversation"):
            identifier: str = self.create(fields).needs(200).pick("conversation_id")
            return identifier

    def running(self, **fields: Any) -> str:
        """A conversation whose agent loop runs; return its id."""
        identifier = self.new(**fields)
        with self._bench.arranging("a running V0 conversation"):
            self.await_status(identifier, "RUNNING")
        return identifier

    def stopped(self, **fields: Any) -> str:
        """A conversation that ran and was stopped; return its id."""
        identifier = self.running(**fields)
        with self._bench.arranging("a stopped V0 conversation"):
            self._app.post(path(identifier, "/stop")).needs(200)
            self.await_status(identifier, "STOPPED")
        return identifier

    def finished(self, message: str, **fields: Any) -> str:
        """A conversation whose agent has done what it was told first; return its id."""
        identifier = self.running(initial_user_msg=message, **fields)
        with self._bench.arranging("a V0 conversation whose agent has finished"):
            self.await_rest(identifier)
        return identifier

    @property
    def lines(self) -> Sequence[str]:
        """What is said in the long conversation, line by line; the number of a line is the id of its event."""
        return _LINES

    def long(self) -> tuple[str, list[dict[str, Any]]]:
        """A conversation at rest with more events than one answer has, which is kept as it is, and its events."""

        def make(bench: Bench) -> str:
            recorded = [
                {"source": ("agent", "user")[n % 2], "action": "message", "args": {"content": line}}
                for n, line in enumerate(_LINES)
            ]
            identifier = bench.v0.running(replay_json=json.dumps(recorded))
            with bench.arranging("a long V0 conversation"):
                bench.app.post(path(identifier, "/stop")).needs(200)
                bench.v0.await_status(identifier, "STOPPED")
            return identifier

        identifier = self._bench.shared("long V0 conversation", make)
        return identifier, self.events(identifier)

    def status(self, identifier: str) -> Answer:
        return self._app.get(path(identifier))

    def await_status(self, identifier: str, *statuses: str) -> Answer:
        """Wait for a status of a conversation."""

        def reached() -> Answer | None:
            answer = self.status(identifier).must(200)
            return answer if answer.pick("status") in statuses else None

        return self._bench.until(reached, f"the conversation becomes {' or '.join(statuses)}")

    def listed(self) -> list[dict[str, Any]]:
        """The first hundred conversations of the list."""
        entries: list[dict[str, Any]] = (
            self._app.get(CONVERSATIONS, {"limit": 100}).needs(200).pick("results")
        )
        return entries

    def events(self, identifier: str, **query: Any) -> list[dict[str, Any]]:
        """All events of a conversation, oldest first."""
        found: list[dict[str, Any]] = []
        while True:
            start = found[-1]["id"] + 1 if found else 0
            asked = {"limit": 100, "start_id": start, **query}
            answer = self._app.get(path(identifier, "/events"), asked).needs(200)
            page = answer.pick("events")
            new = not found or not page or page[0]["id"] > found[-1]["id"]
            answer.expect(new, f"the events from {start} on", [event["id"] for event in page])
            found += page
            if not page or not answer.pick("has_more"):
                return found

    def await_rest(self, identifier: str, after: int = -1) -> Sequence[dict[str, Any]]:
        """Wait until the agent waits for the user, as its newest state says; return all events."""

        def rested() -> list[dict[str, Any]] | None:
            events = self.events(identifier)
            states = [event for event in events if event.get("observation") == "agent_state_changed"]
            done = states and states[-1]["extras"].get("agent_state") in RESTING and states[-1]["id"] > after
            return events if done else None

        return self._bench.until(rested, "the agent comes to rest")


def user_messages(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What the user said, in order."""
    return [event for event in events if event.get("action") == "message" and event.get("source") == "user"]
