"""Batch reads of any length: servers take 99 ids, or 100, or answer 500 above that; pieces of 50 suit all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from .commands import Flow, together
from .operation import Operation, check_id
from .pipeline import call
from .session import Session

T = TypeVar("T")

BATCH = 50
AT_ONCE = 4  # one server line refuses more than ten requests a second


def batch_get(
    session: Session,
    operation: Operation[list[T | None]],
    parameter: str,
    ids: Sequence[str],
    path: Mapping[str, str] | None = None,
) -> Flow[list[T | None]]:
    """One item per id, in the order of the ids; None where there is no such item."""
    pieces = [list(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)]
    calls = [call(session, operation, path=path, query={parameter: piece}) for piece in pieces]
    answers = yield from together(calls, AT_ONCE)
    return [item for answer in answers for item in answer]


def get_one(
    session: Session, operation: Operation[list[T | None]], parameter: str, id_: str
) -> Flow[T | None]:
    """The item with this id. Where there is none, servers say so with a None, or with an empty list."""
    items = yield from call(session, operation, query={parameter: [check_id(parameter, id_)]})
    return items[0] if items else None
