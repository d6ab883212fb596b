"""What a test can do to a server, beside calling it: the same for the server itself and its namespaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING

from openhands_reference_server.control.faults import Effect, FaultRule
from openhands_reference_server.control.journal import Exchange
from openhands_reference_server.control.matching import Match
from openhands_reference_server.control.namespaces import Namespace
from openhands_reference_server.domain.script import Script
from openhands_reference_server.http.oauth import PATH as TOKEN_PATH
from openhands_reference_server.world import World

if TYPE_CHECKING:  # reading scenarios takes pydantic, which those without one do not wait for
    from openhands_reference_server.scenarios import ScenarioSource


def read_scenario(scenario: ScenarioSource) -> Script:
    """A scenario, ready to be played.

    Raises:
        ScenarioError: it is none; says what is wrong and where.
    """
    from openhands_reference_server import scenarios

    return scenarios.load(scenario)


class Controls(ABC):
    """The controls of one server."""

    @property
    @abstractmethod
    def _namespace(self) -> Namespace:
        """Whose controls these are.

        Raises:
            RuntimeError: it is not there: the server does not run.
        """

    @property
    @abstractmethod
    def url(self) -> str:
        """The app server."""

    @property
    def token_url(self) -> str:
        """The token endpoint, with `oauth`."""
        return f"{self.url}{TOKEN_PATH}"

    @property
    def world(self) -> World:
        """What is served, for tests that look behind the scenes; with users, that of nobody."""
        return self._namespace.tenant.world

    def world_of(self, user: str) -> World:
        """What a user has, for tests that look behind the scenes.

        Raises:
            KeyError: there is no such user.
        """
        return self._namespace.tenant.world_of(user)

    def play(self, scenario: ScenarioSource | None) -> None:
        """Play this until the next reset (None: echo and finish); what has begun goes on as it began.

        Raises:
            ScenarioError: the scenario is none; says what is wrong and where.
        """
        script = None if scenario is None else read_scenario(scenario)
        for world in self._namespace.tenant.worlds():
            world.play(script)

    def add_fault(
        self,
        effect: Effect,
        match: Match | None = None,
        *,
        skip: int = 0,
        times: int | None = None,
        probability: float = 1.0,
        seed: int = 0,
    ) -> FaultRule:
        """Let something go wrong from now on (`POST /_control/faults`).

        Args:
            effect: what; see the module `faults`.
            match: with which requests; with all by default.
            skip: let so many matching requests pass first.
            times: how often at most; without end by default.
            probability: of each matching request, 0..1, to be hit.
            seed: of the random numbers for that.

        Raises:
            ValueError: one of them makes no sense.
        """
        return self._namespace.faults.add(
            effect, match, skip=skip, times=times, probability=probability, seed=seed
        )

    @property
    def faults(self) -> list[FaultRule]:
        """All fault rules in their order, and how often each has hit (`GET /_control/faults`)."""
        return self._namespace.faults.rules()

    def remove_fault(self, rule_id: str) -> bool:
        """Remove one rule; says whether there was one (`DELETE /_control/faults/{fault_id}`)."""
        return self._namespace.faults.remove(rule_id)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more (`DELETE /_control/faults`)."""
        self._namespace.faults.clear()

    def expire_tokens(self) -> int:
        """Let all access tokens expire that were given out; returns how many (`POST /_control/tokens/expire`)."""
        return self._namespace.expire_tokens()

    @property
    def journal(self) -> list[Exchange]:
        """What was asked and answered, oldest first, the last 1,000 (`GET /_control/journal`)."""
        return self._namespace.journal.exchanges()

    def clear_journal(self) -> None:
        """Forget what was asked so far (`DELETE /_control/journal`)."""
        self._namespace.journal.clear()

    def wait_for(
        self, match: Match | None = None, *, count: int = 1, timeout: float = 5.0, status: int | None = None
    ) -> list[Exchange]:
        """Wait until so many requests were answered (`POST /_control/journal/wait`).

        Requests that came before count too; a WebSocket counts from when it is open.

        Args:
            match: which requests; all by default.
            count: how many, at least.
            timeout: in seconds.
            status: only those that were answered with this status.

        Returns:
            All that match, oldest first.

        Raises:
            NotSeen: there are fewer when the time is up. It is a `TimeoutError`, and has what was seen.
        """
        return self._namespace.journal.wait_for(match, count=count, timeout=timeout, status=status)

    def advance(self, seconds: float) -> datetime:
        """Turn the clock forward (`POST /_control/clock/advance`).

        Everything that becomes due on the way happens, each thing at its own time: delayed agents, start
        tasks, idle conversations, expiring tokens. Returns the new time, in UTC, when all that is done.
        """
        return self._namespace.advance(seconds)

    def reset(self) -> None:
        """Begin anew (`POST /_control/reset`).

        No conversation is left, no fault and no journal, and the clock is right again. Clients that listen
        are let go as at the end of a server.
        """
        self._namespace.reset()
