"""Tokens: what is given out, how long it is good, and what a refresh token that comes twice brings down."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from openhands_reference_server.users.tokens import Grant, Refused, TokenDesk
from openhands_reference_server.users.users_file import read_accounts

ACCOUNTS = read_accounts(
    {
        "users": [
            {
                "id": "alice",
                "oauth_clients": [
                    {"client_id": "ci", "client_secret": "s3cret", "refresh_tokens": ["first", "other"]},
                    {"client_id": "public", "refresh_tokens": ["public-first"]},
                ],
            },
            {"id": "bob", "oauth_clients": [{"client_id": "bobs", "client_secret": "bobs"}]},
        ]
    }
)


@dataclass
class Time:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def desk(time: Time) -> TokenDesk:
    return TokenDesk(ACCOUNTS, time, 60)


SECRETS = {"ci": "s3cret", "public": "", "bobs": "bobs"}


def refresh(desk: TokenDesk, token: str, client: str = "ci") -> Grant:
    secret = SECRETS[client]
    return desk.grant({"grant_type": "refresh_token", "refresh_token": token}, client, secret)


def refusal(desk: TokenDesk, form: dict[str, str], client: str = "ci", secret: str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        desk.grant(form, client, SECRETS[client] if secret is None else secret)
    return refused.value.code


def test_credentials_give_a_token_that_expires(desk: TokenDesk, time: Time) -> None:
    grant = desk.grant({"grant_type": "client_credentials"}, "ci", "s3cret")
    assert (grant.expires_in, grant.refresh_token) == (60, None)
    assert desk.user_of(grant.access_token) == "alice"
    time.now = 59.9
    assert desk.user_of(grant.access_token) == "alice"
    time.now = 60
    assert desk.user_of(grant.access_token) is None
    assert grant.access_token not in repr(grant)


def test_refresh_tokens_rotate(desk: TokenDesk) -> None:
    one = refresh(desk, "first")
    assert one.refresh_token is not None
    two = refresh(desk, one.refresh_token)
    assert desk.user_of(two.access_token) == "alice"
    assert len({"first", one.refresh_token, two.refresh_token}) == 3


def test_a_refresh_token_that_comes_twice_revokes_all_that_came_of_it(desk: TokenDesk) -> None:
    one = refresh(desk, "first")
    beside = refresh(desk, "other")
    assert one.refresh_token is not None
    two = refresh(desk, one.refresh_token)
    assert (
        refusal(desk, {"grant_type": "refresh_token", "refresh_token": one.refresh_token}) == "invalid_grant"
    )
    assert desk.user_of(one.access_token) is None
    assert desk.user_of(two.access_token) is None
    assert (
        refusal(desk, {"grant_type": "refresh_token", "refresh_token": str(two.refresh_token)})
        == "invalid_grant"
    )
    assert desk.user_of(beside.access_token) == "alice"


def test_of_two_that_refresh_at_once_only_one_gets_a_token(desk: TokenDesk) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        try:
            refresh(desk, "first")
            outcomes.append("granted")
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["granted"] + ["invalid_grant"] * 7


def test_a_public_client_needs_no_secret(desk: TokenDesk) -> None:
    assert desk.user_of(refresh(desk, "public-first", "public").access_token) == "alice"


@pytest.mark.parametrize(
    ("form", "client", "secret", "code"),
    [
        ({}, "ci", "s3cret", "invalid_request"),
        ({"grant_type": "password"}, "ci", "s3cret", "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "ci", "wrong", "invalid_client"),
        ({"grant_type": "client_credentials"}, "ci", "", "invalid_client"),
        ({"grant_type": "client_credentials"}, "nobody", "s3cret", "invalid_client"),
        ({"grant_type": "client_credentials"}, "public", "", "unauthorized_client"),
        ({"grant_type": "client_credentials"}, "public", "s3cret", "invalid_client"),
        ({"grant_type": "refresh_token"}, "ci", "s3cret", "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "ci", "s3cret", "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "first"}, "bobs", "bobs", "invalid_grant"),
    ],
)
def test_what_gives_no_token(
    desk: TokenDesk, form: dict[str, str], client: str, secret: str, code: str
) -> None:
    assert refusal(desk, form, client, secret) == code


def test_somebody_elses_try_revokes_nothing(desk: TokenDesk) -> None:
    one = refresh(desk, "first")
    with pytest.raises(Refused):
        refresh(desk, "first", "bobs")
    assert desk.user_of(one.access_token) == "alice"


def test_all_tokens_expire_on_demand(desk: TokenDesk, time: Time) -> None:
    old = desk.grant({"grant_type": "client_credentials"}, "ci", "s3cret")
    time.now = 100
    good = refresh(desk, "first")
    assert desk.expire() == 1
    assert desk.user_of(old.access_token) is desk.user_of(good.access_token) is None
    assert desk.expire() == 0
    assert refresh(desk, str(good.refresh_token))
