"""Lists of conversations: every one exactly once, whatever is created meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Api

Page = list[dict[str, Any]]


def pages(api: Api, path: str, between: Callable[[], object] = lambda: None, **query: Any) -> list[Page]:
    """A whole list, page by page; something may happen between two pages."""
    found: list[Page] = []
    while True:
        page = api.ok("GET", path, params=query)
        found.append(page["results"] if "results" in page else page["items"])
        if page["next_page_id"] is None:
            return found
        query["page_id"] = page["next_page_id"]
        between()


def ids(found: list[Page]) -> list[str]:
    return [one.get("conversation_id") or one["id"] for page in found for one in page]


@pytest.fixture
def mixed(api: Api) -> list[str]:
    """Conversations of both generations, oldest first."""
    return [api.create_v0() if kind == "0" else api.start_v1().id for kind in "0110100011"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10, 100])
def test_the_merged_list_has_every_conversation_once_newest_first(
    api: Api, mixed: list[str], limit: int
) -> None:
    found = pages(api, "/api/conversations", limit=limit)
    assert ids(found) == mixed[::-1]
    assert all(len(page) == limit for page in found[:-1])


def test_new_conversations_do_not_disturb_a_walk(api: Api, mixed: list[str]) -> None:
    found = ids(pages(api, "/api/conversations", api.create_v0, limit=3))
    assert found == mixed[::-1]


def test_deleted_conversations_do_not_disturb_a_walk(api: Api, mixed: list[str]) -> None:
    doomed = iter(mixed[::-1])

    def delete_one_already_seen() -> None:
        api.ok("DELETE", f"/api/conversations/{next(doomed)}")

    found = ids(pages(api, "/api/conversations", delete_one_already_seen, limit=3))
    assert found == mixed[::-1]


def test_filters_come_before_paging(api: Api) -> None:
    wanted = []
    for number in range(6):
        conversation_id = api.create_v0(repository="a/b" if number % 2 else "c/d")
        wanted += [conversation_id] if number % 2 else []
    found = pages(api, "/api/conversations", selected_repository="a/b", limit=2)
    assert [len(page) for page in found] == [2, 1]
    assert ids(found) == wanted[::-1]
    assert ids(pages(api, "/api/conversations", conversation_trigger="slack")) == []
    assert api.app.get("/api/conversations", params={"conversation_trigger": "nope"}).status_code == 422


def test_searching_v1_conversations(api: Api) -> None:
    made = [api.start_v1(title=f"Number {number}").id for number in range(5)]
    search, count = "/api/v1/app-conversations/search", "/api/v1/app-conversations/count"
    assert ids(pages(api, search, limit=2)) == made[::-1]
    assert ids(pages(api, search, title__contains="ber 3")) == [made[3]]
    middle = api.info(made[2])["created_at"]
    for query, expected in (
        ({"created_at__gte": middle}, 3),
        ({"created_at__lt": middle}, 2),
        ({"updated_at__gte": "2999-01-01T00:00:00"}, 0),
        ({"updated_at__lt": "2999-01-01T00:00:00+05:00"}, 5),
        ({"title__contains": "number"}, 0),
    ):
        assert len(ids(pages(api, search, **query))) == api.ok("GET", count, params=query) == expected, query
    got = api.ok("GET", "/api/v1/app-conversations", params={"ids": [made[3], "0" * 32, made[0]]})
    assert [one and one["id"] for one in got] == [made[3], None, made[0]]
    assert api.app.get(search, params={"created_at__gte": "yesterday"}).status_code == 422
