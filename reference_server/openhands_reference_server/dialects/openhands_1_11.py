"""App server 1.11.0 with agent server 1.34.0: V1 only, some of its routes moved."""

from __future__ import annotations

from openhands_reference_server.dialects.habits import Dialect

OPENHANDS_1_11 = Dialect("openhands-1.11", agent_server_version="1.34.0", has_v0=False)
