"""What a run made is its own for good; what was there before is not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from openhands_contract.contract_document import document
from openhands_contract.exchange import Exchange
from openhands_contract.lab.ledger import Ledger

HOST = "http://server.example"
CONVERSATION = "0cbd5fb0-0e16-4f2b-910c-1400503b7a76"


class Run:
    """A ledger, and what it is shown."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def see(self, method: str, path: str, answer: Any, body: Any = None, status: int = 200) -> None:
        exchange = Exchange(
            "app-server",
            method,
            HOST + path,
            request_body=b"" if body is None else json.dumps(body).encode(),
            status=status,
            body=json.dumps(answer).encode(),
        )
        operation = document("app-server", "docs").operation(method, path)
        assert operation is not None
        self.ledger.notice(operation, exchange, "first")


@pytest.fixture
def run() -> Run:
    return Run()


def test_what_is_only_listed_is_foreign(run: Run) -> None:
    run.see(
        "GET", "/api/conversations", {"results": [{"conversation_id": CONVERSATION}], "next_page_id": None}
    )
    assert run.ledger.is_foreign(CONVERSATION)
    assert run.ledger.is_foreign(CONVERSATION.replace("-", ""))


def test_what_was_made_is_own_also_when_it_is_gone(run: Run) -> None:
    run.see("POST", "/api/conversations", {"conversation_id": CONVERSATION, "status": "ok"}, body={})
    run.see(
        "GET", "/api/conversations", {"results": [{"conversation_id": CONVERSATION}], "next_page_id": None}
    )
    assert run.ledger.left() == 1
    run.see("DELETE", f"/api/conversations/{CONVERSATION}", True)
    assert run.ledger.left() == 0
    assert not run.ledger.is_foreign(CONVERSATION)


def test_a_renamed_secret_is_one_secret(run: Run) -> None:
    run.see("POST", "/api/secrets", {}, body={"name": "0", "value": "v"}, status=201)
    run.see("GET", "/api/secrets", {"custom_secrets": [{"name": "0"}, {"name": "OLDER"}]})
    run.see("PUT", "/api/secrets/0", {}, body={"name": "_y"})
    assert run.ledger.left() == 1
    assert not run.ledger.is_foreign("0")
    assert run.ledger.is_foreign("OLDER")


def test_what_could_not_be_deleted_is_tried_once_more(run: Run) -> None:
    run.see("POST", "/api/conversations", {"conversation_id": CONVERSATION, "status": "ok"}, body={})
    statuses, sent = iter((0, 200)), []

    def send(method: str, path: str) -> Exchange:
        sent.append(f"{method} {path}")
        return Exchange("app-server", method, HOST + path, status=next(statuses))

    assert run.ledger.tidy({"first": send}, "/api/conversations/{id}", time.monotonic() + 10) == 0
    assert sent == [f"DELETE /api/conversations/{CONVERSATION.replace('-', '')}"] * 2
