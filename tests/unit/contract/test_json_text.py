"""JSON from servers that may send anything: it is read, or refused with a `ValueError`."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_contract.json_text import read_json


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, null, "x"]}', {"a": [1, None, "x"]}),
        ('"Gr\u00f6\u00dfe"'.encode(), "Größe"),
        (b'"\\ud83d\\ude80"', "🚀"),
        (b'{"\\ud800": "\\udc00x"}', {"?": "?x"}),
    ],
)
def test_what_can_be_read(data: bytes, value: Any) -> None:
    assert read_json(data) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b'{"a": Infinity}', b'"\xed\xa0\x80"', b"\xff\xfe1\x00", b"[" * 100_000, b"9" * 6000],
)
def test_everything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_json(data)
