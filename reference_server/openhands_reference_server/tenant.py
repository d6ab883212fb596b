"""A server of its own: one world, who may enter it, and the two applications over it.

The process serves one of these, or, with namespaces, one for each name. They share what `ServerOptions`
says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import Flask

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain.script import Script
from openhands_reference_server.faults import Faults
from openhands_reference_server.http.access import Access, OpenAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.agent_server import create_agent_server
from openhands_reference_server.http.app_server import create_app_server
from openhands_reference_server.http.application import operation_of
from openhands_reference_server.http.injection import Injection, OperationOf, Patience
from openhands_reference_server.http.runtimes import Runtimes
from openhands_reference_server.http.socketio_server import INVALID_KEY, NOT_FOUND, SocketIO, Wsgi
from openhands_reference_server.live import V0Options
from openhands_reference_server.matching import ServerName
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
        controlled: faults can be added; without it there is nothing between the web server and the applications.
    """

    access: Callable[[], Access] = OpenAccess
    script: Script | None = None
    v0: V0Options = field(default_factory=V0Options)
    enable_bash: bool = False
    dialect: Dialect = DOCS
    controlled: bool = False


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
        faults: what goes wrong on purpose, if it is controlled.
        app_server, agent_server: what it serves on either port, as WSGI.
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
        self.faults = Faults()
        self._patience = Patience()
        self._runtimes = Runtimes(self.world) if options.v0.nested else None
        app_server = create_app_server(self.world, agent_address, self.access, self._runtimes)
        agent_server = create_agent_server(self.world)
        self._socket_servers: list[SocketIO] = []
        self.app_server, self.agent_server = self._over_both_ports(app_server, agent_server, options)

    def close(self) -> None:
        """End the world; who waits is let go. May be called more than once."""
        self._patience.end()
        self.world.close()
        for server in self._socket_servers:
            server.close()

    def _over_both_ports(
        self, app_server: Flask, agent_server: Flask, options: ServerOptions
    ) -> tuple[Wsgi, Wsgi]:
        """What stands in front of the two applications, from the inside to the outside."""
        on_app_port: Wsgi = app_server
        on_agent_port: Wsgi = agent_server
        if options.dialect.has_v0:
            on_app_port = self._with_socketio(SocketIO(app_server, self.world, self._gate))
        if self._runtimes is not None:
            on_agent_port = self._with_socketio(self._runtimes.dispatcher(agent_server, app_server))
        if not options.controlled:
            return on_app_port, on_agent_port

        def on_agent_server(environ: Mapping[str, Any]) -> str | None:
            at_runtime = self._runtimes is not None and self._runtimes.serves(environ["PATH_INFO"])
            return operation_of(app_server if at_runtime else agent_server, environ)

        return (
            self._injected(on_app_port, "app", partial(operation_of, app_server)),
            self._injected(on_agent_port, "agent", on_agent_server),
        )

    def _with_socketio(self, server: SocketIO) -> SocketIO:
        self._socket_servers.append(server)
        return server

    def _injected(self, app: Wsgi, server: ServerName, find_operation: OperationOf) -> Injection:
        return Injection(app, server, self.faults, self._patience, self.access.expire_tokens, find_operation)

    def _gate(self, key: str, conversation_id: str) -> str | None:
        """Why a Socket.IO client is not let into the app server."""
        if not self.access.accepts(key):
            return INVALID_KEY
        return None if self._runtimes is None else NOT_FOUND
