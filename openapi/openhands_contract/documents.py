"""Finds and reads the OpenAPI documents, those of the API in each of the dialects that are spoken.

They lie in `openapi/` of the repository, where people look for them, and inside the package in an installed
wheel. A dialect is the base document plus an OpenAPI Overlay (1.0) from `overlays/`: what servers of that line
answer otherwise. Parsing YAML costs some milliseconds, so each process does it once per document; callers get
copies and may change them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

DocumentName = Literal["app-server", "agent-server"]
"""The documents of the API."""

AnyDocument = Literal["app-server", "agent-server", "control"]
"""And that of what tests do to the reference server, which is no part of the API."""

Dialect = Literal["docs", "openhands-1.0", "openhands-1.11"]

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
"""`docs`: as the documents say; the others: as the servers of that line really answer."""

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "openapi", _PACKAGE.parent)  # wheel, repository
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(name: AnyDocument, dialect: Dialect = "docs") -> dict[str, Any]:
    """Return a document as plain dicts and lists, as a dialect has it.

    Raises:
        FileNotFoundError: the installation lacks it.
        ValueError: there is no such dialect.
    """
    document: dict[str, Any] = json.loads(_in_dialect(name, dialect))
    return document


def load_text(name: AnyDocument) -> str:
    """Return a base document as written, in YAML."""
    return path_of(name).read_text(encoding="utf-8")


def load_overlay(name: AnyDocument, dialect: Dialect) -> dict[str, Any]:
    """Return what a dialect changes in a document, as an OpenAPI Overlay document.

    Raises:
        FileNotFoundError: the installation lacks it.
        ValueError: there is no such dialect, or it is the one that changes nothing.
    """
    return _parse(overlay_path(name, dialect).read_text(encoding="utf-8"))


def path_of(name: AnyDocument) -> Path:
    """Return where a base document lies in this installation."""
    return _find(f"{name}.yaml")


def overlay_path(name: AnyDocument, dialect: Dialect) -> Path:
    """Return where the overlay of a dialect lies in this installation.

    Raises:
        FileNotFoundError: the installation lacks it.
        ValueError: there is no such dialect, or it is the one that changes nothing.
    """
    if dialect == "docs" or dialect not in DIALECTS:
        with_overlay = ", ".join(one for one in DIALECTS if one != "docs")
        raise ValueError(f"{dialect!r} has no overlay; choose one of {with_overlay}")
    return _find(f"overlays/{dialect}.{name}.yaml")


def _find(file: str) -> Path:
    for place in _PLACES:
        candidate = place / file
        if candidate.is_file():
            return candidate
    searched = " or ".join(str(place) for place in _PLACES)
    raise FileNotFoundError(f"{file} is neither in {searched}: the installation is incomplete")


def _parse(text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe loader either way
    return parsed


@cache
def _in_dialect(name: AnyDocument, dialect: Dialect) -> str:
    if dialect not in DIALECTS:
        raise ValueError(f"there is no dialect {dialect!r}; choose one of {', '.join(DIALECTS)}")
    document = _parse(load_text(name))
    if dialect != "docs":
        from openhands_contract.overlay import apply  # it needs a JSONPath library, `docs` does not

        apply(load_overlay(name, dialect), document)
    return json.dumps(document)
