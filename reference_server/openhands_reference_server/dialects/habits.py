"""The habits a server line can have; the defaults are those of a correct server."""

from __future__ import annotations

from dataclasses import dataclass

from openhands_contract import documents


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server of some line behaves.

    Attributes:
        name: what it is called everywhere.
        agent_server_version: what the agent server says it is.
        has_v0: there are V0 conversations, and Socket.IO to follow them.
    """

    name: documents.Dialect
    agent_server_version: str = "1.5.2"
    has_v0: bool = True
