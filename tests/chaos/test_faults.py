"""The SDK under a storm of injected faults: nothing lost, nothing twice, nothing left behind.

``make chaos`` plays a thousand conversations; as a part of all tests it is a few dozen. The seed is printed, and
repeats which faults are drawn; what they hit depends on the machine, too.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from openhands_client import OAuth2Auth
from openhands_client._core.commands import Flow
from openhands_reference_server import Match, ReferenceServer
from openhands_reference_server.control import faults

from .crowds import BUSY, SEED, draw, live_all
from .judge import faults_in, in_order, judge, table
from .life import failures_of
from .remains import remains, wake

LIVES = int(os.environ.get("OPENHANDS_CHAOS_LIVES", "48"))
GOOD_FOR = 50  # requests, for each token
CALM_KEY = "calm-key"
USERS = {
    "users": [
        {
            "id": "chaos",
            "api_keys": [CALM_KEY],
            "oauth_clients": [{"client_id": "storm", "client_secret": "stormy"}],
        }
    ]
}


class ShortLivedTokens(OAuth2Auth):
    """Tokens that the server forgets after so many requests, in whichever state of handling the others are."""

    def __init__(self, server: ReferenceServer) -> None:
        super().__init__(server.token_url, client_id="storm", client_secret="stormy")
        self.expired = 0
        self._server = server
        self._uses: Counter[str] = Counter()
        self._counting = threading.Lock()

    def headers(self) -> Flow[Mapping[str, str]]:
        headers = yield from super().headers()
        token = headers["Authorization"]
        with self._counting:
            self._uses[token] += 1
            if self._uses[token] == GOOD_FOR:
                self.expired += 1
                self._server.expire_tokens()
        return headers


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
    with ReferenceServer(
        script=BUSY, users=USERS, oauth=True, max_concurrent_conversations=100_000
    ) as server:
        auth = ShortLivedTokens(server)
        wake(server.url)  # where expired tokens lead, too
        wake(server.url, api_key=CALM_KEY)
        names = raise_a_storm(server)
        with remains(found):
            live_all(server.url, lives, found, auth)
        injected = {names[rule.id]: rule.hits for rule in server.faults}
        injected[f"tokens expired, after {GOOD_FOR} requests each"] = auth.expired
        asked = max(rule.seen for rule in server.faults)
        server.clear_faults()
        found += judge(server.url, lives, api_key=CALM_KEY)
    found["seconds"] = round(time.monotonic() - began)
    with capsys.disabled():
        print(table(f"A storm of faults (seed {SEED})", {"requests": asked}, injected, in_order(found)))
    assert not faults_in(found), failures_of(lives)
    assert all(injected.values()), "some fault was never drawn"
