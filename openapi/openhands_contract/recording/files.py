"""Recordings in files: written line by line, and read even when the last line is torn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from openhands_contract.recording.lines import VERSION, fact_of, line_of
from openhands_contract.recording.redaction import Redaction, without_user
from openhands_contract.traffic import Fact

SCHEMA = Path(__file__).with_name("recording.schema.json")
"""The JSON Schema of one line."""


class RecordingError(Exception):
    """A file is no recording that can be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The first line of a recording.

    Attributes:
        upstream: the server that was recorded.
        app_url: where clients found the app server: the proxy.
        agent_url: where clients found the agent servers; addresses in the recording name it.
        dialect: the dialect it was judged by.
        at: when it was begun, in seconds since 1970.
    """

    upstream: str
    app_url: str
    agent_url: str
    dialect: str = "docs"
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was read.

    Attributes:
        is_torn: its last line was not complete, and left out.
    """

    heading: Heading
    facts: list[Fact]
    is_torn: bool = False


class RecordingFile:
    """A recording that is being written; every line is out before the next fact is taken.

    Args:
        path: the file; one that is there is overwritten.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._redaction = Redaction()
        self._file: TextIO = path.open("w", encoding="utf-8")

    def begin(self, heading: Heading) -> None:
        """Write what it is about, before anything passes."""
        self._write(
            {
                "type": "recording",
                "version": VERSION,
                "upstream": without_user(heading.upstream),
                "app_url": heading.app_url,
                "agent_url": heading.agent_url,
                "dialect": heading.dialect,
                "at": heading.at,
            }
        )

    def take(self, fact: Fact) -> None:
        """Write something that passed, without its secrets."""
        self._write(line_of(self._redaction.fact(fact)))

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def read(path: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: it is none; the message says where and why.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    lines = content.split(b"\n")
    torn = lines.pop() != b""
    if torn and not lines:
        raise RecordingError(f"{path}: the first line is not complete, so this is not a recording")
    if not lines:
        raise RecordingError(f"{path} is empty; `openhands-contract proxy --record` makes recordings")
    return Recording(_heading(path, lines[0]), list(_facts(path, lines[1:])), torn)


def _heading(path: Path, line: bytes) -> Heading:
    content = _parsed(path, 1, line)
    if content.get("type") != "recording":
        raise RecordingError(f"{path}, line 1: this is not a recording; its first line has another type")
    if content.get("version") != VERSION:
        raise RecordingError(
            f"{path}, line 1: version {content.get('version')} cannot be read, only {VERSION}"
        )
    try:
        return Heading(*(content[name] for name in ("upstream", "app_url", "agent_url", "dialect", "at")))
    except KeyError as missing:
        raise RecordingError(f"{path}, line 1: {missing} is missing") from missing


def _facts(path: Path, lines: list[bytes]) -> Iterator[Fact]:
    for number, line in enumerate(lines, start=2):
        content = _parsed(path, number, line)
        try:
            yield fact_of(content)
        except KeyError as missing:
            raise RecordingError(f"{path}, line {number}: {missing} is missing") from missing
        except (ValueError, TypeError) as error:
            raise RecordingError(f"{path}, line {number}: {error}") from error


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise RecordingError(f"{path}, line {number}: this is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise RecordingError(f"{path}, line {number}: this is not a JSON object")
    return content
