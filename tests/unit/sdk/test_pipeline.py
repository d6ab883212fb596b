"""The way of a request: retried, authenticated, redirected, understood. The peer is scripted."""

from __future__ import annotations

import email.utils
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core import operations as ops
from openhands_client._core.auth import BearerAuth
from openhands_client._core.commands import Response
from openhands_client._core.operation import Operation, Repeat
from openhands_client._core.pipeline import MAX_REDIRECTS, call, open_stream, route_is_missing
from openhands_client._core.retry import RetryPolicy
from tests.unit.sdk.playing import (
    BASE,
    PATIENT,
    Clock,
    Pieces,
    Player,
    Script,
    answer,
    page,
    redirect,
    session_on,
    text,
)

SECRET = "hunter2-hunter2"
INFO = {"uptime": 1.5, "idle_time": 0}
SENT = errors.APIConnectionError("reset")
UNSENT = errors.APIConnectionError("refused", request_sent=False)


def play(*replies: Any, operation: Operation[Any] = ops.SERVER_INFO, **options: Any) -> tuple[Any, Player]:
    """Call an operation against a scripted peer; the result or the failure, and the player."""
    clock = Clock()
    player = Player(Script(*replies), clock)
    arguments = {name: options.pop(name) for name in ("path", "query", "body", "timeout") if name in options}
    try:
        return player.play(call(session_on(clock, **options), operation, **arguments)), player
    except errors.OpenHandsError as failure:
        return failure, player


def create(*replies: Any, **options: Any) -> tuple[Any, Player]:
    """Call an operation that must not be repeated."""
    return play(*replies, operation=ops.CREATE_CONVERSATION, body={}, **options)


def test_an_answer_becomes_the_promised_type() -> None:
    info, player = play(answer(INFO))
    assert info.uptime == 1.5
    [request] = player.requests
    assert (request.method, request.url, request.content) == ("GET", f"{BASE}/server_info", None)
    assert request.timeout == 60.0


def test_a_timeout_can_be_given_for_one_call() -> None:
    _, player = play(answer(INFO), timeout=3.0)
    assert player.requests[0].timeout == 3.0


# Retries


@pytest.mark.parametrize(
    "failure",
    [
        SENT,
        UNSENT,
        errors.APITimeoutError("slow"),
        text("", 408),
        text("", 429),
        text("", 500),
        text("", 503),
    ],
    ids=str,
)
def test_a_safe_request_is_repeated(failure: Any) -> None:
    info, player = play(failure, failure, answer(INFO))
    assert info.uptime == 1.5
    assert len(player.requests) == 3
    first, second = player.slept
    assert 0.5 <= first <= 1.0
    assert 1.0 <= second <= 1.5


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 409, 412, 413, 415, 418, 422])
def test_a_refusal_is_not_repeated(status: int) -> None:
    failure, player = play(answer({"detail": "no"}, status))
    assert failure.status_code == status
    assert len(player.requests) == 1


def test_when_the_tries_are_used_up_the_last_failure_is_raised() -> None:
    failure, player = play(text("first", 500), SENT, text("last", 503))
    assert isinstance(failure, errors.ServerError)
    assert failure.status_code == 503
    assert "last" in str(failure)
    assert len(player.requests) == 3


def test_no_retries_means_one_try() -> None:
    failure, player = play(SENT, max_retries=0)
    assert failure is SENT
    assert player.slept == []


@pytest.mark.parametrize(
    "failure", [SENT, errors.APITimeoutError("slow"), text("", 408), text("", 500), text("", 503)], ids=str
)
def test_a_creating_request_that_may_have_arrived_is_never_repeated(failure: Any) -> None:
    raised, player = create(failure)
    assert isinstance(raised, errors.OpenHandsError)
    assert len(player.requests) == 1


@pytest.mark.parametrize("failure", [UNSENT, text("", 429)], ids=str)
def test_a_creating_request_that_certainly_did_nothing_is_repeated(failure: Any) -> None:
    created, player = create(failure, answer({"conversation_id": "c"}))
    assert created.conversation_id == "c"
    assert len(player.requests) == 2
    assert player.requests[0] == player.requests[1]


