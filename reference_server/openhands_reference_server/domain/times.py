"""Times as they stand on the wire, so that nobody formats one by hand.

Conversations, tasks and sandboxes carry UTC with a `Z`; events carry no zone. Both are written with
six decimals always, which makes the order of the texts the order of the times.
"""

from __future__ import annotations

from datetime import UTC, datetime


def zoned(moment: datetime) -> str:
    """`2026-11-20T23:15:10.941887Z`."""
    return zoneless(moment) + "Z"


def zoneless(moment: datetime) -> str:
    """`2026-11-20T23:15:10.941887`, in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def parse(text: str) -> datetime:
    """Read an ISO 8601 time; one without a zone is UTC.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
