"""Who is told what: credentials go to the origin they are for, and to no other."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client._core import auth
from openhands_client._core import operations as ops
from openhands_client._core.auth import (
    SESSION_KEY_HEADER,
    Auth,
    BearerAuth,
    Credentials,
    Endpoint,
    OAuth2Auth,
    origin_of,
)
from openhands_client._core.commands import Response
from openhands_client._core.pipeline import RENEWALS, call
from tests.unit.sdk.playing import PATIENT, Clock, Player, Script, answer, session_on

SECRET = "hunter2-hunter2"


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    return Player(Script()).play(endpoint.headers())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.test",
        "//app.test",
        "ftp://app.test",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ws://app.test",
        "http://",
        "http:///path",
        "http://user@app.test",
        "http://user:password@app.test",
        "http://app.test:port",
        "http://app.test:99999",
        "http://[",
        "http://[::1",
        "http://app test",
        "http://app.test\\@evil.test",
        "http://app\\.test",
        "http://app..test",
        "http://.test",
        "http://app\x00.test",
        "http://<app>",
        "http://app%2etest",
        "http://" + "a" * 64 + ".test",
        "http://\ud800.test",
    ],
)
def test_only_plain_http_urls_are_safe(url: str) -> None:
    with pytest.raises(errors.UnsafeURLError) as refused:
        Endpoint.app(url)
    assert "password" not in str(refused.value)
    with pytest.raises(errors.UnsafeURLError):
        Endpoint.app("http://app.test").agent(url, SECRET)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://app.test", "http://app.test"),
        ("HTTP://App.Test:80/a/b?c=d#e", "http://app.test"),
        ("https://app.test:443", "https://app.test"),
        ("https://app.test:80", "https://app.test:80"),
        ("http://app.test.:3000", "http://app.test.:3000"),
        ("http://127.0.0.1:3000/", "http://127.0.0.1:3000"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://my_host-1", "http://my_host-1"),
        ("https://bücher.test/x", "https://bücher.test"),
    ],
)
def test_the_origin_of_a_url(url: str, origin: str) -> None:
    assert origin_of(url, "url") == origin


@given(st.text())
@PATIENT
def test_any_text_has_an_origin_or_is_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://app.test:{text}"):
        try:
            origin = origin_of(url, "url")
        except errors.UnsafeURLError:
            continue
        assert origin_of(origin, "url") == origin


def test_the_app_server_gets_everything() -> None:
    endpoint = Endpoint.app(
        "http://app.test/base/", api_key="a", session_api_key="s", headers={"X-Tenant": "t"}
    )
    assert endpoint.base_url == "http://app.test/base"
    assert headers_of(endpoint) == {
        "Authorization": "Bearer a",
        SESSION_KEY_HEADER: "s",
        "X-Tenant": "t",
    }


def test_an_agent_server_gets_its_own_key_and_nothing_else() -> None:
    app = Endpoint.app(
        "http://app.test", api_key=SECRET, session_api_key=SECRET, headers={"X-Tenant": SECRET}
    )
    agent = app.agent("http://agent.test:8001/api/conversations/c", "key")
    assert agent.base_url == "http://agent.test:8001"
    assert headers_of(agent) == {SESSION_KEY_HEADER: "key"}
    assert agent.session_api_key == "key"
    keyless = app.agent("http://agent.test", None)
    assert headers_of(keyless) == {}
    assert keyless.session_api_key is None


def test_even_an_agent_server_at_our_own_origin_gets_nothing_of_ours() -> None:
    app = Endpoint.app("http://app.test", api_key=SECRET)
    assert headers_of(app.agent("http://app.test/api/conversations/c", "key")) == {SESSION_KEY_HEADER: "key"}


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("http://h:1/api/conversations/c", "http://h:1"),
        ("http://h:1/ns/one/api/conversations/c", "http://h:1/ns/one"),
        ("http://h:1/ns/one/", "http://h:1/ns/one"),
        ("https://h/a/b/api/conversations/c/", "https://h/a/b"),
    ],
)
def test_an_agent_server_may_live_below_a_path(url: str, base_url: str) -> None:
    agent = Endpoint.app("http://app.test").agent(url, "key")
    assert agent.base_url == base_url
    assert agent.socket_url("/s") == "ws" + base_url.removeprefix("http") + "/s"


def test_https_is_not_given_up_on_the_way_to_the_agent() -> None:
    app = Endpoint.app("https://app.test")
    assert app.agent("https://agent.test", "key").base_url == "https://agent.test"
    with pytest.raises(errors.UnsafeURLError, match="https"):
        app.agent("http://agent.test", "key")


def test_from_http_the_agent_may_be_reached_by_either() -> None:
    app = Endpoint.app("http://app.test")
    assert app.agent("http://agent.test", "key").socket_url("/s") == "ws://agent.test/s"
    assert app.agent("https://agent.test", "key").socket_url("/s") == "wss://agent.test/s"


@pytest.mark.parametrize(
    "value", [f"{SECRET}\n", f"{SECRET}\r\nX: 1", f"{SECRET}\x00", f"{SECRET}é", f" {SECRET}", 5]
)
@pytest.mark.parametrize("name", ["api_key", "session_api_key", "headers", "auth", "agent"])
def test_a_credential_that_no_header_can_carry_is_refused_and_not_shown(name: str, value: Any) -> None:
    def use() -> None:
        match name:
            case "agent":
                Endpoint.app("http://app.test").agent("http://agent.test", value)
            case "auth":
                headers_of(Endpoint.app("http://app.test", auth=BearerAuth(lambda: value)))
            case "headers":
                Endpoint.app("http://app.test", headers={"X-Tenant": value})
            case _:
                given: Any = {name: value}
                Endpoint.app("http://app.test", **given)

    with pytest.raises(errors.OpenHandsError) as refused:
        use()
    assert SECRET not in f"{refused.value!s} {refused.value!r}"
    assert refused.value.__cause__ is None


def test_credentials_are_not_shown() -> None:
    app = Endpoint.app("http://app.test", api_key=SECRET, session_api_key=SECRET, headers={"X": SECRET})
    for shown in (app, app.agent("http://agent.test", SECRET), app.auth, BearerAuth(lambda: SECRET)):
        assert SECRET not in f"{shown!r} {shown!s}"


def test_bearer_auth_is_what_an_auth_should_be() -> None:
    assert isinstance(BearerAuth("token"), Auth)
    assert isinstance(oauth(Clock()), Auth)


# OAuth 2.0

TOKENS = "http://login.test/token"


def oauth(clock: Clock, **given: Any) -> OAuth2Auth:
    return OAuth2Auth(TOKENS, **{"client_id": "me", "client_secret": SECRET, "clock": clock, **given})


def grant(given: str = "t", **fields: Any) -> Any:
    return answer({"access_token": given, "token_type": "bearer", **fields})


def forms(player: Player) -> list[dict[str, str]]:
    return [dict(parse_qsl((request.content or b"").decode())) for request in player.requests]


def test_client_credentials_are_granted_a_token() -> None:
    player = Player(Script(grant()))
    auth = oauth(player.clock, scope="all")
    for _ in range(3):
        assert player.play(auth.headers()) == {"Authorization": "Bearer t"}
    assert player.lines == ["POST /token"]
    assert forms(player) == [
        {"grant_type": "client_credentials", "client_id": "me", "client_secret": SECRET, "scope": "all"}
    ]


def test_a_refresh_token_is_used_and_rotated() -> None:
    player = Player(Script(grant("one", refresh_token="second"), grant("two")))
    auth = oauth(player.clock, client_secret=None, refresh_token="first")
    old = player.play(auth.headers())
    assert player.play(auth.renew(old))
    assert player.play(auth.headers()) == {"Authorization": "Bearer two"}
    assert [form["refresh_token"] for form in forms(player)] == ["first", "second"]
    assert all(form["grant_type"] == "refresh_token" for form in forms(player))


def test_a_token_that_somebody_else_has_renewed_is_not_renewed_again() -> None:
    player = Player(Script(grant("one"), grant("two")))
    auth = oauth(player.clock)
    old = player.play(auth.headers())
    assert player.play(auth.renew(old))
    assert player.play(auth.renew(old))
    assert len(player.requests) == 2


@pytest.mark.parametrize(("lifetime", "used_for"), [(3600, 3570), (60, 30), (20, 10), (1, 0.5)])
def test_a_token_is_renewed_before_it_expires_but_not_at_once(lifetime: int, used_for: float) -> None:
    player = Player(Script(grant(expires_in=lifetime), grant(expires_in=lifetime)))
    auth = oauth(player.clock)
    player.play(auth.headers())
    player.clock.advance(used_for - 0.1)
    player.play(auth.headers())
    assert len(player.requests) == 1
    player.clock.advance(0.2)
    player.play(auth.headers())
    assert len(player.requests) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        answer({"error": "invalid_client", "error_description": "no such client"}, 401),
        answer({"error": "invalid_grant"}, 400),
        answer({"token": "t"}),
        answer(["access_token"]),
        Response(200, {}, b"nonsense"),
    ],
    ids=range(5),
)
def test_a_refused_grant_is_an_authentication_error_without_the_secret(refusal: Response) -> None:
    player = Player(Script(refusal))
    with pytest.raises(errors.AuthenticationError) as refused:
        player.play(oauth(player.clock, refresh_token=SECRET).headers())
    assert SECRET not in str(refused.value)


NO_GRANT_NOW = [
    Response(503, {}, b""),
    Response(429, {"retry-after": "1"}, b""),
    errors.APIConnectionError("reset"),
    errors.APITimeoutError("slow"),
]


@pytest.mark.parametrize("trouble", NO_GRANT_NOW, ids=repr)
def test_a_token_endpoint_that_fails_is_a_connection_problem_of_a_request_that_was_not_sent(
    trouble: Any,
) -> None:
    player = Player(Script(trouble))
    with pytest.raises(errors.APIConnectionError, match="no token") as failed:
        player.play(oauth(player.clock).headers())
    assert not failed.value.request_sent


@pytest.mark.parametrize("trouble", NO_GRANT_NOW, ids=repr)
def test_even_what_is_never_repeated_waits_for_a_token(trouble: Any) -> None:
    player = Player(Script(trouble, grant(), answer({"id": "c", "status": "RUNNING"})))
    session = session_on(player.clock, auth=oauth(player.clock))
    assert player.play(call(session, ops.START_SANDBOX)) is not None
    assert [request.url for request in player.requests].count(TOKENS) == 2


def test_oauth_needs_something_to_show_and_a_safe_place_to_show_it_to() -> None:
    with pytest.raises(ValueError, match="client_secret"):
        OAuth2Auth(TOKENS, client_id="me")
    with pytest.raises(errors.UnsafeURLError, match="token_url"):
        OAuth2Auth("ftp://login.test", client_id="me", client_secret=SECRET)


def test_oauth_shows_nothing_and_takes_no_token_to_another_process() -> None:
    player = Player(Script(grant(expires_in=3600), grant("theirs")))
    auth = OAuth2Auth(TOKENS, client_id="me", client_secret=SECRET, refresh_token=SECRET)
    player.play(auth.headers())
    twin = pickle.loads(pickle.dumps(auth))  # noqa: S301 - what we have just written ourselves
    assert player.play(twin.headers()) == {"Authorization": "Bearer theirs"}
    assert SECRET not in f"{auth!r} {player.requests!r}"


# Tokens that expire while a request waits for its turn


class Believing:
    """A server that believes each token for so many requests."""

    def __init__(self, **uses: int) -> None:
        self._uses = uses
        self.seen: list[str] = []

    def __call__(self, command: Any) -> Response:
        token = command.request.headers["Authorization"].removeprefix("Bearer ")
        self.seen.append(token)
        left = self._uses.get(token, 0)
        self._uses[token] = left - 1
        return answer({"status": "ok"}, 200 if left > 0 else 401)


@pytest.mark.parametrize(
    ("served", "sent"),
    [([], ["one", "two"]), (["two"], ["one", "two", "three"]), (["one"], ["one", "two"])],
    ids=["never good", "good in between", "an older one was"],
)
def test_a_renewed_token_that_is_refused_is_renewed_again_if_it_was_good(
    served: list[str], sent: list[str]
) -> None:
    tokens = iter(["one", "two", "three"])
    peer = Believing(three=1)
    player = Player(peer)
    session = session_on(player.clock, auth=BearerAuth(lambda: next(tokens)))
    for token in served:  # by other requests, meanwhile
        session.endpoint.note_served(Credentials({"Authorization": f"Bearer {token}"}))
    if len(sent) == 3:
        player.play(call(session, ops.ALIVE))
    else:
        with pytest.raises(errors.AuthenticationError):
            player.play(call(session, ops.ALIVE))
    assert peer.seen == sent


def test_a_request_is_not_renewed_for_ever() -> None:
    numbers = [str(number) for number in range(100)]
    tokens = iter(numbers)
    player = Player(lambda command: answer({}, 401))
    session = session_on(player.clock, auth=BearerAuth(lambda: next(tokens)))
    for token in numbers[: auth.LATEST]:
        session.endpoint.note_served(Credentials({"Authorization": f"Bearer {token}"}))
    with pytest.raises(errors.AuthenticationError):
        player.play(call(session, ops.ALIVE))
    assert len(player.requests) == RENEWALS + 1
