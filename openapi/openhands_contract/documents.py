"""Finds and reads the two OpenAPI documents.

They lie in `openapi/` of the repository, where people look for them, and inside the package in an installed
wheel. Parsing YAML costs some milliseconds, so each process does it once per document; callers get copies
and may change them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

DocumentName = Literal["app-server", "agent-server"]

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "openapi", _PACKAGE.parent)  # wheel, repository
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(name: DocumentName) -> dict[str, Any]:
    """Return a document as plain dicts and lists.

    Raises FileNotFoundError when the installation lacks it.
    """
    document: dict[str, Any] = json.loads(_parsed(name))
    return document


def load_text(name: DocumentName) -> str:
    """Return a document as written, in YAML."""
    return path_of(name).read_text(encoding="utf-8")


def path_of(name: DocumentName) -> Path:
    """Return where a document lies in this installation."""
    for place in _PLACES:
        candidate = place / f"{name}.yaml"
        if candidate.is_file():
            return candidate
    searched = " or ".join(str(place) for place in _PLACES)
    raise FileNotFoundError(f"{name}.yaml is neither in {searched}: the installation is incomplete")


@cache
def _parsed(name: DocumentName) -> str:
    return json.dumps(yaml.load(load_text(name), Loader=_LOADER))  # noqa: S506  # a safe loader either way
