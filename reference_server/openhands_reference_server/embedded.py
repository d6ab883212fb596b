"""The reference server inside a test: both servers on free ports, started and gone in milliseconds.

with ReferenceServer() as server:
    OpenHands(base_url=server.url)
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from openhands_reference_server.domain.script import Script
from openhands_reference_server.http.access import OpenAccess, SessionKeyAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.agent_server import create_agent_server
from openhands_reference_server.http.app_server import create_app_server
from openhands_reference_server.scheduler import Clock
from openhands_reference_server.serving import BackgroundServer, bind, port_of
from openhands_reference_server.storage import Store
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.storage.memory import MemoryStore
from openhands_reference_server.world import World

_HOST = "127.0.0.1"


class ReferenceServer:
    """An app server and an agent server on loopback.

    Args:
        script: how conversations start and what the agent does; the default echoes and finishes.
        data_dir: keep everything in this directory; in memory by default.
        session_api_key: the key the app server wants; none by default.
        clock: the time of everything that happens later; a `ManualClock` stands still until turned.
    """

    def __init__(
        self,
        *,
        script: Script | None = None,
        data_dir: str | Path | None = None,
        session_api_key: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._script = script
        self._data_dir = data_dir
        self._access = OpenAccess() if session_api_key is None else SessionKeyAccess(session_api_key)
        self._clock = clock
        self._world: World | None = None
        self._servers: tuple[BackgroundServer, ...] = ()

    @property
    def url(self) -> str:
        """The app server."""
        return f"http://{_HOST}:{self._running()[0].port}"

    @property
    def agent_url(self) -> str:
        """The agent server."""
        return f"http://{_HOST}:{self._running()[1].port}"

    @property
    def world(self) -> World:
        """What is served, for tests that look behind the scenes."""
        if self._world is None:
            raise RuntimeError("The reference server is not running; use it as a context manager")
        return self._world

    def start(self) -> Self:
        """Bind both ports and begin to serve; `with` does this."""
        if self._servers:
            raise RuntimeError("The reference server is running already")
        self._world = World(self._store(), script=self._script, clock=self._clock)
        listeners = [bind(_HOST, 0), bind(_HOST, 0)]
        agent_address = AgentAddress(_HOST, port_of(listeners[1]))
        apps = (
            create_app_server(self._world, agent_address, self._access),
            create_agent_server(self._world),
        )
        names = ("app-server", "agent-server")
        self._servers = tuple(map(BackgroundServer, names, listeners, apps))
        for server in self._servers:
            server.start()
        return self

    def stop(self) -> None:
        """Let everybody go, and return when no thread and no socket is left; `with` does this."""
        if self._world is None:
            return
        self._world.close()
        for server in self._servers:
            server.stop()
        self._servers, self._world = (), None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _store(self) -> Store:
        return MemoryStore() if self._data_dir is None else DirectoryStore(Path(self._data_dir))

    def _running(self) -> tuple[BackgroundServer, ...]:
        if not self._servers:
            raise RuntimeError("The reference server is not running; use it as a context manager")
        return self._servers
