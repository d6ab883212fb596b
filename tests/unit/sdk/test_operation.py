"""One endpoint as a value: ids stay in their place, queries and bodies are spelled as servers read them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import errors, models
from openhands_client._core import operations as ops
from openhands_client._core.commands import Request
from openhands_client._core.operation import check_id, to_json, wire_time
from tests.unit.sdk.playing import BASE, PATIENT

PREFIX = f"{BASE}/api/conversations/"


def request_for(conversation_id: Any, query: dict[str, Any] | None = None) -> Request:
    return ops.GET_CONVERSATION.request(BASE, {"conversation_id": conversation_id}, query, None, None)


@pytest.mark.parametrize(
    ("conversation_id", "complaint"),
    [
        ("", "empty"),
        ("x" * 101, "101 characters"),
        (".", "path"),
        ("..", "path"),
        ("../", "path"),
        ("a/../b", "path"),
        ("a..b", "path"),
        ("a/b", "path"),
        ("/", "path"),
        ("a\\b", "path"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x1b", "control"),
        ("a\x7f", "control"),
        ("a\ud800", "text"),
        (None, "NoneType"),
        (5, "int"),
        (b"abc", "bytes"),
    ],
)
def test_an_id_that_no_server_accepts_is_not_sent(conversation_id: Any, complaint: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=complaint) as refused:
        request_for(conversation_id)
    assert "conversation_id" in str(refused.value)
    assert "nothing was sent" in str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert refused.value.status_code == 400
    assert refused.value.response is None


@pytest.mark.parametrize(
    ("conversation_id", "segment"),
    [
        ("2a6b4c1be09d4b9b98c40a7ab4c595db", "2a6b4c1be09d4b9b98c40a7ab4c595db"),
        ("x" * 100, "x" * 100),
        ("%2e%2e", "%252e%252e"),
        ("%2F", "%252F"),
        ("a b?c#d", "a%20b%3Fc%23d"),
        ("a;b=c&d", "a%3Bb%3Dc%26d"),
        ("ä", "%C3%A4"),
        ("a.b", "a.b"),
    ],
)
def test_an_id_stays_in_its_segment(conversation_id: str, segment: str) -> None:
    request = request_for(conversation_id)
    assert request.url == PREFIX + segment
    assert httpx.URL(request.url).raw_path == f"/api/conversations/{segment}".encode()


@given(st.text(max_size=110))
@PATIENT
def test_any_id_is_refused_or_arrives_as_it_is(conversation_id: str) -> None:
    try:
        request = request_for(conversation_id)
    except errors.InvalidArgumentError:
        return
    sent = urlsplit(request.url)
    assert unquote(sent.path.removeprefix("/api/conversations/")) == conversation_id
    assert sent.path.count("/") == 3
    assert (sent.query, sent.fragment) == ("", "")


def test_every_id_in_a_path_is_checked() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="event_id"):
        ops.AGENT_GET_EVENT.request(BASE, {"conversation_id": "c", "event_id": "../x"}, None, None, None)
    assert check_id("event_id", "e") == "e"


CEST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ({"reverse": True, "more": False}, [("reverse", "true"), ("more", "false")]),
        ({"ids": ["a", "b"], "more": ("c",)}, [("ids", "a"), ("ids", "b"), ("more", "c")]),
        ({"ids": []}, []),
        ({"page_id": None, "limit": 0}, [("limit", "0")]),
        ({"title": ""}, [("title", "")]),
        ({"since": datetime(2026, 11, 20, 1, 2, 3, 4)}, [("since", "2026-11-20T01:02:03.000004")]),
        ({"since": datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)}, [("since", "2026-11-20T01:02:03")]),
        ({"since": datetime(2026, 11, 20, 1, 2, 3, tzinfo=CEST)}, [("since", "2026-11-19T23:02:03")]),
        ({"order": models.ConversationTrigger.GUI}, [("order", "gui")]),
        ({"title": "a b&c=d#é"}, [("title", "a b&c=d#é")]),
    ],
)
def test_a_query_is_spelled_as_servers_read_it(query: dict[str, Any], items: list[tuple[str, str]]) -> None:
    url = urlsplit(request_for("c", query).url)
    assert parse_qsl(url.query, keep_blank_values=True) == items
    assert bool(url.query) == bool(items)
    assert url.fragment == ""


def test_a_query_of_broken_text_is_not_sent() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="title"):
        request_for("c", {"title": "\ud800"})


@given(st.datetimes(timezones=st.none() | st.timezones()))
@PATIENT
def test_a_time_on_the_wire_has_no_zone(moment: datetime) -> None:
    try:
        sent = datetime.fromisoformat(wire_time(moment))
    except OverflowError:  # the edge of the calendar
        return
    assert sent.tzinfo is None
    assert sent == (moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None))


def test_a_body_is_json_and_says_so() -> None:
    request = ops.CREATE_CONVERSATION.request(BASE, None, None, {"a": None, "ä": 1}, 7.0)
    assert json.loads(request.content or b"") == {"a": None, "ä": 1}
    assert request.headers == {"content-type": "application/json"}
    assert request.timeout == 7.0


def test_what_is_none_is_left_out_of_a_model() -> None:
    assert to_json(models.ConfirmationResponseRequest(accept=True)) == b'{"accept":true}'
    assert to_json([{"a": None}]) == b'[{"a": null}]'


def test_broken_text_in_a_body_is_not_sent() -> None:
    """A model would fail with an error of pydantic's, a mapping would be sent and refused by the server."""
    message = models.SendMessageRequest(content=[models.TextContent.model_construct(text="\ud800")])
    for body in (message, {"message": "\ud800"}):
        with pytest.raises(errors.InvalidArgumentError, match="text"):
            to_json(body)


def test_what_json_cannot_say_is_not_sent() -> None:
    for body in ({"a": object()}, {"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises(errors.InvalidArgumentError, match="JSON"):
            to_json(body)


def test_a_body_is_not_shown() -> None:
    request = ops.CREATE_CONVERSATION.request(BASE, None, None, {"a": "hunter2"}, None)
    request.headers["Authorization"] = "hunter2"
    assert "hunter2" not in repr(request)


def test_an_operation_is_called_by_its_method_and_path() -> None:
    assert str(ops.GET_CONVERSATION) == "GET /api/conversations/{conversation_id}"
