"""A proxy in a thread of its own, so that tests with blocking clients can use it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from openhands_contract.proxy.running import RunningProxy, proxy
from openhands_contract.traffic import Fact


def ignore(fact: Fact) -> None:
    """Nobody listens."""


@contextmanager
def proxying(upstream: str, tell: Callable[[Fact], None] = ignore) -> Iterator[RunningProxy]:
    """A proxy that runs."""
    running: Future[tuple[RunningProxy, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        end = asyncio.Event()
        async with proxy(upstream, tell) as started:
            running.set_result((started, asyncio.get_running_loop(), end))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started, loop, end = running.result(timeout=10)
    try:
        yield started
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


@contextmanager
def upstream(answer: Callable[[Request], Response]) -> Iterator[str]:
    """A server that answers what a test wants."""
    server = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
