"""A real shell for sandboxes, and the record of what ran in it.

Commands run as the user of this process, in the workspace of the sandbox and with a clean environment.
That keeps honest commands apart; it does not hold back malicious ones, so it is off unless asked for.
The record is kept in memory: a restart forgets it.
"""

from __future__ import annotations

import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openhands_reference_server.domain import paging
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import BashDisabled, BashEventNotFound, ServerClosing
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.domain.times import parse, zoned
from openhands_reference_server.workspace.sandbox_files import SandboxFiles, absolute_in_workspace
from openhands_reference_server.world.broadcast import Subscription
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.shell import STREAMS, Command, start_shell

MOST_KEPT = 2000
DEFAULT_TIMEOUT = 300
_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class BashFilter:
    """What a search keeps; times are ISO 8601, `since` inclusive, `until` exclusive."""

    kind: str | None = None
    command_id: str | None = None
    since: str | None = None
    until: str | None = None

    def __call__(self, event: Event) -> bool:
        """Does it keep this event?"""
        at = event["timestamp"]
        return (
            (self.kind is None or event["kind"] == self.kind)
            and (self.command_id is None or event.get("command_id", event["id"]) == _hex(self.command_id))
            and (self.since is None or at >= zoned(parse(self.since)))
            and (self.until is None or at < zoned(parse(self.until)))
        )


