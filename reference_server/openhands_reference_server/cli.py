"""`openhands-reference-server`: the server as a command."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from openhands_contract import documents
from openhands_contract.recording import files
from openhands_reference_server import dialects
from openhands_reference_server.domain.script import Script
from openhands_reference_server.front import ControlOptions, Front, Frontage
from openhands_reference_server.http.access import access_with
from openhands_reference_server.http.addresses import AgentAddress, bracketed
from openhands_reference_server.http.oauth import PATH as TOKEN_PATH
from openhands_reference_server.serving import BackgroundServer, bind, port_of
from openhands_reference_server.storage import StorageError
from openhands_reference_server.storage.lock import DirectoryLock
from openhands_reference_server.storage.place import Storage
from openhands_reference_server.tenant import ServerOptions
from openhands_reference_server.users.accounts import Accounts
from openhands_reference_server.users.rates import Rate
from openhands_reference_server.users.tokens import DEFAULT_LIFETIME
from openhands_reference_server.workspace.files import DEFAULT_UPLOAD_LIMIT, UploadLimits
from openhands_reference_server.world.live import DEFAULT_CLOSE_DELAY, DEFAULT_MAX_CONCURRENT, V0Options

OPEN, SESSION_KEY, BEARER, OAUTH = "open", "session-key", "bearer", "oauth"
_ACCESS = {
    OPEN: "open",
    SESSION_KEY: "with the session API key",
    BEARER: "for users, with API keys",
    OAUTH: "for users, with API keys and tokens",
}


class StartFailed(click.ClickException):
    """The server cannot start as it was told to; exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class _Settings:
    host: str
    port: int
    agent_port: int
    storage: Storage
    auth: str
    options: ServerOptions
    recording: files.Recording | None
    control: ControlOptions | None

    def url(self, port: int) -> str:
        return f"http://{bracketed(self.host)}:{port}"

    def open_front(self) -> Frontage:
        address = AgentAddress(self.host, self.agent_port)
        if self.recording is not None:
            from openhands_reference_server.replay.front import ReplayFront

            return ReplayFront(self.recording, address)
        return Front(self.options, self.storage, address, control=self.control)

    def announce(self) -> None:
        """Say that the server answers, and where."""
        if self.recording is not None:
            self._announce_replay(self.recording)
            return
        lines = [
            "OpenHands reference server",
            f"  app server    {self.url(self.port)}  (documentation: {self.url(self.port)}/docs)",
            f"  agent server  {self.url(self.agent_port)}",
            f"  storage       {self.storage.describe()}",
            f"  dialect       {self.options.dialect.name}",
            f"  access        {_ACCESS[self.auth]}",
            *([f"  tokens        {self.url(self.port)}{TOKEN_PATH}"] if self.auth == OAUTH else []),
            f"ready {self.url(self.port)}",
        ]
        click.echo("\n".join(lines))
        sys.stdout.flush()

    def _announce_replay(self, recording: files.Recording) -> None:
        torn = ", without its last line, which is torn" if recording.is_torn else ""
        lines = [
            "OpenHands reference server, replaying what was recorded",
            f"  app server    {self.url(self.port)}",
            f"  agent server  {self.url(self.agent_port)}",
            f"  recorded      {recording.heading.upstream} ({len(recording.facts)} lines{torn})",
            f"ready {self.url(self.port)}",
        ]
        click.echo("\n".join(lines))
        sys.stdout.flush()


