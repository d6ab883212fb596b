"""What time a server says it is, so that times in its answers can be held against its own clock, not against ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from openhands_contract.lab.bench import Answer
from openhands_contract.outcome import Skipped

_EAST = timezone(timedelta(hours=5, minutes=30))
# `Date` may come from a gateway in front of the server, whose clock is another one. Zones differ by more.
_TOLERANCE = timedelta(minutes=10)


def expect_now(answer: Answer, name: str, text: str) -> None:
    """Hold a time to being the present one, in UTC, by the `Date` of an answer that came right after it.

    Raises:
        Skipped: the server does not say what time it is.
    """
    date = answer.headers.get("date")
    if date is None:
        raise Skipped("the server's answers have no `Date`")
    now = parsedate_to_datetime(date).astimezone(UTC)
    told = datetime.fromisoformat(text)
    told = told.replace(tzinfo=UTC) if told.tzinfo is None else told
    answer.expect(
        abs(told - now) <= _TOLERANCE, f"`{name}` is about {now.isoformat()}, the `Date` of the answer", text
    )


def elsewhere(moment: str) -> str:
    """The same moment, as the clocks of another zone show it; without a zone it is UTC."""
    told = datetime.fromisoformat(moment)
    return (told.replace(tzinfo=UTC) if told.tzinfo is None else told).astimezone(_EAST).isoformat()
