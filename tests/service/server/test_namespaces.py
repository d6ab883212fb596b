"""Servers of their own in one process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from openhands_reference_server import Match, ReferenceServer
from openhands_reference_server.control import faults

from .commands import served
from .conftest import Api, serving
from .listening import POLLING, WEBSOCKET, listening

LIST = "/api/conversations"


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(control=True, max_concurrent_conversations=1000) as running:
        yield running


@pytest.fixture
def one(server: ReferenceServer, request: pytest.FixtureRequest) -> Iterator[Api]:
    yield from _api(server, "one")


@pytest.fixture
def other(server: ReferenceServer) -> Iterator[Api]:
    yield from _api(server, "other")


def _api(server: ReferenceServer, name: str) -> Iterator[Api]:
    namespace = server.namespace(name)
    with httpx.Client(base_url=namespace.url, timeout=10) as app:
        yield Api(namespace, app)  # type: ignore[arg-type]  # it has the urls and controls that tests use
    server.delete_namespace(name)


def test_a_whole_life_of_both_generations(one: Api) -> None:
    conversation = one.start_v1("hello")
    assert len(conversation.rest()) == 9
    info = one.info(conversation.id)
    assert info["conversation_url"] == f"{one.server.agent_url}/api/conversations/{conversation.id}"
    with conversation.stream(resend_all=True) as stream:
        stream.until("finished")
    [sandbox] = one.ok("GET", "/api/v1/sandboxes/search")["items"]
    assert sandbox["exposed_urls"][0]["url"] == one.server.agent_url
    v0 = one.create_v0(initial_user_msg="hello")
    for transports in (WEBSOCKET, POLLING):
        with _listening(one, transports, v0) as ear:
            assert ear.until("is finished")


def _listening(api: Api, transports: list[str], conversation_id: str) -> Any:
    host, _, path = api.server.url.partition("/ns/")
    return listening(host, transports, conversation_id=conversation_id, path=f"/ns/{path}/socket.io")


def test_they_see_nothing_of_each_other(server: ReferenceServer, one: Api, other: Api) -> None:
    conversation = one.start_v1("hello")
    v0 = one.create_v0()
    assert other.ok("GET", LIST)["results"] == []
    assert other.app.get(f"{LIST}/{v0}").status_code == 404
    assert httpx.get(f"{server.url}{LIST}").json()["results"] == []
    stranger = httpx.get(
        f"{other.server.agent_url}/api/conversations/{conversation.id}",
        headers={"X-Session-API-Key": conversation.key},
    )
    assert stranger.status_code == 401


def test_controls_are_those_of_a_namespace(server: ReferenceServer, one: Api, other: Api) -> None:
    one.server.add_fault(faults.Answer(500), Match(path="/alive"))
    assert [one.app.get("/alive").status_code, other.app.get("/alive").status_code] == [500, 200]
    assert httpx.get(f"{server.url}/alive").status_code == 200
    [rule] = one.app.get("/_control/faults").json()
    assert rule["hits"] == 1
    assert other.app.get("/_control/faults").json() == []
    assert [entry.asked.path for entry in one.server.journal] == ["/alive"], "without the prefix"
    before = other.ok("GET", "/_control/clock")["now"]
    one.server.advance(10**6)
    other.create_v0()
    one.server.reset()
    assert (other.ok("GET", "/_control/clock")["now"])[:10] == before[:10]
    assert len(other.ok("GET", LIST)["results"]) == 1
    assert one.app.get("/alive").status_code == 200


def test_they_are_made_listed_and_deleted(server: ReferenceServer) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/ns/by-use/alive").status_code == 200
        made = client.put("/_control/namespaces/by.name_1")
        assert made.json() == {"name": "by.name_1", "path": "/ns/by.name_1"}
        names = {entry["name"] for entry in client.get("/_control/namespaces").json()}
        assert names >= {"by-use", "by.name_1"}
        assert set(server.namespaces) == names
        client.post("/ns/by-use/api/conversations", json={})
        for status in (200, 404):
            assert client.delete("/_control/namespaces/by-use").status_code == status
        assert client.get("/ns/by-use/api/conversations").json()["results"] == [], "a new one"
        server.delete_namespace("by-use")
        server.delete_namespace("by.name_1")


@pytest.mark.parametrize("name", ["x" * 65, "a b", "ü", "..", ".", "", "%2e%2e"])
def test_names_that_are_none(server: ReferenceServer, name: str) -> None:
    before = server.namespaces
    with pytest.raises(ValueError, match="no name"):
        server.namespace(name)
    if name not in (".", ".."):  # clients resolve these themselves
        assert httpx.get(f"{server.url}/ns/{name}/alive").status_code == 404
    assert server.namespaces == before


def test_ids_with_slashes_are_judged_as_at_the_root(server: ReferenceServer, one: Api) -> None:
    for base in (server.url, one.server.url):
        got = httpx.get(f"{base}{LIST}/a%2Fb")
        assert (got.status_code, got.json()) == (
            400,
            {"detail": "Conversation ID contains invalid path characters"},
        )


def test_its_documentation_leads_to_itself(one: Api) -> None:
    assert "/ns/one" in one.app.get("/docs").text


def test_the_first_requests_may_come_together(server: ReferenceServer) -> None:
    def create(_: int) -> str:
        answer = httpx.post(f"{server.url}/ns/rush/api/conversations", json={}, timeout=10)
        return str(answer.json()["conversation_id"])

    with ThreadPoolExecutor(8) as clients:
        made = set(clients.map(create, range(16)))
    found = httpx.get(f"{server.url}/ns/rush{LIST}", params={"limit": 100}).json()["results"]
    assert {entry["conversation_id"] for entry in found} == made
    server.delete_namespace("rush")


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openhands_reference_server.control.namespaces.MOST_NAMESPACES", 1)
    with serving(control=True) as api:
        assert api.app.get("/ns/a/alive").status_code == 200
        refused = api.app.get("/ns/b/alive")
        assert (refused.status_code, "delete one" in refused.text) == (409, True)
        assert httpx.get(f"{api.server.agent_url}/ns/b/alive").status_code == 409
        assert api.app.put("/_control/namespaces/b").status_code == 409
        assert api.app.delete("/_control/namespaces/a").status_code == 200
        assert api.app.get("/ns/b/alive").status_code == 200


@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_they_are_kept_beneath_the_data_directory(backend: str, tmp_path: Path) -> None:
    arguments = ("--backend", backend, "--enable-control", "--data-dir", str(tmp_path))
    with served(*arguments) as server:
        created = httpx.post(f"{server.url}/ns/kept/api/conversations", json={}).json()["conversation_id"]
        httpx.post(f"{server.url}/ns/gone/api/conversations", json={})
        assert httpx.delete(f"{server.url}/_control/namespaces/gone").status_code == 200
    assert [folder.name for folder in (tmp_path / "namespaces").iterdir()] == ["kept"]
    with served(*arguments) as server:
        assert httpx.get(f"{server.url}/_control/namespaces").json() == [{"name": "kept", "path": "/ns/kept"}]
        [found] = httpx.get(f"{server.url}/ns/kept{LIST}").json()["results"]
        assert found["conversation_id"] == created
        assert httpx.get(f"{server.url}{LIST}").json()["results"] == []
