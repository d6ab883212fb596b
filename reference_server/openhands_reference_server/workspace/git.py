"""The git command, with nothing around it that could surprise: no prompts, no hooks, nobody's configuration.

Repositories may come from anywhere, so git is told where the repository is instead of searching for it,
runs none of its hooks and helpers, and gives up after a while.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from openhands_reference_server.domain.errors import NotAGitRepository
from openhands_reference_server.workspace.paths import REPOSITORY, readable

_SECONDS = 30.0
_CLONE_SECONDS = 600.0
_FATAL = 128
_NOTHING_FOUND = 1
_CAREFUL = (
    "core.hooksPath=" + os.devnull,
    "core.fsmonitor=false",
    "core.quotePath=false",
    "credential.helper=",
    "init.defaultBranch=main",
    "protocol.ext.allow=never",
    "safe.directory=*",
    "submodule.recurse=false",
)
_QUIET = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": os.devnull,
    "LC_ALL": "C",
}
_FROM_OUTSIDE = ("PATH", "SYSTEMROOT", "TMPDIR")


class GitFailed(Exception):
    """The command did not do what it should; the text is what it said."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Change:
    """A file that differs from the last commit: `M`, `A`, `D`, `R` or `U` (untracked)."""

    status: str
    path: str


class Git:
    """Runs the command; `close` ends what still runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def close(self) -> None:
        """End all commands; those who wait for one are told that it failed."""
        with self._lock:
            self._closed = True
            for process in self._running:
                _kill(process)

    # -- making repositories ------------------------------------------------------------------------

    def init(self, directory: Path) -> None:
        """Make an empty repository.

        Raises:
            GitFailed: it cannot be made.
        """
        self._run(directory, "init", "--quiet", "--template=", ".")

    def clone(self, source: str, directory: Path, branch: str | None) -> None:
        """Clone a repository from a path or URL into a new directory, onto this branch if it has it.

        Raises:
            GitFailed: it cannot be cloned.
        """
        copying = ("clone", "--quiet", "--no-local", "--template=", "--", source, str(directory))
        self._run(directory.parent, *copying, seconds=_CLONE_SECONDS)
        if branch and self._has_branch(directory, branch):
            self._run(directory, *_here(), "checkout", "--quiet", branch, "--")

    def _has_branch(self, directory: Path, branch: str) -> bool:
        try:
            name = f"refs/remotes/origin/{branch}"
            self._run(directory, *_here(), "rev-parse", "--verify", "--quiet", "--end-of-options", name)
        except GitFailed:
            return False
        return not branch.startswith("-")

    # -- asking repositories ------------------------------------------------------------------------

    def changes(self, directory: Path) -> list[Change]:
        """What differs from the last commit, by path.

        Raises:
            NotAGitRepository: the directory is none.
        """
        told = self._ask(
            directory,
            "status",
            "--porcelain=v2",
            "-z",
            "--untracked-files=all",
            "--find-renames",
            "--ignore-submodules=all",
        )
        return sorted(_changes(told), key=lambda change: change.path)

    def committed(self, directory: Path, path: str, most: int) -> bytes | None:
        """The content of a file in the last commit; None when it has no such file.

        Raises:
            NotAGitRepository: the directory is none.
            FileTooLong: it has more bytes than `most`.
        """
        described = self._ask(directory, "cat-file", "--batch-check", given=f"HEAD:{path}\n".encode())
        match described.split():
            case [name, b"blob", size]:
                if int(size) > most:
                    raise FileTooLong
                return self._ask(directory, "cat-file", "blob", name.decode())
            case _:
                return None

    def ignored(self, directory: Path, paths: list[str]) -> set[str]:
        """Those of these paths that git ignores; none where there is no repository."""
        # With ./ in front no name looks like a pattern.
        given = b"\0".join(b"./" + os.fsencode(path) for path in paths)
        try:
            told = self._ask(directory, "check-ignore", "-z", "--stdin", given=given)
        except (GitFailed, NotAGitRepository):
            return set()
        return {os.fsdecode(path.removeprefix(b"./")) for path in told.split(b"\0") if path}

    def _ask(self, directory: Path, *arguments: str, given: bytes = b"") -> bytes:
        repository = directory / REPOSITORY
        if repository.is_symlink() or not repository.is_dir():
            raise NotAGitRepository
        try:
            return self._run(directory, *_here(), *arguments, given=given)
        except GitFailed as failed:
            if failed.status == _FATAL:
                raise NotAGitRepository from failed
            if failed.status == _NOTHING_FOUND:
                return b""
            raise

    # -- the process --------------------------------------------------------------------------------

    def _run(self, directory: Path, *arguments: str, given: bytes = b"", seconds: float = _SECONDS) -> bytes:
        process = self._start(directory, arguments)
        try:
            out, error = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            raise GitFailed(f"git {arguments[0]} took more than {seconds:.0f} seconds") from None
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode:
            text = error.decode(errors="replace").strip() or f"git ended with {process.returncode}"
            raise GitFailed(text, process.returncode)
        return out

    def _start(self, directory: Path, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        careful = [word for setting in _CAREFUL for word in ("-c", setting)]
        kept = {name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ}
        with self._lock:
            if self._closed:
                raise GitFailed("the server is about to end")
            try:
                process = subprocess.Popen(  # noqa: S603  # fixed words; paths and names are never options
                    ["git", *careful, *arguments],  # noqa: S607  # wherever the system has it
                    cwd=directory,
                    env={**kept, **_QUIET},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            except OSError as error:
                raise GitFailed(f"git cannot be run: {error}") from error
            self._running.add(process)
            return process


class FileTooLong(Exception):
    """A committed file has more bytes than asked for."""


def _here() -> tuple[str, str]:
    return f"--git-dir={REPOSITORY}", "--work-tree=."


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command with its helpers; it may have ended already."""
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _changes(told: bytes) -> list[Change]:
    """Read `git status --porcelain=v2 -z`: an entry per file, and the old name after a renamed one."""
    found: list[Change] = []
    entries = iter(os.fsdecode(entry) for entry in told.split(b"\0") if entry)
    for entry in entries:
        match entry[0]:
            case "1":
                status, path = entry[2:4], entry.split(" ", 8)[8]
            case "2":
                status, path = "R", entry.split(" ", 9)[9]
                next(entries)
            case "u":
                status, path = "M", entry.split(" ", 10)[10]
            case "?":
                status, path = "U", entry[2:]
            case _:
                continue
        letter = _letter(status)
        if letter is not None:
            found.append(Change(letter, readable(path)))
    return found


def _letter(status: str) -> str | None:
    """One letter for the index and the directory together; None for what was added and removed again."""
    if status in ("R", "U"):
        return status
    if status == "AD":
        return None
    if "D" in status:
        return "D"
    return "A" if "A" in status else "M"
