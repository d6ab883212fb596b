"""`--nested`: a V0 conversation's runtime has its own address and key, and nobody else serves what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from openhands_reference_server.http import runtimes

from .commands import api_of, served
from .conftest import MISSING, Api, serving
from .listening import POLLING, WEBSOCKET, listening, refusal

APP_KEY = "the-key-of-the-app-server"


@contextmanager
def nested(api: Api) -> Iterator[tuple[Api, dict[str, Any]]]:
    """A running conversation and a client for its runtime."""
    one = api.wait_v0(api.create_v0(), "RUNNING")
    origin = one["url"].removesuffix(f"/api/conversations/{one['conversation_id']}")
    headers = {"X-Session-API-Key": one["session_api_key"]}
    with httpx.Client(base_url=origin, headers=headers, timeout=10) as runtime:
        yield Api(api.server, runtime), one


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(nested=True, session_api_key=APP_KEY) as made:
        made.app.headers["X-Session-API-Key"] = APP_KEY
        yield made


def test_the_address_and_the_key_are_its_own(api: Api) -> None:
    one, two = (api.wait_v0(api.create_v0(), "RUNNING") for _ in range(2))
    assert one["url"] == f"{api.server.agent_url}/api/conversations/{one['conversation_id']}"
    assert one["session_api_key"] not in (None, APP_KEY, two["session_api_key"])
    again = api.wait_v0(one["conversation_id"], "RUNNING")
    assert again["session_api_key"] == one["session_api_key"]
    api.ok("POST", f"/api/conversations/{one['conversation_id']}/stop")
    stopped = api.wait_v0(one["conversation_id"], "STOPPED")
    assert (stopped["url"], stopped["session_api_key"]) == (None, None)


def test_the_runtime_serves_what_the_conversation_holds(api: Api) -> None:
    with nested(api) as (runtime, one):
        path = f"/api/conversations/{one['conversation_id']}"
        assert runtime.ok("POST", f"{path}/message", json={"message": "hello"}) == {"success": True}
        runtime.wait_agent_state(one["conversation_id"], "finished")
        assert runtime.ok("GET", f"{path}/config")["session_id"] == one["conversation_id"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/config", None),
        ("GET", "/events", None),
        ("POST", "/events", {"action": "message", "args": {"content": "x"}}),
        ("POST", "/message", {"message": "x"}),
    ],
)
def test_nobody_else_does(api: Api, method: str, path: str, body: Any) -> None:
    with nested(api) as (runtime, one):
        path = f"/api/conversations/{one['conversation_id']}{path}"
        refused = api.app.request(method, path, json=body)
        assert (refused.status_code, refused.json()["msg_id"]) == (404, "CONVERSATION$NOT_FOUND")
        for key in ("", APP_KEY, api.wait_v0(api.create_v0(), "RUNNING")["session_api_key"], "é"):
            headers = {"X-Session-API-Key": key.encode()}
            wrong = runtime.app.request(method, path, json=body, headers=headers)
            assert (wrong.status_code, wrong.json()) == (401, {"detail": "Unauthorized"})


def test_the_runtime_serves_nothing_else(api: Api) -> None:
    with nested(api) as (runtime, one):
        path = f"/api/conversations/{one['conversation_id']}"
        assert runtime.app.get(path).json() == {"detail": "Not Found"}
        assert runtime.app.post(f"{path}/stop").status_code == 404
        assert runtime.app.get(f"/api/conversations/{MISSING}").status_code == 401
        assert runtime.app.get("/api/conversations").status_code == 401  # the agent server's
        assert runtime.ok("GET", "/alive") == {"status": "ok"}


def test_v1_is_as_ever(api: Api) -> None:
    one = api.start_v1("hello")
    one.wait("finished")
    assert api.ok("GET", f"/api/conversations/{one.id}/config")["runtime_id"] == one.sandbox_id


def test_what_is_stored_of_a_stopped_one(api: Api) -> None:
    with nested(api) as (runtime, one):
        path = f"/api/conversations/{one['conversation_id']}"
        api.ok("POST", f"{path}/stop")
        stored = api.v0_events(one["conversation_id"])
        assert stored[-1]["extras"]["agent_state"] == "stopped"
        assert runtime.v0_events(one["conversation_id"]) == stored
        api.ok("POST", f"{path}/start", json={})
        api.wait_v0(one["conversation_id"], "RUNNING")
        assert api.app.get(f"{path}/events").status_code == 404


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING], ids=lambda given: given[0])
def test_the_socket_is_at_the_runtime(api: Api, transports: list[str]) -> None:
    with nested(api) as (_, one):
        wanted, key = one["conversation_id"], one["session_api_key"]
        asked = {"conversation_id": wanted, "transports": transports}
        assert refusal(api.server.url, session_api_key=APP_KEY, **asked) == "Conversation not found"
        for wrong in ("", "null", APP_KEY):
            assert refusal(api.server.agent_url, session_api_key=wrong, **asked) == "invalid_session_api_key"
        unknown = refusal(api.server.agent_url, transports, session_api_key=key, conversation_id=MISSING)
        assert unknown == "Conversation not found"
        with listening(api.server.agent_url, session_api_key=key, **asked) as ear:
            ear.say("hello")
            ear.until("is finished")
            assert api.wait_v0(wanted, "RUNNING")["num_connections"] == 1


def test_all_its_operations_exist(api: Api) -> None:
    from openhands_contract import documents

    described = {
        operation["operationId"]
        for item in documents.load("app-server")["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "operationId" in operation
    }
    assert described >= runtimes.OPERATIONS


@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_as_a_command(backend: str) -> None:
    with (
        served("--backend", backend, "--nested") as server,
        api_of(server) as api,
        nested(api) as (runtime, one),
    ):
        wanted = one["conversation_id"]
        with listening(
            server.agent_url, conversation_id=wanted, session_api_key=one["session_api_key"]
        ) as ear:
            runtime.ok("POST", f"/api/conversations/{wanted}/message", json={"message": "hello"})
            ear.until("is finished")
            assert server.end() == 0
            ear.rest()
