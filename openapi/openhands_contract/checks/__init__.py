"""The checks: one module per area of the catalogue, each function bound to the requirements it tests.

A check is a function of a `Bench`. It returns when the server does what is required, and raises otherwise; its
docstring says what it does, for `openhands-contract explain`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from openhands_contract.lab.bench import Bench

Function = Callable[[Bench], None]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is done to test a requirement."""

    requirement: str
    function: Function

    @property
    def story(self) -> str:
        """What it does, in words."""
        return " ".join((self.function.__doc__ or "").split())


_REGISTERED: dict[str, list[Check]] = {}


def checks(requirement: str) -> Callable[[Function], Function]:
    """Bind a function to a requirement. A requirement may have several, a function may test several."""

    def register(function: Function) -> Function:
        _REGISTERED.setdefault(requirement, []).append(Check(requirement, function))
        return function

    return register


@cache
def load_all() -> Mapping[str, list[Check]]:
    """All checks by requirement."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return _REGISTERED
