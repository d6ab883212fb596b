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
    """Read an ISO 8601 time, or seconds since 1970, which some lines take; one without a zone is UTC.

    Raises:
        ValueError: it is none.
    """
    if _is_number(text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def has_zone(text: str) -> bool:
    """Does it say of which zone it is? Seconds since 1970 are of UTC.

    Raises:
        ValueError: it is no time.
    """
    return _is_number(text) or datetime.fromisoformat(text).tzinfo is not None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