class Bash:
    """The shells of all sandboxes of one world.

    Args:
        core: the world's state.
        files: where commands run.
        enabled: whether they do at all.
    """

    def __init__(self, core: Core, files: SandboxFiles, *, enabled: bool) -> None:
        self._core = core
        self._files = files
        self._enabled = enabled
        self._lock = threading.Lock()
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._running: set[Command] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def close(self) -> None:
        """Kill what runs, and wait for its end."""
        with self._lock:
            self._closed = True
            running, threads = list(self._running), list(self._threads)
        for command in running:
            command.kill()
        for thread in threads:
            thread.join(_GRACE)

    # -- the life of a sandbox ----------------------------------------------------------------------

    def suspend(self, sandbox_id: str, reason: str) -> None:
        """Stop what runs in a sandbox, until it is resumed; who listens is let go."""
        self._core.broadcast.close_topic(_topic(sandbox_id), reason)
        for command in self._running_in(sandbox_id):
            command.send(signal.SIGSTOP)

    def resume(self, sandbox_id: str) -> None:
        """Let it go on."""
        for command in self._running_in(sandbox_id):
            command.send(signal.SIGCONT)

    def end(self, sandbox_id: str, reason: str) -> None:
        """Kill what runs in a sandbox, and forget what ran; who listens is let go."""
        self._core.broadcast.close_topic(_topic(sandbox_id), reason)
        for command in self._running_in(sandbox_id):
            command.kill()
        self.clear(sandbox_id)

    def _running_in(self, sandbox_id: str) -> list[Command]:
        with self._lock:
            return [command for command in self._running if command.sandbox_id == sandbox_id]

    # -- running ------------------------------------------------------------------------------------

    def start(self, sandbox_id: str, request: Mapping[str, Any]) -> Event:
        """Run a command in the background; returns the record of its start.

        Raises:
            BashDisabled: this server runs no commands.
            PathOutside: it is to run outside the workspace.
            FileMissing: there is no such directory.
        """
        command = self._begin(sandbox_id, request)
        thread = threading.Thread(target=self._follow, args=(command,), name="openhands-bash", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()
        return command.event

    def execute(self, sandbox_id: str, request: Mapping[str, Any]) -> Event:
        """Run a command; returns its last output, with all of it, when it has ended.

        Raises:
            BashDisabled: this server runs no commands.
            PathOutside: it is to run outside the workspace.
            FileMissing: there is no such directory.
        """
        outputs = self._follow(self._begin(sandbox_id, request))
        whole = {name: "".join(one[name] or "" for one in outputs) or None for name in STREAMS}
        return {**outputs[-1], **whole}

    def _begin(self, sandbox_id: str, request: Mapping[str, Any]) -> Command:
        if not self._enabled:
            raise BashDisabled
        workspace = self._files.of(sandbox_id)
        cwd = request.get("cwd")
        directory = workspace.root if cwd is None else workspace.directory(absolute_in_workspace(cwd))
        timeout = request.get("timeout", DEFAULT_TIMEOUT)
        event = {
            **self._identity("BashCommand"),
            "command": request["command"],
            "cwd": cwd,
            "timeout": timeout,
        }
        with self._lock:
            if self._closed:
                raise ServerClosing
            command = Command(sandbox_id, event, start_shell(request["command"], directory, workspace.root))
            self._running.add(command)
        self._record(sandbox_id, event)
        return command

    def _follow(self, command: Command) -> list[Event]:
        """Record what a command prints, until it ends or its time is up."""
        outputs: list[Event] = []
        try:
            for portion in command.portions():
                told = {"command_id": command.id, "order": len(outputs), "exit_code": portion.exit_code}
                printed = {"stdout": portion.stdout or None, "stderr": portion.stderr or None}
                outputs.append({**self._identity("BashOutput"), **told, **printed})
                self._record(command.sandbox_id, outputs[-1])
        finally:
            with self._lock:
                self._running.discard(command)
                self._threads.discard(threading.current_thread())
        return outputs

    def _identity(self, kind: str) -> Event:
        with self._core.lock:
            at = self._core.stamp()
        return {"kind": kind, "id": uuid4().hex, "timestamp": zoned(at)}

    def _record(self, sandbox_id: str, event: Event) -> None:
        with self._lock:
            events = self._events[sandbox_id]
            events.append(event)
            del events[:-MOST_KEPT]
            self._core.broadcast.publish(_topic(sandbox_id), event)

    # -- asking -------------------------------------------------------------------------------------

    def search(
        self, sandbox_id: str, keep: BashFilter, *, page_id: str | None, limit: int, newest_first: bool
    ) -> tuple[list[Event], str | None]:
        """A page of commands and outputs in the order of time, and the id of the next page.

        Raises:
            UnknownPage: the page id is not from here.
        """
        cursor = None if page_id is None else paging.decode(page_id)
        with self._lock:
            found = sorted(filter(keep, self._events[sandbox_id]), key=_key, reverse=newest_first)
        rest = paging.after(found, cursor, _key, newest_first=newest_first)
        page, last = paging.take(rest, limit, _key)
        return page, last and paging.encode(last)

    def get(self, sandbox_id: str, event_id: str) -> Event:
        """One command or output.

        Raises:
            BashEventNotFound: there is none.
        """
        with self._lock:
            for event in self._events[sandbox_id]:
                if event["id"] == _hex(event_id):
                    return event
        raise BashEventNotFound(event_id)

    def clear(self, sandbox_id: str) -> int:
        """Forget everything that was recorded; returns how much it was."""
        with self._lock:
            return len(self._events.pop(sandbox_id, ()))

    def watch(
        self, sandbox_id: str, *, resend_all: bool, notify: Callable[[], None]
    ) -> tuple[list[Event], Subscription]:
        """Listen: what to show first, and everything that follows it without a gap."""
        with self._lock:
            first = list(self._events[sandbox_id]) if resend_all else []
            return first, self._core.broadcast.subscribe(_topic(sandbox_id), notify=notify)

    def unwatch(self, sandbox_id: str, subscription: Subscription) -> None:
        """Listen no more."""
        self._core.broadcast.unsubscribe(_topic(sandbox_id), subscription)


def _key(event: Event) -> Key:
    return (event["timestamp"], event["id"])


def _topic(sandbox_id: str) -> str:
    return f"bash/{sandbox_id}"


def _hex(identifier: str) -> str:
    return identifier.replace("-", "").lower()