@given(st.integers(0, 8), st.floats(0.01, 5.0), st.floats(0.01, 30.0))
@PATIENT
def test_waits_grow_and_are_bounded(retries: int, initial: float, maximum: float) -> None:
    policy = RetryPolicy(max_retries=retries, initial=initial, maximum=maximum)
    clock = Clock()
    session = session_on(clock)
    session.retry = policy
    player = Player(Script(*[text("", 500)] * (retries + 1)), clock)
    with pytest.raises(errors.ServerError):
        player.play(call(session, ops.SERVER_INFO))
    assert len(player.slept) == retries
    for turn, seconds in enumerate(player.slept):
        least = min(maximum, initial * 2**turn)
        assert least <= seconds <= least + initial


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_honoured(status: int) -> None:
    _, player = play(answer({}, status, retry_after="17"), answer(INFO))
    assert player.slept == [17.0]


def test_retry_after_as_a_date_is_honoured() -> None:
    """Counted on the server's clock, which may be wrong."""
    then, now = "Fri, 20 Nov 2026 12:00:30 GMT", "Fri, 20 Nov 2026 12:00:00 GMT"
    _, player = play(answer({}, 429, retry_after=then, date=now), answer(INFO))
    assert player.slept == [30.0]


def test_where_the_server_tells_no_time_ours_counts() -> None:
    then = 1_800_000_000.0
    headers = {"retry-after": email.utils.formatdate(then, usegmt=True)}
    assert Response(429, headers, b"", received_at=then - 30).retry_after == 30.0
    assert Response(429, headers, b"").retry_after is None


@pytest.mark.parametrize("value", ["0", "-3", "Fri, 31 Dec 1999 23:59:59 GMT", "soon", "", "nan"])
def test_a_retry_after_that_asks_for_nothing_leaves_the_backoff(value: str) -> None:
    _, player = play(answer({}, 429, retry_after=value), answer(INFO))
    assert 0.5 <= player.slept[0] <= 1.0


