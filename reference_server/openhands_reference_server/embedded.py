"""The reference server inside a test: both servers on free ports, started and gone in milliseconds.

with ReferenceServer() as server:
    OpenHands(base_url=server.url)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from openhands_contract import documents
from openhands_reference_server import dialects
from openhands_reference_server.control.controls import Controls, read_scenario
from openhands_reference_server.control.namespaces import PREFIX, Namespace
from openhands_reference_server.domain.script import AgentScript, Script
from openhands_reference_server.front import ControlOptions, Front, Frontage
from openhands_reference_server.http.access import access_with
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.serving import BackgroundServer, bind, port_of
from openhands_reference_server.storage.place import Storage
from openhands_reference_server.tenant import ServerOptions
from openhands_reference_server.users.rates import Rate
from openhands_reference_server.users.tokens import DEFAULT_LIFETIME
from openhands_reference_server.workspace.files import UploadLimits
from openhands_reference_server.world.live import DEFAULT_CLOSE_DELAY, DEFAULT_MAX_CONCURRENT, V0Options
from openhands_reference_server.world.scheduler import Clock

if TYPE_CHECKING:  # reading scenarios takes pydantic, which those without one do not wait for
    from openhands_contract.recording.files import Recording
    from openhands_reference_server.scenarios import ScenarioSource
    from openhands_reference_server.users.accounts import Accounts

_HOST = "127.0.0.1"
_SWIFT = AgentScript(step_delay=0.002, stage_delay=0.002)  # nobody watches it at work
_NOT_RUNNING = "The reference server is not running; use it as a context manager"


class ReferenceServer(Controls):
    """An app server and an agent server on loopback.

    Args:
        script: how conversations start and what the agent does; the default echoes and finishes, in no time.
        scenario: the same as a scenario: the path of a YAML file, YAML text, or what such a file holds.
        data_dir: keep everything in this directory; in memory by default.
        session_api_key: the key the app server wants; none by default.
        users: who may call, each with a world of their own: the path of a YAML file, or what it holds (see
            docs/test-double.md). Users show an API key as bearer token.
        oauth: there is a token endpoint, `token_url`, where the clients of users get tokens.
        token_lifetime: seconds an access token is good for.
        rate_limit: how many requests an address may make, like `10/second`; as many more are delayed by a
            second, all others are refused. Without limit by default.
        clock: the time of everything that happens later; a `ManualClock` stands still until turned.
        close_delay: seconds after its last Socket.IO client left until an idle V0 conversation is stopped.
        max_concurrent_conversations: how many V0 conversations may run at once; one more stops the least
            recently used. In tests that share a server, give it room.
        upload_limits: how much an upload into a workspace may bring.
        nested: each V0 conversation has a runtime of its own, with its own url and key.
        enable_bash: the agent server runs commands, on this machine and as the user of this process.
        dialect: `docs` answers as the documents say; `openhands-1.0` and `openhands-1.11` as servers of these
            lines really do.
        replay: a recording made by `openhands-contract proxy --record`; the server answers what stands there,
            and nothing else.

    Raises:
        ScenarioError, AccountsError: the scenario or the users cannot be read; says what is wrong and where.
        RecordingError: the recording is none.
        ValueError: arguments exclude each other, or one makes no sense.
    """

    def __init__(
        self,
        *,
        script: Script | None = None,
        scenario: ScenarioSource | None = None,
        data_dir: str | Path | None = None,
        session_api_key: str | None = None,
        users: str | Path | Mapping[str, Any] | None = None,
        oauth: bool = False,
        token_lifetime: float = DEFAULT_LIFETIME,
        rate_limit: str | None = None,
        clock: Clock | None = None,
        close_delay: float = DEFAULT_CLOSE_DELAY,
        max_concurrent_conversations: int = DEFAULT_MAX_CONCURRENT,
        upload_limits: UploadLimits | None = None,
        nested: bool = False,
        enable_bash: bool = False,
        dialect: documents.Dialect = "docs",
        replay: str | Path | None = None,
        control: bool = False,
        control_token: str | None = None,
    ) -> None:
        if script is not None and scenario is not None:
            raise ValueError("script and scenario exclude each other: both say what the agent does")
        if users is not None and session_api_key is not None:
            raise ValueError("users and session_api_key exclude each other: both say who may call")
        if oauth and users is None:
            raise ValueError("oauth needs users: tokens are given to their clients")
        self._options = ServerOptions(
            access=partial(access_with, session_api_key),
            script=(script or _SWIFT) if scenario is None else read_scenario(scenario),
            v0=V0Options(
                close_delay=close_delay,
                max_concurrent_conversations=max_concurrent_conversations,
                nested=nested,
                uploads=upload_limits or UploadLimits(),
            ),
            enable_bash=enable_bash,
            dialect=dialects.named(dialect),
            accounts=None if users is None else _read_users(users),
            token_lifetime=token_lifetime if oauth else None,
            rate=None if rate_limit is None else Rate.parse(rate_limit),
        )
        self._data_dir = data_dir
        self._clock = clock
        self._recording = None if replay is None else _recording(Path(replay))
        self._control = ControlOptions(api=control, token=control_token)
        self._front: Frontage | None = None
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
    def _namespace(self) -> Namespace:
        return self._running_front().root

    def start(self) -> Self:
        """Bind both ports and begin to serve; `with` does this."""
        if self._servers:
            raise RuntimeError("The reference server is running already")
        listeners = [bind(_HOST, 0), bind(_HOST, 0)]
        try:
            front = self._front = self._open_front(AgentAddress(_HOST, port_of(listeners[1])))
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        self._servers = (
            BackgroundServer("app-server", listeners[0], front.app_server),
            BackgroundServer("agent-server", listeners[1], front.agent_server),
        )
        for server in self._servers:
            server.start()
        return self

    def stop(self) -> None:
        """Let everybody go, and return when no thread and no socket is left; `with` does this."""
        if self._front is None:
            return
        for server in self._servers:
            server.stop_accepting()
        self._front.close()
        for server in self._servers:
            server.stop()
        self._servers, self._front = (), None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def namespace(self, name: str) -> NamespaceHandle:
        """A server of its own under `/ns/{name}`, made at its first use.

        Raises:
            ValueError: it cannot be called so, or the server was made without `control=True`.
            TooManyNamespaces: one has to be deleted first.
        """
        if not self._control.api:
            raise ValueError("Namespaces need ReferenceServer(control=True)")
        self._running_front().namespaces.get(name)
        return NamespaceHandle(self, name)

    @property
    def namespaces(self) -> list[str]:
        """The names of all namespaces (`GET /_control/namespaces`)."""
        return self._running_front().namespaces.names()

    def delete_namespace(self, name: str) -> bool:
        """Delete a namespace; says whether there was one (`DELETE /_control/namespaces/{name}`)."""
        return self._running_front().namespaces.remove(name)

    def _running_front(self) -> Front:
        self._running()
        if not isinstance(self._front, Front):
            raise RuntimeError("A server that replays a recording has no world, and nothing to control")
        return self._front

    def _open_front(self, address: AgentAddress) -> Frontage:
        if self._recording is not None:
            from openhands_reference_server.replay.front import ReplayFront

            return ReplayFront(self._recording, address)
        storage = Storage(None if self._data_dir is None else Path(self._data_dir))
        return Front(self._options, storage, address, self._clock, self._control)

    def _running(self) -> tuple[BackgroundServer, ...]:
        if not self._servers:
            raise RuntimeError(_NOT_RUNNING)
        return self._servers


class NamespaceHandle(Controls):
    """One namespace of a server; the controls of the server itself are those of the root."""

    def __init__(self, server: ReferenceServer, name: str) -> None:
        self._server = server
        self.name = name

    @property
    def url(self) -> str:
        """Its app server."""
        return f"{self._server.url}{PREFIX}{self.name}"

    @property
    def agent_url(self) -> str:
        """Its agent server."""
        return f"{self._server.agent_url}{PREFIX}{self.name}"

    @property
    def _namespace(self) -> Namespace:
        return self._server._running_front().namespaces.get(self.name)


def _recording(path: Path) -> Recording:
    """Read a recording; what that needs is loaded only now.

    Raises:
        RecordingError: it is none.
        OSError: the file cannot be read.
    """
    from openhands_contract.recording import files

    return files.read(path)


def _read_users(users: str | Path | Mapping[str, Any]) -> Accounts:
    from openhands_reference_server.users.users_file import read_accounts

    return read_accounts(users)
