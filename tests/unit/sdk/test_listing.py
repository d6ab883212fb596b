"""``list()`` against servers that lose and repeat items between pages, and against those that do not."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core import unified
from openhands_client._core.commands import Command, Send
from tests.unit.sdk.playing import PATIENT, Clock, Player, answer, line_of, page, query_of, session_on

LIST_V0 = "GET /api/conversations"
SEARCH_V1 = "GET /api/v1/app-conversations/search"

Item = dict[str, Any]


def items(generation: str, count: int, offset: int = 0) -> list[Item]:
    """The conversations of one generation, newest first; the two generations take turns in age."""
    return [
        {
            "conversation_id": f"{generation}-{number:05}",
            "age": number * 2 + offset,
            "status": "RUNNING",
            "conversation_version": generation.upper(),
            "selected_repository": f"acme/{'app' if number % 3 else 'lib'}",
            "trigger": "gui" if number % 2 else "slack",
        }
        for number in range(count)
    ]


@dataclass
class LossyServer:
    """The V0 list of server 1.0.0: each source gives up to ``limit`` items, the merge is cut to ``limit``,
    and both offsets still advance by ``limit``. An exhausted source starts again while the other goes on.

    Whether a filter is applied before or after the cut is not known.
    """

    v0: list[Item]
    v1: list[Item]
    filter_before_cut: bool = True
    limits: list[int] = field(default_factory=list)

    def __call__(self, command: Command) -> Any:
        assert isinstance(command, Send)
        if line_of(command.request) != LIST_V0:
            return answer({"detail": "Not Found"}, 404)
        query = query_of(command.request)
        limit = int(query["limit"][0])
        self.limits.append(limit)
        at = (
            json.loads(base64.b64decode(query["page_id"][0]))
            if "page_id" in query
            else {"v0": None, "v1": None}
        )
        from_v0, next_v0 = self._source(self.v0, at["v0"], limit)
        from_v1, next_v1 = self._source(self.v1, at["v1"], limit)
        merged = sorted(from_v0 + from_v1, key=lambda item: item["age"])
        wanted = self._wanted(query)
        if self.filter_before_cut:
            results = [item for item in merged if wanted(item)][:limit]
        else:
            results = [item for item in merged[:limit] if wanted(item)]
        following = None
        if next_v0 is not None or next_v1 is not None:
            following = base64.b64encode(json.dumps({"v0": next_v0, "v1": next_v1}).encode()).decode()
        return answer({"results": results, "next_page_id": following})

    @staticmethod
    def _source(source: list[Item], at: int | None, limit: int) -> tuple[list[Item], int | None]:
        start = at or 0
        end = start + limit
        return source[start:end], end if end < len(source) else None

    @staticmethod
    def _wanted(query: dict[str, list[str]]) -> Any:
        repository = query.get("selected_repository", [None])[0]
        trigger = query.get("conversation_trigger", [None])[0]
        return lambda item: (
            repository in (None, item["selected_repository"]) and trigger in (None, item["trigger"])
        )


@dataclass
class CorrectServer:
    """Pages without loss or repeats, of at most ``largest`` items."""

    everything: list[Item]
    largest: int = 100
    refusal: int = 422
    limits: list[int] = field(default_factory=list)

    def __call__(self, command: Command) -> Any:
        assert isinstance(command, Send)
        line, query = line_of(command.request), query_of(command.request)
        limit = int(query["limit"][0])
        if line not in (LIST_V0, SEARCH_V1):
            return answer({"detail": "Not Found"}, 404)
        self.limits.append(limit)
        if not 1 <= limit <= self.largest:
            return answer({"detail": "limit"}, self.refusal)
        start = int(query.get("page_id", ["0"])[0])
        wanted = LossyServer._wanted(query)
        found = [item for item in self.everything if wanted(item)]
        following = str(start + limit) if start + limit < len(found) else None
        results = found[start : start + limit]
        if line == LIST_V0:
            return answer({"results": results, "next_page_id": following})
        as_v1 = [{**item, "id": item["conversation_id"], "sandbox_id": "s"} for item in results]
        return answer({"items": as_v1, "next_page_id": following})


def listed(server: Any, *, api: str = "auto", **arguments: Any) -> tuple[list[str], Player]:
    player = Player(server, Clock())
    session = session_on(player.clock, api=api)
    wanted = {"limit": None, "repository": None, "trigger": None, **arguments}
    player.play(unified.listing(session, **wanted))
    return [snapshot.id for snapshot in player.emitted], player


def in_order(*sources: list[Item]) -> list[str]:
    merged = sorted((item for source in sources for item in source), key=lambda item: item["age"])
    return [item["conversation_id"] for item in merged]


sizes = st.integers(0, 30) | st.sampled_from([49, 50, 51, 60, 99, 100, 101, 150, 250])


@given(sizes, sizes, st.booleans())
@example(60, 60, True)
@example(100, 1, False)
@PATIENT
def test_a_lossy_server_is_listed_completely_and_once(v0: int, v1: int, before: bool) -> None:
    server = LossyServer(items("v0", v0), items("v1", v1, 1), before)
    ids, _ = listed(server)
    assert ids == in_order(server.v0, server.v1)


@given(
    sizes,
    sizes,
    st.booleans(),
    st.sampled_from(["acme/app", "acme/lib", None]),
    st.sampled_from(["gui", None]),
)
@example(60, 60, False, "acme/lib", None)
@PATIENT
def test_a_filter_loses_nothing(
    v0: int, v1: int, before: bool, repository: str | None, trigger: str | None
) -> None:
    server = LossyServer(items("v0", v0), items("v1", v1, 1), before)
    ids, _ = listed(server, repository=repository, trigger=trigger)
    found = [item for item in (*server.v0, *server.v1) if repository in (None, item["selected_repository"])]
    assert ids == in_order([item for item in found if trigger in (None, item["trigger"])])


@given(sizes, sizes, st.integers(0, 40))
@PATIENT
def test_the_newest_come_first_and_no_more_than_asked_for(v0: int, v1: int, limit: int) -> None:
    server = LossyServer(items("v0", v0), items("v1", v1, 1))
    ids, _ = listed(server, limit=limit)
    assert ids == in_order(server.v0, server.v1)[:limit]
    assert set(server.limits) <= {100}, "a few are asked for, and all are fetched"


@given(sizes, st.sampled_from([422, 400]), st.sampled_from(["v0", "v1"]))
@PATIENT
def test_a_correct_server_with_bounded_pages_is_listed_in_order(
    count: int, refusal: int, generation: str
) -> None:
    server = CorrectServer(items(generation, count), refusal=refusal)
    ids, _ = listed(server)
    assert ids == in_order(server.everything)


@given(sizes, st.integers(0, 130))
@PATIENT
def test_pages_are_fetched_as_they_are_needed(count: int, limit: int) -> None:
    server = CorrectServer(items("v0", count))
    ids, player = listed(server, limit=limit)
    assert ids == in_order(server.everything)[:limit]
    assert len(player.requests) <= 3


def test_v1_alone_is_listed_over_all_pages() -> None:
    server = CorrectServer(items("v1", 250))
    ids, player = listed(server, api="v1")
    assert ids == in_order(server.everything)
    assert set(player.lines) == {SEARCH_V1}
    assert listed(server, api="v1", repository="acme/lib", limit=3)[0] == ["v1-00000", "v1-00003", "v1-00006"]


@pytest.mark.parametrize(
    "missing", [answer({"detail": "Not Found"}, 404), page(200), answer({}, 405)], ids=range(3)
)
def test_where_v0_is_missing_v1_is_listed_and_that_is_remembered(missing: Any) -> None:
    v1 = CorrectServer(items("v1", 3))
    player = Player(lambda command: missing if line_of(command.request) == LIST_V0 else v1(command), Clock())
    session = session_on(player.clock)
    for _ in range(2):
        player.play(unified.listing(session, limit=None, repository=None, trigger=None))
    assert player.lines == [LIST_V0, SEARCH_V1, SEARCH_V1]
    assert len(player.emitted) == 6


def test_where_v0_is_insisted_on_v1_is_not_asked() -> None:
    with pytest.raises(errors.NotFoundError):
        listed(lambda command: answer({"detail": "Not Found"}, 404), api="v0")


@pytest.mark.parametrize("api", ["v0", "v1"])
def test_a_chain_of_pages_without_end_ends(api: str) -> None:
    """A broken server names the same page again and again."""
    results = [{**item, "id": item["conversation_id"], "sandbox_id": "s"} for item in items(api, 2)]
    ids, player = listed(
        lambda command: answer({"results": results, "items": results, "next_page_id": "again"}), api=api
    )
    assert ids == [f"{api}-00000", f"{api}-00001"]
    assert len(player.requests) < 10


def test_trouble_in_the_middle_is_raised_after_what_was_found() -> None:
    server = CorrectServer(items("v0", 150))
    player = Player(
        lambda command: answer({}, 403) if "page_id" in query_of(command.request) else server(command),
        Clock(),
    )
    with pytest.raises(errors.PermissionDeniedError):
        player.play(unified.listing(session_on(player.clock), limit=None, repository=None, trigger=None))
    assert len(player.emitted) == 100
