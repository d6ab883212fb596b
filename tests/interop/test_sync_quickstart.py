# Generated from tests/interop/test_async_quickstart.py by scripts/unasync.py. Do not edit.
"""The SDK against real OpenHands servers: a whole life, both generations, both server lines."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import OpenHands
from tests.interop.conftest import RealServers
from tests.scenarios.sync_life import bury, live

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(("line", "api"), [("1.0", "v1"), ("1.0", "v0"), ("1.11", "v1")])
def test_a_whole_life(real_servers: RealServers, line: str, api: Literal["v0", "v1"]) -> None:
    with OpenHands(real_servers.url(line)) as client:
        conversation = live(client, api, timeout=180)
        bury(client, conversation)
