"""What the contract kit says of single errors: of keys that are repeated, and of refusals that say nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openhands_contract.exchange import Exchange
from openhands_contract.observing import observe

KEY = "the-key-of-a-user"


def accused(status: int, body: Any, *, headers: dict[str, str] | None = None, **more: Any) -> set[str]:
    exchange = Exchange(
        server="app-server",
        method="GET",
        url="http://localhost:3000/api/conversations/0123456789abcdef0123456789abcdef",
        request_headers=headers or {"x-session-api-key": KEY},
        status=status,
        headers={"content-type": "application/json", **more},
        body=json.dumps(body).encode(),
    )
    _, violations = observe(exchange, "docs")
    return {violation.requirement for violation in violations}


@pytest.mark.parametrize(
    "headers", [{"x-session-api-key": KEY}, {"authorization": f"Bearer {KEY}"}], ids=["header", "bearer"]
)
def test_an_answer_that_repeats_the_key_is_noticed(headers: dict[str, str]) -> None:
    assert "HTTP-ERRORS-14" in accused(401, {"detail": f"{KEY} is not a key"}, headers=headers)


def test_the_name_of_a_scheme_is_no_key() -> None:
    headers = {"authorization": "Bearer"}
    assert "HTTP-ERRORS-14" not in accused(
        401, {"detail": "Unauthorized"}, headers=headers, **{"www-authenticate": "Bearer"}
    )


def test_a_longer_word_is_not_the_key() -> None:
    assert "HTTP-ERRORS-14" not in accused(401, {"detail": f"{KEY}s are kept elsewhere"})


@pytest.mark.parametrize("body", [{}, {"detail": ""}, {"status": "error", "message": "", "msg_id": "A$B"}])
def test_an_error_without_words_is_noticed(body: dict[str, str]) -> None:
    assert "HTTP-ERRORS-11" in accused(404, body)


@pytest.mark.parametrize(
    "body",
    [
        {"status": "ok", "message": "No", "msg_id": "CONVERSATION$NOT_FOUND"},
        {"status": "error", "message": "No", "msg_id": "not found"},
    ],
)
def test_an_envelope_of_another_kind_is_noticed(body: dict[str, str]) -> None:
    assert "HTTP-ERRORS-13" in accused(404, body)


def test_nothing_is_wrong_with_the_documented_error() -> None:
    body = {"status": "error", "message": "Conversation not found", "msg_id": "CONVERSATION$NOT_FOUND"}
    assert accused(404, body) == set()
