"""Who may call the app server when it was started with a key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .conftest import MISSING, Api, serving

KEY = "secret-of-the-test"
UNAUTHORIZED = {"detail": "Unauthorized"}


@pytest.fixture
def locked() -> Iterator[Api]:
    with serving(session_api_key=KEY) as api:
        yield api


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/conversations"),
        ("POST", "/api/conversations"),
        ("DELETE", f"/api/conversations/{MISSING}"),
        ("GET", f"/api/conversations/{'a' * 101}"),
        ("GET", "/api/v1/app-conversations/search"),
        ("POST", "/api/v1/app-conversations/stream-start"),
        ("GET", "/api/v1/events/count"),
        ("GET", "/api/v1/sandboxes/search"),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Session-API-Key": ""},
        {"X-Session-API-Key": "wrong"},
        {"X-Session-API-Key": KEY + "x"},
        {"X-Session-API-Key": "ü".encode()},
        {"Authorization": f"Bearer {KEY}"},
    ],
)
def test_without_the_key_nothing_is_served(
    locked: Api, method: str, path: str, headers: dict[str, str | bytes]
) -> None:
    got = locked.app.request(method, path, headers=headers)
    assert (got.status_code, got.json()) == (401, UNAUTHORIZED)


def test_in_the_query_it_does_not_count(locked: Api) -> None:
    assert locked.app.get("/api/conversations", params={"session_api_key": KEY}).status_code == 401


def test_with_the_key_everything_is(locked: Api) -> None:
    locked.app.headers["X-Session-API-Key"] = KEY
    one = locked.start_v1("hello")
    assert len(one.rest()) == 9
    assert locked.app.get(f"/api/conversations/{MISSING}").status_code == 404


@pytest.mark.parametrize("path", ["/alive", "/health", "/server_info", "/docs", "/openapi.json"])
def test_what_is_always_open(locked: Api, path: str) -> None:
    assert locked.app.get(path).status_code == 200


def test_unknown_routes_need_no_key(locked: Api) -> None:
    assert locked.app.get("/nope").status_code == 404


def test_the_servers_key_does_not_open_the_agent_server(locked: Api) -> None:
    got = httpx.get(
        f"{locked.server.agent_url}/api/conversations/{MISSING}", headers={"X-Session-API-Key": KEY}
    )
    assert got.status_code == 401
