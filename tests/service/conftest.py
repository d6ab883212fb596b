"""A reference server over real sockets, one per test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openhands_reference_server import ReferenceServer


@pytest.fixture(scope="session")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(max_concurrent_conversations=10_000) as running:  # many tests share it
        yield running
