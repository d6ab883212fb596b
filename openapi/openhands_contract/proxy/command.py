"""The command `openhands-contract proxy`."""

from __future__ import annotations

import asyncio
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.text import Text

from openhands_contract.documents import DIALECTS, Dialect
from openhands_contract.outcome import Verdict
from openhands_contract.proxy.running import Ports, RunningProxy, proxy
from openhands_contract.proxy.watch import Found, Watch
from openhands_contract.recording.files import Heading, RecordingFile
from openhands_contract.reports import junit, machine, page, terminal
from openhands_contract.traffic import Fact

_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_PORT = click.IntRange(0, 65535)


@click.command(name="proxy")
@click.argument("upstream")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3100, show_default=True, type=_PORT, help="App server; 0: any free one.")
@click.option(
    "--agent-port", default=3101, show_default=True, type=_PORT, help="Agent servers; 0: any free one."
)
@click.option("--dialect", type=click.Choice(DIALECTS), default="docs", show_default=True)
@click.option("--record", type=_FILE, metavar="FILE", help="Write what passes to this file, without secrets.")
@click.option("--junit", "junit_file", type=_FILE, metavar="FILE", help="Also write JUnit XML.")
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Also write one HTML page.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Also write JSON.")
def command(
    upstream: str,
    host: str,
    port: int,
    agent_port: int,
    dialect: Dialect,
    record: Path | None,
    junit_file: Path | None,
    html_file: Path | None,
    json_file: Path | None,
) -> None:
    """Stand in for the app server at UPSTREAM and the agent servers behind it, until interrupted.

    Point any client at the proxy: its traffic passes unchanged, but that addresses of agent servers become the
    proxy's own. Every answer is judged; what is wrong is printed at once, and again at the end.

    Exit code 0: nothing that was seen breaks a MUST. 1: something does. 2: could not run, or nothing was seen.
    """
    if urlsplit(upstream).scheme not in ("http", "https") or not urlsplit(upstream).netloc:
        raise click.BadParameter("it must begin with http:// or https://", param_hint="UPSTREAM")
    console = Console(soft_wrap=True, highlight=False)
    watch = Watch(upstream, dialect)
    with ExitStack() as stack:
        file = stack.enter_context(RecordingFile(record)) if record is not None else None
        listener = stack.enter_context(_Listener(watch, file, console))

        def ready(running: RunningProxy) -> None:
            if file is not None:
                file.begin(Heading(upstream, running.url, running.agent_url, dialect, time.time()))
            _announce(console, upstream, running, record)

        try:
            asyncio.run(_serve(upstream, listener.take, Ports(host, port, agent_port), ready))
        except OSError as error:
            click.echo(f"Could not run: {error.strerror or error}", err=True)
            sys.exit(Verdict.COULD_NOT_RUN)
    report = watch.report()
    terminal.show(report, console)
    for writer, target in ((junit, junit_file), (page, html_file), (machine, json_file)):
        if target is not None:
            writer.write(report, target)
    sys.exit(Verdict.COULD_NOT_RUN if listener.failure else report.verdict)


async def _serve(
    upstream: str, tell: Callable[[Fact], None], ports: Ports, ready: Callable[[RunningProxy], None]
) -> None:
    """Run the proxy until SIGINT or SIGTERM."""
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    async with proxy(upstream, tell, ports) as running:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end.set)
        ready(running)
        await end.wait()


def _announce(console: Console, upstream: str, running: RunningProxy, record: Path | None) -> None:
    lines = [
        f"Proxy for {upstream}",
        f"  app server     {running.url}",
        f"  agent servers  {running.agent_url}",
        f"  recording      {record or 'none'}",
        f"ready {running.url}",
    ]
    for line in lines:
        console.print(Text(line))
    console.file.flush()


class _Listener:
    """Takes what passed from the proxy to those who write and judge it, in a thread of its own.

    Judging takes milliseconds that traffic should not wait for.
    """

    def __init__(self, watch: Watch, file: RecordingFile | None, console: Console) -> None:
        self._watch = watch
        self._file = file
        self._console = console
        self._facts: queue.SimpleQueue[Fact | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="openhands-listener")
        self._told: set[tuple[str, str]] = set()
        self.failure = ""

    def take(self, fact: Fact) -> None:
        """Something passed."""
        self._facts.put(fact)

    def __enter__(self) -> _Listener:
        self._thread.start()
        return self

    def __exit__(self, *trace: Any) -> None:
        self._facts.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (fact := self._facts.get()) is not None:
            if self._file is not None and not self.failure:
                self._record(self._file, fact)
            self._tell(self._watch.take(fact))

    def _record(self, file: RecordingFile, fact: Fact) -> None:
        try:
            file.take(fact)
        except OSError as error:
            self.failure = f"The recording cannot be written: {error.strerror or error}"
            self._console.print(Text(self.failure, style="bold red"))

    def _tell(self, found: Sequence[Found]) -> None:
        """Print what is new: each way of breaking a requirement once per operation."""
        for one in found:
            kind = (one.requirement.id, one.complaint.partition(":")[0])
            if kind not in self._told:
                self._told.add(kind)
                text = f"{one.requirement.level} {one.requirement.id}  {one.label}: {one.complaint}"
                self._console.print(Text(text, style="red"))
