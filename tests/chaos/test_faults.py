"""The SDK under a storm of injected faults: nothing lost, nothing twice, nothing left behind.

``make chaos`` plays a thousand conversations; as a part of all tests it is a few dozen. The seed is printed, and
repeats which faults are drawn; what they hit depends on the machine, too.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from openhands_reference_server import Match, ReferenceServer, faults

from .crowds import BUSY, SEED, draw, live_all
from .judge import faults_in, in_order, judge, table
from .remains import remains

LIVES = int(os.environ.get("OPENHANDS_CHAOS_LIVES", "48"))


def raise_a_storm(server: ReferenceServer) -> dict[str, str]:
    """Inject the faults; returns what each rule is called."""
    everywhere = [
        ("answered 503", faults.Answer(503), 0.05, None),
        ("answered 500", faults.Answer(500), 0.05, None),
        ("answered 429", faults.Answer(429, retry_after=0), 0.05, None),
        ("dropped before handling", faults.Drop(), 0.05, None),
        ("dropped after handling", faults.Drop(handled=True), 0.05, Match(protocol="http")),
        ("WebSocket cut after 20 events", faults.CloseWebSocket(after=20, code=None), 1.0, None),
        ("Socket.IO cut after 20 events", faults.CloseSocketIO(after=20), 1.0, None),
    ]
    return {
        server.add_fault(effect, match, probability=likely, seed=SEED + number).id: name
        for number, (name, effect, likely, match) in enumerate(everywhere)
    }


def test_a_storm_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    lives = draw(LIVES)
    found: Counter[str] = Counter()
    with ReferenceServer(script=BUSY, max_concurrent_conversations=100_000) as server:
        live_all(server.url, draw(2, ("v0",), repository=None), found)  # wakes what a server keeps running
        names = raise_a_storm(server)
        with remains(found):
            live_all(server.url, lives, found)
        injected = {names[rule.id]: rule.hits for rule in server.faults}
        asked = max(rule.seen for rule in server.faults)
        server.clear_faults()
        found += judge(server.url, lives)
    found["seconds"] = round(time.monotonic() - began)
    with capsys.disabled():
        print(table(f"A storm of faults (seed {SEED})", {"requests": asked}, injected, in_order(found)))
    assert not faults_in(found), [
        f"{life.name} ({life.api}): {life.failure!r}" for life in lives if life.failure
    ]
    assert all(injected.values()), "some fault was never drawn"
