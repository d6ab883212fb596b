"""Threads and sockets that a part of a test leaves behind."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import engineio

logger = logging.getLogger(__name__)

PATIENCE = 20.0  # seconds; servers notice after a moment that their clients are gone
LOOK_EVERY = 0.05


@contextmanager
def remains(found: Counter[str]) -> Iterator[None]:
    """Count what is there afterwards and was not before, into ``found``."""
    threads, sockets = set(threading.enumerate()), open_sockets()
    yield
    gc.collect()
    _until(lambda: not set(threading.enumerate()) - threads and open_sockets() <= sockets)
    left = set(threading.enumerate()) - threads
    found["threads left"] += len(left)
    if left:
        logger.error("left: %s", ", ".join(thread.name for thread in left))
    found["sockets left"] += max(0, open_sockets() - sockets)


def wake(url: str, *, api_key: str = "") -> None:
    """Have the server start what it keeps running for a user from the first Socket.IO connection on."""
    client = engineio.Client()
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    client.connect(url, headers, transports=["polling"], engineio_path="socket.io")
    client.disconnect()


def _until(calm: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not calm() and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)


def open_sockets() -> int:
    """Open sockets of this process; 0 where the system does not tell."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return 0
    count = 0
    for descriptor in descriptors.iterdir():
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except OSError:  # closed while we looked
            continue
    return count
