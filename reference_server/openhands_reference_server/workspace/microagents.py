"""What a repository teaches its agents: Markdown files below `.openhands/microagents`.

The front matter of a file, YAML between two lines of dashes, may say its name, type, triggers and inputs.
A file whose front matter cannot be read is still a microagent: its whole text is the content.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

_logger = logging.getLogger(__name__)

FOLDER = PurePosixPath(".openhands/microagents")
MOST_BYTES = 1_000_000
_FENCE = "---"
_REPOSITORY, _KNOWLEDGE = "repo", "knowledge"


@dataclass(frozen=True, slots=True)
class Microagent:
    """One of them, field by field as on the wire."""

    name: str
    type: str
    content: str
    triggers: list[str]
    inputs: list[dict[str, str]]
    tools: list[str]

    def to_json(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)


def parse(name: str, text: str) -> Microagent:
    """Read a file that has this name, without its suffix."""
    matter, content = _split(text)
    triggers = _texts(matter.get("triggers"))
    given = matter.get("type")
    kind = given if given in (_REPOSITORY, _KNOWLEDGE) else _KNOWLEDGE if triggers else _REPOSITORY
    return Microagent(
        name=str(matter.get("name") or name),
        type=kind,
        content=content.strip(),
        triggers=triggers,
        inputs=list(_inputs(matter.get("inputs"))),
        tools=_texts(matter.get("tools")),
    )


def _split(text: str) -> tuple[Mapping[str, Any], str]:
    lines = text.splitlines(keepends=True)
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE][:2]
    if len(fences) < 2 or fences[0] != 0:
        return {}, text
    try:
        matter = yaml.safe_load("".join(lines[1 : fences[1]]))
    except yaml.YAMLError as error:
        _logger.warning("front matter of a microagent is no YAML: %s", error)
        return {}, text
    return (matter, "".join(lines[fences[1] + 1 :])) if isinstance(matter, dict) else ({}, text)


def _texts(given: Any) -> list[str]:
    return [str(one) for one in given if one is not None] if isinstance(given, list) else []


def _inputs(given: Any) -> Iterator[dict[str, str]]:
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict) and one.get("name"):
            yield {"name": str(one["name"]), "description": str(one.get("description") or "")}
