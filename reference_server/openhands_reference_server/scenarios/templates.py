r"""Replies with blanks: `{{ message }}` and a few other names, and nothing that could be run.

`\{{` stands for two braces, for files that use them themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches

_BLANK = re.compile(r"\\\{\{|\{\{([^{}\n]*)\}\}|\{\{")


def mistakes(text: str, names: Collection[str]) -> Iterator[str]:
    """What is wrong with a template in which these names may stand."""
    for found in _BLANK.finditer(text):
        if found[0] == "{{":
            yield r"'{{' is never closed (for the braces themselves write '\{{')"
        elif found[1] is not None and found[1].strip() not in names:
            yield _unknown(found[1].strip(), names)


def fill(text: str, value: Callable[[str], str]) -> str:
    """The text with its blanks filled in."""
    return _BLANK.sub(lambda found: "{{" if found[1] is None else value(found[1].strip()), text)


def groups(found: re.Match[str]) -> Mapping[str, str]:
    """What a regular expression has found, by the names it has in templates."""
    numbered = {f"match.{number}": found[number] or "" for number in range(found.re.groups + 1)}
    return numbered | {f"match.{name}": text or "" for name, text in found.groupdict().items()}


def group_names(pattern: str) -> set[str]:
    """The names `groups` gives for a regular expression; none for an empty one."""
    if not pattern:
        return set()
    compiled = re.compile(pattern)
    return {f"match.{name}" for name in (*range(compiled.groups + 1), *compiled.groupindex)}


def _unknown(name: str, names: Collection[str]) -> str:
    close = get_close_matches(name, names, 1)
    hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(sorted(names))}"
    return rf"'{{{{ {name} }}}}' has no value; {hint} (for the braces themselves write '\{{{{')"
