"""Every row of the error table: the status, the body, and that it is JSON."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from openhands_reference_server import ReferenceServer

from .conftest import MISSING, Api

NOT_FOUND = {"status": "error", "message": "Conversation not found", "msg_id": "CONVERSATION$NOT_FOUND"}
ONE = "/api/conversations/{id}"
V0_ROUTES = [
    ("GET", ONE, None),
    ("PATCH", ONE, {"title": "x"}),
    ("POST", f"{ONE}/start", {}),
    ("POST", f"{ONE}/stop", None),
    ("POST", f"{ONE}/pause", None),
    ("GET", f"{ONE}/config", None),
    ("GET", f"{ONE}/events", None),
    ("POST", f"{ONE}/events", {"action": "run", "args": {"command": "ls"}}),
    ("POST", f"{ONE}/message", {"message": "x"}),
]
DASHED = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def app(server: ReferenceServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=10)


def answer(client: httpx.Client, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
    with client:
        got = client.request(method, path, **kwargs)
    assert got.headers["content-type"] == "application/json"
    assert "no-store" in got.headers["cache-control"]
    assert "Traceback" not in got.text
    return got.status_code, got.json()


def first_item(body: Any) -> tuple[str, list[Any]]:
    item = body["detail"][0]
    assert set(item) >= {"type", "loc", "msg", "input"}
    return item["type"], item["loc"]


class TestRouting:
    @pytest.mark.parametrize(
        "path", ["/", "/nope", "/api", "/api/v1/app-conversations/x", "/api/conversations/"]
    )
    def test_unknown_routes(self, app: httpx.Client, path: str) -> None:
        assert answer(app, "GET", path) == (404, {"detail": "Not Found"})

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("PUT", "/api/conversations", "GET, POST"),
            ("PUT", f"/api/conversations/{MISSING}", "DELETE, GET, PATCH"),
            ("GET", f"/api/conversations/{MISSING}/start", "POST"),
            ("POST", "/api/v1/sandboxes/search", "GET"),
            ("OPTIONS", "/alive", "GET"),
            ("TRACE", "/api/conversations", "GET, POST"),
        ],
    )
    def test_unknown_methods_name_the_known_ones(
        self, server: ReferenceServer, method: str, path: str, allow: str
    ) -> None:
        got = httpx.request(method, server.url + path)
        assert (got.status_code, got.json()) == (405, {"detail": "Method Not Allowed"})
        assert got.headers["allow"] == allow

    def test_head_is_not_in_the_documents(self, server: ReferenceServer) -> None:
        got = httpx.head(f"{server.url}/api/conversations")
        assert (got.status_code, got.headers["allow"]) == (405, "GET, POST")


class TestConversationIds:
    @pytest.mark.parametrize(("method", "path", "body"), [*V0_ROUTES, ("DELETE", ONE, None)])
    @pytest.mark.parametrize(
        ("sent", "detail"),
        [
            ("a" * 101, "Conversation ID is too long"),
            ("a%00b", "Conversation ID contains invalid characters"),
            ("%2e%2e", "Conversation ID contains invalid path characters"),
            ("a%2Fb", "Conversation ID contains invalid path characters"),
            ("a%5Cb", "Conversation ID contains invalid path characters"),
            ("a%0Ab", "Conversation ID contains control characters"),
        ],
    )
    def test_syntax(
        self, app: httpx.Client, method: str, path: str, body: Any, sent: str, detail: str
    ) -> None:
        assert answer(app, method, path.format(id=sent), json=body) == (400, {"detail": detail})

    @pytest.mark.parametrize(("method", "path", "body"), V0_ROUTES)
    @pytest.mark.parametrize("sent", [MISSING, DASHED, "not-a-uuid", "a" * 100])
    def test_unknown(self, app: httpx.Client, method: str, path: str, body: Any, sent: str) -> None:
        assert answer(app, method, path.format(id=sent), json=body) == (404, NOT_FOUND)

    def test_deleting_an_unknown_one_is_no_error(self, app: httpx.Client) -> None:
        assert answer(app, "DELETE", f"/api/conversations/{MISSING}") == (200, False)


class TestValidation:
    @pytest.mark.parametrize(
        ("path", "body", "kind", "loc"),
        [
            ("/api/conversations", {"extra": 1}, "extra_forbidden", ["body", "extra"]),
            ("/api/conversations", {"repository": 1}, "string_type", ["body", "repository"]),
            ("/api/conversations", {"git_provider": "GITHUB"}, "enum", ["body", "git_provider"]),
            ("/api/conversations", {"git_provider": "sourceforge"}, "enum", ["body", "git_provider"]),
            ("/api/conversations", {"conversation_id": "x"}, "extra_forbidden", ["body", "conversation_id"]),
            ("/api/v1/app-conversations", {"agent_type": "x"}, "enum", ["body", "agent_type"]),
        ],
    )
    def test_bodies(self, app: httpx.Client, path: str, body: Any, kind: str, loc: list[str]) -> None:
        status, got = answer(app, "POST", path, json=body)
        assert (status, got["detail"][0]["loc"]) == (422, loc)
        assert got["detail"][0]["type"] in (kind, "literal_error")

    @pytest.mark.parametrize("title", ["", "x" * 201])
    def test_titles_have_bounds(self, app: httpx.Client, title: str) -> None:
        status, got = answer(app, "PATCH", f"/api/conversations/{MISSING}", json={"title": title})
        assert (status, first_item(got)[1]) == (422, ["body", "title"])

    def test_unknown_fields_of_a_rename_are_refused(self, app: httpx.Client) -> None:
        status, got = answer(app, "PATCH", f"/api/conversations/{MISSING}", json={"title": "x", "y": 1})
        assert (status, first_item(got)) == (422, ("extra_forbidden", ["body", "y"]))

    @pytest.mark.parametrize("content", [b'{"a":', b"\xff", b"NaN"])
    def test_what_is_not_json(self, app: httpx.Client, content: bytes) -> None:
        headers = {"content-type": "application/json"}
        status, got = answer(app, "POST", "/api/conversations", content=content, headers=headers)
        assert (status, first_item(got)[0]) == (422, "json_invalid")

    def test_a_body_must_be_there(self, app: httpx.Client) -> None:
        status, got = answer(app, "POST", "/api/conversations")
        assert (status, first_item(got)) == (422, ("missing", ["body"]))

    def test_a_body_must_be_declared_as_json(self, app: httpx.Client) -> None:
        status, got = answer(app, "POST", "/api/conversations", data={"a": "b"})
        assert (status, list(got)) == (415, ["detail"])

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", ""])
    @pytest.mark.parametrize(
        "path", ["/api/conversations", "/api/v1/app-conversations/search", "/api/v1/sandboxes/search"]
    )
    def test_limits(self, app: httpx.Client, path: str, limit: str) -> None:
        status, got = answer(app, "GET", path, params={"limit": limit})
        assert (status, first_item(got)[1]) == (422, ["query", "limit"])

    @pytest.mark.parametrize("limit", [0, 101])
    def test_the_limit_of_v0_events(self, app: httpx.Client, limit: int) -> None:
        path = f"/api/conversations/{MISSING}/events"
        assert answer(app, "GET", path, params={"limit": limit}) == (400, {"detail": "Invalid limit"})

    @pytest.mark.parametrize("name", ["app-conversations", "app-conversations/start-tasks"])
    def test_batches(self, app: httpx.Client, name: str) -> None:
        with app:
            many = app.get(f"/api/v1/{name}", params={"ids": [MISSING] * 101})
            exact = app.get(f"/api/v1/{name}", params={"ids": [MISSING] * 100})
            none = app.get(f"/api/v1/{name}")
            odd = app.get(f"/api/v1/{name}", params={"ids": "nope"})
        assert [many.status_code, exact.status_code, none.status_code, odd.status_code] == [
            422,
            200,
            422,
            422,
        ]
        assert exact.json() == [None] * 100

    @pytest.mark.parametrize(
        "path",
        [
            "/api/conversations",
            "/api/v1/app-conversations/search",
            "/api/v1/app-conversations/start-tasks/search",
            "/api/v1/events/search",
            "/api/v1/sandboxes/search",
        ],
    )
    def test_invented_page_ids(self, app: httpx.Client, path: str) -> None:
        status, got = answer(app, "GET", path, params={"page_id": "invented"})
        assert (status, first_item(got)) == (422, ("value_error", ["query", "page_id"]))

    def test_unknown_actions(self, app: httpx.Client) -> None:
        status, got = answer(app, "POST", f"/api/conversations/{MISSING}/events", json={"action": "dance"})
        assert (status, first_item(got)[1][0]) == (422, "body")

    def test_fields_a_v1_start_does_not_know_are_ignored(self, app: httpx.Client) -> None:
        status, task = answer(app, "POST", "/api/v1/app-conversations", json={"unknown": 1})
        assert (status, task["status"]) == (200, "WORKING")
        assert "unknown" not in task["request"]


class TestUnknownThings:
    @pytest.mark.parametrize("verb", ["pause", "resume"])
    def test_sandboxes(self, app: httpx.Client, verb: str) -> None:
        assert answer(app, "POST", f"/api/v1/sandboxes/nope/{verb}") == (
            404,
            {"detail": "Sandbox not found: nope"},
        )

    @pytest.mark.parametrize("path", ["", "/stream-start"])
    def test_parents(self, app: httpx.Client, path: str) -> None:
        body = {"parent_conversation_id": MISSING}
        expected = {"detail": f"Parent conversation not found: {MISSING}"}
        assert answer(app, "POST", f"/api/v1/app-conversations{path}", json=body) == (404, expected)

    def test_conversations_on_the_agent_server(self, api: Api) -> None:
        one = api.start_v1()
        one.id = MISSING
        expected = {"detail": f"Conversation not found: {DASHED}"}
        for method, path, body in (
            ("GET", "", None),
            ("POST", "/run", None),
            ("POST", "/pause", None),
            ("GET", "/events/search", None),
            ("GET", "/events/count", None),
            ("GET", f"/events/{DASHED}", None),
            ("POST", "/events", {}),
            ("POST", "/events/respond_to_confirmation", {"accept": True}),
        ):
            got = one.request(method, path, json=body)
            assert (got.status_code, got.json()) == (404, expected), path

    def test_events_on_the_agent_server(self, api: Api) -> None:
        got = api.start_v1().request("GET", "/events/nope")
        assert (got.status_code, got.json()) == (404, {"detail": "Event not found: nope"})

    def test_a_page_id_of_another_conversation(self, api: Api) -> None:
        got = api.start_v1().request("GET", "/events/search", params={"page_id": DASHED})
        assert (got.status_code, first_item(got.json())) == (422, ("value_error", ["query", "page_id"]))

    def test_v0_has_no_events_for_v1(self, api: Api) -> None:
        one = api.start_v1()
        for method, path, body in (("GET", "events", None), ("POST", "message", {"message": "x"})):
            got = api.app.request(method, f"/api/conversations/{one.id}/{path}", json=body)
            assert (got.status_code, got.json()) == (404, NOT_FOUND)


class TestProtocol:
    def test_bodies_that_are_too_large(self, app: httpx.Client) -> None:
        headers = {"content-type": "application/json"}
        status, got = answer(app, "POST", "/api/conversations", content=b" " * (11 << 20), headers=headers)
        assert (status, got) == (413, {"detail": "Request Entity Too Large"})

    def test_chunked_bodies_that_are_too_large(self, app: httpx.Client) -> None:
        chunks = (b" " * (1 << 20) for _ in range(11))
        headers = {"content-type": "application/json"}
        assert answer(app, "POST", "/api/conversations", content=chunks, headers=headers)[0] == 413

    def test_what_is_not_http(self, server: ReferenceServer) -> None:
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=5) as raw:
            raw.sendall(b"NOT HTTP AT ALL\r\n\r\n")
            received = b"".join(iter(lambda: raw.recv(4096), b""))
        assert json.loads(received.rpartition(b"\r\n\r\n")[2])["detail"]

    def test_a_defect_shows_nothing(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api.server.world, "conversation", lambda _: 1 / 0)
        got = api.app.get(f"/api/conversations/{MISSING}")
        assert (got.status_code, got.json()) == (500, {"detail": "Internal Server Error"})

    @pytest.mark.parametrize("base", ["url", "agent_url"])
    def test_documents(self, server: ReferenceServer, base: str) -> None:
        url = getattr(server, base)
        document = httpx.get(f"{url}/openapi.json").json()
        page = httpx.get(f"{url}/docs").text
        for path in document["paths"]:
            assert f"<code>{path}</code>" in page
        assert "http-equiv" not in page
        assert "src=" not in page

    @pytest.mark.parametrize("base", ["url", "agent_url"])
    def test_meta(self, server: ReferenceServer, base: str) -> None:
        url = getattr(server, base)
        assert httpx.get(f"{url}/alive").json() == {"status": "ok"}
        assert httpx.get(f"{url}/health").json() == "OK"
        info = httpx.get(f"{url}/server_info").json()
        assert info["uptime"] >= 0
        assert info["idle_time"] >= 0
