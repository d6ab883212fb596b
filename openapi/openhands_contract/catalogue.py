"""The catalogue: every requirement a server can be held to, read from `requirements/*.yaml`.

A file per area. An id means one thing for ever: a requirement that is withdrawn takes its id along, and one
whose meaning changes gets a new one. Reports, the list on the command line, `docs/requirements.md` and the
pytest plugin are all made from what is here; checks refer to it by id.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from openhands_contract.documents import DIALECTS, Dialect

_FOLDER = Path(__file__).parent / "requirements"
_ID = re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*-[0-9]{2}")


class Level(StrEnum):
    """How binding a requirement is, in the words of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Profile(StrEnum):
    """A part of the API that a server can promise on its own."""

    V0 = "v0"
    V1 = "v1"
    AGENT = "agent"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Area:
    """Requirements about one subject; they are checked one after the other, areas beside each other.

    Attributes:
        name: the short name, in ids and on the command line.
        title: the subject, in words.
    """

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a server must or should do.

    Attributes:
        id: its name for ever, such as `V0-LIFECYCLE-03`.
        sentence: what is required, in one sentence.
        source: where it is written: a document, and an operation, component or `info` in it.
        profiles: the parts of the API it belongs to.
        dialects: the server lines it holds for.
    """

    id: str
    area: Area
    level: Level
    sentence: str
    source: str
    profiles: frozenset[Profile]
    dialects: frozenset[Dialect]

    def belongs_to(self, profile: Profile) -> bool:
        return profile is Profile.ALL or profile in self.profiles


class UnknownRequirement(LookupError):
    """No requirement has this id, and none matches this pattern."""


@cache
def catalogue() -> Mapping[str, Requirement]:
    """All requirements by id, area by area, in the order of their files.

    Raises:
        ValueError: the catalogue contradicts itself.
    """
    found: dict[str, Requirement] = {}
    for file in _files():
        for requirement in _requirements(file):
            if requirement.id in found or requirement.id in withdrawn():
                raise ValueError(f"{file.name}: {requirement.id} is used twice")
            found[requirement.id] = requirement
    return found


@cache
def withdrawn() -> Mapping[str, str]:
    """Ids that requirements had before they became part of others, and the ids of those."""
    return {old: new for file in _files() for old, new in _content(file).get("withdrawn", {}).items()}


def _files() -> list[Path]:
    return sorted(_FOLDER.glob("*.yaml"))


def _content(file: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def unknown(name: str) -> str:
    """What to tell who asks for a requirement that there is not."""
    if name.upper() in withdrawn():
        return f"{name.upper()} has become part of {withdrawn()[name.upper()]}"
    return f"no requirement is called {name}; `openhands-contract list` shows those there are"


def select(profile: Profile = Profile.ALL, only: Iterable[str] = ()) -> list[Requirement]:
    """The requirements of a profile; with `only` those whose ids are named or match a pattern such as `V0-*`.

    Raises:
        UnknownRequirement: an item of `only` names nothing.
    """
    chosen = [requirement for requirement in catalogue().values() if requirement.belongs_to(profile)]
    patterns = [pattern for text in only for pattern in text.replace(",", " ").split()]
    for pattern in patterns:
        if not fnmatch.filter(catalogue(), pattern.upper()):
            raise UnknownRequirement(unknown(pattern))
    if not patterns:
        return chosen
    return [
        requirement
        for requirement in chosen
        if any(fnmatch.fnmatchcase(requirement.id, pattern.upper()) for pattern in patterns)
    ]


def _requirements(file: Path) -> Iterator[Requirement]:
    content = _content(file)
    area = Area(content["area"], content["title"])
    for entry in content["requirements"]:
        settings = {"level": "MUST", "dialects": list(DIALECTS), **content.get("defaults", {}), **entry}
        unknown = settings.keys() - {"id", "level", "sentence", "source", "profiles", "dialects"}
        dialects = frozenset(settings["dialects"])
        if unknown or not _ID.fullmatch(settings["id"]) or not dialects <= set(DIALECTS):
            raise ValueError(f"{file.name}: {settings['id']} is not a requirement as catalogue.py reads it")
        yield Requirement(
            id=settings["id"],
            area=area,
            level=Level(settings["level"]),
            sentence=" ".join(settings["sentence"].split()),
            source=settings["source"],
            profiles=frozenset(Profile(profile) for profile in settings["profiles"]),
            dialects=dialects,
        )
