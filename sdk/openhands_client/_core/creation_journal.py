"""What a journal of ``create_many()`` tells of an earlier run. Reading and writing the file is not done here.

A journal holds one record per line. The first says what it is about; each other one says how far the creation
of one conversation has come, and is written before the next step is taken. Of messages, settings and keys it
holds a digest only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from openhands_client.errors import InvalidArgumentError

from .ordering import ConversationRequest
from .session import Generation

FORMAT = "openhands-client/create_many"
VERSION = 1

Record: TypeAlias = Mapping[str, Any]
Stage: TypeAlias = Literal["sent", "started", "ready", "failed"]


@dataclass(frozen=True)
class Past:
    """How far the creation of one conversation had come.

    ``stage``            sent: the server may have been asked, or not; started: it took the order; ready; failed:
                         certainly nothing was, or will be, started
    ``conversation_id``  the id that it was to have in V1; once it was started in V0, the id it got there
    ``generations``      those that may have been asked for it, in this order
    ``task_id``          its start task, once the server told
    """

    stage: Stage
    conversation_id: str
    generations: tuple[Generation, ...]
    task_id: str | None = None

    def record(self, number: int) -> Record:
        """``number`` is the place of the request among all, from 0."""
        return {"request": number, **asdict(self)}

    @classmethod
    def read(cls, record: Record) -> tuple[int, Past]:
        """Raises KeyError, TypeError or ValueError for anything else."""
        stage, number = record["stage"], record["request"]
        if stage not in ("sent", "started", "ready", "failed") or not isinstance(number, int):
            raise ValueError(f"request {number} at stage {stage}")
        return number, cls(stage, record["conversation_id"], tuple(record["generations"]), record["task_id"])


def header(base_url: str, requests: Sequence[ConversationRequest]) -> Record:
    """The first record."""
    return {
        "journal": FORMAT,
        "version": VERSION,
        "server": base_url,
        "count": len(requests),
        "requests": _digest(requests),
    }


def read_past(records: Iterable[Record], expected: Record) -> dict[int, Past]:
    """What is known of each request; its last record counts.

    ``expected`` is the header that a journal of these requests has. Raises InvalidArgumentError for another.
    """
    lines = iter(records)
    first = next(lines, None)
    if first is None:
        return {}
    _check_header(first, expected)
    try:
        return dict(Past.read(record) for record in lines)
    except (KeyError, TypeError, ValueError) as problem:
        raise InvalidArgumentError(
            f"the journal holds a record that create_many() did not write ({problem}); nothing was sent"
        ) from None


def _check_header(found: Record, expected: Record) -> None:
    if found.get("journal") != FORMAT:
        raise InvalidArgumentError("this file is no journal of create_many(); nothing was sent. Name another")
    differences = {
        "version": "in another format",
        "server": f"for another server, {found.get('server')}",
        "count": f"for {found.get('count')} requests instead of {expected['count']}",
        "requests": "for other requests",
    }
    for key, difference in differences.items():
        if found.get(key) != expected[key]:
            raise InvalidArgumentError(
                f"this journal was written {difference}; nothing was sent. A journal resumes the same requests, in "
                "the same order, on the same server; for others, name another file"
            )


def _digest(requests: Sequence[ConversationRequest]) -> str:
    text = json.dumps([asdict(request) for request in requests], sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
