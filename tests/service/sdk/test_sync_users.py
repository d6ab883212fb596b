# Generated from tests/service/sdk/test_async_users.py by scripts/unasync.py. Do not edit.
"""Our clients against servers with users: keys, tokens that expire, and what belongs to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest

from openhands_client import (
    AuthenticationError,
    BearerAuth,
    OAuth2Auth,
    OpenHands,
    PermissionDeniedError,
)
from openhands_reference_server import ManualClock, ReferenceServer
from tests.service.sdk.sync_crowd import crowd

Api = Literal["v0", "v1"]
USERS: dict[str, Any] = {
    "users": [
        {"id": "alice", "api_keys": ["alices-key"]},
        {
            "id": "bob",
            "oauth_clients": [{"client_id": "ci", "client_secret": "s3cret", "refresh_tokens": ["first"]}],
        },
    ]
}
both = pytest.mark.parametrize("api", ["v1", "v0"])


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(users=USERS, oauth=True) as running:
        yield running


def bobs(server: ReferenceServer, **options: Any) -> OAuth2Auth:
    given = {"client_id": "ci", "client_secret": "s3cret", **options}
    return OAuth2Auth(server.token_url, **given)


@both
def test_a_user_holds_a_conversation(server: ReferenceServer, api: Api) -> None:
    with OpenHands(server.url, auth=BearerAuth("alices-key")) as client:
        conversation = client.conversations.create("hello", api=api)
        seen = [event for event in conversation.events()]
        assert seen
        assert conversation.wait(timeout=30) == "finished"


def test_v0_events_come_over_the_socket(server: ReferenceServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "openhands_client")
    with OpenHands(server.url, auth=BearerAuth("alices-key")) as client:
        conversation = client.conversations.create("hello", api="v0")
        assert [event for event in conversation.events()]
    assert "no event socket" not in caplog.text


def test_a_line_whose_streams_take_their_key_later() -> None:
    with ReferenceServer(users=USERS, dialect="openhands-1.11") as server:
        with OpenHands(server.url, auth=BearerAuth("alices-key")) as client:
            conversation = client.conversations.create("hello")
            assert [event for event in conversation.events()]
            assert conversation.wait(timeout=30) == "finished"


@both
def test_others_are_denied(server: ReferenceServer, api: Api) -> None:
    with (
        OpenHands(server.url, api_key="alices-key") as alice,
        OpenHands(server.url, auth=bobs(server)) as bob,
    ):
        conversation = alice.conversations.create("mine", api=api)
        with pytest.raises(PermissionDeniedError) as denied:
            bob.conversations.rename(conversation.id, "yours")
        assert denied.value.msg_id == "AUTHORIZATION$PERMISSION_DENIED"
        assert [one.id for one in bob.conversations.list() if one.id == conversation.id] == []


def test_without_a_good_key_nobody_gets_in(server: ReferenceServer) -> None:
    for options in ({}, {"api_key": "wrong"}):
        with OpenHands(server.url, **options) as client:
            with pytest.raises(AuthenticationError):
                client.v0.get_user_conversations()


def test_a_hundred_requests_that_find_the_token_expired_fetch_one(server: ReferenceServer) -> None:
    with OpenHands(server.url, auth=bobs(server)) as client:
        server.expire_tokens()  # those of other tests
        client.v0.get_user_conversations()
        assert server.expire_tokens() == 1
        pages = crowd(client.v0.get_user_conversations, 100)
        assert len(pages) == 100
        assert server.expire_tokens() == 1  # as many as were given out since


def test_refresh_tokens_rotate_while_time_goes_on() -> None:
    clock = ManualClock()
    with ReferenceServer(users=USERS, oauth=True, token_lifetime=60, clock=clock) as server:
        auth = bobs(server, refresh_token="first", clock=clock.seconds, leeway=5)
        with OpenHands(server.url, auth=auth) as client:
            for _ in range(4):
                client.v0.get_user_conversations()
                clock.advance(61)
            client.v0.get_user_conversations()
        with OpenHands(server.url, auth=bobs(server, refresh_token="first")) as thief:
            with pytest.raises(AuthenticationError, match="used before"):
                thief.v0.get_user_conversations()
        with OpenHands(server.url, auth=auth) as client:  # what the thief did brought it down, too
            with pytest.raises(AuthenticationError):
                client.v0.get_user_conversations()


def test_a_client_waits_as_long_as_a_rate_limit_tells_it_to() -> None:
    with ReferenceServer(rate_limit="1/second") as server:
        with OpenHands(server.url, max_retries=4) as client:
            assert crowd(client.alive, 3) == [True] * 3
