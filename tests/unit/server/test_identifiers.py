"""Ids: what is refused, in which words, and what the server makes itself."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_reference_server.domain.identifiers import (
    InvalidIdentifier,
    canonical,
    check_conversation_id,
    dashed,
    sandbox_id,
)

HEX = "2a6b4c1be09d4b9b98c40a7ab4c595db"


@pytest.mark.parametrize("text", [HEX, dashed(HEX), "a" * 100, "not-a-uuid", "ünïcode", "a.b", "conv_1", " "])
def test_any_short_text_without_tricks_is_accepted(text: str) -> None:
    check_conversation_id(text)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("a" * 101, "Conversation ID is too long"),
        ("\x00" * 101, "Conversation ID is too long"),
        ("a\x00b", "Conversation ID contains invalid characters"),
        ("..\x00", "Conversation ID contains invalid characters"),
        ("..", "Conversation ID contains invalid path characters"),
        ("a..b", "Conversation ID contains invalid path characters"),
        ("a/b", "Conversation ID contains invalid path characters"),
        ("a\\b", "Conversation ID contains invalid path characters"),
        ("a\nb", "Conversation ID contains control characters"),
        ("\x1f", "Conversation ID contains control characters"),
    ],
)
def test_the_rest_is_refused_in_the_documented_words(text: str, detail: str) -> None:
    with pytest.raises(InvalidIdentifier, match=f"^{detail}$"):
        check_conversation_id(text)


@given(st.uuids())
def test_a_uuid_has_one_stored_form(uuid: UUID) -> None:
    spellings = [uuid.hex, str(uuid), uuid.hex.upper(), str(uuid).upper()]
    assert {canonical(spelling) for spelling in spellings} == {uuid.hex}
    assert dashed(uuid.hex) == str(uuid)


@given(st.uuids(), st.uuids())
def test_sandbox_ids_are_22_letters_and_digits_and_unique(one: UUID, other: UUID) -> None:
    assert re.fullmatch(r"[0-9A-Za-z]{22}", sandbox_id(one))
    assert (sandbox_id(one) == sandbox_id(other)) == (one == other)
