"""Reads scenarios, and says of a bad one everything that is wrong: in which line, at which key, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from openhands_reference_server.scenarios import format as described
from openhands_reference_server.scenarios import templates

ScenarioSource: TypeAlias = str | Path | Mapping[str, Any]
Location: TypeAlias = tuple[int | str, ...]
_NAMES = frozenset({"message", "turn", "conversation_id", "repository", "branch"})
_START_NAMES = frozenset({"attempt", "message", "repository", "branch"})
_ENDINGS = (described.Say, described.Finish, described.Error, described.Stuck, described.RateLimited)
_EXPECTED = {
    "string_type": "text, in quotes where YAML would read something else",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
}


class ScenarioError(ValueError):
    """A scenario that cannot be played.

    Attributes:
        problems: everything that is wrong, one sentence each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class _Problem:
    at: Location
    text: str


@dataclass(frozen=True, slots=True)
class _Text:
    """What was read: plain data, and the YAML nodes it comes from, if it does."""

    name: str
    data: Any
    root: yaml.Node | None = None

    def say(self, problem: _Problem) -> str:
        field, line = _field(problem.at), _line(self.root, problem.at)
        place = self.name if line is None else f"{self.name}, line {line}"
        return f"{place}: {field}: {problem.text}" if field else f"{place}: {problem.text}"


def read(source: ScenarioSource) -> tuple[described.ScenarioDocument, Path | None]:
    """A scenario, and the folder its paths begin in.

    Raises:
        ScenarioError: it is none.
    """
    if isinstance(source, Mapping):
        return _checked(_Text("scenario", dict(source))), None
    if isinstance(source, str) and "\n" in source:
        return _checked(_parsed("scenario", source)), None
    path = Path(source)
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScenarioError([f"{path}: the scenario cannot be read: {reason}"]) from error
    return _checked(_parsed(str(path), content)), path.parent


def _checked(text: _Text) -> described.ScenarioDocument:
    try:
        document = described.ScenarioDocument.model_validate(text.data)
    except ValidationError as error:
        problems = [_explained(one) for one in error.errors(include_url=False)]
        raise ScenarioError(map(text.say, problems)) from None
    wrong = [*_unreachable(text.data), *_bad_templates(text.data, document)]
    if wrong:
        raise ScenarioError(map(text.say, wrong))
    return document


# -- YAML -------------------------------------------------------------------------------------------


