# Generated from tests/interop/test_async_quickstart.py by scripts/unasync.py. Do not edit.
"""The SDK against a real OpenHands server: a whole life, both generations."""

from __future__ import annotations

from typing import Literal

import pytest

from openhands_client import OpenHands
from tests.scenarios.sync_life import bury, live

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("api", ["v1", "v0"])
def test_a_whole_life(real_server: str, api: Literal["v0", "v1"]) -> None:
    with OpenHands(real_server) as client:
        conversation = live(client, api, timeout=180)
        bury(client, conversation)
