"""Dialect `openhands-1.0`, row by row of the table where descriptions and servers disagree.

The numbers are those of the rows in `docs/deviations.md`; `reference_server/README.md` says which are left out.
Where the real server was recorded, its recording is the expectation.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from openhands_reference_server import AgentScript, Finish
from openhands_reference_server.domain.script import Act

from .conftest import MISSING, V1, Api, eventually, serving, story

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"
DIALECT = "openhands-1.0"
_RECORDED_ID = re.compile(r"(?!0{31}1)[0-9a-f]{32}")


class World(NamedTuple):
    """A server with a V0 conversation that runs, one that was stopped, and a V1 conversation at rest."""

    api: Api
    running: str
    stopped: str
    v1: V1

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the app server; {running}, {stopped}, {v1} and {missing} stand for ids."""
        return self.api.app.request(method, self._filled(path), **options)

    def ask_agent(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the agent server."""
        headers = {"X-Session-API-Key": self.v1.key}
        url = self.api.server.agent_url + self._filled(path)
        return httpx.request(method, url, headers=headers, timeout=10, **options)

    def _filled(self, path: str) -> str:
        names = {"running": self.running, "stopped": self.stopped, "v1": self.v1.id, "missing": MISSING}
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value)
        return path


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with serving(dialect=DIALECT) as api:
        running, stopped = api.create_v0(), api.create_v0()
        api.app.post(f"/api/conversations/{stopped}/stop")
        one = api.start_v1("hello")
        one.wait("finished")
        yield World(api, running, stopped, one)


def assert_as_recorded(answer: httpx.Response, sample: str, asked: str) -> None:
    """Status, type and body are those of the recording, but for the ids in it."""
    recorded = json.loads((SAMPLES / f"{sample}.json").read_text())
    assert answer.status_code == recorded["status"], answer.text
    kind = recorded["headers"].get("content-type")
    if kind is None:
        return
    assert answer.headers["content-type"] == kind
    body = answer.json() if kind == "application/json" else answer.text
    [own] = re.findall(r"[0-9a-f]{32}", asked)[:1] or [""]
    assert without_ids(body, own) == without_ids(recorded["body"], MISSING)


def without_ids(body: Any, own: str) -> Any:
    """A body in which the id that was asked for, and every recorded one, is the same word."""
    text = json.dumps(body)
    for spelling in filter(
        None, (own, own and f"{own[:8]}-{own[8:12]}-{own[12:16]}-{own[16:20]}-{own[20:]}")
    ):
        text = text.replace(spelling, "ID")
    return json.loads(_RECORDED_ID.sub("ID", text))


V0 = "/api/conversations"
BATCH = "&".join([f"ids={MISSING}"] * 100)
APP_ROWS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("2", "GET", f"{V0}/{{missing}}", {}, "v0-get-missing-200"),
    ("3", "POST", f"{V0}/{{missing}}/start", {"json": {}}, "v0-start-missing-404"),
    ("4", "POST", f"{V0}/{{missing}}/stop", {}, "v0-stop-missing-200"),
    ("5", "DELETE", f"{V0}/{{missing}}", {}, "v0-delete-missing-200"),
    ("6", "PATCH", f"{V0}/{{missing}}", {"json": {"title": "x"}}, "v0-patch-missing-404"),
    ("7 config", "GET", f"{V0}/{{missing}}/config", {}, "v0-config-missing-404"),
    ("7 events", "GET", f"{V0}/{{missing}}/events", {}, "v0-events-missing-404"),
    ("7 message", "POST", f"{V0}/{{missing}}/message", {"json": {"message": "x"}}, "v0-message-missing-404"),
    ("7 trajectory", "GET", f"{V0}/{{missing}}/trajectory", {}, "v0-trajectory-missing-404"),
    ("7 microagents", "GET", f"{V0}/{{missing}}/microagents", {}, "v0-microagents-missing-404"),
    ("7 files", "GET", f"{V0}/{{missing}}/list-files", {}, "v0-list-files-missing-404"),
    ("7 changes", "GET", f"{V0}/{{missing}}/git/changes", {}, "v0-git-changes-missing-404"),
    ("7 hosts", "GET", f"{V0}/{{missing}}/web-hosts", {}, "v0-web-hosts-missing-404"),
    ("7 zip", "GET", f"{V0}/{{missing}}/zip-directory", {}, "v0-zip-directory-missing-404"),
    ("7 prompt", "GET", f"{V0}/{{missing}}/remember-prompt?event_id=1", {}, "v0-remember-prompt-missing-404"),
    ("7 experiment", "POST", f"{V0}/{{missing}}/exp-config", {"json": {}}, "v0-exp-config-missing-200"),
    ("8 slash", "GET", f"{V0}/a%2Fb", {}, "v0-get-id-slash-404"),
    ("13", "POST", f"{V0}/{{stopped}}/start", {}, "v0-start-no-body-422"),
    ("15", "POST", f"{V0}/{{running}}/pause", {}, "v0-pause-404"),
    ("16", "POST", f"{V0}/{{stopped}}/resume", {}, "v0-resume-404"),
    ("29", "GET", f"{V0}/{{running}}/web-hosts", {}, "v0-web-hosts-200"),
    ("31", "GET", f"{V0}/{{running}}/events?limit=0", {}, "v0-events-limit-0-200"),
    ("31 above", "GET", f"{V0}/{{running}}/events?limit=101", {}, "v0-events-limit-101-400"),
    (
        "32",
        "POST",
        f"{V0}/{{stopped}}/events",
        {"json": {"action": "message", "args": {"content": "x"}}},
        "v0-events-post-stopped-500",
    ),
    ("32 message", "POST", f"{V0}/{{stopped}}/message", {"json": {"message": "x"}}, "v0-message-stopped-500"),
    (
        "33",
        "POST",
        f"{V0}/{{running}}/events",
        {"json": {"role": "user", "content": [{"type": "text", "text": "x"}]}},
        "v0-events-post-v1-message-500",
    ),
    (
        "33 action",
        "POST",
        f"{V0}/{{running}}/events",
        {"json": {"action": "dance"}},
        "v0-events-post-unknown-action-500",
    ),
    (
        "33 JSON",
        "POST",
        f"{V0}/{{running}}/events",
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        "v0-events-post-bad-json-500",
    ),
    (
        "33 of V1",
        "POST",
        f"{V0}/{{v1}}/events",
        {"json": {"action": "message", "args": {"content": "x"}}},
        "v0-events-post-of-v1-404",
    ),
    (
        "34 outside",
        "GET",
        f"{V0}/{{running}}/select-file?file=/etc/hostname",
        {},
        "v0-select-file-outside-500",
    ),
    ("34 list", "GET", f"{V0}/{{running}}/list-files?path=/nope", {}, "v0-list-files-missing-path-500"),
    (
        "34 feedback",
        "POST",
        f"{V0}/{{running}}/submit-feedback",
        {"json": {}},
        "v0-submit-feedback-invalid-500",
    ),
    ("43", "GET", f"{V0}?page_id=garbage", {}, "v0-list-page-id-garbage-500"),
    ("43 nothing", "GET", f"{V0}?limit=0", {}, "v0-list-limit-0-200"),
    ("45", "GET", f"/feedback/conversation/{MISSING}/batch", {}, "v0-feedback-get-404"),
    ("54 start", "POST", f"{V0}/{{v1}}/start", {"json": {}}, "v0-start-of-v1-404"),
    ("54 stop", "POST", f"{V0}/{{v1}}/stop", {}, "v0-stop-of-v1-200"),
    ("54 events", "GET", f"{V0}/{{v1}}/events", {}, "v0-events-of-v1-404"),
    ("55", "DELETE", "/api/v1/app-conversations/{v1}", {}, "v1-delete-single-404"),
    (
        "64",
        "POST",
        "/api/v1/app-conversations",
        {"json": {"parent_conversation_id": MISSING}},
        "v1-start-unknown-parent-500",
    ),
    ("66", "GET", f"/api/v1/app-conversations?{BATCH}", {}, "v1-batch-get-100-ids-500"),
    ("67", "GET", "/api/v1/app-conversations/search?limit=101", {}, "v1-search-limit-101-500"),
    ("68", "GET", "/api/v1/app-conversations/search?limit=0", {}, "v1-search-limit-0-422"),
    (
        "72",
        "GET",
        "/api/v1/events/search?conversation_id__eq={v1}&timestamp__gte=2026-11-20T00:00:00Z",
        {},
        "v1-events-search-tz-aware-500",
    ),
    ("108 path", "DELETE", "/api/v1/sandboxes/nope", {}, "v1-sandbox-delete-path-only-422"),
    ("108 both", "DELETE", "/api/v1/sandboxes/nope?sandbox_id=nope", {}, "v1-sandbox-delete-with-query-404"),
    ("108 pause", "POST", "/api/v1/sandboxes/nope/pause", {}, "v1-sandbox-pause-missing-404"),
    ("109", "POST", "/api/v1/sandboxes?sandbox_spec_id=nope", {}, "v1-sandbox-start-bad-spec-500"),
]


@pytest.mark.parametrize(("row", "method", "path", "options", "sample"), APP_ROWS)
def test_app_server(
    world: World, row: str, method: str, path: str, options: dict[str, Any], sample: str
) -> None:
    answer = world.ask(method, path, **options)
    assert_as_recorded(answer, sample, str(answer.request.url.path))


OF_NOBODY = "/api/conversations/{missing}"
HERE = "/api/conversations/{v1}"
AGENT_ROWS: list[tuple[str, str, str, dict[str, Any], str]] = [
    (
        "60",
        "POST",
        f"{HERE}/events",
        {"json": {"role": "assistant"}},
        "v1-agent-events-post-assistant-role-500",
    ),
    ("67", "GET", "/api/conversations/search?limit=101", {}, "v1-agent-search-limit-101-500"),
    ("75 relative", "GET", "/api/file/download/a.txt", {}, "v1-agent-download-relative-400"),
    ("75 missing", "GET", "/api/file/download//workspace/nope.txt", {}, "v1-agent-download-missing-404"),
    (
        "75 upload",
        "POST",
        "/api/file/upload/relative.txt",
        {"files": {"file": b"x"}},
        "v1-agent-upload-relative-500",
    ),
    (
        "75 query",
        "POST",
        "/api/file/upload?path=/workspace/x.txt",
        {"files": {"file": b"x"}},
        "v1-agent-upload-query-path-307",
    ),
    ("78", "GET", "/api/git/changes//workspace/nope", {}, "v1-agent-git-changes-missing-dir-500"),
    ("81 pause", "POST", f"{OF_NOBODY}/pause", {}, "v1-agent-pause-unknown-400"),
    ("81 delete", "DELETE", OF_NOBODY, {}, "v1-agent-delete-unknown-400"),
    ("82", "PATCH", OF_NOBODY, {"json": {"title": "x"}}, "v1-agent-patch-unknown-200"),
    ("84", "POST", f"{OF_NOBODY}/generate_title", {"json": {}}, "v1-agent-generate-title-unknown-500"),
    ("85", "GET", f"{HERE}/events/nope", {}, "v1-agent-event-get-missing-500"),
    ("85 batch", "GET", f"{HERE}/events", {"json": ["nope"]}, "v1-agent-events-batch-body-missing-500"),
    ("86 ask", "POST", f"{OF_NOBODY}/ask_agent", {"json": {"question": "?"}}, "v1-agent-ask-unknown-500"),
    ("88", "GET", "/health", {}, "v1-agent-health-200"),
    ("90", "GET", "/api/file/download-trajectory/{missing}", {}, "v1-agent-download-trajectory-unknown-500"),
    ("106", "GET", "/api/vscode/url", {}, "v1-agent-vscode-url-503"),
    ("106 desktop", "GET", "/api/desktop/url", {}, "v1-agent-desktop-url-503"),
    ("4.3 get", "GET", OF_NOBODY, {}, "v1-agent-get-missing-404"),
    ("4.3 run", "POST", f"{OF_NOBODY}/run", {}, "v1-agent-run-unknown-404"),
    ("4.4", "GET", f"{OF_NOBODY}/events/search", {}, "v1-agent-events-search-unknown-conversation-404"),
]


@pytest.mark.parametrize(("row", "method", "path", "options", "sample"), AGENT_ROWS)
def test_agent_server(
    world: World, row: str, method: str, path: str, options: dict[str, Any], sample: str
) -> None:
    answer = world.ask_agent(method, path, **options)
    assert_as_recorded(answer, sample, str(answer.request.url.path))


# -- what takes more than one request -----------------------------------------------------------------------


def test_8_ids_are_looked_at_by_some_operations_only(world: World) -> None:
    assert world.ask("GET", f"{V0}/{'a' * 101}").json() == {"detail": "Conversation ID is too long"}
    answer = world.ask("GET", f"{V0}/{'a' * 101}/config")
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Conversation {'a' * 101} not found"})


def test_14_stop_tells_the_status_before(world: World) -> None:
    other = world.api.create_v0()
    told = world.ask("POST", f"{V0}/{other}/stop").json()
    assert (told["message"], told["conversation_status"]) == ("Conversation stopped successfully", "RUNNING")
    assert world.ask("GET", f"{V0}/{other}").json()["status"] == "STOPPED"


def test_20_a_v0_conversation_never_says_that_it_is_ready(world: World) -> None:
    assert world.ask("GET", f"{V0}/{{running}}").json()["runtime_status"] == "STATUS$RUNTIME_STARTED"


def test_30_the_filter_of_events_is_in_the_body(world: World) -> None:
    told = world.api.create_v0(initial_user_msg="hello")
    world.api.wait_agent_state(told, "finished")
    everything = world.ask("GET", f"{V0}/{told}/events?limit=100").json()["events"]
    by_query = world.ask("GET", f"{V0}/{told}/events", params={"limit": 100, "filter": '{"source":"user"}'})
    by_body = world.ask("GET", f"{V0}/{told}/events?limit=100", json={"source": "user"})
    assert by_query.json()["events"] == everything
    assert {event["source"] for event in by_body.json()["events"]} == {"user"}
    assert world.ask("GET", f"{V0}/{told}/events?start_id=-5").json()["events"][0]["id"] == 0


def test_34_a_missing_file_is_no_404(world: World) -> None:
    answer = world.ask("GET", f"{V0}/{{running}}/select-file?file=nope.txt")
    assert (answer.status_code, answer.json()["error"][:20]) == (500, "Error opening file: ")


def test_43_pages_lose_conversations() -> None:
    with serving(dialect=DIALECT) as api:
        for _ in range(2):
            api.create_v0()
            api.start_v1()
        page = api.ok("GET", f"{V0}?limit=3")
        assert (len(page["results"]), page["next_page_id"]) == (3, None), "and the fourth is on no page"
        assert len(api.ok("GET", f"{V0}?limit=1000")["results"]) == 4
        first = api.ok("GET", f"{V0}?limit=1")
        assert json.loads(base64.b64decode(first["next_page_id"])) == {"v0": "MQ==", "v1": "1"}
        page_id, seen = first["next_page_id"], [first["results"][0]["conversation_id"]]
        while page_id is not None and len(seen) < 10:
            following = api.ok("GET", V0, params={"limit": 1, "page_id": page_id})
            seen += [one["conversation_id"] for one in following["results"]]
            page_id = following["next_page_id"]
        assert len(set(seen)) < 4


def test_26_lists_show_nobody_connected(world: World) -> None:
    assert {one["num_connections"] for one in world.ask("GET", V0).json()["results"]} == {0}


def test_57_a_content_item_is_not_that_of_the_documents(world: World) -> None:
    content = [{"type": "image_url", "image_url": {"url": "http://localhost/a.png"}}]
    assert world.ask_agent("POST", f"{HERE}/events", json={"content": content}).status_code == 422


def test_59_62_initial_messages_run_and_titles_wait(world: World) -> None:
    message = {"content": [{"type": "text", "text": "hello"}], "run": False}
    one = world.api.start_v1(initial_message=message, title="Mine")
    one.wait("finished")
    assert world.api.info(one.id)["title"] == "hello"


def test_64_a_stream_with_an_unknown_parent_breaks_off(world: World) -> None:
    answer = world.ask(
        "POST", "/api/v1/app-conversations/stream-start", json={"parent_conversation_id": MISSING}
    )
    assert (answer.status_code, answer.text) == (200, "[\n")


def test_65_an_unknown_sandbox_fails_the_task(world: World) -> None:
    task = world.api.ok("POST", "/api/v1/app-conversations", json={"sandbox_id": "nope"})
    failed = world.api.wait_task(task["id"])
    assert (failed["status"], failed["detail"]) == ("ERROR", "500: Sandbox not found: nope")


def test_2_4_a_start_in_a_paused_sandbox_works_the_second_time(world: World) -> None:
    home = world.api.start_v1().sandbox_id
    world.api.ok("POST", f"/api/v1/sandboxes/{home}/pause")
    task = world.api.ok("POST", "/api/v1/app-conversations", json={"sandbox_id": home})
    failed = world.api.wait_task(task["id"])
    assert (failed["status"], failed["detail"]) == ("ERROR", f"500: Sandbox not startable: {home}")
    assert world.api.start_v1(sandbox_id=home).sandbox_id == home


def test_71_one_event_is_lost_between_two_pages(world: World) -> None:
    query = {"conversation_id__eq": world.v1.id, "limit": 2}
    whole = world.ask("GET", "/api/v1/events/search", params={**query, "limit": 100}).json()["items"]
    page = world.ask("GET", "/api/v1/events/search", params=query).json()
    seen = [event["id"] for event in page["items"]]
    while page["next_page_id"] is not None:
        params = {**query, "page_id": page["next_page_id"]}
        page = world.ask("GET", "/api/v1/events/search", params=params).json()
        seen += [event["id"] for event in page["items"]]
    kept = [event["id"] for number, event in enumerate(whole) if number % 3 != 2]
    assert seen == kept


def test_72_times_without_zone_can_be_compared(world: World) -> None:
    path = "/api/v1/events/count?conversation_id__eq={v1}&timestamp__gte=2020-01-01T00:00:00"
    assert world.ask("GET", path).json() > 5


def test_79_80_run_blocks_until_the_run_ends() -> None:
    def acts(message: str, number: int) -> Iterator[Act]:
        yield Finish()

    with serving(dialect=DIALECT, script=AgentScript(acts=acts, step_delay=0.02)) as api:
        one = api.start_v1()
        one.say("hello", run=False)
        assert one.ok("POST", "/run") == {"success": True}
        assert one.status == "finished"


def test_87_the_connection_is_reset_behind_a_500(world: World) -> None:
    url = httpx.URL(world.api.server.agent_url)
    request = (
        f"GET /api/conversations/{world.v1.id}/events/nope HTTP/1.1\r\n"
        f"Host: x\r\nX-Session-API-Key: {world.v1.key}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 0), timeout=10) as raw:
        raw.sendall(request.encode())
        received = b""
        while not received.endswith(b"}"):
            received += raw.recv(65536)
        assert received.startswith(b"HTTP/1.1 500")
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


def test_91_kinds_are_asked_for_by_their_full_path(world: World) -> None:
    path = "openhands.sdk.event.llm_convertible.message.MessageEvent"
    assert world.v1.events(kind="MessageEvent") == []
    assert story(world.v1.events(kind=path)) == ["user says"]


def test_108_the_path_of_a_deletion_does_not_count(world: World) -> None:
    home = world.api.start_v1().sandbox_id
    assert world.api.ok("DELETE", "/api/v1/sandboxes/anything", params={"sandbox_id": home}) == {
        "success": True
    }
    assert world.api.ok("GET", "/api/v1/sandboxes", params={"id": home}) == [None]


def test_111_without_settings_there_is_no_user(world: World) -> None:
    answer = world.ask("GET", "/api/v1/users/me")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_a_slash_too_many_is_sent_on(world: World) -> None:
    answer = world.ask("GET", f"{V0}/?limit=1")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{world.api.server.url}{V0}?limit=1")
    assert_as_recorded(answer, "v0-get-empty-307", "")


def test_an_invalid_replay_is_noticed_too_late(world: World) -> None:
    created = world.api.ok("POST", V0, json={"replay_json": "no JSON"})
    assert created["status"] == "ok"
    eventually(lambda: world.ask("GET", f"{V0}/{created['conversation_id']}").json()["status"] == "RUNNING")


class TestSocketIO:
    """What the client hears first is the replay, whichever way it connects."""

    def test_the_replay_comes_before_the_connection_is_confirmed(self, world: World) -> None:
        told = world.api.create_v0(initial_user_msg="hello")
        world.api.wait_agent_state(told, "finished")
        packets = list(polled(world.api, told))
        assert packets[0].startswith('42["oh_event"')
        confirmed = next(number for number, packet in enumerate(packets) if packet.startswith("40"))
        replayed = [json.loads(packet[2:])[1] for packet in packets[:confirmed]]
        assert len(replayed) > 3
        assert replayed[-1]["observation"] == "agent_state_changed"


def polled(api: Api, conversation_id: str) -> Iterator[str]:
    """Packets of Engine.IO by long-polling, up to the one that confirms the connection."""
    query = {"EIO": "4", "transport": "polling", "conversation_id": conversation_id}
    opened = api.app.get("/socket.io/", params=query)
    query["sid"] = json.loads(opened.text[1:])["sid"]
    assert api.app.post("/socket.io/", params=query, content="40").text == "OK"
    confirmed = False
    while not confirmed:
        for packet in api.app.get("/socket.io/", params=query).text.split("\x1e"):
            confirmed = confirmed or packet.startswith("40")
            yield packet
    api.app.post("/socket.io/", params=query, content="41")