def _parsed(name: str, content: str) -> _Text:
    loader = yaml.SafeLoader(content)
    try:
        root = loader.get_single_node()
        if root is None:
            raise ScenarioError([f"{name}: the scenario is empty"])
        _refuse_repeated_keys(name, root)
        return _Text(name, loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = name if mark is None else f"{name}, line {mark.line + 1}"
        raise ScenarioError([f"{place}: not YAML: {error.problem or error.context}"]) from None
    except yaml.YAMLError as error:
        raise ScenarioError([f"{name}: not YAML: {error}"]) from None
    except RecursionError:
        raise ScenarioError([f"{name}: it is nested too deeply, or contains itself"]) from None
    finally:
        loader.dispose()


def _refuse_repeated_keys(name: str, node: yaml.Node) -> None:
    """YAML forbids them, and PyYAML takes the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(name, item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                line = key.start_mark.line + 1
                raise ScenarioError([f"{name}, line {line}: the key {key.value!r} stands here a second time"])
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
            _refuse_repeated_keys(name, value)


def _line(node: yaml.Node | None, at: Location) -> int | None:
    """Where something stands, counted from 1: its key, its item, or what it is missing from."""
    if node is None:
        return None
    line: int = node.start_mark.line
    for part in filter(_is_real, at):
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return line + 1


def _child(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None


def _is_real(part: int | str) -> bool:
    """Is this part of a location a key or an index, and not the name of an alternative?"""
    return isinstance(part, int) or not (part.startswith("<") or part == "[key]")


def _field(at: Location) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in filter(_is_real, at))
    return "".join(parts).lstrip(".")


# -- what pydantic says, in words -------------------------------------------------------------------


def _explained(error: Any) -> _Problem:
    at, kind, given = error["loc"], error["type"], error["input"]
    match kind:
        case "extra_forbidden":
            return _Problem(at, f"unknown key{_hint(str(at[-1]), _known_keys(at[:-1]))}")
        case "missing":
            return _Problem(at, "is missing")
        case "literal_error":
            return _Problem(at, f"expected {error['ctx']['expected']}, not {_shown(given)}")
        case "unknown_step" if isinstance(given, dict) and set(given) - {"after"}:
            key = next(key for key in given if key != "after")
            return _Problem((*at, key), f"unknown kind of step{_hint(str(key), described.KINDS)}")
        case "too_short" | "string_too_short":
            return _Problem(at, "must not be empty")
        case kind if kind in _EXPECTED:
            return _Problem(at, f"expected {_EXPECTED[kind]}, not {_shown(given)}")
        case _:
            message: str = error["msg"]
            return _Problem(at, message[:1].lower() + message[1:])


def _hint(word: str, known: Iterable[str]) -> str:
    candidates = sorted(known)
    close = get_close_matches(word, candidates, 1)
    return f"; did you mean '{close[0]}'?" if close else f"; possible here: {', '.join(candidates)}"


def _shown(value: Any) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case _:
            return repr(value) if len(repr(value)) < 50 else f"{repr(value)[:40]}…"


@cache
def _schema() -> dict[str, Any]:
    return described.json_schema()


def _known_keys(at: Location) -> list[str]:
    """The keys of the mapping at this place, as the schema knows them."""
    node = _schema()
    for part in at:
        node = _inner(_resolved(node), part)
    return list(_resolved(node).get("properties", ()))


def _inner(node: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, int):
        inner: dict[str, Any] = node["items"]
    elif part.strip("<>") in _schema()["$defs"] and part.startswith("<"):
        inner = _schema()["$defs"][part.strip("<>")]
    else:
        inner = node.get("properties", {}).get(part) or node["additionalProperties"]
    return inner


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return node if reference is None else _schema()["$defs"][reference.rpartition("/")[2]]


# -- what a schema cannot say -----------------------------------------------------------------------


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


def _unreachable(data: dict[str, Any]) -> Iterator[_Problem]:
    for at, steps in _lists_of_steps(data.get("turns")):
        for index, step in enumerate(steps[:-1]):
            if ends_turn(step):
                text = f"is never reached: the step before it ({_kind(step)}) ends the turn"
                yield _Problem(("turns", *at, index + 1), text)
                break


def ends_turn(step: Mapping[str, Any]) -> bool:
    """Does nothing follow this step?"""
    if "repeat" in step:
        return any(map(ends_turn, step["repeat"]["steps"]))
    return "hang" in step or any(kind in step for kind, model in described.KINDS.items() if model in _ENDINGS)


def _kind(step: Mapping[str, Any]) -> str:
    return next(kind for kind in described.KINDS if kind in step)


def _bad_templates(data: dict[str, Any], document: described.ScenarioDocument) -> Iterator[_Problem]:
    for number, start in enumerate(data.get("start", ())):
        for name, stage in start.get("stages", {}).items():
            at = ("start", number, "stages", name, "fail")
            yield from _mistakes(at, stage.get("fail", ""), _START_NAMES)
    for number, rule in enumerate(document.turns):
        names = _NAMES | templates.group_names(rule.when.regex)
        for part in ("steps", "answers"):
            yield from _in_texts(data["turns"][number].get(part), ("turns", number, part), names)


def _in_texts(data: Any, at: Location, names: frozenset[str]) -> Iterator[_Problem]:
    """Every text of a step is a template; in what is repeated there is also a number."""
    if isinstance(data, str):
        yield from _mistakes(at, data, names)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _in_texts(item, (*at, index), names)
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from _in_texts(item, (*at, key), names | {"n"} if key == "repeat" else names)


def _mistakes(at: Location, text: str, names: frozenset[str]) -> Iterator[_Problem]:
    return (_Problem(at, mistake) for mistake in templates.mistakes(text, names))
