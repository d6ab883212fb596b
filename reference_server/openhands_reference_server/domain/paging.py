"""Pages that lose nothing and repeat nothing, whatever is created between two requests.

A cursor is the sort key of the last item handed out, not an offset: what is inserted in front of it
cannot move it. Lists are ordered by (time, id), which is unique.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from openhands_reference_server.domain.errors import UnknownPage
from openhands_reference_server.domain.times import parse

Item = TypeVar("Item")
Key: TypeAlias = tuple[str, str]


def take(items: Iterable[Item], limit: int, key: Callable[[Item], Key]) -> tuple[list[Item], Key | None]:
    """The first `limit` items, and the key of the last one when there are more."""
    page: list[Item] = []
    for item in items:
        if len(page) == limit:
            return page, key(page[-1])
        page.append(item)
    return page, None


def encode(key: Key) -> str:
    """A cursor as a page id: opaque, and safe in a query."""
    return base64.urlsafe_b64encode("|".join(key).encode()).decode().rstrip("=")


def decode(page_id: str) -> Key:
    """Read a page id.

    Raises:
        UnknownPage: no server of this kind has made it.
    """
    try:
        padded = page_id + "=" * (-len(page_id) % 4)
        at, separator, identifier = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition("|")
        )
        parse(at)
    except (ValueError, binascii.Error) as error:
        raise UnknownPage(page_id) from error
    if not separator or not identifier or encode((at, identifier)) != page_id:
        raise UnknownPage(page_id)
    return at, identifier


def encode_merged(cursors: dict[str, Key | None]) -> str:
    """The page id of the V0 list: base64 JSON with one inner page id per generation; null = from the start."""
    inner = {name: cursor and encode(cursor) for name, cursor in cursors.items()}
    return base64.b64encode(json.dumps(inner).encode()).decode()


def decode_merged(page_id: str) -> dict[str, Key | None]:
    """Undo `encode_merged`.

    Raises:
        UnknownPage: it is not base64, not JSON, or not of this shape.
    """
    try:
        inner = json.loads(base64.b64decode(page_id, validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise UnknownPage(page_id) from error
    if not isinstance(inner, dict) or set(inner) != {"v0", "v1"}:
        raise UnknownPage(page_id)
    cursors: dict[str, Key | None] = {}
    for name, cursor in inner.items():
        if cursor is not None and not isinstance(cursor, str):
            raise UnknownPage(page_id)
        cursors[name] = None if cursor is None else decode(cursor)
    return cursors


def after(
    items: Iterable[Item], cursor: Key | None, key: Callable[[Item], Key], *, newest_first: bool
) -> Iterator[Item]:
    """What comes behind the cursor in a sorted list."""
    for item in items:
        if cursor is None or (key(item) < cursor if newest_first else key(item) > cursor):
            yield item


# -- pages as a real server makes them ----------------------------------------------------------------------


def lossy_page(
    sources: Mapping[str, Sequence[Item]], page_id: str | None, limit: int, key: Callable[[Item], Key]
) -> tuple[list[Item], str | None]:
    """A page of the V0 list of OpenHands 1.0, which loses items and repeats them.

    Each source gives up to `limit` items from its own offset, the newest `limit` of all are the page, and both
    offsets go on by `limit`, whatever was left out. A source that has no more gets no offset, and so begins
    anew as long as the other one lasts.

    Raises:
        UnknownPage: the page id is none of these.
    """
    offsets = dict.fromkeys(sources, 0) if page_id is None else _offsets(page_id)
    found: list[Item] = []
    following: dict[str, str | None] = {}
    for name, items in sources.items():
        begin, end = offsets[name], offsets[name] + limit
        found += items[begin:end]
        following[name] = str(end) if end < len(items) or limit == 0 else None
    page = (
        sorted(found, key=key, reverse=True)[:limit] if limit >= 0 else sorted(found, key=key, reverse=True)
    )
    if not any(following.values()):
        return page, None
    v0 = following["v0"]
    inner = {**following, "v0": v0 and base64.b64encode(v0.encode()).decode()}
    return page, base64.b64encode(json.dumps(inner).encode()).decode()


def _offsets(page_id: str) -> dict[str, int]:
    try:
        inner = json.loads(base64.b64decode(page_id, validate=True))
        v0, v1 = inner["v0"], inner["v1"]
        return {
            "v0": int(base64.b64decode(v0, validate=True)) if v0 else 0,
            "v1": int(v1) if v1 else 0,
        }
    except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as error:
        raise UnknownPage(page_id) from error
