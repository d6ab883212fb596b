# Generated from tests/service/sdk/test_async_life.py by scripts/unasync.py. Do not edit.
"""The SDK against the reference server: a whole life, both generations."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import OpenHands
from openhands_reference_server import ReferenceServer
from tests.scenarios.sync_life import bury, live


@pytest.mark.parametrize("api", ["v1", "v0"])
def test_a_whole_life(server: ReferenceServer, api: Literal["v0", "v1"]) -> None:
    with OpenHands(server.url) as client:
        conversation = live(client, api, timeout=30)
        bury(client, conversation)
