"""Reads JSON that a server has sent, who may send anything: what cannot be read is a `ValueError`, never worse."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

# One half of a pair of escapes that together stand for one character, or a whole pair.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(data: bytes | str) -> Any:
    """Read a JSON document.

    Half a character, which JSON can name but no text can hold, becomes a question mark.

    Raises:
        ValueError: it is no JSON, no UTF-8, or nested too deeply to be looked at.
    """
    text = data if isinstance(data, str) else data.decode()
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return _without_halves(value) if _HALF.search(text) else value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_halves(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
