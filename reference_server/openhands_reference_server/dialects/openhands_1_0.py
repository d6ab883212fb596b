"""App server 1.0.0 with agent server 1.5.2: V0 and V1."""

from __future__ import annotations

from openhands_reference_server.dialects.habits import Dialect

OPENHANDS_1_0 = Dialect(name="openhands-1.0")
