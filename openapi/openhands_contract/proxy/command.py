"""The command `openhands-contract proxy`."""

from __future__ import annotations
