"""Applies OpenAPI Overlays: https://spec.openapis.org/overlay/v1.0.0.html

An overlay is an ordered list of actions. Each has a JSONPath, `target`, and either an `update`, which is merged
into what the target finds (objects recursively; lists and single values: see `_merged`), or `remove: true`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jsonpath_ng.parser import parse


class OverlayError(ValueError):
    """An overlay that cannot be meant for this document; the message names the action."""


def apply(overlay: Mapping[str, Any], document: dict[str, Any]) -> None:
    """Change a document as an overlay says.

    The specification lets a target find nothing. Here that is always a mistake: overlay and document lie side
    by side, and a target that finds nothing has been misspelt or overtaken.

    Raises:
        OverlayError: a target finds nothing, or an action neither updates nor removes.
    """
    for action in overlay["actions"]:
        target = parse(action["target"])
        found = target.find(document)
        if not found:
            raise OverlayError(f"{overlay['info']['title']}: {action['target']} finds nothing")
        if action.get("remove"):
            target.filter(lambda _: True, document)
        elif "update" in action:
            for match in found:
                _merge_into(match.value, action["update"])
        else:
            raise OverlayError(f"{action['target']} is given neither `update` nor `remove`")


def _merge_into(value: Any, update: Any) -> None:
    """Merge an update into an object, or append it to a list."""
    match value, update:
        case dict(), dict():
            for name, part in update.items():
                value[name] = _merged(value[name], part) if name in value else copy.deepcopy(part)
        case list(), _:
            value.append(copy.deepcopy(update))
        case _:
            raise OverlayError(f"only objects and lists can be updated, not {value!r}")


def _merged(value: Any, update: Any) -> Any:
    """What a property becomes: objects are merged, lists joined, everything else is replaced."""
    match value, update:
        case dict(), dict():
            _merge_into(value, update)
            return value
        case list(), list():
            return value + copy.deepcopy(update)
        case _:
            return copy.deepcopy(update)
