"""Recordings: lines there and back, secrets taken out wherever they stand, broken files named."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_contract.recording.files import RecordingError, read
from openhands_contract.recording.lines import fact_of, line_of
from openhands_contract.recording.redaction import Redaction, without_user
from openhands_contract.traffic import (
    Answer,
    Body,
    Direction,
    Exchange,
    Fact,
    Frame,
    Request,
    Server,
    SocketOpened,
)

TEXTS = st.text(max_size=30)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)
BODIES = st.binary(max_size=60).map(Body.of)
REQUESTS = st.builds(Request, st.sampled_from(["GET", "POST"]), TEXTS, PAIRS, BODIES)
ANSWERS = st.builds(Answer, st.integers(100, 599), PAIRS, BODIES, st.booleans())
NUMBERS = st.integers(1, 1000)
SERVERS = st.sampled_from(Server)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(Exchange, NUMBERS, SERVERS, REQUESTS, st.none() | ANSWERS, TEXTS, st.just(1.5), st.just(0.25)),
    st.builds(SocketOpened, NUMBERS, SERVERS, REQUESTS, ANSWERS, st.just(1.5)),
    st.builds(
        Frame,
        NUMBERS,
        st.sampled_from(Direction),
        st.sampled_from(["text", "binary", "ping", "close"]),
        st.binary(max_size=40),
        st.sampled_from([0, 1000, 4004]),
        st.just(0.5),
    ),
)
SECRET = "s3cr3t/key+1"


@given(FACTS)
def test_a_fact_survives_its_line(fact: Fact) -> None:
    assert fact_of(json.loads(json.dumps(line_of(fact)))) == fact


def exchange(
    target: str = "/api/x",
    headers: tuple[tuple[str, str], ...] = (),
    sent: bytes = b"",
    answered: bytes = b"",
    answer_headers: tuple[tuple[str, str], ...] = (),
) -> Exchange:
    request = Request("POST", target, headers, Body.of(sent))
    return Exchange(1, Server.APP, request, Answer(200, answer_headers, Body.of(answered)))


JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


@pytest.mark.parametrize(
    "fact",
    [
        exchange(headers=(("X-Session-API-Key", SECRET),)),
        exchange(headers=(("Authorization", f"Bearer {SECRET}"),)),
        exchange(
            headers=(("Authorization", "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()),),
            answered=SECRET.encode(),
        ),
        exchange(headers=(("Cookie", f"a=b; session={SECRET}"),)),
        exchange(answer_headers=(("Set-Cookie", f"session={SECRET}; Path=/"),)),
        exchange(target="/sockets/events/1?session_api_key=s3cr3t%2Fkey%2B1"),
        exchange(sent=json.dumps({"llm_api_key": SECRET}).encode()),
        exchange(answered=json.dumps({"a": [{"session_api_key": SECRET}]}).encode()),
        exchange(answered=json.dumps({"text": json.dumps({"github_token": SECRET})}).encode()),
        exchange(answered=b'[\n{"session_api_key":"' + SECRET.encode() + b'"'),
        exchange(sent=json.dumps({"secrets": {"A": {"kind": "Static", "value": SECRET}}}).encode()),
        exchange(sent=json.dumps({"mcp_config": {"stdio_servers": [{"env": {"K": SECRET}}]}}).encode()),
        exchange(target="/api/secrets", sent=json.dumps({"name": "A", "value": SECRET}).encode()),
        exchange(headers=FORM, sent=b"grant_type=x&client_secret=s3cr3t%2Fkey%2B1"),
        exchange(headers=(("X-Session-API-Key", SECRET),), sent=b"\xff\x00" + SECRET.encode()),
        Frame(1, Direction.TO_CLIENT, "text", b'42["oh_event",{"token":"' + SECRET.encode() + b'"}]'),
    ],
)
def test_no_secret_is_written(fact: Fact) -> None:
    line = json.dumps(line_of(Redaction().fact(fact)))
    decoded = [
        base64.b64decode(part) for part in line.split('"') if "/" in part or "=" in part if _is_base64(part)
    ]
    for form in (SECRET, "s3cr3t%2Fkey%2B1", "s3cr3t/key%2B1"):
        assert form not in line
        assert not any(form.encode() in part for part in decoded)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def test_one_secret_has_one_placeholder_everywhere() -> None:
    redaction = Redaction()
    told = redaction.fact(exchange(answered=json.dumps({"session_api_key": SECRET}).encode()))
    used = redaction.fact(exchange(headers=(("X-Session-API-Key", SECRET),), sent=SECRET.encode()))
    assert isinstance(told, Exchange)
    assert isinstance(used, Exchange)
    assert told.answer is not None
    assert json.loads(told.answer.body.data) == {"session_api_key": "redacted-1"}
    assert used.request.headers == (("X-Session-API-Key", "redacted-1"),)
    assert used.request.body.data == b"redacted-1"


def test_what_is_no_secret_stays() -> None:
    body = json.dumps(
        {"api_key": "**********", "token": "", "session_api_key": None, "max_tokens": "100", "key": "stats"}
    ).encode()
    untouched = exchange(headers=JSON, answered=body)
    assert Redaction().fact(untouched) == untouched


def test_a_short_secret_is_taken_out_where_it_stands_alone() -> None:
    fact = Redaction().fact(exchange(answered=b'{"password": "abc", "text": "abcdef"}'))
    assert isinstance(fact, Exchange)
    assert fact.answer is not None
    assert json.loads(fact.answer.body.data) == {"password": "redacted-1", "text": "abcdef"}


def test_addresses_lose_names_and_passwords() -> None:
    assert without_user("https://me:word@host:1/path") == "https://host:1/path"


HEADING = json.dumps(
    {
        "type": "recording",
        "version": 1,
        "upstream": "",
        "app_url": "",
        "agent_url": "",
        "dialect": "docs",
        "at": 0,
    }
)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("{", "first line is not complete"),
        ("nonsense\n", "line 1: this is not JSON"),
        ("[]\n", "line 1: this is not a JSON object"),
        ('{"type":"exchange"}\n', "line 1: this is not a recording"),
        ('{"type":"recording","version":9}\n', "line 1: version 9 cannot be read"),
        ('{"type":"recording","version":1}\n', "line 1: 'upstream' is missing"),
        (f'{HEADING}\n{{"type":"other"}}\n', "line 2: there is no line of the type 'other'"),
        (f'{HEADING}\n{{"type":"frame"}}\n', "line 2: 'socket' is missing"),
    ],
)
def test_a_broken_recording_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(content)
    with pytest.raises(RecordingError, match=r"broken\.jsonl") as error:
        read(path)
    assert complaint in str(error.value)
