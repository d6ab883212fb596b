"""The SDK against the reference server: a whole life, both generations."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import AsyncOpenHands
from openhands_reference_server import ReferenceServer
from tests.scenarios.async_life import bury, live


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_a_whole_life(server: ReferenceServer, api: Literal["v0", "v1"]) -> None:
    async with AsyncOpenHands(server.url) as client:
        conversation = await live(client, api, timeout=30)
        await bury(client, conversation)
