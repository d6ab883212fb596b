"""The SDK against a real OpenHands server: a whole life, both generations."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import AsyncOpenHands
from tests.scenarios.async_life import bury, live

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("api", ["v1", "v0"])
async def test_a_whole_life(real_server: str, api: Literal["v0", "v1"]) -> None:
    async with AsyncOpenHands(real_server) as client:
        conversation = await live(client, api, timeout=180)
        await bury(client, conversation)
