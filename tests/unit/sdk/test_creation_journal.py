"""The journal of ``create_many()``: what it tells after any crash, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import ConversationRequest, InvalidArgumentError
from openhands_client._core.creation_journal import Past, header, read_past
from openhands_client.journal import opened
from tests.unit.sdk.playing import PATIENT

SERVER = "http://app.test"
REQUESTS = [ConversationRequest("one"), ConversationRequest("two", repository="acme/app", api="v0")]
HEADER = header(SERVER, REQUESTS)

stages: Any = st.sampled_from(["sent", "started", "ready", "failed"])
generations: Any = st.sampled_from([("v1",), ("v0",), ("v1", "v0")])
pasts = st.builds(Past, stages, st.uuids().map(str), generations, st.none() | st.text())


def test_an_empty_journal_tells_nothing() -> None:
    assert read_past([], HEADER) == {}
    assert read_past([HEADER], HEADER) == {}


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 5), pasts)))
def test_the_last_word_on_each_request_counts(told: list[tuple[int, Past]]) -> None:
    lines = [json.dumps(record) for record in [HEADER, *(past.record(number) for number, past in told)]]
    assert read_past(map(json.loads, lines), HEADER) == dict(told)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (header(SERVER, REQUESTS[::-1]), "for other requests"),
        (header(SERVER, REQUESTS[:1]), "for 1 requests instead of 2"),
        (header("http://elsewhere.test", REQUESTS), "for another server, http://elsewhere.test"),
        ({**HEADER, "version": 2}, "in another format"),
        ({"hello": "world"}, "no journal of create_many"),
    ],
)
def test_a_journal_of_something_else_is_refused(other: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint):
        read_past([other], HEADER)


@pytest.mark.parametrize(
    "record", [{}, {"request": "x"}, {"request": 0, "stage": "gone", "conversation_id": "x"}, {"request": 0}]
)
def test_a_record_of_somebody_else_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"did not write.*nothing was sent"):
        read_past([HEADER, record], HEADER)


def test_the_same_requests_make_the_same_header() -> None:
    mapping = {"message": "two", "repository": "acme/app", "api": "v0"}
    assert header(SERVER, [ConversationRequest.of("one"), ConversationRequest.of(mapping)]) == HEADER


def test_no_secret_gets_into_a_journal() -> None:
    request = ConversationRequest("s3cret message", mcp_config={"key": "s3cret"}, instructions="s3cret")
    assert "s3cret" not in json.dumps(header(SERVER, [request]))
    assert "s3cret" not in json.dumps(Past("sent", "id", ("v1",)).record(0))


@pytest.mark.parametrize("given", [7, None, ["message"], b"message"])
def test_what_is_no_request_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"a request is .* nothing was sent"):
        ConversationRequest.of(given)


def test_an_argument_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no place for colour, wait in a request"):
        ConversationRequest.of({"message": "x", "wait": False, "colour": "red"})


# The file


def test_what_was_appended_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for count in range(3):
        with opened(path) as journal:
            assert journal.records == [HEADER, *({"n": n} for n in range(1, count))][:count]
            journal.append(HEADER if count == 0 else {"n": count})


@PATIENT
@given(st.data())
def test_a_torn_last_line_is_as_if_it_had_never_been(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal"
    lines = [json.dumps(record, separators=(",", ":")) + "\n" for record in [HEADER, {"n": 1}, {"n": 2}]]
    whole = "".join(lines).encode()
    torn = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(torn)
    with opened(path) as journal:
        assert journal.records == [HEADER, {"n": 1}, {"n": 2}][: torn.count(b"\n")]
        journal.append({**HEADER, "n": 3})
    with opened(path) as journal:
        assert journal.records[-1] == {**HEADER, "n": 3}


@pytest.mark.parametrize(
    "content", [b"my diary", b"my diary\n", b'{"journal":1}\nmy diary\n', b"\x00\xff\n", b"[]\n"]
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "diary"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="is no journal"), opened(path):
        pytest.fail("it was opened")
    assert path.read_bytes() == content


def test_two_runs_do_not_share_a_journal(tmp_path: Path) -> None:
    again = pytest.raises(InvalidArgumentError, match="in use by another run")
    with opened(tmp_path / "journal"), again, opened(tmp_path / "journal"):
        pytest.fail("it was opened")
    with opened(tmp_path / "journal"):
        pass
