"""The elements of a JSON array that is still arriving."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client._core.json_array import JsonArrayReader
from tests.unit.sdk.playing import PATIENT, cut

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.just('\\"}],[{\\\\'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=4)
spaces = st.text(" \t\r\n", max_size=3)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[list[Any], bytes]:
    """An array of objects, and a text of it with spaces anywhere."""
    elements = draw(st.lists(objects | st.lists(values, max_size=2), max_size=6))
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 0, 2]))
    texts = [json.dumps(element, ensure_ascii=ascii_only, indent=indent) for element in elements]
    separator = draw(spaces) + "," + draw(spaces)
    text = draw(spaces) + "[" + draw(spaces) + separator.join(texts) + draw(spaces) + "]" + draw(spaces)
    return elements, text.encode("utf-8", "surrogatepass")


def read(pieces: list[bytes]) -> tuple[list[Any], JsonArrayReader]:
    reader = JsonArrayReader()
    return [element for piece in pieces for element in reader.feed(piece)], reader


@given(arrays(), st.data())
@PATIENT
def test_any_array_in_any_pieces_gives_the_same_elements(
    array: tuple[list[Any], bytes], data: st.DataObject
) -> None:
    elements, content = array
    found, reader = read(cut(content, data.draw(st.lists(st.integers(0, len(content)), max_size=20))))
    assert found == elements
    assert reader.finished


@given(arrays())
@PATIENT
def test_byte_by_byte_each_element_comes_with_its_last_byte(array: tuple[list[Any], bytes]) -> None:
    elements, content = array
    reader, found = JsonArrayReader(), []
    for index in range(len(content)):
        new = reader.feed(content[index : index + 1])
        assert len(new) <= 1
        assert not new or content[index : index + 1] in (b"}", b"]")
        found += new
    assert found == elements


@given(arrays(), st.data())
@PATIENT
def test_what_is_cut_off_gives_the_elements_before(
    array: tuple[list[Any], bytes], data: st.DataObject
) -> None:
    elements, content = array
    kept = content.rstrip()[:-1]
    kept = kept[: data.draw(st.integers(0, len(kept)))]
    found, reader = read([kept])
    assert found == elements[: len(found)]
    assert not reader.finished


@given(st.lists(st.binary(max_size=20), max_size=10))
@PATIENT
def test_nonsense_neither_hangs_nor_breaks_otherwise(pieces: list[bytes]) -> None:
    reader = JsonArrayReader()
    try:
        for piece in pieces:
            assert isinstance(reader.feed(piece), list)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'"[',
        b"null",
        b"1",
        b"[1]",
        b"[null]",
        b'["text"]',
        b"[{},nonsense",
        b"[{]}",
        b"[{} {}x",
        b"[{nope}]",
        b"\xff",
        b"[\xff",
        b"[}",
        b"]",
    ],
)
def test_what_is_not_an_array_of_objects_is_refused(content: bytes) -> None:
    reader = JsonArrayReader()
    with pytest.raises(ValueError):  # noqa: PT011, PT012 - whatever kind of it, at once or after good elements
        reader.feed(content)
        reader.feed(b"")


def test_what_is_complete_is_given_before_the_rest_is_refused() -> None:
    reader = JsonArrayReader()
    assert reader.feed(b'[{"a": 1}, {"b": 2}, nonsense {') == [{"a": 1}, {"b": 2}]
    with pytest.raises(ValueError, match="array"):
        reader.feed(b"")


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(ValueError, match="nested"):
        JsonArrayReader().feed(b"[" * 100_000 + b"]" * 100_000)


def test_nothing_comes_after_the_end() -> None:
    reader = JsonArrayReader()
    assert reader.feed(b"[{}]") == [{}]
    assert reader.finished
    assert reader.feed(b", {}]") == []


def test_a_large_element_in_small_pieces_takes_no_long_time() -> None:
    """A start task repeats its request, and a request may hold images."""
    content = json.dumps([{"image": "data:image/png;base64," + "iVBORw0KGgo" * 400_000}]).encode()
    began = time.process_time()
    found, _ = read([content[start : start + 4096] for start in range(0, len(content), 4096)])
    assert len(found[0]["image"]) > 4_000_000
    assert time.process_time() - began < 2.0
