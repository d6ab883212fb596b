"""No key, token or password gets into what is kept of the traffic."""

from __future__ import annotations

import json

import pytest

from openhands_reference_server.control import redaction
from openhands_reference_server.world.keys import SessionKeys

SECRET = "sEcReT-of-this-test"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "X-Session-API-Key",
        "X-Access-Token",
        "Cookie",
        "Set-Cookie",
        "X-Control-Token",
        "Proxy-Authorization",
    ],
)
def test_headers_that_show_who_calls(name: str) -> None:
    kept = dict(redaction.header_pairs([(name, SECRET), ("Accept", "text/html")], frozenset()))
    assert kept == {name: "**********", "Accept": "text/html"}


def test_parameters_of_queries_and_forms() -> None:
    query = f"session_api_key={SECRET}&resend_all=true&refresh_token={SECRET}&client_secret={SECRET}&x="
    kept = redaction.query_string(query, frozenset())
    assert SECRET not in kept
    assert "resend_all=true" in kept
    assert redaction.query_string("limit=1&page_id=a%20b", frozenset()) == "limit=1&page_id=a%20b"


BODIES = [
    {"session_api_key": SECRET},
    {"access_token": SECRET, "refresh_token": SECRET, "expires_in": 3600},
    {"agent": {"llm": {"api_key": SECRET, "aws_secret_access_key": SECRET}}},
    {"llm_api_key": SECRET, "search_api_key": SECRET},
    {"custom_secrets": {"ANY_NAME": {"secret": SECRET, "description": "x"}}},
    {"name": "ANY_NAME", "value": SECRET, "description": None},
    {"secrets": {"ANY_NAME": SECRET, "OTHER": {"kind": "StaticSecret", "value": SECRET}}},
    {"mcp_config": {"stdio_servers": [{"command": "x", "env": {"ANY": SECRET}, "args": ["--key", SECRET]}]}},
    {"provider_tokens": {"github": {"token": SECRET, "host": ""}}},
    {"items": [{"headers": {"X-Any": SECRET}}]},
]


@pytest.mark.parametrize("body", BODIES)
def test_fields_of_json_whole_broken_and_cut_off(body: object) -> None:
    text = json.dumps(body)
    assert SECRET not in redaction.text(text, frozenset())
    assert SECRET not in redaction.text("42" + text, frozenset()), "as a packet of Socket.IO"
    for length in range(len(text)):
        assert SECRET not in redaction.text(text[:length], frozenset()), text[:length]


def test_what_is_no_secret_stays_as_it_was() -> None:
    body = '{"prompt_tokens": 5, "accumulated_token_usage": {"model": "default"}, "key": "execution_status"}'
    assert redaction.text(body, frozenset()) == body
    assert redaction.text("plain words", frozenset()) == "plain words"


def test_what_the_request_showed_is_hidden_everywhere() -> None:
    known = redaction.credentials([("Authorization", f"Bearer {SECRET}")], "session_api_key=other-secret")
    assert known >= {SECRET, "other-secret"}
    assert redaction.text(f'{{"content": "{SECRET} and other-secret"}}', known).count("*" * 10) == 2


def test_session_keys_are_known_by_their_look() -> None:
    key = SessionKeys(b"x" * 32).key_of("3f0c1c52a5f44bcb8f2e6d1a77f0a001")
    for text in (key, f"see {key}.", f'{{"output": "KEY={key}"}}', f"http://h/x?k={key}&y=1"):
        assert key not in redaction.text(text, frozenset())


def test_passwords_in_urls() -> None:
    assert SECRET not in redaction.text(f"git clone https://me:{SECRET}@host/repo", frozenset())


def test_bodies_that_are_no_text_are_only_described() -> None:
    assert (
        redaction.content(b"\x00" * 5, "application/zip", frozenset(), whole=True)
        == "(5 bytes of application/zip)"
    )
    form = f"grant_type=client_credentials&client_secret={SECRET}".encode()
    kept = redaction.content(
        form, "application/x-www-form-urlencoded; charset=utf-8", frozenset(), whole=True
    )
    assert kept == "grant_type=client_credentials&client_secret=**********"
