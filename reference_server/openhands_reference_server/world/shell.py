"""One command in a shell: a process group with a clean environment, a deadline and a limit to what it prints."""

from __future__ import annotations

import codecs
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from openhands_reference_server.domain.changes import Event

STREAMS = ("stdout", "stderr")
TIMED_OUT = -1
_MOST_OUTPUT = 1024 * 1024
_PORTION = 64 * 1024
_LOOK_SECONDS = 0.05
_SHOW_SECONDS = 0.5
_FROM_OUTSIDE = ("PATH", "TMPDIR")
_CUT = "\n[output cut off]\n"


def start_shell(command: str, directory: Path, home: Path) -> subprocess.Popen[bytes]:
    """Begin to run a command there; nothing of this process's environment but the path goes along."""
    kept = {name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ}
    return subprocess.Popen(  # noqa: S603  # running what the user says is what it is for
        ["/bin/sh" if not Path("/bin/bash").exists() else "/bin/bash", "-c", command],
        cwd=directory,
        env={**kept, "HOME": str(home), "LANG": "C.UTF-8", "PWD": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of what a command printed; the last one has the exit code."""

    stdout: str
    stderr: str
    exit_code: int | None


class _Printed:
    """What came from one of the streams and was not shown yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._left = _MOST_OUTPUT
        self._cut = False

    def __len__(self) -> int:
        return len(self._text)

    def take(self, piece: bytes) -> None:
        """More; what is too much is dropped, and its place is marked."""
        text = self._decoder.decode(piece, final=not piece)
        if len(text) > self._left and not self._cut:
            self._cut = True
            self._text += text[: self._left] + _CUT
        elif not self._cut:
            self._text += text
        self._left -= min(len(text), self._left)

    def show(self) -> str:
        """Everything that was not shown yet."""
        shown, self._text = self._text, ""
        return shown


@dataclass(eq=False, slots=True)
class Command:
    """A command that runs.

    Attributes:
        sandbox_id: where.
        event: the record of its start.
        process: its shell, which leads a process group.
    """

    sandbox_id: str
    event: Event
    process: subprocess.Popen[bytes]
    _printed: dict[str, _Printed] = field(default_factory=lambda: {name: _Printed() for name in STREAMS})

    @property
    def id(self) -> str:
        """Its id."""
        return cast(str, self.event["id"])

    def kill(self) -> None:
        """End it with everything it has started."""
        self.send(signal.SIGKILL)

    def send(self, sign: signal.Signals) -> None:
        """Send a signal to it and to everything it has started, if anything is left."""
        try:
            os.killpg(self.process.pid, sign)
        except (ProcessLookupError, PermissionError):
            return

    def portions(self) -> Iterator[Portion]:
        """What it prints, as it comes; ends with the command, or when its time is up."""
        deadline = time.monotonic() + self.event["timeout"]
        try:
            with selectors.DefaultSelector() as selector:
                for name in STREAMS:
                    selector.register(self._stream(name), selectors.EVENT_READ, name)
                yield from self._until_ended(selector, deadline)
            late = self.process.poll() is None and time.monotonic() >= deadline
            if late:
                self.kill()
            code = self.process.wait()
            yield self._portion(TIMED_OUT if late else code)
        finally:
            self.kill()
            self.process.wait()
            for name in STREAMS:
                self._stream(name).close()

    def _until_ended(self, selector: selectors.BaseSelector, deadline: float) -> Iterator[Portion]:
        """Read until both streams have ended, or the shell has and nothing more is to be read."""
        shown = time.monotonic()
        while selector.get_map() and time.monotonic() < deadline:
            ended = self.process.poll() is not None
            ready = selector.select(0 if ended else _LOOK_SECONDS)
            if ended and not ready:
                return  # what it has left behind in the background may keep the streams open
            for key, _ in ready:
                piece = os.read(key.fd, _PORTION)
                self._printed[key.data].take(piece)
                if not piece:
                    selector.unregister(key.fileobj)
            waiting = sum(map(len, self._printed.values()))
            due = time.monotonic() - shown > _SHOW_SECONDS and self.process.poll() is None
            if waiting >= _PORTION or (waiting and due):
                shown = time.monotonic()
                yield self._portion(None)

    def _portion(self, exit_code: int | None) -> Portion:
        return Portion(self._printed["stdout"].show(), self._printed["stderr"].show(), exit_code)

    def _stream(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", getattr(self.process, name))