@pytest.mark.parametrize("value", ["61", "1e400", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(status: int, value: str) -> None:
    failure, player = play(answer({}, status, retry_after=value, date="Fri, 20 Nov 2026 12:00:00 GMT"))
    assert failure.retry_after > 60
    assert player.slept == []


def test_a_date_that_no_calendar_has_is_no_date() -> None:
    assert Response(503, {"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, b"").retry_after is None


# Credentials


class Tokens:
    """A token provider that hands out token-1, token-2, …"""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"token-{self.given}"


def authorizations(player: Player) -> list[str | None]:
    return [request.headers.get("Authorization") for request in player.requests]


def test_a_token_is_fetched_before_the_first_request_only() -> None:
    tokens, clock = Tokens(), Clock()
    session = session_on(clock, auth=BearerAuth(tokens))
    player = Player(Script(answer(INFO), answer(INFO)), clock)
    player.play(call(session, ops.SERVER_INFO))
    player.play(call(session, ops.SERVER_INFO))
    assert authorizations(player) == ["Bearer token-1"] * 2
    assert tokens.given == 1


@pytest.mark.parametrize("asking", [play, create])
def test_a_401_makes_for_one_new_token_and_one_more_try(asking: Any) -> None:
    good = answer({**INFO, "conversation_id": "c"})
    tokens = Tokens()
    _, player = asking(text("", 401), good, auth=BearerAuth(tokens))
    assert authorizations(player) == ["Bearer token-1", "Bearer token-2"]
    assert tokens.given == 2


def test_a_second_401_is_final() -> None:
    tokens = Tokens()
    failure, player = play(text("", 401), text("", 401), auth=BearerAuth(tokens))
    assert isinstance(failure, errors.AuthenticationError)
    assert tokens.given == 2
    assert player.slept == []


def test_a_fixed_token_is_not_tried_twice() -> None:
    failure, player = play(text("", 401), api_key=SECRET)
    assert isinstance(failure, errors.AuthenticationError)
    assert authorizations(player) == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("token", ["", None, 5])
def test_a_provider_without_a_token_is_an_error(token: Any) -> None:
    failure, player = play(auth=BearerAuth(lambda: token))
    assert "token provider" in str(failure)
    assert player.requests == []


def test_a_failure_of_the_provider_is_the_callers() -> None:
    def broken() -> str:
        raise KeyError("vault")

    with pytest.raises(KeyError, match="vault"):
        play(auth=BearerAuth(broken))


# Redirects

CREDENTIALS: dict[str, Any] = {
    "api_key": SECRET,
    "session_api_key": SECRET,
    "headers": {"X-Tenant": SECRET},
}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "location", ["/elsewhere?a=b", f"{BASE}/elsewhere?a=b", "http://APP.test:80/elsewhere?a=b"]
)
def test_a_redirect_on_the_same_origin_keeps_credentials(status: int, location: str) -> None:
    created, player = create(redirect(location, status), answer({"conversation_id": "c"}), **CREDENTIALS)
    assert created.conversation_id == "c"
    first, second = player.requests
    assert second.url.lower().replace(":80", "") == f"{BASE}/elsewhere?a=b"
    assert (second.method, second.headers, second.content) == (first.method, first.headers, first.content)
    assert second.headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    "location",
    [
        "http://other.test/",
        "//other.test/x",
        "http://app.test:81/server_info",
        "https://app.test/server_info",
        "http://app.test.evil.test/",
    ],
)
def test_a_get_follows_to_another_origin_without_credentials(location: str) -> None:
    info, player = play(redirect(location), answer(INFO), **CREDENTIALS)
    assert info.uptime == 1.5
    assert player.requests[1].headers == {}


def test_credentials_are_back_when_a_redirect_comes_back() -> None:
    _, player = play(redirect("http://other.test/"), redirect(f"{BASE}/home"), answer(INFO), api_key=SECRET)
    assert authorizations(player) == [f"Bearer {SECRET}", None, f"Bearer {SECRET}"]


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (ops.CREATE_CONVERSATION, None),
        (ops.DELETE_CONVERSATION, {"conversation_id": "c"}),
        (ops.UPDATE_CONVERSATION, {"conversation_id": "c"}),
    ],
    ids=str,
)
def test_what_changes_something_is_not_sent_to_another_origin(operation: Any, path: Any) -> None:
    failure, player = play(redirect("http://other.test/x?k=v"), operation=operation, path=path)
    assert isinstance(failure, errors.ResponseFormatError)
    assert "http://other.test" in str(failure)
    assert len(player.requests) == 1


def test_a_loop_of_redirects_ends() -> None:
    failure, player = play(*[redirect("/again")] * 50)
    assert isinstance(failure, errors.ResponseFormatError)
    assert len(player.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_change_the_method_is_not_followed(status: int) -> None:
    failure, player = create(redirect("/elsewhere", status))
    assert failure.status_code == status
    assert len(player.requests) == 1


def test_a_redirect_without_a_target_is_an_error_status() -> None:
    failure, _ = play(Response(307, {}, b""))
    assert failure.status_code == 307


@pytest.mark.parametrize(
    "location", ["http://[", "ftp://other.test/x", "javascript:alert(1)", "http://u:p@app.test/"]
)
def test_a_redirect_to_no_place_for_requests_is_refused(location: str) -> None:
    failure, player = play(redirect(location))
    assert isinstance(failure, errors.UnsafeURLError)
    assert len(player.requests) == 1


# Answers that say yes and are not what was promised


def test_a_web_page_is_not_an_answer() -> None:
    failure, player = play(page())
    assert isinstance(failure, errors.ResponseFormatError)
    assert failure.is_html
    assert "base URL" in str(failure)
    assert len(player.requests) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"Infinity"])
def test_another_shape_is_not_an_answer(content: bytes) -> None:
    failure, _ = play(Response(200, {"content-type": "application/json"}, content))
    assert isinstance(failure, errors.ResponseFormatError)
    assert not failure.is_html
    assert failure.response is not None
    assert failure.response.content == content


wrong = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "status", "kind", "items", "results", "detail", "source"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(ops.ALL), wrong)
@PATIENT
def test_an_answer_of_another_shape_is_not_quoted(operation: Operation[Any], body: Any) -> None:
    failure = failure_of(operation, answer(body))
    assert SECRET not in f"{failure!s} {failure!r}"


