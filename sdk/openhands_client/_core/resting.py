"""When is an agent at rest? Read from its events alone, in the order they are stored."""

from __future__ import annotations

from typing import Any

from openhands_client import models as m

V0_REST = frozenset(
    {
        "awaiting_user_input",
        "awaiting_user_confirmation",
        "finished",
        "stopped",
        "paused",
        "error",
        "rejected",
        "rate_limited",
    }
)
V1_REST = frozenset({"idle", "finished", "error", "stuck", "paused", "waiting_for_confirmation"})


class Resting:
    """Follows the state of one agent.

    ``pending`` is true from a user's message until the agent's next change of state: a message wakes the
    agent, but the old state stays the last one on record until it does. A V0 agent that is being loaded says
    that it awaits input before it sees a message that is there already: then ``doubtful`` is true as well.
    """

    def __init__(self, rest_states: frozenset[str]) -> None:
        self._rest_states = rest_states
        self.state: str | None = None
        self.pending = False
        self.doubtful = False

    @property
    def at_rest(self) -> bool:
        return not self.pending and self.state in self._rest_states

    def feed(self, event: Any) -> None:
        if (state := state_of(event)) is not None:
            self.enter(state)
        elif is_user_message(event):
            self.pending = True

    def would_rest(self, event: Any) -> bool:
        """Whether this event announces that the agent comes to rest."""
        return state_of(event) in self._rest_states

    def enter(self, state: str) -> None:
        """The agent changed to this state. A V1 agent is told to be idle just before a message arrives."""
        self.doubtful = self.pending and (self.state, state) == ("loading", "awaiting_user_input")
        self.state = state
        self.pending = self.doubtful

    def doubt_no_more(self) -> None:
        """Nothing came for long: the message did not wake the agent."""
        if self.doubtful:
            self.doubtful = self.pending = False

    def look(self, state: str) -> None:
        """The server said, when asked, that this is the state now; unlike a change, it answers no message."""
        self.state = state
        if state not in self._rest_states:
            self.pending = False


def state_of(event: Any) -> str | None:
    """The agent state an event announces, in lower case; None when it announces none."""
    if isinstance(event, m.ConversationStateUpdateEvent):
        return event.execution_status if event.key == "execution_status" else None
    if isinstance(event, m.V0Event):
        return event.agent_state
    return None


def is_user_message(event: Any) -> bool:
    if isinstance(event, m.MessageEvent):
        return event.source == "user"
    return isinstance(event, m.V0Event) and event.source == "user" and event.action == "message"
