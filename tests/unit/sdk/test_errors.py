"""Errors carry plain fields, travel between processes, and never show a key or a token."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
from typing import Any

import pytest

import openhands_client
from openhands_client import errors, models
from openhands_client._core import operations as ops
from openhands_client._core.auth import BearerAuth
from openhands_client._core.commands import Response
from openhands_client._core.pipeline import call
from tests.unit.sdk.playing import Clock, Player, Script, answer, session_on, text

SECRET = "hunter2-hunter2"
RESPONSE = Response(404, {"content-type": "application/json", "retry-after": "3"}, b'{"detail": "gone"}')
TASK = models.AppConversationStartTask.model_validate({"id": "t", "status": "BRAND_NEW", "detail": "d"})

FIELDS: dict[type[errors.OpenHandsError], dict[str, Any]] = {
    errors.APIConnectionError: {"request_sent": False},
    errors.APITimeoutError: {"request_sent": False},
    errors.ResponseFormatError: {"response": RESPONSE, "is_html": True},
    errors.StartTaskError: {"task": TASK},
    errors.StartTaskTimeout: {"task": TASK},
    errors.StreamError: {"last_event_id": "e"},
}
STATUS_FIELDS: dict[str, Any] = {
    "status_code": 499,
    "msg_id": "A$B",
    "detail": [{"loc": ["body"]}],
    "request_id": "r",
    "response": RESPONSE,
}


def every_error(
    root: type[errors.OpenHandsError] = errors.OpenHandsError,
) -> list[type[errors.OpenHandsError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in every_error(child))]


def example(kind: type[errors.OpenHandsError]) -> errors.OpenHandsError:
    fields = STATUS_FIELDS if issubclass(kind, errors.APIStatusError) else FIELDS.get(kind, {})
    return kind("what happened", **fields)


def pickled(error: Exception) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - what we have just written ourselves


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("travel", [pickled, copy.copy, copy.deepcopy])
def test_every_error_survives_a_journey_with_all_its_fields(
    kind: type[errors.OpenHandsError], travel: Any
) -> None:
    error = example(kind)
    error.add_note("a note")
    twin = travel(error)
    assert type(twin) is kind
    assert (twin.args, vars(twin), str(twin), repr(twin)) == (
        error.args,
        vars(error),
        str(error),
        repr(error),
    )
    assert twin.message == "what happened"


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_field_of_an_error_is_in_its_constructor(kind: type[errors.OpenHandsError]) -> None:
    parameters = set(inspect.signature(kind).parameters)
    assert set(vars(example(kind))) == parameters


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    names = {kind.__name__ for kind in every_error()}
    assert names == set(errors.__all__)
    assert names <= set(openhands_client.__all__)
    for kind in every_error():
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.__doc__


@pytest.mark.parametrize("kind", [kind for kind in every_error() if issubclass(kind, errors.APIStatusError)])
def test_an_error_that_no_answer_caused_has_the_status_of_its_class(
    kind: type[errors.APIStatusError],
) -> None:
    error = kind("nothing was sent")
    assert error.status_code == kind.default_status
    assert (error.response, error.retry_after) == (None, None)


def test_retry_after_is_that_of_the_answer() -> None:
    assert errors.NotFoundError("x", response=RESPONSE).retry_after == 3.0


def test_an_answer_does_not_show_its_content() -> None:
    response = Response(200, {"set-cookie": SECRET}, SECRET.encode())
    assert SECRET not in repr(response)


SECRETIVE = answer({"session_api_key": SECRET, "conversation_id": [SECRET]}, 200, set_cookie=SECRET)


@pytest.mark.parametrize(
    "reply",
    [
        SECRETIVE,
        answer({"detail": [{"loc": ["header", "X"], "msg": "bad", "input": SECRET}]}, 422),
        answer({"detail": {"token": SECRET}}, 401),
        answer(None),
        text("Internal Server Error", 500),
        errors.APIConnectionError("refused"),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("auth", ["key", "session", "provider"])
def test_no_failure_shows_a_key_not_even_in_its_traceback(reply: Any, auth: str) -> None:
    clock = Clock()
    given: Any = {
        "key": {"api_key": SECRET},
        "session": {"session_api_key": SECRET, "headers": {"X-Tenant": SECRET}},
        "provider": {"auth": BearerAuth(lambda: SECRET)},
    }[auth]
    session = session_on(clock, max_retries=0, **given)
    player = Player(Script(reply, reply), clock)
    with pytest.raises(errors.OpenHandsError) as raised:
        player.play(call(session, ops.GET_CONVERSATION, path={"conversation_id": "c"}))
    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=False).format())
    assert SECRET not in shown
    assert SECRET not in repr(raised.value.args)
    assert SECRET not in repr(player.requests)


@pytest.mark.parametrize(
    "reply", [SECRETIVE, text("", 500), errors.APIConnectionError("refused")], ids=range(3)
)
def test_what_a_traceback_with_locals_shows_of_our_own_frames_has_no_key(reply: Any) -> None:
    """Some loggers print local variables by their repr."""
    clock = Clock()
    session = session_on(clock, api_key=SECRET, session_api_key=SECRET, headers={"X": SECRET}, max_retries=0)
    with pytest.raises(errors.OpenHandsError) as raised:
        Player(Script(reply), clock).play(call(session, ops.GET_CONVERSATION, path={"conversation_id": "c"}))
    for frame, _ in traceback.walk_tb(raised.value.__traceback__):
        if "openhands_client" in frame.f_code.co_filename:
            for name, value in frame.f_locals.items():
                assert SECRET not in repr(value), f"{name} in {frame.f_code.co_qualname}"
