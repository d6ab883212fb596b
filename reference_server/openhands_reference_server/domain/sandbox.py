"""A sandbox: where the conversations of V1 live.

STARTING ──► RUNNING ⇄ PAUSED        deleted: nothing is left but a status, MISSING
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from openhands_reference_server.domain.changes import Changes

STARTING, RUNNING, PAUSED, MISSING = "STARTING", "RUNNING", "PAUSED", "MISSING"
SPEC_ID = "openhands-reference-sandbox"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The fold of a sandbox's records."""

    id: str
    created_at: str
    status: str = STARTING

    @property
    def running(self) -> bool:
        """Its agent server answers."""
        return self.status == RUNNING

    def to_json(self) -> dict[str, Any]:
        """As it stands in `state.json`."""
        return asdict(self)


def spec(created_at: str) -> dict[str, Any]:
    """What every sandbox is made from: a folder, and the agent server of this process."""
    return {
        "id": SPEC_ID,
        "command": ["openhands-reference-server", "serve"],
        "created_at": created_at,
        "initial_env": {},
        "working_dir": "/workspace",
    }


Writing: TypeAlias = Changes[Sandbox]


def from_json(data: Mapping[str, Any]) -> Sandbox:
    """Undo `to_json`."""
    return Sandbox(**data)


def fold(state: Sandbox | None, record: Mapping[str, Any]) -> Sandbox:
    """Apply one record."""
    if state is None:
        return Sandbox(id=record["id"], created_at=record["at"])
    return replace(state, status=record["status"]) if record["record"] == "status" else state


def create(changes: Writing, sandbox_id: str) -> None:
    """A new sandbox, up at once: there is no container to wait for."""
    changes.record("created", id=sandbox_id)
    changes.record("status", status=RUNNING)


def pause(changes: Writing) -> None:
    """Freeze it; a paused one stays as it is."""
    if changes.state.status != PAUSED:
        changes.record("status", status=PAUSED)


def resume(changes: Writing) -> None:
    """Thaw it; a running one stays as it is."""
    if changes.state.status != RUNNING:
        changes.record("status", status=RUNNING)
