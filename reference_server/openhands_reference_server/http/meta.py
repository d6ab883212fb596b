"""Tag `meta`: is it there, is it well, since when."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from openhands_reference_server.dialects import Dialect
from openhands_reference_server.http.answers import json_answer
from openhands_reference_server.world import World

OPERATIONS = ("alive", "health", "ready", "serverInfo")
"""These never need a key."""


class Activity:
    """When the last request came; requests about the server itself do not count."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note(self) -> None:
        """A request came."""
        self._last = time.monotonic()

    @property
    def idle_time(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._last


def blueprint(
    world: World,
    activity: Activity,
    more: Callable[[], dict[str, Any]],
    *,
    healthy: Any = "OK",
    ready: Any = "OK",
) -> Blueprint:
    """The routes.

    Args:
        world: what the server serves.
        activity: when the last request came.
        more: what this server says beside its times.
        healthy: what it says when it is well.
        ready: what it says when it can be used.
    """
    routes = Blueprint("meta", __name__)

    @routes.get("/alive", endpoint="alive")
    def alive() -> Response:
        return json_answer({"status": "ok"})

    @routes.get("/health", endpoint="health")
    def health() -> Response:
        return json_answer(healthy)

    @routes.get("/ready", endpoint="ready")
    def is_ready() -> Response:
        return json_answer(ready)

    @routes.get("/server_info", endpoint="serverInfo")
    def server_info() -> Response:
        times = {"uptime": round(world.uptime, 3), "idle_time": round(activity.idle_time, 3)}
        return json_answer({**times, **more()})

    return routes


def resources() -> dict[str, Any]:
    """What the app server says about itself."""
    used = os.times()
    return {"resources": {"cpu_seconds": round(used.user + used.system, 3)}}


def agent_server_identity(dialect: Dialect) -> dict[str, Any]:
    """What the agent server says about itself: whose line it speaks."""
    return dict(dialect.agent_server)
