"""The shell of a sandbox: off unless asked for; in the workspace, with a clean environment and a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from .commands import served
from .conftest import V1, Api, eventually, serving

EXECUTE, START = "/api/bash/execute_bash_command", "/api/bash/start_bash_command"
EVENTS = "/api/bash/bash_events"


@pytest.fixture(scope="module")
def shells() -> Iterator[Api]:
    with serving(enable_bash=True) as api:
        yield api


@pytest.fixture
def one(shells: Api) -> V1:
    return shells.start_v1()


def ask(one: V1, method: str, path: str, **kwargs: Any) -> httpx.Response:
    headers = {"X-Session-API-Key": one.key}
    return httpx.request(method, one.api.server.agent_url + path, headers=headers, timeout=30, **kwargs)


def execute(one: V1, command: str, **more: Any) -> dict[str, Any]:
    answer = ask(one, "POST", EXECUTE, json={"command": command, **more})
    assert answer.status_code == 200, answer.text
    output: dict[str, Any] = answer.json()
    return output


def search(one: V1, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ask(one, "GET", f"{EVENTS}/search", params=query).json()["items"]
    return items


@contextmanager
def listening(one: V1, **query: str) -> Iterator[ClientConnection]:
    url = one.api.server.agent_url.replace("http", "ws", 1)
    asked = "&".join(f"{name}={value}" for name, value in {"session_api_key": one.key, **query}.items())
    with connect(f"{url}/sockets/bash-events?{asked}") as socket:
        yield socket


def test_it_is_off_unless_asked_for(api: Api) -> None:
    closed = api.start_v1()
    for path in (EXECUTE, START):
        refused = ask(closed, "POST", path, json={"command": "echo hi"})
        assert refused.status_code == 403
        assert "--enable-bash" in refused.json()["detail"]
    assert search(closed) == []


def test_a_command_and_what_it_printed(one: V1) -> None:
    output = execute(one, "echo hi; echo oh >&2; exit 3")
    assert (output["kind"], output["exit_code"], output["stdout"], output["stderr"]) == (
        "BashOutput",
        3,
        "hi\n",
        "oh\n",
    )
    started, told = search(one)
    assert (started["kind"], started["id"]) == ("BashCommand", output["command_id"])
    assert told["command_id"] == started["id"]
    assert ask(one, "GET", f"{EVENTS}/{started['id']}").json() == started
    assert ask(one, "GET", f"{EVENTS}/{uuid4()}").status_code == 404


def test_it_works_in_the_workspace_with_a_clean_environment(one: V1, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    assert execute(one, "mkdir -p src && echo here > src/a.txt && env")["stdout"].count("s3cr3t") == 0
    assert ask(one, "GET", "/api/file/download//workspace/src/a.txt").text == "here\n"
    assert execute(one, "cat a.txt", cwd="/workspace/src")["stdout"] == "here\n"
    for cwd, status in (("/etc", 403), ("/workspace/none", 404), ("src", 422)):
        assert ask(one, "POST", EXECUTE, json={"command": "ls", "cwd": cwd}).status_code == status


def test_a_command_whose_time_is_up_is_killed_with_its_children(one: V1) -> None:
    begun = time.monotonic()
    output = execute(one, "sleep 60 & echo $!; wait", timeout=1)
    assert output["exit_code"] == -1
    assert time.monotonic() - begun < 20
    child = int(output["stdout"])
    eventually(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_left_in_the_background_ends_with_the_command(one: V1) -> None:
    begun = time.monotonic()
    assert execute(one, "sleep 60 & echo done")["stdout"] == "done\n"
    assert time.monotonic() - begun < 20


def test_what_is_too_much_is_cut_off(one: V1) -> None:
    output = execute(one, "head -c 5000000 /dev/zero | tr '\\0' x")
    assert output["exit_code"] == 0
    assert 1_000_000 < len(output["stdout"]) < 1_100_000
    assert output["stdout"].endswith("[output cut off]\n")


def test_no_text_is_shown_as_well_as_it_can_be(one: V1) -> None:
    assert execute(one, "printf 'a\\377b'")["stdout"] == "a\ufffdb"


def test_searching_and_forgetting(one: V1) -> None:
    first, second = execute(one, "echo 1"), execute(one, "echo 2")
    assert [event["id"] for event in search(one, kind__eq="BashOutput")] == [first["id"], second["id"]]
    about = search(one, command_id__eq=second["command_id"], sort_order="TIMESTAMP_DESC")
    assert [event["id"] for event in about] == [second["id"], second["command_id"]]
    seen, query = list[str](), {"limit": "3"}
    while True:
        page = ask(one, "GET", f"{EVENTS}/search", params=query).json()
        seen += [event["id"] for event in page["items"]]
        if page["next_page_id"] is None:
            break
        query["page_id"] = page["next_page_id"]
    assert len(set(seen)) == len(seen) == 4
    assert search(one, timestamp__gte=second["timestamp"])[-1]["id"] == second["id"]
    assert ask(one, "DELETE", EVENTS).json() == {"cleared_count": 4}
    assert search(one) == []


def test_one_sandbox_sees_nothing_of_another(shells: Api, one: V1) -> None:
    other = shells.start_v1()
    output = execute(one, "echo mine > a.txt; echo mine")
    assert search(other) == []
    assert ask(other, "GET", f"{EVENTS}/{output['id']}").status_code == 404
    assert execute(other, "ls")["stdout"] is None


def test_listening(one: V1) -> None:
    old = execute(one, "echo old")
    with listening(one) as new, listening(one, resend_all="true") as all_:
        assert [json.loads(all_.recv(10))["id"] for _ in range(2)] == [old["command_id"], old["id"]]
        new.send("no command")
        new.send(json.dumps({"command": "echo new"}))
        for socket in (new, all_):
            begun, ended = json.loads(socket.recv(10)), json.loads(socket.recv(10))
            assert (begun["command"], ended["stdout"], ended["exit_code"]) == ("echo new", "new\n", 0)


def test_listening_needs_the_key(one: V1) -> None:
    with pytest.raises(InvalidStatus) as refused, listening(one, session_api_key="wrong"):
        pass
    assert refused.value.response.status_code == 403


def test_a_paused_sandbox_rests_and_a_deleted_one_is_gone(shells: Api, one: V1) -> None:
    started = ask(one, "POST", START, json={"command": "echo $$; sleep 1000", "timeout": 900}).json()
    [printed] = eventually(lambda: search(one, command_id__eq=started["id"], kind__eq="BashOutput"))
    with listening(one) as socket:
        shells.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert ask(one, "POST", EXECUTE, json={"command": "ls"}).status_code == 503
    shells.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/resume")
    assert _alive(int(printed["stdout"]))
    shells.ok("DELETE", f"/api/v1/sandboxes/{one.sandbox_id}")
    eventually(lambda: not _alive(int(printed["stdout"])))


def test_the_end_of_the_server_is_the_end_of_commands() -> None:
    with serving(enable_bash=True) as api:
        home = api.start_v1()
        ask(home, "POST", START, json={"command": "echo $$; sleep 1000"})
        outputs = eventually(lambda: search(home, kind__eq="BashOutput"))
    eventually(lambda: not _alive(int(outputs[0]["stdout"])))


@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_the_command_line_turns_it_on(backend: str) -> None:
    with served("--backend", backend, "--enable-bash") as server, httpx.Client(base_url=server.url) as app:
        box = app.post("/api/v1/sandboxes").raise_for_status().json()
        [agent] = [one["url"] for one in box["exposed_urls"]]
        headers = {"X-Session-API-Key": box["session_api_key"]}
        with httpx.Client(base_url=agent, headers=headers, timeout=30) as client:
            for path in ("/workspace/a.txt", "%2Fworkspace%2Fb.txt"):
                client.post(f"/api/file/upload/{path}", files={"file": b"x"}).raise_for_status()
            output = client.post(EXECUTE, json={"command": "ls; exit 4"}).raise_for_status().json()
    assert (output["stdout"], output["exit_code"]) == ("a.txt\nb.txt\n", 4)
