"""The SDK behind a proxy that cuts TCP connections, in front of the reference server and of the real ones.

Nothing about the servers is special: what they handled is handled, and only the network fails. The proxy is an
ordinary HTTP proxy, set as in any environment, so agent servers are behind it, too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from openhands_reference_server import ReferenceServer
from tests.interop.conftest import RealServers

from .crowds import BUSY, SEED, draw, live_all
from .cutting_proxy import CuttingProxy, Shears, cutting_proxy
from .judge import all_ids, faults_in, in_order, judge, table
from .life import Api, Life
from .remains import remains, wake

LIVES, REAL_LIVES = 24, 6
FEW_PIECES = Shears(socket=0.15)  # real agents have little to say, and some of it shall be cut
REAL_AT_ONCE = 1  # started together, the agent servers of one line choose the same port


@contextmanager
def behind(proxy: CuttingProxy) -> Iterator[None]:
    """Whatever reads the environment for a proxy finds this one."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
            environment.delenv(name, raising=False)
        environment.setenv("http_proxy", proxy.url)
        yield


def play(
    title: str,
    url: str,
    lives: list[Life],
    shears: Shears,
    *,
    at_once: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Live them all behind the proxy, judge without it, and print what was cut and what came of it."""
    began = time.monotonic()
    found: Counter[str] = Counter()
    older = all_ids(url)
    with remains(found), cutting_proxy(shears, SEED) as proxy, behind(proxy):
        live_all(url, lives, found, at_once=at_once)
    found += judge(url, lives, older)
    found["seconds"] = round(time.monotonic() - began)
    with capsys.disabled():
        print(table(f"{title}, connections cut (seed {SEED})", proxy.counts, in_order(found)))
    assert not faults_in(found), [
        f"{life.name} ({life.api}): {life.failure!r}" for life in lives if life.failure
    ]
    for cut in ("cut before", "cut after", "cut amid", "WebSockets cut"):
        assert proxy.counts[cut], f"there was no {cut}"


def test_the_reference_server(capsys: pytest.CaptureFixture[str]) -> None:
    with ReferenceServer(script=BUSY, max_concurrent_conversations=100_000) as server:
        wake(server.url)
        play("The reference server", server.url, draw(LIVES), Shears(), at_once=12, capsys=capsys)


@pytest.mark.interop
@pytest.mark.parametrize(("line", "apis"), [("1.0", ("v1",)), ("1.0", ("v0",)), ("1.11", ("v1",))])
def test_a_real_server(
    real_servers: RealServers, line: str, apis: tuple[Api, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lives = draw(REAL_LIVES, apis, repository=None)
    title = f"OpenHands {line}, {apis[0].upper()}"
    play(title, real_servers.url(line), lives, FEW_PIECES, at_once=REAL_AT_ONCE, capsys=capsys)
