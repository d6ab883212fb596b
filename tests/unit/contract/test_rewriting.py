"""Addresses in streamed answers are changed wherever the pieces begin and end; nothing else is touched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_contract.proxy.rewriting import Rewriter

ANSWER = {
    "id": "x",
    "conversation_url": "http://agent:8001/api/conversations/1",
    "agent_server_url": "http://agent:8001",
    "url": None,
    "text": 'he said "conversation_url": "http://agent:8001/not-a-field"',
    "exposed_urls": [
        {"name": "AGENT_SERVER", "url": "http://agent:8001", "port": 8001},
        {"name": "VSCODE", "url": "http://agent:8002", "port": 8002},
    ],
}


def decide(name: str, url: str, is_agent: bool) -> str | None:
    if name == "url" and not is_agent:
        return None
    return url.replace("http://agent:8001", "http://proxy:1")


def expected(answer: dict[str, object]) -> dict[str, object]:
    changed = json.loads(json.dumps(answer))
    changed["conversation_url"] = "http://proxy:1/api/conversations/1"
    changed["agent_server_url"] = "http://proxy:1"
    changed["exposed_urls"][0]["url"] = "http://proxy:1"
    return dict(changed)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
def test_fields_are_changed_and_texts_are_not(separators: tuple[str, str]) -> None:
    answer = json.dumps(ANSWER, separators=separators).encode()
    assert json.loads(Rewriter(decide).whole(answer)) == expected(ANSWER)


@given(st.lists(st.integers(1, 40), min_size=1), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_pieces_make_no_difference(sizes: list[int], separators: tuple[str, str]) -> None:
    answer = json.dumps([ANSWER, ANSWER], separators=separators).encode()
    rewriter, out, start = Rewriter(decide), b"", 0
    while start < len(answer):
        size = sizes[start % len(sizes)]
        out += rewriter.feed(answer[start : start + size])
        start += size
    assert out + rewriter.finish() == Rewriter(decide).whole(answer)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_what_holds_no_address_passes_byte_for_byte(chunks: list[bytes]) -> None:
    rewriter = Rewriter(lambda name, url, is_agent: None)
    assert b"".join(map(rewriter.feed, chunks)) + rewriter.finish() == b"".join(chunks)


def test_nothing_is_held_back_that_is_complete() -> None:
    rewriter = Rewriter(decide)
    chunk = b'[\n{"agent_server_url":"http://agent:8001","status":"WORKING"}'
    assert rewriter.feed(chunk) == chunk.replace(b"agent:8001", b"proxy:1")
    assert rewriter.feed(b",\n") == b",\n"


def test_what_never_ends_is_not_held_for_ever() -> None:
    rewriter = Rewriter(decide)
    endless = b'"url": "' + b"x" * 10_000
    assert len(rewriter.feed(endless)) > len(endless) - 5000


def test_escaped_slashes_are_understood() -> None:
    answer = b'{"conversation_url": "http:\\/\\/agent:8001\\/api"}'
    assert json.loads(Rewriter(decide).whole(answer)) == {"conversation_url": "http://proxy:1/api"}