def failure_of(operation: Operation[Any], response: Response) -> Exception | None:
    try:
        operation.decode(response)
    except (errors.ResponseFormatError, errors.NotFoundError) as failure:
        return failure
    return None


def test_null_in_place_of_an_object_is_not_found() -> None:
    failure, _ = play(answer(None), operation=ops.GET_CONVERSATION, path={"conversation_id": "c"})
    assert isinstance(failure, errors.NotFoundError)
    assert failure.status_code == 200


def test_an_empty_success_is_not_taken_for_an_answer() -> None:
    failure, _ = play(Response(204, {}, b""))
    assert isinstance(failure, errors.ResponseFormatError)


# Answers that say no

STATUSES = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    412: errors.ConflictError,
    418: errors.APIStatusError,
    422: errors.ValidationError,
    429: errors.RateLimitError,
    500: errors.ServerError,
    503: errors.ServerError,
    599: errors.ServerError,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_each_status_has_its_error(status: int, kind: type[errors.APIStatusError]) -> None:
    failure, _ = play(answer({}, status, x_request_id="r-1"), max_retries=0)
    assert type(failure) is kind
    assert failure.status_code == status
    assert failure.request_id == "r-1"
    assert str(failure) == f"GET /server_info → {status}"


@pytest.mark.parametrize(
    ("body", "said", "msg_id", "detail"),
    [
        ({"detail": "gone"}, "gone", None, "gone"),
        ({"status": "error", "message": "gone", "msg_id": "A$B"}, "gone", "A$B", None),
        ({"error": "gone"}, "gone", None, None),
        ({"detail": "Internal Server Error", "exception": "boom"}, "Internal Server Error: boom", None, ...),
        ({"message": "gone", "detail": "gone"}, "gone", None, "gone"),
        ({"detail": [{"loc": ["body", "title"], "msg": "too short"}]}, "body.title: too short", None, ...),
        ({"detail": [{"loc": ["body", 3], "msg": "bad"}, {"msg": "worse"}]}, "body.3: bad; worse", None, ...),
        ({"detail": ["just words"]}, "just words", None, ["just words"]),
        ("just a string", "just a string", None, "just a string"),
        ({"message": 5, "msg_id": 5, "detail": None}, "", None, None),
        (
            {"detail": [{"loc": None, "msg": "m"}, {"loc": "here", "msg": None}]},
            "m; here: invalid",
            None,
            ...,
        ),
        ([1, 2], "", None, None),
        (None, "", None, None),
    ],
)
def test_the_servers_words_are_kept(body: Any, said: str, msg_id: str | None, detail: Any) -> None:
    failure, _ = play(answer(body, 422))
    assert str(failure) == "GET /server_info → 422" + (f": {said}" if said else "")
    assert failure.msg_id == msg_id
    assert failure.detail == (body["detail"] if detail is ... else detail)


def test_the_input_that_a_server_quotes_is_not_in_the_message() -> None:
    item = {"loc": ["body", "title"], "msg": "too short", "input": SECRET, "ctx": {"value": SECRET}}
    failure, _ = play(answer({"detail": [item]}, 422))
    assert SECRET not in str(failure)
    assert failure.detail[0]["input"] == SECRET


def test_plain_text_is_quoted_and_pages_are_not() -> None:
    said, _ = play(text("Internal Server Error", 500), max_retries=0)
    assert str(said).endswith("500: Internal Server Error")
    shown, _ = play(page(502), max_retries=0)
    assert "web page" in str(shown)
    assert "<" not in str(shown)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 200_000, b'{"detail": ', b'"' * 3])
def test_no_body_can_hide_the_status(content: bytes) -> None:
    response = Response(500, {"content-type": "application/json"}, content)
    failure, _ = play(response, max_retries=0)
    assert isinstance(failure, errors.ServerError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["detail", "message", "msg_id", "error", "exception", "loc", "msg"]), json_values
    )
    | json_values
)
@PATIENT
def test_any_error_body_makes_an_error(body: Any) -> None:
    response = Response(500, {"content-type": "application/json"}, json.dumps(body).encode())
    assert isinstance(errors.APIStatusError.from_response("GET /", response), errors.ServerError)


