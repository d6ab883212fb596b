"""The two applications over one world, as one WSGI application that looks at the port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from openhands_reference_server.domain.script import Script
from openhands_reference_server.http.access import Access, OpenAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.agent_server import create_agent_server
from openhands_reference_server.http.app_server import create_app_server
from openhands_reference_server.http.runtimes import Runtimes
from openhands_reference_server.http.socketio_server import INVALID_KEY, NOT_FOUND, SocketIO, Wsgi
from openhands_reference_server.live import V0Options
from openhands_reference_server.scheduler import Clock
from openhands_reference_server.storage import Store
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.storage.lock import DirectoryLock
from openhands_reference_server.storage.memory import MemoryStore
from openhands_reference_server.world import World


def open_store(data_dir: Path | None, lock: DirectoryLock | None = None) -> Store:
    """A store in a directory, or in memory when there is none.

    Raises:
        StorageError: the directory cannot be used.
    """
    return MemoryStore() if data_dir is None else DirectoryStore(data_dir, lock)


class Front:
    """One world and its two applications.

    Args:
        store: where the world is kept.
        agent_address: where clients find the agent server; the other port is the app server's.
        access: who may call the app server.
        script: what starts and agents do.
        clock: the time of everything that happens later.
        v0_options: how V0 conversations are treated.
        enable_bash: let those who have the key of a sandbox run commands on this machine.
    """

    def __init__(
        self,
        store: Store,
        agent_address: AgentAddress,
        *,
        access: Access | None = None,
        script: Script | None = None,
        clock: Clock | None = None,
        v0_options: V0Options | None = None,
        enable_bash: bool = False,
    ) -> None:
        self.world = World(store, script=script, clock=clock, v0_options=v0_options, enable_bash=enable_bash)
        nested = v0_options is not None and v0_options.nested
        self._access = access or OpenAccess()
        self._runtimes = Runtimes(self.world) if nested else None
        app_server = create_app_server(self.world, agent_address, self._access, self._runtimes)
        agent_server = create_agent_server(self.world)
        self.app_server = SocketIO(app_server, self.world, self._gate)
        self.agent_server: Wsgi = (
            agent_server if self._runtimes is None else self._runtimes.dispatcher(agent_server, app_server)
        )
        self._agent_port = str(agent_address.port)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request with the application of the port it came in on."""
        to_agent_server = environ["SERVER_PORT"] == self._agent_port
        app = self.agent_server if to_agent_server else self.app_server
        return app(environ, start_response)

    def close(self) -> None:
        """End the world; who waits is let go. May be called more than once."""
        self.world.close()
        for server in (self.app_server, self.agent_server):
            if isinstance(server, SocketIO):
                server.close()

    def _gate(self, key: str, conversation_id: str) -> str | None:
        """Why a Socket.IO client is not let into the app server."""
        if not self._access.accepts(key):
            return INVALID_KEY
        return None if self._runtimes is None else NOT_FOUND
