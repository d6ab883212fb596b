"""What a test can do to a server, beside calling it: the same for the server itself and its namespaces."""

from __future__ import annotations

from abc import ABC, abstractmethod

from openhands_reference_server.faults import Effect, FaultRule
from openhands_reference_server.matching import Match
from openhands_reference_server.tenant import Tenant


class Controls(ABC):
    """The controls of one tenant."""

    @property
    @abstractmethod
    def _tenant(self) -> Tenant:
        """Whose controls these are.

        Raises:
            RuntimeError: it is not there: the server does not run.
        """

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
        return self._tenant.faults.add(
            effect, match, skip=skip, times=times, probability=probability, seed=seed
        )

    @property
    def faults(self) -> list[FaultRule]:
        """All fault rules in their order, and how often each has hit (`GET /_control/faults`)."""
        return self._tenant.faults.rules()

    def remove_fault(self, rule_id: str) -> bool:
        """Remove one rule; says whether there was one (`DELETE /_control/faults/{fault_id}`)."""
        return self._tenant.faults.remove(rule_id)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more (`DELETE /_control/faults`)."""
        self._tenant.faults.clear()

    def expire_tokens(self) -> int:
        """Let all access tokens expire that were given out; returns how many (`POST /_control/tokens/expire`)."""
        return self._tenant.expire_tokens()
