"""Servers with users: who gets in, and what is hidden from whom, as a plain HTTP client sees it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from openhands_reference_server import ManualClock, ReferenceServer

from .commands import run, served
from .conftest import MISSING, eventually
from .listening import POLLING, WEBSOCKET, listening, refusal

USERS: dict[str, Any] = {
    "users": [
        {"id": "alice", "api_keys": ["alices-key"]},
        {
            "id": "bob",
            "api_keys": ["bobs-key"],
            "oauth_clients": [
                {"client_id": "ci", "client_secret": "s3cret: &", "refresh_tokens": ["bobs-first"]},
            ],
        },
    ]
}
DENIED = "AUTHORIZATION$PERMISSION_DENIED"


class Caller:
    """A user of one server."""

    def __init__(self, server: ReferenceServer, token: str | None) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.server = server
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=10)

    def __call__(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self.http.request(method, path, **kwargs)

    def v0(self) -> str:
        created = self("POST", "/api/conversations", json={"initial_user_msg": "hello"}).json()
        conversation_id = str(created["conversation_id"])
        eventually(lambda: self("GET", f"/api/conversations/{conversation_id}").json()["status"] == "RUNNING")
        return conversation_id

    def v1(self) -> dict[str, Any]:
        task = self("POST", "/api/v1/app-conversations", json={}).json()

        def ready() -> dict[str, Any] | None:
            [seen] = self("GET", "/api/v1/app-conversations/start-tasks", params={"ids": task["id"]}).json()
            return seen if seen["status"] == "READY" else None

        seen = eventually(ready)
        assert seen is not None
        [info] = self("GET", "/api/v1/app-conversations", params={"ids": seen["app_conversation_id"]}).json()
        return {**info, "task_id": task["id"]}


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(users=USERS, oauth=True, max_concurrent_conversations=1000) as running:
        yield running


@pytest.fixture(scope="module")
def alice(server: ReferenceServer) -> Iterator[Caller]:
    caller = Caller(server, "alices-key")
    with caller.http:
        yield caller


@pytest.fixture(scope="module")
def bob(server: ReferenceServer) -> Iterator[Caller]:
    caller = Caller(server, "bobs-key")
    with caller.http:
        yield caller


@pytest.fixture(scope="module")
def of_alice_v0(alice: Caller) -> str:
    return alice.v0()


@pytest.fixture(scope="module")
def of_alice_v1(alice: Caller) -> dict[str, Any]:
    return alice.v1()


# -- who gets in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic alices-key"},
        {"Authorization": "alices-key"},
        {"X-Session-API-Key": "alices-key"},
    ],
)
def test_without_a_good_token_nobody_gets_in(server: ReferenceServer, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{server.url}/api/conversations", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for path in ("/alive", "/openapi.json"):
        assert httpx.get(f"{server.url}{path}", headers=headers).status_code == 200


def test_the_scheme_is_read_in_any_case(server: ReferenceServer) -> None:
    headers = {"Authorization": "bearer alices-key"}
    assert httpx.get(f"{server.url}/api/conversations", headers=headers).status_code == 200


def test_users_see_their_own(
    alice: Caller, bob: Caller, of_alice_v0: str, of_alice_v1: dict[str, Any]
) -> None:
    def seen(caller: Caller) -> set[str]:
        return {one["conversation_id"] for one in caller("GET", "/api/conversations").json()["results"]}

    assert {of_alice_v0, of_alice_v1["id"]} <= seen(alice)
    assert not {of_alice_v0, of_alice_v1["id"]} & seen(bob)
    assert bob("GET", "/api/v1/app-conversations/count").json() == 0


# -- what belongs to others -------------------------------------------------------------------------

V0_ROUTES = [
    ("GET", "", None),
    ("PATCH", "", {"title": "mine now"}),
    ("DELETE", "", None),
    ("POST", "/start", {}),
    ("POST", "/stop", None),
    ("POST", "/pause", None),
    ("GET", "/config", None),
    ("GET", "/events", None),
    ("POST", "/events", {"action": "message", "args": {"content": "hello"}}),
    ("POST", "/message", {"message": "hello"}),
    ("GET", "/trajectory", None),
    ("GET", "/microagents", None),
    ("GET", "/list-files", None),
    ("GET", "/select-file?file=a.txt", None),
    ("GET", "/zip-directory", None),
    ("GET", "/git/changes", None),
    ("GET", "/git/diff?path=a.txt", None),
    ("GET", "/vscode-url", None),
    ("GET", "/web-hosts", None),
    ("POST", "/exp-config", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), V0_ROUTES)
def test_others_are_denied_on_every_v0_route(
    bob: Caller, of_alice_v0: str, method: str, path: str, body: Any
) -> None:
    kwargs = {} if body is None else {"json": body}
    answer = bob(method, f"/api/conversations/{of_alice_v0}{path}", **kwargs)
    assert (answer.status_code, answer.json()["msg_id"]) == (403, DENIED), answer.text
    unknown = bob(method, f"/api/conversations/{MISSING}{path}", **kwargs)
    assert unknown.status_code != 403


def test_others_can_not_upload(bob: Caller, alice: Caller, of_alice_v0: str) -> None:
    path = f"/api/conversations/{of_alice_v0}/upload-files"
    answer = bob("POST", path, files={"files": ("a.txt", b"bob was here")})
    assert answer.json()["msg_id"] == DENIED
    assert "a.txt" not in alice("GET", f"/api/conversations/{of_alice_v0}/list-files").text


def test_others_are_denied_where_a_query_or_body_names_what_is_not_theirs(
    bob: Caller, of_alice_v0: str, of_alice_v1: dict[str, Any]
) -> None:
    conversation_id, sandbox_id = of_alice_v1["id"], of_alice_v1["sandbox_id"]
    note = {"conversation_id": of_alice_v0, "event_id": 1, "rating": 5}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/api/v1/sandboxes/{sandbox_id}/pause", {}),
        ("POST", f"/api/v1/sandboxes/{sandbox_id}/resume", {}),
        ("DELETE", f"/api/v1/sandboxes/{sandbox_id}", {}),
        ("POST", "/api/v1/app-conversations", {"json": {"parent_conversation_id": conversation_id}}),
        ("POST", "/api/v1/app-conversations", {"json": {"conversation_id": conversation_id}}),
        ("POST", "/api/v1/app-conversations", {"json": {"sandbox_id": sandbox_id}}),
        ("POST", "/feedback/conversation", {"json": note}),
        ("GET", f"/feedback/conversation/{of_alice_v0}/1", {}),
        ("GET", f"/feedback/conversation/{of_alice_v0}/batch", {}),
    ]
    for method, path, more in requests:
        answer = bob(method, path, **more)
        assert (answer.status_code, answer.json().get("msg_id")) == (403, DENIED), (method, path, answer.text)


def test_searches_do_not_find_what_belongs_to_others(bob: Caller, of_alice_v1: dict[str, Any]) -> None:
    by_conversation = {"conversation_id__eq": of_alice_v1["id"]}
    by_sandbox = {"sandbox_id__eq": of_alice_v1["sandbox_id"]}
    for path, filters in [
        ("/api/v1/events", by_conversation),
        ("/api/v1/app-conversations/start-tasks", by_conversation),
        ("/api/v1/app-conversations", by_sandbox),
    ]:
        assert bob("GET", f"{path}/search", params=filters).json()["items"] == []
        assert bob("GET", f"{path}/count", params=filters).json() == 0


def test_batches_have_null_for_what_belongs_to_others(
    alice: Caller, bob: Caller, of_alice_v1: dict[str, Any]
) -> None:
    for path, name, wanted in [
        ("/api/v1/app-conversations", "ids", of_alice_v1["id"]),
        ("/api/v1/sandboxes", "id", of_alice_v1["sandbox_id"]),
        ("/api/v1/app-conversations/start-tasks", "ids", of_alice_v1["task_id"]),
    ]:
        assert bob("GET", path, params={name: wanted}).json() == [None]
        assert alice("GET", path, params={name: wanted}).json() != [None]


def test_the_agent_server_knows_a_world_by_its_key(
    server: ReferenceServer, of_alice_v1: dict[str, Any], bob: Caller
) -> None:
    key, path = of_alice_v1["session_api_key"], f"/api/conversations/{of_alice_v1['id']}"
    url = f"{server.agent_url}{path}"
    assert httpx.get(url, headers={"X-Session-API-Key": key}).status_code == 200
    assert httpx.get(url).status_code == 401
    other = bob.v1()["session_api_key"]
    assert httpx.get(url, headers={"X-Session-API-Key": other}).status_code == 404
    assert httpx.get(url, headers={"Authorization": "Bearer alices-key"}).status_code == 401


def test_live_events_of_v1_need_the_key_of_the_sandbox(
    server: ReferenceServer, of_alice_v1: dict[str, Any], bob: Caller
) -> None:
    url = f"{server.agent_url.replace('http', 'ws', 1)}/sockets/events/{of_alice_v1['id']}"
    with connect(f"{url}?session_api_key={of_alice_v1['session_api_key']}&resend_all=true") as socket:
        assert socket.recv(timeout=10)
    other = bob.v1()["session_api_key"]
    with connect(f"{url}?session_api_key={other}") as socket, pytest.raises(ConnectionClosed):
        socket.recv(timeout=10)


def test_live_events_of_v0_are_for_their_user(server: ReferenceServer, of_alice_v0: str) -> None:
    for transports in (WEBSOCKET, POLLING):
        wanted: dict[str, Any] = {"conversation_id": of_alice_v0}
        with listening(server.url, transports, **wanted, session_api_key="alices-key") as ear:
            assert ear.next()
        assert refusal(server.url, transports, **wanted, session_api_key="bobs-key") == DENIED
        assert refusal(server.url, transports, **wanted, session_api_key="wrong") == "invalid_session_api_key"
        assert refusal(server.url, transports, **wanted) == "invalid_session_api_key"


def test_live_events_of_v0_may_be_asked_for_with_a_header(server: ReferenceServer, of_alice_v0: str) -> None:
    url = f"{server.url.replace('http', 'ws', 1)}/socket.io/?EIO=4&transport=websocket&conversation_id={of_alice_v0}"
    for key, answer in (("alices-key", "40{"), ("bobs-key", f'44{{"message":"{DENIED}"}}')):
        with connect(url, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
            assert str(socket.recv(timeout=10)).startswith("0{")
            socket.send("40")
            frames = [str(socket.recv(timeout=10))]
            assert frames[0].startswith(answer)


def test_worlds_are_kept_apart_on_disk_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"users": USERS, "data_dir": tmp_path}
    with ReferenceServer(**options) as server:
        created = Caller(server, "alices-key").v0()
    with ReferenceServer(**options) as server:
        path = f"/api/conversations/{created}"
        assert Caller(server, "alices-key")("GET", path).status_code == 200
        assert Caller(server, "bobs-key")("GET", path).json()["msg_id"] == DENIED
        assert server.world_of("alice").conversation(created)
        with pytest.raises(KeyError):
            server.world_of("carol")


# -- tokens -----------------------------------------------------------------------------------------


def ask(server: ReferenceServer, **form: str) -> httpx.Response:
    return httpx.post(server.token_url, data=form)


def test_a_token_is_as_good_as_a_key(server: ReferenceServer) -> None:
    answer = ask(server, grant_type="client_credentials", client_id="ci", client_secret="s3cret: &")
    granted = answer.json()
    assert set(granted) == {"access_token", "token_type", "expires_in"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["Cache-Control"] == "no-store"
    bob = Caller(server, granted["access_token"])
    assert bob("GET", "/api/conversations").status_code == 200


def test_tokens_expire_on_the_clock_of_the_server() -> None:
    clock = ManualClock()
    with ReferenceServer(users=USERS, oauth=True, token_lifetime=60, clock=clock) as server:
        granted = ask(
            server, grant_type="client_credentials", client_id="ci", client_secret="s3cret: &"
        ).json()
        caller = Caller(server, granted["access_token"])
        clock.advance(59)
        assert caller("GET", "/api/conversations").status_code == 200
        clock.advance(1)
        refused = caller("GET", "/api/conversations")
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_namespaces_have_users_tokens_and_a_clock_of_their_own() -> None:
    form = {"grant_type": "client_credentials", "client_id": "ci", "client_secret": "s3cret: &"}
    with ReferenceServer(users=USERS, oauth=True, token_lifetime=60, control=True) as server:
        inside = server.namespace("inside")
        token = httpx.post(inside.token_url, data=form).json()["access_token"]

        def status(url: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.get(f"{url}/api/conversations", headers=headers).status_code

        assert (status(inside.url), status(server.url)) == (200, 401)
        server.advance(61)
        assert status(inside.url) == 200
        inside.advance(61)
        assert status(inside.url) == 401


def test_tokens_expire_on_demand_and_keys_do_not(server: ReferenceServer) -> None:
    granted = ask(server, grant_type="client_credentials", client_id="ci", client_secret="s3cret: &").json()
    assert server.expire_tokens() >= 1
    assert Caller(server, granted["access_token"])("GET", "/api/conversations").status_code == 401
    assert Caller(server, "bobs-key")("GET", "/api/conversations").status_code == 200


def test_a_client_may_show_itself_in_the_header(server: ReferenceServer) -> None:
    form = {"grant_type": "client_credentials"}
    good = base64.b64encode(b"ci:s3cret: &").decode()
    bad = base64.b64encode(b"ci:wrong").decode()
    granted = httpx.post(server.token_url, data=form, headers={"Authorization": f"Basic {good}"})
    assert granted.status_code == 200
    refused = httpx.post(server.token_url, data=form, headers={"Authorization": f"Basic {bad}"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert refused.headers["WWW-Authenticate"].startswith("Basic")


def test_what_is_no_token_request_is_refused_in_the_words_of_the_rfc(server: ReferenceServer) -> None:
    known = {"client_id": "ci", "client_secret": "s3cret: &"}
    assert ask(server, **known).json()["error"] == "invalid_request"
    assert ask(server, grant_type="password", **known).json()["error"] == "unsupported_grant_type"
    unknown = ask(server, grant_type="refresh_token", refresh_token="x", **known)
    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_grant")
    as_json = httpx.post(server.token_url, json={"grant_type": "client_credentials"})
    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")
    twice = httpx.post(
        server.token_url,
        content="grant_type=client_credentials&grant_type=refresh_token",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert "more than once" in twice.json()["error_description"]
    got = httpx.get(server.token_url)
    assert (got.status_code, got.headers["Allow"]) == (405, "POST")


def test_without_oauth_there_is_no_token_endpoint() -> None:
    with ReferenceServer(users=USERS) as server:
        assert ask(server, grant_type="client_credentials").status_code == 404


# -- how often --------------------------------------------------------------------------------------


def test_who_asks_too_often_waits_and_is_refused() -> None:
    clock = ManualClock()
    with ReferenceServer(rate_limit="2/second", clock=clock) as server, httpx.Client(timeout=10) as client:
        assert [client.get(f"{server.url}/alive").status_code for _ in range(2)] == [200, 200]
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/alive", timeout=0.3)  # it waits, and the clock stands still
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/alive", timeout=0.3)
        refused = client.get(f"{server.url}/alive")
        assert (refused.status_code, refused.json()) == (429, {"message": "Too many requests"})
        assert refused.headers["Retry-After"] == "1"
        clock.advance(1)
        assert client.get(f"{server.url}/alive").status_code == 200


def test_there_is_no_limit_by_default(server: ReferenceServer) -> None:
    with httpx.Client() as client:
        assert {client.get(f"{server.url}/alive").status_code for _ in range(30)} == {200}


# -- at the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"users": USERS, "session_api_key": "k"}, "exclude each other"),
        ({"oauth": True}, "oauth needs users"),
        ({"rate_limit": "often"}, "is no rate"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ReferenceServer(**options)


def test_the_command_serves_users(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("users:\n  - {id: alice, api_keys: [alices-key]}\n")
    with served("--auth", "oauth", "--users", str(path), "--rate-limit", "1000/second") as server:
        assert httpx.get(f"{server.url}/api/conversations").status_code == 401
        headers = {"Authorization": "Bearer alices-key"}
        assert httpx.get(f"{server.url}/api/conversations", headers=headers).status_code == 200
        assert httpx.post(f"{server.url}/oauth/token").json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--auth", "bearer"], "--auth bearer needs --users FILE.yaml"),
        (["--users", "users.yaml"], "--users is for --auth bearer"),
        (["--auth", "bearer", "--users", "no-such-file.yaml"], "the file of users cannot be read"),
        (["--rate-limit", "often"], "is no rate"),
    ],
)
def test_the_command_says_what_is_missing(arguments: list[str], said: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.split())
