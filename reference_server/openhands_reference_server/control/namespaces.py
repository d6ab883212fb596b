"""A server of its own under each name, and the one at the root: what tests control, and what they share.

Parallel tests share one process without seeing each other: everything below `/ns/{name}` on both ports is
a server with its own world, access, clock, faults and journal, made when it is first asked for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from openhands_reference_server import storage
from openhands_reference_server.control.faults import Faults
from openhands_reference_server.control.journal import Journal
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.injection import Injection, Patience
from openhands_reference_server.http.journaling import Environ, Journaling, StartResponse, Wsgi
from openhands_reference_server.storage import Store
from openhands_reference_server.storage.place import Storage
from openhands_reference_server.tenant import ServerOptions, Tenant
from openhands_reference_server.world.scheduler import Clock

MOST_NAMESPACES = 1000
PREFIX = "/ns/"
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")


class TooManyNamespaces(Exception):
    """There is no room for another one; the text says what to do."""


def is_name(text: str) -> bool:
    """Can a namespace be called so?"""
    return _NAME.fullmatch(text) is not None


class Namespace:
    """A server of its own.

    Args:
        options: how it behaves.
        open_store: opens the store of its world; again at every reset.
        agent_address: where its clients find the agent server.
        clock: the time of everything that happens later; None: a new system clock at every reset.
        controlled: faults can be added, and a journal is kept. Otherwise nothing stands between the web
            server and the applications.

    Attributes:
        tenant: its world and applications, until the next reset.
        faults: what goes wrong on purpose.
        journal: what was asked and answered.
        app_server, agent_server: what it serves on either port, as WSGI.
    """

    def __init__(
        self,
        options: ServerOptions,
        open_store: Callable[[], Store],
        agent_address: AgentAddress,
        clock: Clock | None = None,
        *,
        controlled: bool,
    ) -> None:
        self._options = options
        self._open_store = open_store
        self._agent_address = agent_address
        self._clock = clock
        self._changing = threading.Lock()
        self._patience = Patience()
        self.tenant = Tenant(options, open_store(), agent_address, clock)
        self.faults = Faults()
        self.journal = Journal(self.now)
        self.app_server: Wsgi = self.tenant.app_server
        self.agent_server: Wsgi = self.tenant.agent_server
        if controlled:
            self.app_server = Journaling(
                Injection(self._app_server, self.faults, self._patience, self.expire_tokens),
                "app",
                self.journal,
                lambda environ: self.tenant.operation_on_app_server(environ),
            )
            self.agent_server = Journaling(
                Injection(self._agent_server, self.faults, self._patience, self.expire_tokens),
                "agent",
                self.journal,
                lambda environ: self.tenant.operation_on_agent_server(environ),
            )

    def now(self) -> datetime:
        """The time of its clock, in UTC."""
        return self.tenant.world.clock.now()

    def advance(self, seconds: float) -> datetime:
        """Turn its clock forward; returns the new time when all that became due on the way has happened."""
        with self._changing:
            self.tenant.advance(seconds)
            return self.now()

    def expire_tokens(self) -> int:
        """Let all access tokens expire that were given out; returns how many."""
        return self.tenant.expire_tokens()

    def reset(self) -> None:
        """Begin anew: no conversation, no fault, no journal, the clock as it was. Clients are let go."""
        with self._changing:
            self.faults.clear()
            self._patience.end()
            self.tenant.close()
            store = self._open_store()
            accounts = self._options.accounts
            storage.empty(store, () if accounts is None else accounts.users)
            self.tenant = Tenant(self._options, store, self._agent_address, self._clock)
            self.journal.clear()

    def close(self) -> None:
        """End everything; who waits is let go. May be called more than once."""
        self.journal.close()
        self._patience.end()
        self.tenant.close()  # lets go of who is turning its clock
        with self._changing:
            self.tenant.close()  # one that a reset was making

    def _app_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.tenant.app_server(environ, start_response)

    def _agent_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.tenant.agent_server(environ, start_response)


class Namespaces:
    """All namespaces of a process but the root.

    Args:
        make: makes the server of a name.
        storage: where they are kept.
    """

    def __init__(self, make: Callable[[str], Namespace], storage: Storage) -> None:
        self._make = make
        self._storage = storage
        self._open: dict[str, Namespace] = {}
        self._changing = threading.Lock()
        self._closed = False

    def get(self, name: str) -> Namespace:
        """The server of a name, made now if need be.

        Raises:
            ValueError: there can be no such name.
            TooManyNamespaces: there are so many already that one has to be deleted first.
        """
        found = self._open.get(name)
        if found is not None:
            return found
        if not is_name(name):
            raise ValueError(
                f"{name!r} is no name of a namespace: use 1 to 64 letters, digits, '.', '_', '-'"
            )
        with self._changing:
            if name not in self._open:
                if self._closed or len(self._open) >= MOST_NAMESPACES:
                    raise TooManyNamespaces(
                        f"There are {len(self._open)} namespaces already; delete one that is not used any more"
                    )
                self._open[name] = self._make(name)
            return self._open[name]

    def names(self) -> list[str]:
        """All names, in their order; also those that are kept and have not been asked for yet."""
        return sorted({*self._open, *self._storage.names()})

    def remove(self, name: str) -> bool:
        """Delete a namespace with all it holds; says whether there was one."""
        if not is_name(name):
            return False
        with self._changing:
            known = name in self.names()
            namespace = self._open.pop(name, None)
            if namespace is not None:
                namespace.close()
            self._storage.remove(name)
            return known

    def close(self) -> None:
        """End them all."""
        with self._changing:
            self._closed = True
            for namespace in self._open.values():
                namespace.close()


def within(environ: Environ, prefix: str) -> Environ:
    """The request as the server sees it that is mounted at this prefix of its path."""
    raw = environ.get("RAW_URI", "")
    inner: dict[str, Any] = {
        **environ,
        "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix,
        "PATH_INFO": environ["PATH_INFO"][len(prefix) :] or "/",
    }
    if raw:
        # The raw path may be encoded otherwise, but has as many slashes before what is inside.
        inner["RAW_URI"] = "/" + "/".join(raw.split("/")[prefix.count("/") + 1 :])
    return inner
