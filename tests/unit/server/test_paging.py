"""Pages lose nothing and repeat nothing, and page ids that were never handed out are recognised."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_reference_server.domain import paging
from openhands_reference_server.domain.errors import UnknownPage

KEYS = st.tuples(
    st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z"),
    st.text("0123456789abcdef", min_size=1, max_size=32),
)


@given(st.sets(KEYS, max_size=30), st.integers(1, 7), st.booleans())
def test_all_pages_together_are_the_list(keys: set[paging.Key], limit: int, newest_first: bool) -> None:
    ordered = sorted(keys, reverse=newest_first)
    seen: list[paging.Key] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        rest = paging.after(ordered, cursor, lambda key: key, newest_first=newest_first)
        page, cursor = paging.take(rest, limit, lambda key: key)
        assert len(page) == limit or cursor is None
        seen += page
        pages += 1
    assert seen == ordered


@given(st.sets(KEYS, min_size=5, max_size=30), st.sets(KEYS, max_size=10))
def test_what_is_created_between_two_pages_moves_nothing(old: set[paging.Key], new: set[paging.Key]) -> None:
    first, cursor = paging.take(sorted(old, reverse=True), 4, lambda key: key)
    all_of_them = sorted(old | new, reverse=True)
    rest = list(paging.after(all_of_them, cursor, lambda key: key, newest_first=True))
    assert old <= {*first, *rest}
    assert not set(first) & set(rest)


@given(KEYS)
def test_a_page_id_leads_back_to_its_key(key: paging.Key) -> None:
    assert paging.decode(paging.encode(key)) == key


@given(KEYS, st.one_of(st.none(), KEYS))
def test_a_merged_page_id_leads_back_to_both(v0: paging.Key, v1: paging.Key | None) -> None:
    page_id = paging.encode_merged({"v0": v0, "v1": v1})
    assert paging.decode_merged(page_id) == {"v0": v0, "v1": v1}
    assert set(json.loads(base64.b64decode(page_id))) == {"v0", "v1"}


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "page_id",
    [
        "",
        "0",
        "garbage",
        "ü",
        "bm90anNvbg==",
        encoded([1]),
        encoded({"v0": None}),
        encoded({"v0": 1, "v1": None}),
        encoded({"v0": "x", "v1": "y"}),
        encoded({"v0": "MQ==", "v1": "1"}),
        "[" * 900,
    ],
)
def test_invented_page_ids_of_the_merged_list_are_unknown(page_id: str) -> None:
    with pytest.raises(UnknownPage):
        paging.decode_merged(page_id)


@given(st.text(max_size=60))
def test_invented_page_ids_are_unknown(page_id: str) -> None:
    try:
        key = paging.decode(page_id)
    except UnknownPage:
        return
    assert paging.encode(key) == page_id


@pytest.mark.parametrize("page_id", ["", "0", "1", "nope", "2026-11-20", "ü", "AA", "a" * 1000])
def test_typical_inventions_are_unknown(page_id: str) -> None:
    with pytest.raises(UnknownPage):
        paging.decode(page_id)
