"""What a forked child must not share with its parent: connections, and locks that somebody else holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_inherited: list[object] = []


class PerProcess(Generic[T]):
    """One thing for each process, made when it is first needed there."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._things: dict[int, T] = {}

    @property
    def mine(self) -> T:
        """This process's own."""
        process = os.getpid()
        try:
            return self._things[process]
        except KeyError:
            return self._things.setdefault(process, self._make())  # the first of several threads wins

    def __del__(self) -> None:
        for process, thing in self._things.items():
            if process != os.getpid():
                leave_to_parent(thing)


def leave_to_parent(thing: object) -> None:
    """Neither use nor close what a parent process has open: it would hear a goodbye in its own name.

    The copies that fork made of its descriptors end with this process.
    """
    _inherited.append(thing)