# No such route, or no such thing?


@pytest.mark.parametrize(
    ("response", "missing"),
    [
        (answer({"detail": "Not Found"}, 404), True),
        (page(404), True),
        (text("404 page not found", 404), True),
        (Response(404, {}, b""), True),
        (answer({"detail": "Method Not Allowed"}, 405), True),
        (page(405), True),
        (answer({}, 501), True),
        (page(200), True),
        (answer({"detail": "Conversation not found: c"}, 404), False),
        (answer({"status": "error", "message": "Conversation not found"}, 404), False),
        (answer({"status": "error", "conversation_id": "c"}, 404), False),
        (answer({"error": "Not Found"}, 404), False),
        (answer({}, 400), False),
        (answer({"detail": "Not Found"}, 401), False),
        (answer({"detail": "Not Found"}, 410), False),
        (answer({"detail": "Not Found"}, 500), False),
        (page(500), False),
        (page(502), False),
        (page(403), False),
        (answer("nonsense"), False),
        (text("OK", 200), False),
    ],
)
def test_a_missing_route_is_told_from_a_missing_thing(response: Response, missing: bool) -> None:
    failure, _ = play(response, max_retries=0)
    assert route_is_missing(failure) is missing


@pytest.mark.parametrize(
    "failure",
    [
        SENT,
        UNSENT,
        errors.NotFoundError("no such conversation"),
        errors.InvalidArgumentError("no"),
        errors.StartTaskError("no"),
        errors.StreamError("no"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_other_failures_say_nothing_about_routes(failure: errors.OpenHandsError) -> None:
    assert not route_is_missing(failure)


def test_every_repeat_class_means_something() -> None:
    assert {operation.repeat for operation in ops.ALL} == set(Repeat)


# Answers that are read piece by piece take the same way


def open_(*replies: Any, **options: Any) -> tuple[Any, Player]:
    clock = Clock()
    player = Player(Script(*replies), clock)
    session = session_on(clock, **options)
    request = ops.STREAM_START_APP_CONVERSATION.request(BASE, None, None, {}, 5.0)
    try:
        return player.play(open_stream(session.endpoint, request, "POST /stream")), player
    except errors.OpenHandsError as failure:
        return failure, player


def test_an_opened_answer_is_handed_over_unread() -> None:
    pieces = Pieces(b"[]")
    body, player = open_(pieces, api_key=SECRET)
    assert body is pieces
    assert player.opened == [pieces]
    assert authorizations(player) == [f"Bearer {SECRET}"]


def test_an_opened_401_is_closed_and_tried_with_a_new_token() -> None:
    refused, pieces = Pieces(head=answer({}, 401)), Pieces(b"[]")
    body, player = open_(refused, pieces, auth=BearerAuth(Tokens()))
    assert body is pieces
    assert player.opened == [pieces]
    assert authorizations(player) == ["Bearer token-1", "Bearer token-2"]


def test_an_opened_redirect_is_closed_and_followed() -> None:
    moved, pieces = Pieces(head=redirect("/elsewhere", 308)), Pieces(b"[]")
    body, player = open_(moved, pieces, api_key=SECRET)
    assert body is pieces
    assert player.opened == [pieces]
    assert player.lines == ["POST /api/v1/app-conversations/stream-start", "POST /elsewhere"]
    assert authorizations(player) == [f"Bearer {SECRET}"] * 2


def test_an_opened_redirect_to_another_origin_is_refused() -> None:
    failure, player = open_(Pieces(head=redirect("http://other.test/")))
    assert isinstance(failure, errors.ResponseFormatError)
    assert len(player.requests) == 1


def test_an_opened_error_is_read_for_its_words() -> None:
    failure, _ = open_(Pieces(head=answer({}, 422)), b'{"detail": ', b'"so not"}', b"")
    assert isinstance(failure, errors.ValidationError)
    assert failure.detail == "so not"


def test_an_opened_web_page_is_not_an_answer() -> None:
    failure, _ = open_(Pieces(head=page()))
    assert isinstance(failure, errors.ResponseFormatError)
    assert failure.is_html
