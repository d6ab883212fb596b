# Generated from tests/service/sdk/test_async_oauth.py by scripts/unasync.py. Do not edit.
"""Tokens that expire: renewed once, however many requests find out at the same time."""

from __future__ import annotations

import itertools
from urllib.parse import parse_qs

import httpx
import pytest

from openhands_client import AuthenticationError, OAuth2Auth, OpenHands
from tests.service.sdk.sync_crowd import crowd, take_a_moment

TOKEN_URL = "https://login.test/token"
APP = "https://app.test"


class TokenEndpoint:
    """An authorization server, and an app server that believes only the newest token."""

    def __init__(self) -> None:
        self.grants: list[dict[str, list[str]]] = []
        self.seen_at_login: list[str | None] = []
        self.refused = 0
        self._believed: str | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        take_a_moment()
        if str(request.url) == TOKEN_URL:
            return self._grant(request)
        if request.headers.get("authorization") != f"Bearer {self._believed}":
            self.refused += 1
            return httpx.Response(401, json={"detail": "Unauthorized"})
        return httpx.Response(200, json={"status": "ok"})

    def _grant(self, request: httpx.Request) -> httpx.Response:
        self.seen_at_login.append(request.headers.get("authorization"))
        form = parse_qs(request.content.decode())
        newest = f"refresh-{len(self.grants)}"
        if form.get("refresh_token", [newest]) != [newest]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.grants.append(form)
        number = len(self.grants)
        self._believed = f"token-{number}"
        answer = {"access_token": self._believed, "expires_in": 600, "refresh_token": f"refresh-{number}"}
        return httpx.Response(200, json=answer)

    def forget(self) -> None:
        """From now on, only a token that is yet to be granted will do."""
        self._believed = None


def client_of(endpoint: TokenEndpoint, auth: OAuth2Auth) -> OpenHands:
    http_client = httpx.Client(transport=httpx.MockTransport(endpoint))
    return OpenHands(APP, auth=auth, http_client=http_client, max_retries=0)


def test_one_renewal_for_a_hundred_requests() -> None:
    endpoint = TokenEndpoint()
    auth = OAuth2Auth(TOKEN_URL, client_id="me", client_secret="s3cret")
    client = client_of(endpoint, auth)
    assert client.alive()
    assert len(endpoint.grants) == 1
    endpoint.forget()
    assert crowd(client.alive, 100) == [True] * 100
    assert len(endpoint.grants) == 2
    assert set(endpoint.seen_at_login) == {None}
    assert "s3cret" not in repr(auth) + repr(client)


def test_one_renewal_for_all_clients_that_share_it() -> None:
    """Two at the same time would each use up the refresh token of the other."""
    endpoint = TokenEndpoint()
    auth = OAuth2Auth(TOKEN_URL, client_id="me", refresh_token="refresh-0")
    clients = [client_of(endpoint, auth) for _ in range(4)]
    clients += [client.with_options(timeout=5.0) for client in clients]
    everyone = itertools.cycle(clients)
    assert crowd(lambda: next(everyone).alive(), 40) == [True] * 40
    assert len(endpoint.grants) == 1


def test_a_rotated_refresh_token_is_used_next() -> None:
    endpoint = TokenEndpoint()
    now = [0.0]
    auth = OAuth2Auth(TOKEN_URL, client_id="me", refresh_token="refresh-0", clock=lambda: now[0])
    client = client_of(endpoint, auth)
    assert client.alive()
    assert endpoint.grants[0]["grant_type"] == ["refresh_token"]
    now[0] = 569.0
    assert client.alive()
    assert len(endpoint.grants) == 1
    now[0] = 571.0  # less than the leeway before the end
    assert client.alive()
    assert [grant["refresh_token"] for grant in endpoint.grants] == [["refresh-0"], ["refresh-1"]]
    assert endpoint.refused == 0


def test_a_token_endpoint_that_refuses_is_one_clear_error() -> None:
    client = client_of(TokenEndpoint(), OAuth2Auth(TOKEN_URL, client_id="me", refresh_token="stolen"))
    with pytest.raises(AuthenticationError, match="gave no token: invalid_grant") as caught:
        client.alive()
    assert "stolen" not in str(caught.value)
