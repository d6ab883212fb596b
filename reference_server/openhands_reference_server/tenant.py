"""What a server serves: its world, or one for each of its users, and who may enter.

Each server of a process (`namespaces.py`) has one of these, and another one after a reset. They share what
`ServerOptions` says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain.script import Script
from openhands_reference_server.http.access import Access, OpenAccess, UserAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.agent_server import create_agent_server
from openhands_reference_server.http.app_server import create_app_server
from openhands_reference_server.http.application import operation_of
from openhands_reference_server.http.ownership import PERMISSION_DENIED, IsForeign
from openhands_reference_server.http.rate_limit import RateLimit
from openhands_reference_server.http.runtimes import Runtimes
from openhands_reference_server.http.socketio_server import INVALID_KEY, NOT_FOUND, SocketIO, Wsgi
from openhands_reference_server.storage import Store
from openhands_reference_server.users.accounts import Accounts
from openhands_reference_server.users.rates import Rate, RateLimiter
from openhands_reference_server.users.realms import Realms
from openhands_reference_server.users.tokens import TokenDesk
from openhands_reference_server.world import World
from openhands_reference_server.world.live import V0Options
from openhands_reference_server.world.scheduler import Clock, SystemClock, advance


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server behaves; the same for all servers of a process, on the command line and embedded.

    Attributes:
        access: makes what decides who may call the app server; each tenant has its own.
        script: what starts and agents do; None: echo and finish.
        v0: how V0 conversations are treated.
        enable_bash: let those who have the key of a sandbox run commands on this machine.
        dialect: which server line it plays.
        accounts: the users, each with a world of their own; None: there are none.
        token_lifetime: seconds that the tokens of a token endpoint are good for; None: there is none.
        rate: how many requests an address may make; None: as many as it likes.
    """

    access: Callable[[], Access] = OpenAccess
    script: Script | None = None
    v0: V0Options = field(default_factory=V0Options)
    enable_bash: bool = False
    dialect: Dialect = DOCS
    accounts: Accounts | None = None
    token_lifetime: float | None = None
    rate: Rate | None = None


class OneWorld:
    """A world and its two applications.

    Args:
        options: how it behaves.
        store: where the world is kept.
        agent_address: where its clients find the agent server.
        clock: the time of everything that happens later.
        access: who may call the app server.
        limiter: how often; None: as often as they like.
        is_foreign: tells what belongs to other users, if there are any.

    Attributes:
        world: what is served.
        app_server, agent_server: what it serves on either port, as WSGI.
    """

    def __init__(
        self,
        options: ServerOptions,
        store: Store,
        agent_address: AgentAddress,
        clock: Clock,
        *,
        access: Access,
        limiter: RateLimiter | None = None,
        is_foreign: IsForeign | None = None,
    ) -> None:
        self.world = World(
            store,
            script=options.script,
            clock=clock,
            v0_options=options.v0,
            enable_bash=options.enable_bash,
            dialect=options.dialect,
        )
        self._access = access
        self._is_foreign = is_foreign
        self._runtimes = Runtimes(self.world) if options.v0.nested else None
        self._app = create_app_server(self.world, agent_address, access, self._runtimes, is_foreign)
        self._agent_app = create_agent_server(self.world)
        self._socket_servers: list[SocketIO] = []
        limited = self._app if limiter is None else RateLimit(self._app, limiter, self.world.core)
        self.app_server: Wsgi = limited
        self.agent_server: Wsgi = self._agent_app
        if options.dialect.has_v0:
            self.app_server = self._with_socketio(SocketIO(limited, self.world, self._gate))
        if self._runtimes is not None:
            self.agent_server = self._with_socketio(self._runtimes.dispatcher(self._agent_app, self._app))

    def close(self) -> None:
        """End the world; who waits is let go. May be called more than once."""
        self.world.close()
        for server in self._socket_servers:
            server.close()

    def operation_on_app_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the app server is about to reach."""
        return operation_of(self._app, environ)

    def operation_on_agent_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the agent server is about to reach, there or at a V0 runtime."""
        at_runtime = self._runtimes is not None and self._runtimes.serves(environ["PATH_INFO"])
        return operation_of(self._app if at_runtime else self._agent_app, environ)

    def _with_socketio(self, server: SocketIO) -> SocketIO:
        self._socket_servers.append(server)
        return server

    def _gate(self, key: str, conversation_id: str) -> str | None:
        """Why a Socket.IO client is not let into the app server."""
        if not self._access.accepts(key):
            return INVALID_KEY
        if self._is_foreign is not None and self._is_foreign(conversation_id):
            return PERMISSION_DENIED
        return None if self._runtimes is None else NOT_FOUND


class Tenant:
    """One world, or one for each user.

    Args:
        options: how it behaves.
        store: where everything is kept.
        agent_address: where its clients find the agent server.
        clock: the time of everything that happens later.

    Attributes:
        world: what is served; with users, that of nobody. See `world_of`.
        app_server, agent_server: what it serves on either port, as WSGI.
        operation_on_app_server, operation_on_agent_server: tell the `operationId` of a request to either.
    """

    def __init__(
        self, options: ServerOptions, store: Store, agent_address: AgentAddress, clock: Clock | None = None
    ) -> None:
        self._options = options
        self._store = store
        self._agent_address = agent_address
        self._clock = clock or SystemClock()
        self._limiter = None if options.rate is None else RateLimiter(options.rate, self._clock.seconds)
        self._served = self._one_world() if options.accounts is None else self._with_users(options.accounts)
        self.world = self._served.world
        self.app_server: Wsgi = self._served.app_server
        self.agent_server: Wsgi = self._served.agent_server
        self.operation_on_app_server = self._served.operation_on_app_server
        self.operation_on_agent_server = self._served.operation_on_agent_server

    def close(self) -> None:
        """End everything; who waits is let go. May be called more than once."""
        self._served.close()

    def advance(self, seconds: float) -> None:
        """Turn the clock forward; returns when all has happened that became due on the way."""
        advance(self._clock, [world.core.scheduler for world in self.worlds()], seconds)

    def world_of(self, user: str) -> World:
        """What a user has.

        Raises:
            KeyError: there is no such user.
        """
        if isinstance(self._served, Realms):
            return self._served.world_of(user)
        raise KeyError(user)

    def worlds(self) -> list[World]:
        """All worlds that are served."""
        return self._served.worlds() if isinstance(self._served, Realms) else [self.world]

    def expire_tokens(self) -> int:
        """Let all access tokens expire now; returns how many were still good."""
        return self._served.expire_tokens() if isinstance(self._served, Realms) else 0

    def _one_world(self) -> OneWorld:
        return OneWorld(
            self._options,
            self._store,
            self._agent_address,
            self._clock,
            access=self._options.access(),
            limiter=self._limiter,
        )

    def _with_users(self, accounts: Accounts) -> Realms:
        lifetime = self._options.token_lifetime
        desk = None if lifetime is None else TokenDesk(accounts, self._clock.seconds, lifetime)
        return Realms(accounts, self._realm, desk)

    def _realm(self, user: str | None, is_foreign: IsForeign) -> OneWorld:
        return OneWorld(
            self._options,
            self._store if user is None else self._store.part(user),
            self._agent_address,
            self._clock,
            access=UserAccess(user),
            limiter=self._limiter,
            is_foreign=is_foreign,
        )
