"""Which route is asked on which server line, and what is remembered of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_client import errors
from openhands_client._core import operations as ops
from openhands_client._core.auth import Endpoint
from openhands_client._core.compat import ALTERNATIVES, Variant, ask, first_known
from openhands_client._core.operation import EVERY_LINE, Operation
from openhands_client._core.pipeline import call
from openhands_client._core.session import Session
from tests.unit.sdk.playing import BASE, Clock, Player, Routes, answer, page, session_on, text

NEW, OLD = ops.COUNT_EVENTS_OF, ops.COUNT_EVENTS
NEW_LINE, OLD_LINE = "GET /api/v1/conversation/c/events/count", "GET /api/v1/events/count"
INFO = "GET /server_info"
NO_ROUTE = answer({"detail": "Not Found"}, 404)


class Server:
    def __init__(self, **routes: Any) -> None:
        self.routes = dict(routes)
        self.player = Player(lambda command: Routes(self.routes)(command), Clock())
        self.session: Session = session_on(self.player.clock, max_retries=0)

    def count(self) -> Any:
        def variant(operation: Operation[int], path: dict[str, str] | None) -> Variant[int]:
            return Variant(operation, lambda: call(self.session, operation, path=path))

        known = [variant(NEW, {"conversation_id": "c"}), variant(OLD, None)]
        try:
            return self.player.play(first_known(self.session, self.session.endpoint, *known))
        except errors.OpenHandsError as failure:
            return failure


def test_a_new_server_is_asked_once() -> None:
    server = Server(**{NEW_LINE: answer(3)})
    assert server.count() == 3
    assert server.player.lines == [NEW_LINE]


def test_an_old_server_is_asked_by_its_own_route_from_then_on() -> None:
    server = Server(**{OLD_LINE: answer(3)})
    assert [server.count(), server.count()] == [3, 3]
    assert server.player.lines == [NEW_LINE, OLD_LINE, OLD_LINE]


def test_what_one_server_lacks_another_may_have() -> None:
    """Agent servers of one app server differ in age."""
    server = Server(**{OLD_LINE: answer(3)})
    server.count()
    server.routes = {NEW_LINE: answer(4)}
    other = Endpoint.app("http://other.test")

    def newer_or_older(operation: Operation[int], path: dict[str, str] | None) -> Variant[int]:
        return Variant(operation, lambda: call(server.session, operation, endpoint=other, path=path))

    variants = [newer_or_older(NEW, {"conversation_id": "c"}), newer_or_older(OLD, None)]
    assert server.player.play(first_known(server.session, other, *variants)) == 4
    assert server.player.lines[2:] == [NEW_LINE]


@pytest.mark.parametrize(
    "trouble", [text("", 500), answer({"detail": "no such conversation"}, 404), answer({}, 401)], ids=range(3)
)
def test_other_trouble_says_nothing_about_the_route(trouble: Any) -> None:
    server = Server(**{NEW_LINE: trouble, OLD_LINE: answer(3)})
    assert isinstance(server.count(), errors.APIStatusError)
    assert server.player.lines == [NEW_LINE]
    assert server.session.offers.missing == set()


def test_a_server_without_any_of_the_routes_is_named_with_its_version() -> None:
    server = Server(**{INFO: answer({"title": "OpenHands", "version": "0.9"})})
    failure = server.count()
    assert isinstance(failure, errors.UnsupportedOperationError)
    for part in (BASE, "OpenHands 0.9", str(NEW), str(OLD)):
        assert part in str(failure)


def test_a_server_that_does_not_tell_its_version_is_named_all_the_same() -> None:
    assert "unknown version" in str(Server().count())
    assert "does not tell" in str(Server(**{INFO: answer({"uptime": 1})}).count())


def test_a_web_page_says_more_than_we_could() -> None:
    failure = Server(**{NEW_LINE: page(), OLD_LINE: page()}).count()
    assert isinstance(failure, errors.ResponseFormatError)
    assert failure.is_html


def test_what_was_missing_once_is_not_missing_for_ever() -> None:
    """While a server was restarted, its gateway answered 404 to everything."""
    server = Server()
    assert isinstance(server.count(), errors.UnsupportedOperationError)
    server.routes[NEW_LINE] = answer(3)
    assert server.count() == 3
    assert server.session.offers.missing == {(BASE, OLD)}


def test_an_agent_server_of_another_line_is_not_refused_for_what_the_first_one_lacked() -> None:
    server = Server(**{OLD_LINE: answer(3)})
    assert server.count() == 3
    server.routes = {NEW_LINE: answer(4)}
    assert server.count() == 4
    assert server.player.lines == [NEW_LINE, OLD_LINE, OLD_LINE, NEW_LINE]


def test_an_operation_that_every_line_has_is_asked_without_ado() -> None:
    server = Server()
    assert ops.SEARCH_APP_CONVERSATIONS.lines == EVERY_LINE
    flow = ask(
        server.session,
        ops.SEARCH_APP_CONVERSATIONS,
        server.session.endpoint,
        lambda: call(server.session, ops.SEARCH_APP_CONVERSATIONS),
    )
    with pytest.raises(errors.NotFoundError):
        server.player.play(flow)
    assert len(server.player.lines) == 1


def test_an_operation_that_some_line_lacks_is_unsupported_there() -> None:
    server = Server()
    flow = ask(server.session, OLD, server.session.endpoint, lambda: call(server.session, OLD))
    with pytest.raises(errors.UnsupportedOperationError):
        server.player.play(flow)


@pytest.mark.parametrize("what", ALTERNATIVES)
def test_alternatives_do_not_overlap(what: str) -> None:
    operations = ALTERNATIVES[what]
    lines = [line for operation in operations for line in operation.lines]
    assert len(set(lines)) == len(lines)
    assert {operation.server for operation in operations} in ({"app"}, {"agent"})
