"""From «start a V1 conversation» to READY, against scripted servers and broken streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core import unified
from openhands_client._core.commands import Flow, Open, Read
from openhands_client._core.ordering import NewConversation
from openhands_client._core.session import Session
from openhands_client._core.starting import (
    STAGES,
    Patience,
    Progress,
    get_start_task,
    stream_start,
    wait_for,
)
from openhands_client._core.timing import Deadline
from openhands_client.models import AppConversationStartRequest, AppConversationStartTask
from tests.unit.sdk.playing import (
    PATIENT,
    Clock,
    Pieces,
    Player,
    Routes,
    answer,
    body_of,
    cut,
    page,
    query_of,
    session_on,
    text,
)

STREAM = "POST /api/v1/app-conversations/stream-start"
START = "POST /api/v1/app-conversations"
POLL = "GET /api/v1/app-conversations/start-tasks"
FOUND = "GET /api/v1/app-conversations"
CREATING = (STREAM, START, "POST /api/conversations")
TASK = "5f1e" * 8
ID = "c0de" * 8
CONVERSATION = {"id": ID, "sandbox_id": "s", "sandbox_status": "RUNNING", "title": "Conversation c0dec"}
LOST = errors.APIConnectionError("reset")
SLOW = errors.APITimeoutError("slow")


def task(status: str, **fields: Any) -> dict[str, Any]:
    more = {"app_conversation_id": ID} if status == "READY" else {}
    return {"id": TASK, "status": status, **more, **fields}


def streamed(*stages: Any) -> bytes:
    """The body that a real server streams."""
    return b"[\n" + b",\n".join(json.dumps(stage).encode() for stage in stages) + b"]"


ALL = streamed(*map(task, STAGES))


def polls(*statuses: str) -> list[Any]:
    return [answer([task(status)]) for status in statuses]


class Start:
    """A server, ``create()`` on it, and what came of that."""

    def __init__(self, routes: dict[str, Any], **options: Any) -> None:
        self.clock = Clock()
        self.session: Session = session_on(self.clock)
        self.player = Player(Routes({FOUND: answer([CONVERSATION]), **routes}), self.clock)
        self.told: list[str] = []
        self.result: Any = None
        self._options = options
        self.took = 0.0

    def create(self, message: str | None = "hello", *, api: str | None = None, **arguments: Any) -> Start:
        self.result = self.play(
            lambda patience: unified.create(self.session, order(message, **arguments), api, patience)
        )
        return self

    def play(self, flow: Callable[[Patience], Flow[Any]]) -> Any:
        timeout = self._options.get("timeout", 600.0)
        tell = self._options.get("tell", lambda task: self.told.append(str(task.status)))
        deadline = Deadline.after(self.clock, timeout)
        began = self.clock.now
        try:
            return self.player.play(flow(Patience(deadline, self._options.get("interval"), Progress(tell))))
        except errors.OpenHandsError as failure:
            return failure
        finally:
            self.took = self.clock.now - began

    @property
    def lines(self) -> list[str]:
        return self.player.lines

    @property
    def orders(self) -> list[str]:
        """The requests that may start something."""
        return [line for line in self.lines if line in CREATING]


def order(message: str | None = "hello", **arguments: Any) -> NewConversation:
    return NewConversation.of(message=message, **{"repository": None, "git_provider": None, **arguments})


def after(seconds: float, outcome: Any, clock: Clock) -> Callable[[], Any]:
    """A piece that takes its time."""

    def happen() -> Any:
        clock.advance(seconds)
        return outcome

    return happen


# The stream


def test_a_stream_is_followed_to_ready() -> None:
    start = Start({STREAM: Pieces(ALL)}).create()
    assert start.result.id == ID
    assert start.told == list(STAGES)
    assert start.lines == [STREAM, FOUND]
    assert start.player.slept == []
    assert start.player.opened == []


@given(st.lists(st.integers(0, len(ALL)), max_size=30))
@PATIENT
def test_wherever_the_network_cuts_it(at: list[int]) -> None:
    start = Start({STREAM: Pieces(*cut(ALL, at))}).create()
    assert start.told == list(STAGES)
    assert start.lines == [STREAM, FOUND]


@given(
    st.integers(1, len(STAGES) - 1),
    st.sampled_from([LOST, SLOW, b"", b"garbage", b'{"id": 5}', b"[]"]),
    st.data(),
)
@PATIENT
def test_where_the_stream_breaks_off_polling_goes_on(told: int, end: Any, data: st.DataObject) -> None:
    body = streamed(*map(task, STAGES[:told]))[:-1]
    pieces = cut(body, data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    start = Start({STREAM: Pieces(*pieces, end), POLL: polls("SETTING_UP_SKILLS", "READY")}).create()
    assert start.result.id == ID
    assert start.orders == [STREAM]
    asked = [query_of(request) for request in start.player.requests if "start-tasks" in request.url]
    assert asked in ([{"ids": [TASK]}], [{"ids": [TASK]}] * 2)
    assert start.told == [stage for stage in STAGES if stage in start.told]
    assert start.player.opened == []


def test_a_stream_that_broke_in_its_last_stage_needs_no_polling() -> None:
    start = Start({STREAM: Pieces(ALL[:-1], LOST)}).create()
    assert start.lines == [STREAM, FOUND]


def test_a_stream_that_falls_silent_is_not_left() -> None:
    """A real server stops starting the conversation when nobody reads the stream any more."""
    first = streamed(task("WORKING"))[:-1]
    start = Start({STREAM: lambda request: pieces})
    pieces = Pieces(first, after(300.0, b",\n" + streamed(task("READY"))[2:], start.clock))
    start.create()
    assert start.result.id == ID
    assert start.lines == [STREAM, FOUND]


@pytest.mark.parametrize(
    "pieces", [(), (b"[\n",), (b"[]",), (LOST,), (b"nonsense",), (b'["text"]',), (b"\xff",)]
)
def test_an_order_taken_without_a_word_is_an_error_that_names_the_conversation(
    pieces: tuple[Any, ...],
) -> None:
    start = Start({STREAM: Pieces(*pieces), FOUND: answer([None])}).create()
    assert isinstance(start.result, errors.StartTaskError)
    assert start.result.conversation_id == body_of(start.player.requests[0])["conversation_id"]
    assert start.result.conversation_id in str(start.result)
    assert start.orders == [STREAM]


def test_an_order_taken_without_a_word_is_looked_for() -> None:
    start = Start({STREAM: Pieces(b"[\n"), FOUND: answer([CONVERSATION])}).create()
    assert start.result.id == ID
    assert start.orders == [STREAM]


def test_the_stages_of_the_service_method_are_emitted() -> None:
    player = Player(Routes({STREAM: Pieces(ALL)}))
    player.play(stream_start(session_on(player.clock), AppConversationStartRequest()))
    assert [str(stage.status) for stage in player.emitted] == list(STAGES)
    assert player.requests[0].timeout == 60.0


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (LOST, errors.APIConnectionError),
        (b"", errors.ResponseFormatError),
        (b"x", errors.ResponseFormatError),
    ],
)
def test_the_service_method_does_not_hide_that_its_stream_broke(end: Any, kind: type[Exception]) -> None:
    player = Player(Routes({STREAM: Pieces(streamed(task("WORKING"))[:-1], end)}))
    with pytest.raises(kind):
        player.play(stream_start(session_on(player.clock), AppConversationStartRequest()))
    assert len(player.emitted) == 1


# Where there is no stream

MISSING = [
    answer({"detail": "Not Found"}, 404),
    answer({}, 405),
    answer({}, 501),
    page(200),
    page(404),
    text("?", 404),
]


@pytest.mark.parametrize("missing", MISSING)
def test_without_a_stream_the_start_is_polled(missing: Any) -> None:
    start = Start({STREAM: missing, START: answer(task("WORKING")), POLL: polls("WORKING", "READY")}).create()
    assert start.result.id == ID
    assert start.lines == [STREAM, START, POLL, POLL, FOUND]
    assert start.told == ["WORKING", "READY"]
    first, second = start.player.requests[:2]
    assert body_of(first) == body_of(second)


def test_that_there_is_no_stream_is_remembered() -> None:
    start = Start({START: answer(task("READY"))}).create().create()
    assert start.orders == [STREAM, START, START]


@pytest.mark.parametrize(
    "trouble",
    [
        text("", 500),
        page(502),
        text("", 503),
        text("", 504),
        LOST,
        SLOW,
        text("", 408),
    ],
    ids=repr,
)
@pytest.mark.parametrize("route", [STREAM, START])
def test_an_order_that_left_no_trace_is_given_again_with_its_id(route: str, trouble: Any) -> None:
    routes = {
        STREAM: MISSING[0],
        START: MISSING[0],
        "POST /api/conversations": answer({"conversation_id": ID}),
        FOUND: answer([None]),
    }
    start = Start({**routes, route: trouble}).create()
    assert isinstance(start.result, errors.OpenHandsError)
    assert start.orders == ([STREAM] * 3 if route == STREAM else [STREAM, START, START, START])
    bodies = [body_of(request) for request in start.player.requests if request.method == "POST"]
    assert len({body["conversation_id"] for body in bodies}) == 1


@pytest.mark.parametrize("route", [STREAM, START])
def test_an_order_that_is_refused_is_not_given_again(route: str) -> None:
    start = Start({STREAM: MISSING[0], route: answer({"detail": "no"}, 400)}).create()
    assert isinstance(start.result, errors.BadRequestError)
    assert start.orders == ([STREAM] if route == STREAM else [STREAM, START])


@pytest.mark.parametrize(
    "refusal", [text("", 429), errors.APIConnectionError("refused", request_sent=False)], ids=repr
)
def test_an_order_that_certainly_did_not_arrive_is_given_again(refusal: Any) -> None:
    start = Start({STREAM: [refusal, refusal, Pieces(ALL)]}).create()
    assert start.result.id == ID
    assert start.orders == [STREAM] * 3


@pytest.mark.parametrize("trouble", [text("", 503), LOST, SLOW, text("", 429)], ids=repr)
def test_a_server_that_is_away_for_a_while_goes_on_starting(trouble: Any) -> None:
    away = [*polls("WORKING"), *[trouble] * 9, *polls("READY")]
    start = Start({STREAM: MISSING[0], START: answer(task("WORKING")), POLL: away}).create()
    assert start.result.id == ID
    assert start.orders == [STREAM, START]


def test_a_server_that_stays_away_is_given_up() -> None:
    routes = {STREAM: MISSING[0], START: answer(task("WORKING")), POLL: LOST}
    start = Start(routes, timeout=None).create()
    assert start.result is LOST


def test_a_v0_server_that_is_away_for_a_while_goes_on_starting() -> None:
    shown = {"conversation_id": ID, "title": "t", "status": "RUNNING"}
    routes = {
        "POST /api/conversations": answer({"conversation_id": ID}),
        f"GET /api/conversations/{ID}": [*[LOST] * 9, answer(shown)],
    }
    assert Start(routes).create(api="v0").result.id == ID


def test_a_conversation_that_is_ready_but_cannot_be_shown_is_named() -> None:
    start = Start({STREAM: Pieces(ALL), FOUND: answer({"detail": "no"}, 403)}).create()
    assert isinstance(start.result, errors.StartTaskError)
    assert start.result.conversation_id == ID


@pytest.mark.parametrize("glitch", MISSING, ids=repr)
def test_a_stream_that_is_missing_all_of_a_sudden_may_have_taken_the_order(glitch: Any) -> None:
    """It was there before, so this may be the word of a gateway."""
    start = Start({STREAM: [Pieces(ALL), glitch], START: answer(task("READY"))}).create().create()
    assert start.result.id == ID
    assert start.orders == [STREAM, STREAM]  # found, and not ordered again


@pytest.mark.parametrize("glitch", MISSING, ids=repr)
def test_a_generation_that_is_missing_all_of_a_sudden_is_not_left_for_the_other(glitch: Any) -> None:
    routes = {
        STREAM: [Pieces(ALL), glitch],
        START: glitch,
        FOUND: [answer([CONVERSATION]), answer([None])],
        "POST /api/conversations": answer({"conversation_id": ID}),
    }
    start = Start(routes).create().create()
    assert isinstance(start.result, errors.OpenHandsError)
    assert "POST /api/conversations" not in start.orders


@pytest.mark.parametrize("gone", [*MISSING, answer([]), answer([None])], ids=repr)
def test_an_order_that_was_taken_is_not_given_to_the_other_generation(gone: Any) -> None:
    """Its task cannot be polled: that does not mean that V1 is missing."""
    routes = {
        START: answer(task("WORKING")),
        POLL: gone,
        "POST /api/conversations": answer({"conversation_id": ID}),
    }
    start = Start(routes).create()
    assert isinstance(start.result, errors.OpenHandsError)
    assert start.orders == [STREAM, START]
    assert start.session.offers.v1 is True


@pytest.mark.parametrize("route", [STREAM, START])
@pytest.mark.parametrize(
    "mistake",
    [
        ValueError("mine"),
        KeyError("mine"),
        errors.APIConnectionError("mine"),
        errors.UnsupportedOperationError("mine"),
    ],
    ids=repr,
)
def test_what_the_callback_raises_is_the_callers(route: str, mistake: Exception) -> None:
    routes: dict[str, Any] = {route: Pieces(ALL) if route == STREAM else answer(task("READY"))}
    told: list[str] = []

    def tell(task: Any) -> None:
        told.append(task.status)
        raise mistake

    start = Start({**routes, "POST /api/conversations": answer({"conversation_id": ID})}, tell=tell)
    try:
        start.create()
    except Exception as raised:  # noqa: BLE001 - which one is what is asserted
        start.result = raised
    assert start.result is mistake
    assert len(told) == 1


def test_a_callback_that_meets_a_missing_route_elsewhere_does_not_start_anything_twice() -> None:
    def tell(_: Any) -> None:
        raise errors.APIStatusError.from_response("GET /elsewhere", MISSING[0])

    start = Start(
        {STREAM: Pieces(ALL), "POST /api/conversations": answer({"conversation_id": ID})}, tell=tell
    ).create()
    assert isinstance(start.result, errors.NotFoundError)
    assert start.orders == [STREAM]


# Errors and deadlines


@pytest.mark.parametrize("detail", ["500: Sandbox not startable: s", None])
def test_a_task_that_errors_is_an_error_with_its_detail(detail: str | None) -> None:
    for routes in (
        {STREAM: Pieces(streamed(task("WORKING"), task("ERROR", detail=detail)))},
        {START: answer(task("WORKING")), POLL: answer([task("ERROR", detail=detail)])},
    ):
        start = Start(routes).create()
        assert isinstance(start.result, errors.StartTaskError)
        assert start.result.task is not None
        assert start.result.task.detail == detail
        assert (detail or "no reason") in str(start.result)
        assert start.told[-1] == "ERROR"


def test_a_task_that_never_ends_is_a_timeout_with_the_task() -> None:
    start = Start(
        {START: answer(task("WORKING")), POLL: polls("WORKING", "PREPARING_REPOSITORY")}, timeout=30.0
    ).create()
    assert isinstance(start.result, errors.StartTaskTimeout)
    assert start.result.task is not None
    assert start.result.task.status == "PREPARING_REPOSITORY"
    assert start.took == pytest.approx(30.0)


HANGING = "hanging"


@pytest.mark.parametrize("hangs", ["head", "body", "heartbeat", "order", "poll"])
@pytest.mark.parametrize("timeout", [1.0, 7.0, 40.0])
def test_a_deadline_holds_whatever_hangs(hangs: str, timeout: float) -> None:
    """Wherever the server falls silent, the caller is told in time, and with StartTaskTimeout."""

    def silent(request: Any) -> Any:
        start.clock.advance(request.timeout if request.timeout is not None else 3600)
        return SLOW

    def body_silent() -> Any:
        request = start.player.requests[0]
        start.clock.advance(request.timeout if request.timeout is not None else 3600)
        return SLOW

    beats = [after(0.5, b" ", start_clock := Clock()) for _ in range(10_000)]
    first = streamed(task("WORKING"))[:-1]
    routes: dict[str, dict[str, Any]] = {
        "head": {STREAM: silent},
        "body": {STREAM: Pieces(first, body_silent)},
        "heartbeat": {STREAM: Pieces(first, *beats)},
        "order": {STREAM: MISSING[0], START: silent},
        "poll": {STREAM: Pieces(first, LOST), POLL: silent},
    }
    start = Start({POLL: answer([task("WORKING")]), **routes[hangs]}, timeout=timeout)
    start.clock.now = start_clock.now
    start.clock = start.player.clock = start_clock
    start.session.clock = start_clock
    start.create()
    assert isinstance(start.result, errors.StartTaskTimeout), start.result
    assert start.took < timeout + 1.0
    assert start.orders in ([STREAM], [STREAM, START])


def test_a_server_that_asks_for_patience_beyond_the_deadline_does_not_get_it() -> None:
    busy = answer({}, 503, retry_after="50")
    start = Start({START: answer(task("WORKING")), POLL: busy}, timeout=10.0).create()
    assert isinstance(start.result, errors.ServerError | errors.StartTaskTimeout)
    assert start.took <= 10.0


def test_without_a_deadline_it_is_waited_for_ever() -> None:
    statuses = ["WORKING"] * 5000 + ["READY"]
    start = Start({START: answer(task("WORKING")), POLL: polls(*statuses)}, timeout=None).create()
    assert start.result.id == ID


def test_ready_needs_no_more_time() -> None:
    assert Start({STREAM: Pieces(ALL)}, timeout=0.06).create().result.id == ID


def test_ready_without_a_conversation_is_an_error() -> None:
    start = Start({STREAM: Pieces(streamed(task("READY", app_conversation_id=None)))}).create()
    assert isinstance(start.result, errors.StartTaskError)


# Polling


def poll(*statuses: str, **options: Any) -> Start:
    start = Start({POLL: polls(*statuses)}, **options)
    working = AppConversationStartTask.model_validate(task("WORKING"))
    start.result = start.play(lambda patience: wait_for(start.session, working, patience))
    return start


@given(st.lists(st.sampled_from([*STAGES[:-1], "BRAND_NEW_STAGE"])))
@PATIENT
def test_progress_never_repeats_and_never_goes_back(statuses: list[str]) -> None:
    start = poll(*statuses, "READY")
    assert start.result.status == "READY"
    assert len(set(start.told)) == len(start.told)
    known = [STAGES.index(stage) for stage in start.told if stage in STAGES]
    assert known == sorted(known)
    assert start.told[0] == "WORKING"
    assert start.told[-1] == "READY"
    assert ("BRAND_NEW_STAGE" in start.told) == ("BRAND_NEW_STAGE" in statuses)


def test_polling_is_fast_at_first_and_never_rare() -> None:
    start = poll(*["WORKING"] * 40, "READY")
    assert start.player.slept[0] <= 0.1
    assert start.player.slept == sorted(start.player.slept)
    assert start.player.slept[-1] == 3.0


@pytest.mark.parametrize("interval", [0.02, 1.0, 10.0])
def test_a_given_interval_is_kept(interval: float) -> None:
    start = poll(*["WORKING"] * 5, "READY", interval=interval)
    assert start.player.slept == [interval] * 6


def test_a_failed_poll_is_repeated() -> None:
    routes = {START: answer(task("WORKING")), POLL: [text("", 500), LOST, *polls("READY")]}
    assert Start(routes).create().result.id == ID


def test_a_task_that_is_gone_is_not_found() -> None:
    for gone in (answer([None]), answer([])):
        start = Start({START: answer(task("WORKING")), POLL: gone}).create()
        assert isinstance(start.result, errors.NotFoundError)
        assert TASK in str(start.result)


def test_a_single_task_is_found_or_none() -> None:
    player = Player(Routes({POLL: [*polls("READY"), answer([None]), answer([])]}))
    session = session_on(player.clock)
    found = [player.play(get_start_task(session, TASK)) for _ in range(3)]
    assert [task and task.status for task in found] == ["READY", None, None]
    with pytest.raises(errors.InvalidArgumentError):
        player.play(get_start_task(session, "../x"))


def test_nothing_is_read_after_the_stream_was_closed() -> None:
    start = Start({STREAM: Pieces(streamed(task("WORKING"))[:-1], LOST), POLL: polls("READY")}).create()
    kinds = [type(command) for command in start.player.asked if isinstance(command, (Open, Read))]
    assert kinds == [Open, Read, Read]
