"""Searching the events of a conversation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_reference_server.domain.errors import EventNotFound, UnknownPage
from openhands_reference_server.domain.event_log import EventFilter, EventLog, NumberedFilter

ALL = EventFilter()


def v1_log(count: int) -> EventLog:
    return EventLog({"record": "event", "event": v1_event(index)} for index in range(count))


def v1_event(index: int) -> dict[str, Any]:
    kind = ("MessageEvent", "PauseEvent")[index % 2]
    event = {
        "id": f"00000000-0000-0000-0000-{index:012d}",
        "kind": kind,
        "source": "user",
        "timestamp": f"2026-11-20T12:00:{index:02d}.000000",
    }
    if kind == "MessageEvent":
        event["llm_message"] = {"content": [{"type": "text", "text": f"Hello {index}"}]}
    return event


def v0_log(count: int) -> EventLog:
    def event(index: int) -> dict[str, Any]:
        hidden = {"args": {"hidden": index == 3}}
        at = f"2026-11-20T12:00:{index:02d}.000000"
        return {
            "id": index,
            "timestamp": at,
            "source": "user",
            "action": "run",
            "message": f"N{index}",
            **hidden,
        }

    return EventLog({"record": "event", "event": event(index)} for index in range(count))


@given(st.integers(0, 12), st.integers(1, 5), st.booleans())
def test_all_pages_together_are_the_log(count: int, limit: int, newest_first: bool) -> None:
    log = v1_log(count)
    seen: list[str] = []
    page_id, first = None, True
    while first or page_id is not None:
        first = False
        page, page_id = log.search(ALL, page_id=page_id, limit=limit, newest_first=newest_first)
        seen += [event["id"] for event in page]
    expected = [event["id"] for event in log.events]
    assert seen == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize(
    ("keep", "count"),
    [
        (ALL, 10),
        (EventFilter(kind="PauseEvent"), 5),
        (EventFilter(kind="openhands.sdk.event.user_action.PauseEvent"), 5),
        (EventFilter(kind="Nope"), 0),
        (EventFilter(source="agent"), 0),
        (EventFilter(body="HELLO"), 5),
        (EventFilter(body="hello 4"), 1),
        (EventFilter(since="2026-11-20T12:00:04"), 6),
        (EventFilter(until="2026-11-20T12:00:04Z"), 4),
        (EventFilter(since="2026-11-20T13:00:04+01:00", until="2026-11-20T12:00:06"), 2),
    ],
)
def test_filters(keep: EventFilter, count: int) -> None:
    log = v1_log(10)
    page, _ = log.search(keep, page_id=None, limit=100, newest_first=False)
    assert (len(page), log.count(keep)) == (count, count)


def test_an_event_is_found_under_any_spelling_of_its_id() -> None:
    log = v1_log(3)
    assert log.get("00000000000000000000000000000002")["id"] == "00000000-0000-0000-0000-000000000002"
    with pytest.raises(EventNotFound, match="nope"):
        log.get("nope")
    with pytest.raises(UnknownPage):
        log.search(ALL, page_id="nope", limit=1, newest_first=False)


@pytest.mark.parametrize(
    ("start", "end", "reverse", "limit", "ids", "more"),
    [
        (0, None, False, 3, [0, 1, 2], True),
        (3, 5, False, 10, [3, 4, 5], False),
        (3, 5, True, 2, [5, 4], True),
        (0, None, True, 10, [5, 4, 3, 2, 1, 0], False),
        (5, 3, False, 10, [], False),
        (6, None, False, 10, [], False),
        (0, 99, False, 10, [0, 1, 2, 3, 4, 5], False),
        (0, 0, False, 10, [0], False),
    ],
)
def test_numbered_ranges(
    start: int, end: int | None, reverse: bool, limit: int, ids: list[int], more: bool
) -> None:
    keep = NumberedFilter()
    events, has_more = v0_log(6).numbered(keep, start=start, end=end, reverse=reverse, limit=limit)
    assert ([event["id"] for event in events], has_more) == (ids, more)


@pytest.mark.parametrize(
    ("keep", "ids"),
    [
        (NumberedFilter(query="n4"), [4]),
        (NumberedFilter(include_types=frozenset({"message"})), []),
        (NumberedFilter(exclude_types=frozenset({"run"})), []),
        (NumberedFilter(source="agent"), []),
        (NumberedFilter(exclude_hidden=True), [0, 1, 2, 4, 5]),
        (NumberedFilter(since="2026-11-20T12:00:02", until="2026-11-20T12:00:04"), [2, 3, 4]),
    ],
)
def test_numbered_filters(keep: NumberedFilter, ids: list[int]) -> None:
    events, _ = v0_log(6).numbered(keep, start=0, end=None, reverse=False, limit=10)
    assert [event["id"] for event in events] == ids