@click.group()
@click.version_option(package_name="openhands-client")
def main() -> None:
    """The OpenHands conversation API with a scripted agent instead of a model."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=3000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="App server; 0: any free one.",
)
@click.option(
    "--agent-port",
    default=3001,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Agent server; 0: any free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this directory; it survives restarts.",
)
@click.option(
    "--database-url",
    envvar="OPENHANDS_DATABASE_URL",
    metavar="URL",
    help="Keep records in PostgreSQL, as postgresql://user@host/database; files go to --data-dir. "
    "A password is better in the environment, as OPENHANDS_DATABASE_URL: others see arguments.",
)
@click.option("--memory", is_flag=True, help="Keep everything in memory (the default).")
@click.option(
    "--auth",
    type=click.Choice([OPEN, SESSION_KEY, BEARER, OAUTH]),
    help="Who may call the app server: everybody, who has the key, users with API keys, or also with tokens. "
    "Default: the key decides, if there is one.",
)
@click.option(
    "--users",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="The users and their keys, for --auth bearer and oauth.",
)
@click.option(
    "--token-lifetime",
    default=DEFAULT_LIFETIME,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How long an access token of --auth oauth is good.",
)
@click.option(
    "--rate-limit",
    metavar="N/second",
    callback=lambda context, option, value: _rate(value),
    help="How many requests an address may make (also N/minute, N/hour): as many again are delayed by a second, "
    "the rest is refused with 429. Default: no limit.",
)
@click.option(
    "--session-api-key",
    envvar="SESSION_API_KEY",
    metavar="KEY",
    help="The key for --auth session-key. Better in the environment, as SESSION_API_KEY: others see arguments.",
)
@click.option(
    "--close-delay",
    default=DEFAULT_CLOSE_DELAY,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long after its last Socket.IO client left an idle V0 conversation is stopped.",
)
@click.option(
    "--max-concurrent-conversations",
    default=DEFAULT_MAX_CONCURRENT,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many V0 conversations may run; one more stops the least recently used.",
)
@click.option(
    "--upload-limit",
    default=DEFAULT_UPLOAD_LIMIT // 1024**2,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="MB",
    help="How much one upload into a workspace may bring.",
)
@click.option(
    "--nested", is_flag=True, help="Give each V0 conversation a runtime of its own, with its own url and key."
)
@click.option(
    "--enable-bash",
    is_flag=True,
    help="Let who has the key of a sandbox run commands in its workspace, as the user of this process.",
)
@click.option(
    "--dialect",
    default="docs",
    show_default=True,
    type=click.Choice(documents.DIALECTS),
    help="Answer as the documents say, or as servers of a line really do.",
)
@click.option(
    "--scenario",
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="What starts and agents do; by default the agent echoes and finishes.",
)
@click.option(
    "--replay",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Answer what stands in this recording of `openhands-contract proxy --record`, and nothing else.",
)
@click.option(
    "--enable-control",
    is_flag=True,
    help="Serve /_control (faults, journal, clock, reset) and namespaces at /ns/NAME, for tests.",
)
@click.option(
    "--control-token",
    envvar="OPENHANDS_CONTROL_TOKEN",
    metavar="TOKEN",
    help="What /_control wants as X-Control-Token. Better in the environment, as OPENHANDS_CONTROL_TOKEN.",
)
@click.option("--workers", default=1, type=int, help="1; the state lives in one process.")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "gunicorn", "werkzeug"]),
    help="The HTTP server below; auto takes gunicorn where there is one.",
)
@click.option(
    "--i-know-this-is-open", is_flag=True, help="Allow --auth open on an address that others can reach."
)
def serve(
    host: str,
    port: int,
    agent_port: int,
    data_dir: Path | None,
    database_url: str | None,
    memory: bool,
    auth: str | None,
    users: Path | None,
    token_lifetime: float,
    rate_limit: Rate | None,
    session_api_key: str | None,
    close_delay: float,
    max_concurrent_conversations: int,
    nested: bool,
    upload_limit: int,
    enable_bash: bool,
    dialect: documents.Dialect,
    scenario: Path | None,
    replay: Path | None,
    enable_control: bool,
    control_token: str | None,
    workers: int,
    backend: str,
    i_know_this_is_open: bool,
) -> None:
    """Serve the app server and the agent server until interrupted.

    Prints `ready URL` on a line of its own when both answer.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if memory and (data_dir is not None or database_url is not None):
        raise click.UsageError("--memory excludes --data-dir and --database-url.")
    if workers != 1:
        raise click.UsageError("--workers must be 1: the state lives in one process.")
    if replay is not None and (data_dir is not None or database_url is not None):
        raise click.UsageError("--replay excludes --data-dir and --database-url: a recording keeps nothing.")
    key = _key(auth, session_api_key)
    auth = auth or (OPEN if key is None else SESSION_KEY)
    accounts = _accounts(auth, users)
    if auth == OPEN and not i_know_this_is_open and not _is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached from outside and --auth open asks for no key. Use --auth session-key "
            "or bearer, listen on 127.0.0.1, or insist with --i-know-this-is-open."
        )
    script = None if scenario is None else _read(scenario)
    control = _control(host, control_token) if enable_control else None
    listeners = [_listen(host, port, "--port"), _listen(host, agent_port, "--agent-port")]
    settings = _Settings(
        host=host,
        port=port_of(listeners[0]),
        agent_port=port_of(listeners[1]),
        storage=_storage(data_dir, database_url),
        auth=auth,
        control=control,
        options=ServerOptions(
            access=partial(access_with, key),
            script=script,
            accounts=accounts,
            token_lifetime=token_lifetime if auth == OAUTH else None,
            rate=rate_limit,
            v0=V0Options(
                close_delay=close_delay,
                max_concurrent_conversations=max_concurrent_conversations,
                nested=nested,
                uploads=UploadLimits.both(upload_limit * 1024**2),
            ),
            enable_bash=enable_bash,
            dialect=dialects.named(dialect),
        ),
        recording=None if replay is None else _recording(replay),
    )
    if backend == "gunicorn" or (backend == "auto" and _has_gunicorn()):
        _serve_on_gunicorn(settings, listeners)
    else:
        _serve_on_werkzeug(settings, listeners)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def check_scenario(files: tuple[Path, ...]) -> None:
    """Say what is wrong with scenarios; exit code 2 if anything is."""
    for file in files:
        _read(file)
        click.echo(f"{file}: can be played")


