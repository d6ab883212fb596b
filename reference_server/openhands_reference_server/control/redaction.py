"""Takes keys, tokens and passwords out of what is kept of requests and answers.

Three nets, one behind the other: by the names of headers, parameters and JSON fields; by the values that
the same request showed as its credentials; by the look of what this server gives out as session keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from openhands_reference_server.domain.masking import MASK

Pairs = tuple[tuple[str, str], ...]

_SENSITIVE = re.compile(
    r"(api|access|private|secret)[-_]?key|token(?!s\b|_usage)|secret|passw|authorization|cookie|credential"
    r"|assertion",
    re.IGNORECASE,
)
_ALL_WITHIN = frozenset({"secrets", "custom_secrets", "env", "headers", "extra_headers", "mcp_config"})
_NAMED_VALUE = {"name", "value"}
_SESSION_KEY = re.compile(r"\b[0-9A-Za-z]{8,64}\.[0-9A-Za-z_-]{43}(?![0-9A-Za-z_-])")
_USER_INFO = re.compile(r"(?<=://)[^/\s:@\"]+:[^/\s@\"]+(?=@)")
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:\s*)("(?:[^"\\]|\\.)*"?|[\[{])')
_SHORTEST = 6  # a shorter credential would be found in words it has nothing to do with


def credentials(headers: Iterable[tuple[str, str]], query: str) -> frozenset[str]:
    """The values by which a request shows who sends it."""
    shown = [value for name, value in headers if _SENSITIVE.search(name)]
    shown += [value for name, value in parse_qsl(query) if _SENSITIVE.search(name)]
    words = {word for value in shown for word in (value, *re.split(r"[\s;=]+", value))}
    return frozenset(word for word in words if len(word) >= _SHORTEST)


def header_pairs(headers: Iterable[tuple[str, str]], known: frozenset[str]) -> Pairs:
    """Headers as they may be kept."""
    return tuple(
        (name, MASK if _SENSITIVE.search(name) else _without(value, known)) for name, value in headers
    )


def query_string(query: str, known: frozenset[str]) -> str:
    """A query, or a form, as it may be kept."""
    if not _may_hold_secrets(query, known):
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    masked = [
        (name, MASK if value and _SENSITIVE.search(name) else _without(value, known)) for name, value in pairs
    ]
    return urlencode(masked, safe="*")


def content(data: bytes, content_type: str, known: frozenset[str], *, whole: bool) -> str:
    """A body as it may be kept: JSON and other text; of everything else, what it is.

    Args:
        data: the body, or its beginning.
        content_type: what it is.
        known: values that are secret.
        whole: it is the whole body.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return query_string(data.decode("latin-1"), known)
    if not (media_type.startswith("text/") or "json" in media_type or not media_type):
        return f"({'' if whole else 'more than '}{len(data)} bytes of {media_type})"
    return text(data.decode("utf-8", "replace"), known)


def text(value: str, known: frozenset[str]) -> str:
    """A text as it may be kept; when it is JSON, even broken or cut off JSON, its fields are looked at."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return _without(_broken(value), known)
    masked = _masked(document)
    return _without(value if masked == document else json.dumps(masked), known)


def _may_hold_secrets(query: str, known: frozenset[str]) -> bool:
    plain = unquote(query)
    return bool(_SENSITIVE.search(plain) or _SESSION_KEY.search(plain)) or any(one in plain for one in known)


def _masked(value: Any, *, all_of_it: bool = False) -> Any:
    match value:
        case dict():
            named = value.keys() >= _NAMED_VALUE
            return {
                name: _masked_field(name, one, all_of_it or (named and name == "value"))
                for name, one in value.items()
            }
        case list():
            return [_masked(one, all_of_it=all_of_it) for one in value]
        case str() if all_of_it and value:
            return MASK
        case _:
            return value


def _masked_field(name: str, value: Any, all_of_it: bool) -> Any:
    if isinstance(value, str) and value and _SENSITIVE.search(name):
        return MASK
    return _masked(value, all_of_it=all_of_it or name.lower() in _ALL_WITHIN)


def _broken(value: str) -> str:
    """Text with what looks like fields of JSON in it: what cannot be told from a secret is left out."""
    kept: list[str] = []
    end = 0
    for field in _FIELD.finditer(value):
        name, opens = field[1], field[3] in ("{", "[")
        if name.lower() in _ALL_WITHIN and opens:
            return "".join([*kept, value[end : field.start(3)], MASK])
        if not opens and (_SENSITIVE.search(name) or name == "value"):
            kept += [value[end : field.start(3)], json.dumps(MASK)]
            end = field.end()
    return "".join([*kept, value[end:]])


def _without(value: str, known: frozenset[str]) -> str:
    for secret in sorted(known, key=len, reverse=True):
        value = value.replace(secret, MASK)
    return _USER_INFO.sub(MASK, _SESSION_KEY.sub(MASK, value))


def environ_headers(environ: Mapping[str, Any]) -> Pairs:
    """The headers of a request, as WSGI has them, under their own names."""
    found = [
        (name.removeprefix("HTTP_").replace("_", "-").title(), str(value))
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    ]
    return tuple(sorted(found))
