"""Reads scenarios, and finds what is wrong with one beyond what its schema says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from openhands_reference_server.scenarios import format as described
from openhands_reference_server.scenarios import templates
from openhands_reference_server.yaml_files import FileError, FileFormat, Location, Problem, hint

ScenarioSource: TypeAlias = str | Path | Mapping[str, Any]
_NAMES = frozenset({"message", "turn", "conversation_id", "repository", "branch"})
_START_NAMES = frozenset({"attempt", "message", "repository", "branch"})
_ENDINGS = (described.Say, described.Finish, described.Error, described.Stuck, described.RateLimited)


class ScenarioError(FileError):
    """A scenario that cannot be played."""


def read(source: ScenarioSource) -> tuple[described.ScenarioDocument, Path | None]:
    """A scenario, and the folder its paths begin in.

    Raises:
        ScenarioError: it is none.
    """
    if isinstance(source, Mapping):
        return _FORMAT.read_data(source), None
    if isinstance(source, str) and "\n" in source:
        return _FORMAT.read_text(source), None
    path = Path(source)
    return _FORMAT.read_file(path), path.parent


def _unknown_step(error: Any) -> Problem | None:
    given = error["input"]
    if error["type"] != "unknown_step" or not isinstance(given, dict) or not set(given) - {"after"}:
        return None
    key = next(key for key in given if key != "after")
    return Problem((*error["loc"], key), f"unknown kind of step{hint(str(key), described.KINDS)}")


def _beyond(data: dict[str, Any], document: described.ScenarioDocument) -> Iterator[Problem]:
    yield from _unreachable(data)
    yield from _bad_templates(data, document)


def _lists_of_steps(data: Any, at: Location = ()) -> Iterator[tuple[Location, list[Any]]]:
    """All lists of steps in a scenario, however deep."""
    if isinstance(data, list):
        if data and all(isinstance(item, dict) and described.KINDS.keys() & item.keys() for item in data):
            yield at, data
        for index, item in enumerate(data):
            yield from _lists_of_steps(item, (*at, index))
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _lists_of_steps(item, (*at, key))


def _unreachable(data: dict[str, Any]) -> Iterator[Problem]:
    for at, steps in _lists_of_steps(data.get("turns")):
        for index, step in enumerate(steps[:-1]):
            if ends_turn(step):
                text = f"is never reached: the step before it ({_kind(step)}) ends the turn"
                yield Problem(("turns", *at, index + 1), text)
                break


def ends_turn(step: Mapping[str, Any]) -> bool:
    """Does nothing follow this step?"""
    if "repeat" in step:
        return any(map(ends_turn, step["repeat"]["steps"]))
    return "hang" in step or any(kind in step for kind, model in described.KINDS.items() if model in _ENDINGS)


def _kind(step: Mapping[str, Any]) -> str:
    return next(kind for kind in described.KINDS if kind in step)


def _bad_templates(data: dict[str, Any], document: described.ScenarioDocument) -> Iterator[Problem]:
    for number, start in enumerate(data.get("start", ())):
        for name, stage in start.get("stages", {}).items():
            at = ("start", number, "stages", name, "fail")
            yield from _mistakes(at, stage.get("fail", ""), _START_NAMES)
    for number, rule in enumerate(document.turns):
        names = _NAMES | templates.group_names(rule.when.regex)
        for part in ("steps", "answers"):
            yield from _in_texts(data["turns"][number].get(part), ("turns", number, part), names)


def _in_texts(data: Any, at: Location, names: frozenset[str]) -> Iterator[Problem]:
    """Every text of a step is a template; in what is repeated there is also a number."""
    if isinstance(data, str):
        yield from _mistakes(at, data, names)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _in_texts(item, (*at, index), names)
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _in_texts(item, (*at, key), names | {"n"} if key == "repeat" else names)


def _mistakes(at: Location, text: str, names: frozenset[str]) -> Iterator[Problem]:
    return (Problem(at, mistake) for mistake in templates.mistakes(text, names))


_FORMAT = FileFormat("scenario", described.ScenarioDocument, ScenarioError, _beyond, _unknown_step)