@main.command()
def scenario_schema() -> None:
    """Print the JSON Schema of scenarios, for editors and other programs."""
    from openhands_reference_server.scenarios.format import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _read(scenario: Path) -> Script:
    from openhands_reference_server import scenarios

    try:
        return scenarios.load(scenario)
    except scenarios.ScenarioError as error:
        raise StartFailed(str(error)) from error


def _key(auth: str | None, session_api_key: str | None) -> str | None:
    """The key the app server wants; None when it wants none."""
    if auth == SESSION_KEY and not session_api_key:
        raise click.UsageError(
            "--auth session-key needs a key: set SESSION_API_KEY or give --session-api-key."
        )
    return session_api_key or None if auth in (None, SESSION_KEY) else None


def _accounts(auth: str, users: Path | None) -> Accounts | None:
    if auth not in (BEARER, OAUTH):
        if users is not None:
            raise click.UsageError("--users is for --auth bearer and --auth oauth.")
        return None
    if users is None:
        raise click.UsageError(f"--auth {auth} needs --users FILE.yaml, which says who they are.")
    from openhands_reference_server.users.users_file import AccountsError, read_accounts

    try:
        return read_accounts(users)
    except AccountsError as error:
        raise StartFailed(str(error)) from error


def _rate(text: str | None) -> Rate | None:
    try:
        return None if text is None else Rate.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _control(host: str, token: str | None) -> ControlOptions:
    if not token and not _is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached from outside, and --enable-control lets everybody reset the server. Set "
            "OPENHANDS_CONTROL_TOKEN or give --control-token, or listen on 127.0.0.1."
        )
    return ControlOptions(token=token or None)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int, option: str) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise StartFailed(
            f"cannot listen on {bracketed(host)}:{port} ({error.strerror or error}); "
            f"end what uses it or choose another with {option} (0 takes any free one)"
        ) from error


def _recording(recording: Path) -> files.Recording:
    try:
        return files.read(recording)
    except (files.RecordingError, OSError) as error:
        raise StartFailed(str(error)) from error


def _storage(data_dir: Path | None, database_url: str | None) -> Storage:
    """Where everything is kept; tried at once, so that what is wrong is said before anything is served."""
    try:
        lock = None if data_dir is None else DirectoryLock(data_dir)
        storage = Storage(data_dir, lock, database_url)
        if database_url is not None:
            storage.open().close()
    except StorageError as error:
        raise StartFailed(str(error)) from error
    except ModuleNotFoundError as error:
        raise StartFailed(
            f"--database-url needs {error.name}: pip install 'openhands-client[postgres]'"
        ) from error
    return storage


def _has_gunicorn() -> bool:
    return os.name == "posix" and importlib.util.find_spec("gunicorn") is not None


def _serve_on_gunicorn(settings: _Settings, listeners: list[socket.socket]) -> None:
    from openhands_reference_server.gunicorn_server import GunicornServer

    GunicornServer(listeners, settings.open_front, settings.announce).run()


def _serve_on_werkzeug(settings: _Settings, listeners: list[socket.socket]) -> None:
    wait_for_signal = _signal_waiter()
    front = settings.open_front()
    servers = [
        BackgroundServer("app-server", listeners[0], front.app_server),
        BackgroundServer("agent-server", listeners[1], front.agent_server),
    ]
    for server in servers:
        server.start()
    settings.announce()
    wait_for_signal()
    for server in servers:
        server.stop_accepting()
    front.close()
    for server in servers:
        server.stop()


def _signal_waiter() -> Callable[[], None]:
    """From now on SIGTERM and SIGINT end the wait that is returned, whichever thread they interrupt.

    An Event set by a signal handler would not do: handlers run on the main thread, and nothing wakes
    that one up when the system lets the signal interrupt another.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        with reading, writing:
            reading.recv(1)
            signal.set_wakeup_fd(-1)

    return wait
