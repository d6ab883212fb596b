"""The SDK against real OpenHands servers: a whole life, both generations, both server lines."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import AsyncOpenHands
from tests.interop.conftest import RealServers
from tests.scenarios.async_life import bury, live

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(("line", "api"), [("1.0", "v1"), ("1.0", "v0"), ("1.11", "v1")])
async def test_a_whole_life(real_servers: RealServers, line: str, api: Literal["v0", "v1"]) -> None:
    async with AsyncOpenHands(real_servers.url(line)) as client:
        conversation = await live(client, api, timeout=180)
        await bury(client, conversation)
