"""A server of its own: one world, who may enter it, and the two applications over it.

The process serves one of these, or, with namespaces, one for each name. They share what `ServerOptions`
says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain.script import Script
from openhands_reference_server.http.access import Access, OpenAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.agent_server import create_agent_server
from openhands_reference_server.http.app_server import create_app_server
from openhands_reference_server.http.runtimes import Runtimes
from openhands_reference_server.http.socketio_server import INVALID_KEY, NOT_FOUND, SocketIO, Wsgi
from openhands_reference_server.live import V0Options
from openhands_reference_server.scheduler import Clock, SystemClock
from openhands_reference_server.storage import Store
from openhands_reference_server.world import World


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves; the same for all tenants of a process, on the command line and embedded.

    Attributes:
        access: makes what decides who may call the app server; each tenant has its own.
        script: what starts and agents do; None: echo and finish.
        v0: how V0 conversations are treated.
        enable_bash: let those who have the key of a sandbox run commands on this machine.
        dialect: which server line it plays.
    """

    access: Callable[[], Access] = OpenAccess
    script: Script | None = None
    v0: V0Options = field(default_factory=V0Options)
    enable_bash: bool = False
    dialect: Dialect = DOCS


class Tenant:
    """One world and its two applications.

    Args:
        options: how it behaves.
        store: where its world is kept.
        agent_address: where its clients find the agent server.
        clock: the time of everything that happens later.

    Attributes:
        world: what is served. Who wants a world per user makes them here, beside this one.
        access: who may call the app server.
        app_server, agent_server: the applications, as WSGI.
    """

    def __init__(
        self, options: ServerOptions, store: Store, agent_address: AgentAddress, clock: Clock | None = None
    ) -> None:
        self.access = options.access()
        self.world = World(
            store,
            script=options.script,
            clock=clock or SystemClock(),
            v0_options=options.v0,
            enable_bash=options.enable_bash,
            dialect=options.dialect,
        )
        self._runtimes = Runtimes(self.world) if options.v0.nested else None
        app_server = create_app_server(self.world, agent_address, self.access, self._runtimes)
        agent_server = create_agent_server(self.world)
        self.app_server: Wsgi = (
            SocketIO(app_server, self.world, self._gate) if options.dialect.has_v0 else app_server
        )
        self.agent_server: Wsgi = (
            agent_server if self._runtimes is None else self._runtimes.dispatcher(agent_server, app_server)
        )

    def close(self) -> None:
        """End the world; who waits is let go. May be called more than once."""
        self.world.close()
        for server in (self.app_server, self.agent_server):
            if isinstance(server, SocketIO):
                server.close()

    def _gate(self, key: str, conversation_id: str) -> str | None:
        """Why a Socket.IO client is not let into the app server."""
        if not self.access.accepts(key):
            return INVALID_KEY
        return None if self._runtimes is None else NOT_FOUND
