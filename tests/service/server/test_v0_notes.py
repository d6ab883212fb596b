"""What V0 conversations hold besides files, what people say of them, and settings: over sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from openhands_client import NotFoundError, OpenHands

from .conftest import MISSING, Api, serving

SECRET = "ghp-very-secret"
ORIGINS = ("http://localhost:5173", "http://127.0.0.1:3000", "https://localhost", "http://[::1]:8000")
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-session-api-key"}
FEEDBACK = {"email": "a@b", "version": "1.0", "permissions": "private", "polarity": "positive"}


def place(conversation_id: str, rest: str) -> str:
    return f"/api/conversations/{conversation_id}/{rest}"


@pytest.fixture
def one(api: Api) -> str:
    """A V0 conversation that has come to rest."""
    conversation_id = api.create_v0(initial_user_msg="Say hello")
    api.wait_agent_state(conversation_id, "finished")
    return conversation_id


class TestContents:
    def test_the_trajectory_is_all_there_is_to_see(self, api: Api, one: str) -> None:
        hidden = {"action": "think", "args": {"thought": "psst", "hidden": True}}
        assert api.ok("POST", place(one, "events"), json=hidden) == {"success": True}
        events = api.v0_events(one)
        assert events[-1]["args"]["hidden"] is True
        assert api.ok("GET", place(one, "trajectory")) == {"trajectory": events[:-1]}
        api.ok("POST", place(one, "stop"))
        assert api.ok("GET", place(one, "trajectory"))["trajectory"][:-1] == events[:-1]

    def test_a_prompt_remembers_an_event(self, api: Api, one: str) -> None:
        [said] = [event for event in api.v0_events(one) if event.get("action") == "message"]
        path = place(one, f"remember-prompt?event_id={said['id']}")
        answer = api.ok("GET", path)
        assert answer["status"] == "success"
        assert "> Say hello" in answer["prompt"]
        assert api.ok("GET", path) == answer
        for event in api.v0_events(one):
            assert api.ok("GET", place(one, f"remember-prompt?event_id={event['id']}"))["prompt"]

    @pytest.mark.parametrize(
        ("query", "status"), [("?event_id=9999", 404), ("?event_id=-1", 422), ("", 422), ("?event_id=x", 422)]
    )
    def test_there_is_no_prompt_without_an_event(self, api: Api, one: str, query: str, status: int) -> None:
        assert api.app.get(place(one, f"remember-prompt{query}")).status_code == status

    def test_there_is_no_prompt_of_a_hidden_event(self, api: Api, one: str) -> None:
        api.ok("POST", place(one, "events"), json={"action": "think", "args": {"hidden": True}})
        last = api.v0_events(one)[-1]["id"]
        answer = api.app.get(place(one, f"remember-prompt?event_id={last}"))
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", "event_id"]

    def test_an_experiment_is_noted_once(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one = api.create_v0()
            for config in (None, {"variant": "a"}, {"variant": "b"}):
                assert api.ok("POST", place(one, "exp-config"), json={"config": config}) is False
            assert api.app.post(place(one, "exp-config"), json={"config": "x"}).status_code == 422
            assert api.app.post(place(MISSING, "exp-config"), json={}).status_code == 404
            log = (tmp_path / "conversations" / one / "events.jsonl").read_text()
            assert log.count('"experiment"') == 1
            assert '"variant":"a"' in log

    def test_conversations_about_microagents_are_found(self, api: Api) -> None:
        def about(repository: str) -> str:
            body = {"create_microagent": {"repo": repository}}
            return str(api.ok("POST", "/api/conversations", json=body)["conversation_id"])

        wanted = [about("acme/app"), about("acme/app")]
        about("acme/other")
        api.ok("POST", "/api/conversations", json={"repository": "acme/app"})
        path, query = "/api/microagent-management/conversations", {"selected_repository": "acme/app"}
        found: list[str] = []
        page_id: str | None = None
        while page_id is not None or not found:
            page = api.ok(
                "GET", path, params={**query, "limit": 1, **({"page_id": page_id} if page_id else {})}
            )
            found += [one["conversation_id"] for one in page["results"]]
            page_id = page["next_page_id"]
        assert found == wanted[::-1]
        assert api.app.get(path).status_code == 422
        assert api.app.get(path, params={**query, "page_id": "garbage"}).status_code == 422


class TestFeedback:
    def test_ratings_are_kept_and_replaced(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one, other = api.create_v0(), api.start_v1().id
            self.rate(api, one, rating=1, event_id=3)
            self.rate(api, one, rating=4, event_id=3, reason="better", metadata={"source": "likert-scale"})
            self.rate(api, one, rating=5)
            self.rate(api, other, rating=2, event_id=0)
        with serving(data_dir=tmp_path) as api:
            rated = {"exists": True, "rating": 4, "reason": "better", "metadata": {"source": "likert-scale"}}
            assert api.ok("GET", f"/feedback/conversation/{one}/3") == rated
            assert api.ok("GET", f"/feedback/conversation/{one}/4") == {"exists": False}
            assert api.ok("GET", f"/feedback/conversation/{one}/batch") == {"3": rated}
            assert api.ok("GET", f"/feedback/conversation/{other}/batch")["0"]["rating"] == 2
            api.ok("DELETE", f"/api/conversations/{one}")
            assert api.app.get(f"/feedback/conversation/{one}/batch").status_code == 404

    def rate(self, api: Api, conversation_id: str, **rating: Any) -> None:
        answer = api.ok("POST", "/feedback/conversation", json={"conversation_id": conversation_id, **rating})
        assert answer == {"status": "success", "message": "Feedback stored"}

    @pytest.mark.parametrize(
        "change", [{"rating": 0}, {"rating": 6}, {"rating": None}, {"event_id": -1}, {"reason": 3}]
    )
    def test_strange_ratings_are_refused(self, api: Api, one: str, change: dict[str, Any]) -> None:
        body = {"conversation_id": one, "rating": 3, **change}
        assert api.app.post("/feedback/conversation", json=body).status_code == 422
        assert api.ok("GET", f"/feedback/conversation/{one}/batch") == {}

    def test_feedback_stays_with_the_conversation(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one = api.create_v0()
            answer = api.ok("POST", place(one, "submit-feedback"), json=FEEDBACK)
            assert answer["status"] == "success"
            log = (tmp_path / "conversations" / one / "events.jsonl").read_text()
            assert answer["body"]["feedback_id"] in log
            for wrong in ({}, {**FEEDBACK, "polarity": "none"}, {**FEEDBACK, "permissions": "all"}):
                assert api.app.post(place(one, "submit-feedback"), json=wrong).status_code == 422
            assert api.app.post(place(MISSING, "submit-feedback"), json=FEEDBACK).status_code == 404


class TestSettings:
    def test_what_a_front_end_loads_first(self, api: Api) -> None:
        assert api.ok("GET", "/api/options/config") == {
            "APP_MODE": "oss",
            "GITHUB_CLIENT_ID": "",
            "POSTHOG_CLIENT_KEY": "",
            "FEATURE_FLAGS": {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
        }
        assert api.ok("GET", "/api/options/models") == ["reference/scripted"]
        assert api.ok("GET", "/api/options/agents") == ["CodeActAgent"]
        assert api.ok("GET", "/api/options/security-analyzers") == []
        for route in ("info", "repositories"):
            answer = api.app.get(f"/api/user/{route}")
            assert (answer.status_code, answer.json()) == (401, "Git provider token required")

    def test_settings_survive_and_keys_never_come_back(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serving(data_dir=tmp_path) as api:
            answer = api.app.get("/api/settings")
            assert (answer.status_code, answer.json()) == (404, {"error": "Settings not found"})
            given = {"llm_api_key": SECRET, "language": "de", "llm_api_key_set": False, "unknown": 1}
            assert api.ok("POST", "/api/settings", json=given) == {"message": "Settings stored"}
        with serving(data_dir=tmp_path) as api:
            shown = api.ok("GET", "/api/settings")
            assert (shown["language"], shown["llm_api_key"], shown["llm_api_key_set"]) == ("de", None, True)
            assert api.ok("POST", "/api/settings", json={**shown, "user_consents_to_analytics": False})
            again = api.ok("GET", "/api/settings")
            assert again == {**shown, "user_consents_to_analytics": False}
            assert api.app.post("/api/settings", json={"language": 3}).status_code == 422
            assert SECRET not in str(shown)
        self.assert_unreadable(tmp_path, caplog)

    def test_secrets_live_and_are_never_shown(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with serving(data_dir=tmp_path) as api:
            assert api.ok("GET", "/api/secrets") == {"custom_secrets": []}
            body = {"name": "NPM_TOKEN", "value": SECRET, "description": "for publishing"}
            answer = api.app.post("/api/secrets", json=body)
            assert (answer.status_code, answer.json()) == (201, {"message": "Secret created successfully"})
            assert api.app.post("/api/secrets", json=body).status_code == 409
            shown = {"name": "NPM_TOKEN", "description": "for publishing"}
            assert api.ok("GET", "/api/secrets") == {"custom_secrets": [shown]}
            api.ok("PUT", "/api/secrets/NPM_TOKEN", json={"name": "TOKEN"})
        with serving(data_dir=tmp_path) as api:
            assert api.ok("GET", "/api/secrets") == {
                "custom_secrets": [{"name": "TOKEN", "description": None}]
            }
            assert api.app.put("/api/secrets/NPM_TOKEN", json={"name": "A"}).status_code == 404
            for name in ("", "../x", "a b", "a" * 201):
                assert api.app.post("/api/secrets", json={**body, "name": name}).status_code == 422
            api.ok("DELETE", "/api/secrets/TOKEN")
            answer = api.app.delete("/api/secrets/TOKEN")
            assert (answer.status_code, answer.json()) == (404, {"error": "Secret not found: TOKEN"})
        self.assert_unreadable(tmp_path, caplog)

    def assert_unreadable(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        everything = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
        assert SECRET.encode() not in everything
        assert SECRET not in caplog.text

    def test_with_a_key_nobody_else_reads_them(self) -> None:
        with serving(session_api_key="the key") as api:
            for path in ("/api/settings", "/api/secrets", "/api/options/config", "/api/user/info"):
                assert api.app.get(path).json() == {"detail": "Unauthorized"}


class TestForeignPages:
    @pytest.mark.parametrize("origin", ORIGINS)
    def test_pages_from_this_machine_may_call(self, api: Api, origin: str) -> None:
        one = api.start_v1()
        for url in (api.server.url, api.server.agent_url):
            path = f"{url}/api/conversations/{one.id}"
            asked = httpx.options(path, headers={"Origin": origin, **PREFLIGHT})
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-headers"] == "x-session-api-key"
            assert "PATCH" in asked.headers["access-control-allow-methods"]
            for answer in (asked, httpx.get(path, headers={"Origin": origin}), self.not_found(url, origin)):
                assert answer.headers["access-control-allow-origin"] == origin
                assert answer.headers["access-control-allow-credentials"] == "true"
                assert answer.headers["vary"] == "Origin"

    def not_found(self, url: str, origin: str) -> httpx.Response:
        answer = httpx.get(f"{url}/nothing", headers={"Origin": origin})
        assert answer.status_code == 404
        return answer

    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "file://localhost", "http://localhost.evil.example", "http://[", ""],
    )
    def test_others_may_not(self, api: Api, origin: str) -> None:
        answer = api.app.get("/api/settings", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        answer = api.app.options("/api/settings", headers={"Origin": origin, **PREFLIGHT})
        assert answer.status_code == 405

    def test_a_key_is_still_needed(self) -> None:
        with serving(session_api_key="the key") as api:
            headers = {"Origin": ORIGINS[0]}
            assert api.app.options("/api/settings", headers={**headers, **PREFLIGHT}).status_code == 204
            answer = api.app.get("/api/settings", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["access-control-allow-origin"] == ORIGINS[0]


def test_our_own_client_says_it_all(api: Api, one: str) -> None:
    with OpenHands(base_url=api.server.url, api="v0") as client:
        assert "> Say hello" in client.v0.get_microagent_prompt(one, 2)
        assert client.v0.add_experiment_config(one, {"variant": "a"}) is False
        assert client.v0.submit_feedback(one, FEEDBACK).status == "success"
        assert client.v0.submit_conversation_feedback(one, 5, event_id=3, reason="good").status == "success"
        assert client.v0.check_feedback_exists(one, 3).rating == 5
        assert client.v0.check_feedback_exists(one, 4).exists is False
        assert list(client.v0.get_batch_feedback(one)) == ["3"]
        assert client.v0.get_microagent_management_conversations("acme/app").results == []

        assert client.settings.get_config()["APP_MODE"] == "oss"
        assert client.settings.list_models() == ["reference/scripted"]
        assert client.settings.list_agents() == ["CodeActAgent"]
        assert client.settings.list_security_analyzers() == []
        with pytest.raises(NotFoundError):
            client.settings.get_settings()
        client.settings.store_settings({"llm_api_key": SECRET})
        assert client.settings.get_settings()["llm_api_key_set"] is True
        client.settings.create_secret("A", SECRET, "what for")
        client.settings.update_secret("A", "B")
        assert client.settings.list_secrets() == {"custom_secrets": [{"name": "B", "description": None}]}
        client.settings.delete_secret("B")
