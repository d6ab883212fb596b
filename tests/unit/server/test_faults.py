"""Which faults hit which requests, and how often."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from openhands_reference_server import Match
from openhands_reference_server.control import faults
from openhands_reference_server.control.faults import EFFECTS, Faults
from openhands_reference_server.control.matching import Asked

LIST = Asked("app", "http", "GET", "/api/conversations", "listConversations")
RUN = Asked("agent", "http", "POST", "/api/conversations/abc/run", "runConversation")
STREAM = Asked("agent", "websocket", "GET", "/sockets/events/abc", None, upgrade=True, opens=True)
POLL = Asked("app", "socketio", "GET", "/socket.io/")
HANDSHAKE = Asked("app", "socketio", "GET", "/socket.io/", opens=True)


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        (Match(), True),
        (Match(method="post"), True),
        (Match(method="GET"), False),
        (Match(path="/api/conversations/abc/run"), True),
        (Match(path="/api/conversations"), False),
        (Match(path="/api/conversations/*/run"), True),
        (Match(path="/api/conversations/*"), False),
        (Match(path="/api/**"), True),
        (Match(path="**/run"), True),
        (Match(path="/api/conversations/a?c/run"), False),
        (Match(path_regex=r"/api/.*/(run|pause)"), True),
        (Match(path_regex=r"/api"), False),
        (Match(server="agent"), True),
        (Match(server="app"), False),
        (Match(operation="runConversation"), True),
        (Match(operation="pauseConversation"), False),
        (Match(protocol="http"), True),
        (Match(protocol="websocket"), False),
        (Match(method="POST", path="/api/**", server="agent", operation="runConversation"), True),
        (Match(method="POST", path="/api/**", server="app"), False),
    ],
)
def test_a_match_holds_when_all_of_it_holds(match: Match, hit: bool) -> None:
    assert match(RUN) is hit


def test_a_star_stops_at_a_slash_and_two_do_not_even_at_a_line_end() -> None:
    path = dataclasses.replace(RUN, path="/a/b\nc/d")
    assert Match(path="/a/**")(path)
    assert Match(path="/a/*/d")(path)
    assert not Match(path="/a/*")(path)


def test_a_broken_pattern_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Match(path_regex="(")


def hits(book: Faults, count: int, asked: Asked = LIST) -> str:
    return "".join("x" if book.decide(asked).effect else "." for _ in range(count))


def test_skip_and_times_count_matching_requests_only() -> None:
    book = Faults()
    rule = book.add(faults.Drop(), Match(method="GET"), skip=2, times=2)
    assert hits(book, 1, RUN) == "."
    assert hits(book, 6) == "..xx.."
    now = book.get(rule.id)
    assert now is not None
    assert (now.seen, now.hits) == (6, 2)


def test_the_same_seed_hits_the_same_requests() -> None:
    def play(seed: int) -> str:
        book = Faults()
        book.add(faults.Drop(), probability=0.5, seed=seed)
        return hits(book, 64)

    assert play(1) == play(1)
    assert play(1) != play(2)
    assert 16 < play(1).count("x") < 48


def test_probabilities_of_nothing_and_all() -> None:
    book = Faults()
    book.add(faults.Drop(), probability=0)
    assert hits(book, 20) == "." * 20
    book.add(faults.Drop(), probability=1)
    assert hits(book, 20) == "x" * 20


def test_the_first_effect_that_hits_counts_and_delays_add_up() -> None:
    book = Faults()
    for effect in (
        faults.Delay(1),
        faults.Delay(2),
        faults.Delay(4, after_handling=True),
        faults.ExpireTokens(),
        faults.Answer(500),
        faults.Drop(),
        faults.Delay(8),
    ):
        book.add(effect)
    verdict = book.decide(LIST)
    assert (verdict.delay_before, verdict.delay_after, verdict.expire_tokens) == (3, 4, True)
    assert verdict.effect == faults.Answer(500)
    assert verdict.rules == ("fault-1", "fault-2", "fault-3", "fault-4", "fault-5")
    assert [rule.hits for rule in book.rules()] == [1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("effect", "where"),
    [
        (faults.Answer(), {"LIST", "STREAM", "POLL", "HANDSHAKE"}),
        (faults.Drop(), {"LIST", "STREAM", "POLL", "HANDSHAKE"}),
        (faults.Delay(1), {"LIST", "STREAM", "POLL", "HANDSHAKE"}),
        (faults.Drop(handled=True), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.Delay(1, after_handling=True), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.Truncate(), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.Stall(), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.MalformedJson(), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.ResetAfterAnswer(), {"LIST", "POLL", "HANDSHAKE"}),
        (faults.SlowHandshake(1), {"STREAM", "HANDSHAKE"}),
        (faults.CloseWebSocket(), {"STREAM"}),
        (faults.CloseSocketIO(), {"HANDSHAKE"}),
    ],
)
def test_what_cannot_happen_to_a_request_does_not_count_it(effect: faults.Effect, where: set[str]) -> None:
    book = Faults()
    book.add(effect)
    requests = {"LIST": LIST, "STREAM": STREAM, "POLL": POLL, "HANDSHAKE": HANDSHAKE}
    assert {name for name, asked in requests.items() if book.decide(asked).rules} == where
    assert book.rules()[0].seen == len(where)


def test_rules_can_be_removed() -> None:
    book = Faults()
    one, other = book.add(faults.Drop()), book.add(faults.HtmlPage())
    assert book.remove(one.id)
    assert not book.remove(one.id)
    assert book.get(one.id) is None
    assert book.decide(LIST).effect == other.effect
    book.clear()
    assert not book.armed
    assert book.add(faults.Drop()).id == "fault-3", "names are not used twice"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: faults.Answer(99), "status"),
        (lambda: faults.Answer(body={}, text=""), "exclude"),
        (lambda: faults.Delay(-1), "seconds"),
        (lambda: faults.Delay(float("nan")), "seconds"),
        (lambda: faults.SlowHandshake(float("inf")), "seconds"),
        (lambda: faults.Truncate(-1), "after"),
        (lambda: faults.Stall(-1), "after"),
        (lambda: faults.Stall(0, -1), "seconds"),
        (lambda: faults.CloseWebSocket(code=1006), "no code"),
        (lambda: faults.CloseWebSocket(code=2000), "no code"),
        (lambda: faults.CloseWebSocket(reason="x" * 124), "123 bytes"),
        (lambda: faults.CloseSocketIO(-1), "after"),
        (lambda: Faults().add(faults.Drop(), times=0), "times"),
        (lambda: Faults().add(faults.Drop(), skip=-1), "skip"),
        (lambda: Faults().add(faults.Drop(), probability=1.1), "probability"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_every_effect_has_a_kind() -> None:
    assert {one.kind for one in EFFECTS.values()} == EFFECTS.keys()
    assert len(EFFECTS) == 12
