"""What a process serves on its two ports, as one WSGI application that looks at the port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.socketio_server import Wsgi
from openhands_reference_server.scheduler import Clock
from openhands_reference_server.storage import Store
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.storage.lock import DirectoryLock
from openhands_reference_server.storage.memory import MemoryStore
from openhands_reference_server.tenant import ServerOptions, Tenant


def open_store(data_dir: Path | None, lock: DirectoryLock | None = None) -> Store:
    """A store in a directory, or in memory when there is none.

    Raises:
        StorageError: the directory cannot be used.
    """
    return MemoryStore() if data_dir is None else DirectoryStore(data_dir, lock)


class Frontage(Protocol):
    """What a process serves: a `Front`, or a recording."""

    app_server: Wsgi
    agent_server: Wsgi

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request with the application of the port it came in on."""
        ...

    def close(self) -> None:
        """End everything; who waits is let go."""
        ...


class Front:
    """Everything behind the two ports of one process.

    Args:
        options: how it behaves.
        store: where the world is kept.
        agent_address: where clients find the agent server; the other port is the app server's.
        clock: the time of everything that happens later.

    Attributes:
        root: the server at the root of both ports.
    """

    def __init__(
        self, options: ServerOptions, store: Store, agent_address: AgentAddress, clock: Clock | None = None
    ) -> None:
        self.root = Tenant(options, store, agent_address, clock)
        self.app_server: Wsgi = self.root.app_server
        self.agent_server: Wsgi = self.root.agent_server
        self._agent_port = str(agent_address.port)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request with the application of the port it came in on."""
        to_agent_server = environ["SERVER_PORT"] == self._agent_port
        app = self.agent_server if to_agent_server else self.app_server
        return app(environ, start_response)

    def close(self) -> None:
        """End everything; who waits is let go. May be called more than once."""
        self.root.close()
