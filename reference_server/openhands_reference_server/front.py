"""What a process serves on its two ports: looks at the port and the path, and finds the server to ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from openhands_reference_server.control.namespaces import (
    PREFIX,
    Namespace,
    Namespaces,
    TooManyNamespaces,
    is_name,
    within,
)
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.control_api import ControlApi
from openhands_reference_server.http.journaling import Environ, StartResponse
from openhands_reference_server.http.plain_answers import problem
from openhands_reference_server.storage.place import Storage
from openhands_reference_server.tenant import ServerOptions
from openhands_reference_server.world.scheduler import Clock

CONTROL = "/_control"


@dataclass(frozen=True, slots=True)
class ControlOptions:
    """How a process can be controlled while it runs.

    Attributes:
        api: serve `/_control` and namespaces; otherwise only the process itself controls its server.
        token: what `X-Control-Token` has to say to `/_control`; None: nothing.
    """

    api: bool = True
    token: str | None = field(default=None, repr=False)


class Frontage(Protocol):
    """What a process serves: a `Front`, or a recording."""

    def app_server(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]:
        """Serve a request to the app server's port."""
        ...

    def agent_server(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]:
        """Serve a request to the agent server's port."""
        ...

    def wsgi(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]:
        """Serve a request with the server of the port it came in on."""
        ...

    def close(self) -> None:
        """End everything; who waits is let go."""
        ...


class Front:
    """Everything behind the two ports of one process.

    Args:
        options: how its servers behave.
        storage: where the worlds are kept.
        agent_address: where clients find the agent server; the other port is the app server's.
        clock: the time of the server at the root; namespaces have clocks of their own.
        control: how it can be controlled; None: not at all.

    Attributes:
        root: the server at the root of both ports.
        namespaces: those below `/ns/{name}`.
    """

    def __init__(
        self,
        options: ServerOptions,
        storage: Storage,
        agent_address: AgentAddress,
        clock: Clock | None = None,
        control: ControlOptions | None = None,
    ) -> None:
        def make(name: str) -> Namespace:
            address = replace(agent_address, prefix=f"{PREFIX}{name}")
            return Namespace(options, lambda: storage.open(name), address, controlled=True)

        controlled = control is not None
        self.root = Namespace(options, storage.open, agent_address, clock, controlled=controlled)
        self.namespaces = Namespaces(make, storage)
        self._control = ControlApi(self.namespaces, control.token) if control and control.api else None
        self._agent_port = str(agent_address.port)

    def wsgi(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request with the server of the port it came in on."""
        if environ["SERVER_PORT"] == self._agent_port:
            return self.agent_server(environ, start_response)
        return self.app_server(environ, start_response)

    def app_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request to the app server's port."""
        if self._control is None:
            return self.root.app_server(environ, start_response)
        try:
            namespace, environ = self._addressed(environ)
        except TooManyNamespaces as error:
            return problem(start_response, "409 Conflict", str(error))
        if f"{environ['PATH_INFO']}/".startswith(f"{CONTROL}/"):
            return self._control.serve(namespace, within(environ, CONTROL), start_response)
        return namespace.app_server(environ, start_response)

    def agent_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request to the agent server's port."""
        if self._control is None:
            return self.root.agent_server(environ, start_response)
        try:
            namespace, environ = self._addressed(environ)
        except TooManyNamespaces as error:
            return problem(start_response, "409 Conflict", str(error))
        return namespace.agent_server(environ, start_response)

    def close(self) -> None:
        """End everything; who waits is let go. May be called more than once."""
        self.root.close()
        self.namespaces.close()

    def _addressed(self, environ: Environ) -> tuple[Namespace, Environ]:
        """The server a request is for, and the request as that one sees it."""
        path: str = environ["PATH_INFO"]
        name = path.removeprefix(PREFIX).partition("/")[0]
        if not path.startswith(PREFIX) or not is_name(name):
            return self.root, environ
        return self.namespaces.get(name), within(environ, f"{PREFIX}{name}")
