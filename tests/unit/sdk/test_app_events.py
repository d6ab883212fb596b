"""The app server's events, page by page: one server line loses the event that a page's id names."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client._core.app_events import all_events
from tests.unit.sdk.playing import PATIENT, Player, Routes, answer, query_of, session_on

SEARCH, BATCH = "GET /api/v1/events/search", "GET /api/v1/events"
SEARCH_OF, BATCH_OF = "GET /api/v1/conversation/c/events/search", "GET /api/v1/conversation/c/events"


class Log:
    """Events in pages; ``loses`` says whether a page begins after the event that its id names."""

    def __init__(self, events: int, page: int, *, loses: bool) -> None:
        self.ids = [str(uuid.UUID(int=number)) for number in range(events)]
        self._page = page
        self._loses = loses

    def routes(self, *lines: str) -> dict[str, Any]:
        return dict(zip(lines, (self.search, self.batch), strict=True))

    def search(self, request: Any) -> Any:
        names = [f"20261120232355_PauseEvent_{id_.replace('-', '')}" for id_ in self.ids]
        [page_id] = query_of(request).get("page_id", [""])
        start = names.index(page_id) + self._loses if page_id else 0
        following = names[start + self._page : start + self._page + 1]
        items = [self._event(id_) for id_ in self.ids[start : start + self._page]]
        return answer({"items": items, "next_page_id": following[0] if following else None})

    def batch(self, request: Any) -> Any:
        ids = [str(uuid.UUID(id_)) for id_ in query_of(request)["id"]]
        return answer([self._event(id_) if id_ in self.ids else None for id_ in ids])

    def _event(self, id_: str) -> dict[str, Any]:
        return {"kind": "PauseEvent", "id": id_, "timestamp": "2026-11-20T23:23:55", "source": "user"}


@pytest.mark.parametrize("loses", [True, False])
@pytest.mark.parametrize(("lines", "of"), [((SEARCH, BATCH), None), ((SEARCH_OF, BATCH_OF), "c")])
@given(events=st.integers(0, 12), page=st.integers(1, 5))
@PATIENT
def test_no_event_is_lost_between_pages(
    loses: bool, lines: tuple[str, str], of: str | None, events: int, page: int
) -> None:
    log = Log(events, page, loses=loses)
    player = Player(Routes(log.routes(*lines)))
    player.play(all_events(session_on(player.clock), of, {}))
    assert [event.id for event in player.emitted] == log.ids


def test_pages_that_lead_in_a_circle_end() -> None:
    body = {"items": [], "next_page_id": "again"}
    player = Player(Routes({SEARCH: answer(body)}))
    player.play(all_events(session_on(player.clock), None, {}))
    assert len(player.requests) == 2
