"""Unknown and impossible ids of V0 conversations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import path, unknown_id

_ACTION = {"action": "message", "args": {"content": "Hi"}}
_BELOW: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/events", None),
    ("POST", "/events", _ACTION),
    ("POST", "/message", {"message": "Hi"}),
    ("GET", "/trajectory", None),
    ("GET", "/config", None),
    ("GET", "/microagents", None),
    ("GET", "/remember-prompt?event_id=0", None),
    ("GET", "/list-files", None),
    ("GET", "/select-file?file=README.md", None),
    ("GET", "/zip-directory", None),
    ("GET", "/git/changes", None),
    ("GET", "/git/diff?path=README.md", None),
    ("GET", "/vscode-url", None),
    ("GET", "/web-hosts", None),
    ("POST", "/exp-config", {"config": {"variant": "b"}}),
    ("POST", "/submit-feedback", {"polarity": "positive"}),
)


def _not_found(answer: Answer) -> None:
    answer.must(404).has(status="error", msg_id="CONVERSATION$NOT_FOUND")
    answer.expect(answer.pick("message"), "the message says so")


@checks("V0-ID-01")
def reading(bench: Bench) -> None:
    """Reads a conversation that nobody has made."""
    _not_found(bench.app.get(path(unknown_id())))
    _not_found(bench.app.get(path("not-a-uuid")))


@checks("V0-ID-02")
def changing(bench: Bench) -> None:
    """Renames, starts, stops and pauses a conversation that nobody has made."""
    identifier = unknown_id()
    _not_found(bench.app.patch(path(identifier), {"title": "New"}))
    _not_found(bench.app.post(path(identifier, "/start"), {}))
    _not_found(bench.app.post(path(identifier, "/stop")))
    _not_found(bench.app.post(path(identifier, "/pause")))
    _not_found(bench.app.get(path(identifier)))


@checks("V0-ID-03")
def below(bench: Bench) -> None:
    """Asks for everything below a conversation that nobody has made."""
    identifier = unknown_id()
    for method, rest, body in _BELOW:
        _not_found(bench.app.request(method, path(identifier, rest), json=body))


@checks("V0-ID-09")
def below_in_1_0(bench: Bench) -> None:
    """Asks for everything below a conversation that nobody has made."""
    identifier = unknown_id()
    for method, rest, body in _BELOW:
        if "feedback" not in rest and "exp-config" not in rest:
            bench.app.request(method, path(identifier, rest), json=body).must(404)


@checks("V0-ID-04")
def too_long(bench: Bench) -> None:
    """Reads conversations with ids of 101 and of 100 characters."""
    bench.app.get(path("a" * 101)).must(400).has(detail="Conversation ID is too long")
    answer = bench.app.get(path("a" * 100))
    answer.expect(answer.status != 400, "an id of 100 characters is possible", answer.status)


@checks("V0-ID-05")
def with_nul(bench: Bench) -> None:
    """Reads a conversation with NUL in its id."""
    bench.app.get(path("abc\0def")).must(400).has(detail="Conversation ID contains invalid characters")


@checks("V0-ID-06")
def with_path_characters(bench: Bench) -> None:
    """Reads conversations with `..` and a backslash in their ids."""
    for identifier in ("abc..def", "abc\\def"):
        bench.app.get(path(identifier)).must(400).has(
            detail="Conversation ID contains invalid path characters"
        )


@checks("V0-ID-07")
def with_control_characters(bench: Bench) -> None:
    """Reads a conversation with a control character in its id."""
    for identifier in ("abc\x01def", "abc\ndef"):
        bench.app.get(path(identifier)).must(400).has(detail="Conversation ID contains control characters")


@checks("V0-ID-08")
def impossible_everywhere(bench: Bench) -> None:
    """Sends an id that is too long to everything that changes a conversation."""
    for answer in _changes(bench, "a" * 101):
        answer.must(400).has(detail="Conversation ID is too long")


def _changes(bench: Bench, identifier: str) -> Iterator[Answer]:
    yield bench.app.patch(path(identifier), {"title": "New"})
    yield bench.app.delete(path(identifier))
    yield bench.app.post(path(identifier, "/start"), {})
    yield bench.app.post(path(identifier, "/stop"))
    yield bench.app.post(path(identifier, "/pause"))
    yield bench.app.post(path(identifier, "/message"), {"message": "Hi"})
    yield bench.app.post(path(identifier, "/events"), _ACTION)
