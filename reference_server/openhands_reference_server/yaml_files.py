"""YAML files people write: read strictly, and when they are wrong, all that is wrong is said.

Each problem names the line, the key, and what to do. A `FileFormat` says what a kind of file holds, as a
pydantic model whose parts refuse unknown keys and convert nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

Location: TypeAlias = tuple[int | str, ...]
_EXPECTED = {
    "string_type": "text, in quotes where YAML would read something else",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping",
    "dict_type": "a mapping",
}


class Part(BaseModel):
    """Any mapping in such a file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


Document = TypeVar("Document", bound=Part)


class FileError(ValueError):
    """A file that is not what it should be.

    Attributes:
        problems: everything that is wrong, one sentence each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, and where: keys and indexes, and the names `<…>` of alternatives."""

    at: Location
    text: str


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read: plain data, and the YAML nodes it comes from, if it does."""

    name: str
    data: Any
    root: yaml.Node | None = None

    def say(self, problem: Problem) -> str:
        field, line = _field(problem.at), _line(self.root, problem.at)
        place = self.name if line is None else f"{self.name}, line {line}"
        return f"{place}: {field}: {problem.text}" if field else f"{place}: {problem.text}"


def _nothing_beyond(data: Any, document: Any) -> Iterable[Problem]:
    return ()


def _nothing_special(error: Any) -> Problem | None:
    return None


@dataclass(frozen=True)
class FileFormat(Generic[Document]):
    """A kind of file.

    Attributes:
        noun: what one is called in messages.
        model: what is in it.
        error: what is raised.
        beyond: finds what is wrong with one that the model accepts.
        explain: puts an error of pydantic in words, where the general words do not do.
        shows_values: messages may quote the file.
    """

    noun: str
    model: type[Document]
    error: type[FileError] = FileError
    beyond: Callable[[Any, Document], Iterable[Problem]] = _nothing_beyond
    explain: Callable[[Any], Problem | None] = _nothing_special
    shows_values: bool = True

    def read_file(self, path: Path) -> Document:
        """What a file holds.

        Raises:
            FileError: it cannot be read, or is wrong.
        """
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise self.error([f"{path}: the {self.noun} cannot be read: {reason}"]) from error
        return self.read_text(content, str(path))

    def read_text(self, content: str, name: str = "") -> Document:
        """What YAML text holds; `name` is what messages call it.

        Raises:
            FileError: it is wrong.
        """
        name = name or self.noun
        loader = yaml.SafeLoader(content)
        try:
            root = loader.get_single_node()
            if root is None:
                raise self.error([f"{name}: the {self.noun} is empty"])
            self._refuse_repeated_keys(name, root)
            read = _Read(name, loader.construct_document(root), root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = name if mark is None else f"{name}, line {mark.line + 1}"
            raise self.error([f"{place}: not YAML: {error.problem or error.context}"]) from None
        except yaml.YAMLError as error:
            raise self.error([f"{name}: not YAML: {error}"]) from None
        except RecursionError:
            raise self.error([f"{name}: it is nested too deeply, or contains itself"]) from None
        finally:
            loader.dispose()
        return self._checked(read)

    def read_data(self, data: Mapping[str, Any]) -> Document:
        """What such data say.

        Raises:
            FileError: they are wrong.
        """
        return self._checked(_Read(self.noun, dict(data)))

    def _checked(self, read: _Read) -> Document:
        try:
            document = self.model.model_validate(read.data)
        except ValidationError as error:
            problems = [self._explained(one) for one in error.errors(include_url=False)]
            raise self.error(map(read.say, problems)) from None
        wrong = list(self.beyond(read.data, document))
        if wrong:
            raise self.error(map(read.say, wrong))
        return document

    def _refuse_repeated_keys(self, name: str, node: yaml.Node) -> None:
        """YAML forbids them, and PyYAML takes the last."""
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_repeated_keys(name, item)
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                    place = f"{name}, line {key.start_mark.line + 1}"
                    raise self.error([f"{place}: the key {key.value!r} stands here a second time"])
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
                self._refuse_repeated_keys(name, value)

    def _explained(self, error: Any) -> Problem:
        at, kind, given = error["loc"], error["type"], error["input"]
        special = self.explain(error)
        if special is not None:
            return special
        but = (
            f", not {_shown(given)}" if self.shows_values or not isinstance(given, str | int | float) else ""
        )
        match kind:
            case "extra_forbidden":
                return Problem(at, f"unknown key{hint(str(at[-1]), _known_keys(self.model, at[:-1]))}")
            case "missing":
                return Problem(at, "is missing")
            case "literal_error":
                return Problem(at, f"expected {error['ctx']['expected']}{but}")
            case "too_short" | "string_too_short":
                return Problem(at, "must not be empty")
            case kind if kind in _EXPECTED:
                return Problem(at, f"expected {_EXPECTED[kind]}{but}")
            case _:
                message: str = error["msg"]
                return Problem(at, message[:1].lower() + message[1:])


def hint(word: str, known: Iterable[str]) -> str:
    """What may have been meant."""
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


# -- where something stands -------------------------------------------------------------------------


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


# -- which keys there are ---------------------------------------------------------------------------


@cache
def _schema(model: type[Part]) -> dict[str, Any]:
    return model.model_json_schema()


def _known_keys(model: type[Part], at: Location) -> list[str]:
    """The keys of the mapping at this place, as the schema knows them."""
    schema = _schema(model)
    node = schema
    for part in at:
        node = _inner(schema, _resolved(schema, node), part)
    return list(_resolved(schema, node).get("properties", ()))


def _inner(schema: dict[str, Any], node: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, int):
        inner: dict[str, Any] = node["items"]
    elif part.startswith("<"):
        inner = schema["$defs"].get(part.strip("<>"), node)
    else:
        inner = node.get("properties", {}).get(part) or node["additionalProperties"]
    return inner


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.rpartition("/")[2]]
