"""What belongs to one user concerns no other: needs the keys of two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from openhands_contract.bench import Answer, Api, Bench
from openhands_contract.checks import checks
from openhands_contract.outcome import NotReached, Skipped
from openhands_contract.streams import V0Stream
from openhands_contract.v0 import CONVERSATIONS as V0_CONVERSATIONS
from openhands_contract.v0 import path
from openhands_contract.v1 import CONVERSATIONS, SANDBOXES, TASKS, Started, user_message

_EVENTS = "/api/v1/events"
_FORBIDDEN = (401, 403, 404)


def _stranger(bench: Bench) -> Api:
    """The second user.

    Raises:
        Skipped: there is none, or the server takes both keys for the same user.
        NotReached: the server does not let the second user in.
    """
    stranger = bench.stranger
    if bench.lab.site.second_api_key == bench.lab.access.key:
        raise Skipped("--second-api-key is the key of the first user")
    if stranger.get(f"{CONVERSATIONS}/count").status == 401:
        raise NotReached("prerequisite: the server does not know the key of the second user (401)")
    return stranger


def _hidden(answer: Answer, secret: str) -> None:
    """Hold an answer to a stranger to saying nothing."""
    gives = 200 <= answer.status < 300 and answer.exchange.body.strip() not in (
        b"null",
        b"false",
        b"[null]",
        b"[]",
        b"0",
    )
    answer.expect(not gives, f"a status of {', '.join(map(str, _FORBIDDEN))}, or nothing", answer.text)
    answer.expect(answer.status < 500, "a refusal, no server error", answer.status)
    answer.expect(secret not in answer.text, f"nothing of it is told: {secret}", answer.text)


def _nothing(answer: Answer, empty: Any) -> None:
    """Hold an answer to a stranger to a refusal, or to this."""
    if answer.must(200, *_FORBIDDEN).status == 200:
        answer.expect(answer.json == empty, f"the answer is {json.dumps(empty)}, or a refusal", answer.text)


# ---- V0 ------------------------------------------------------------------------------------------------------


def _mine(bench: Bench) -> str:
    """A V0 conversation of the first user, with a history."""
    return bench.v0.finished("For my eyes only.")


@checks("USER-V0-01")
def listed(bench: Bench) -> None:
    """Creates a conversation and lists those of the other user."""
    stranger, identifier = _stranger(bench), bench.v0.new()
    answer = stranger.get(V0_CONVERSATIONS, {"limit": 100}).must(200)
    found = [entry["conversation_id"] for entry in answer.pick("results")]
    answer.expect(identifier not in found, "the list has no conversation of another user", found)


@checks("USER-V0-02")
def read(bench: Bench) -> None:
    """Reads a conversation and all that is below it as the other user."""
    stranger, identifier = _stranger(bench), _mine(bench)
    for rest in (
        "",
        "/events",
        "/trajectory",
        "/config",
        "/microagents",
        "/vscode-url",
        "/web-hosts",
        "/git/changes",
    ):
        _hidden(stranger.get(path(identifier, rest)), "For my eyes only.")


@checks("USER-V0-03")
def changed(bench: Bench) -> None:
    """Renames, stops, pauses, starts and deletes a conversation as the other user, and reads it as its owner."""
    stranger, identifier = _stranger(bench), bench.v0.running()
    before = bench.v0.status(identifier).needs(200)
    _hidden(stranger.patch(path(identifier), {"title": "Somebody was here"}), "Somebody was here")
    for verb in ("/stop", "/pause", "/start"):
        _hidden(stranger.post(path(identifier, verb), {}), identifier if verb == "/start" else "STOPPED")
    _hidden(stranger.delete(path(identifier)), "true")
    after = bench.v0.status(identifier).must(200)
    after.has(title=before.pick("title"), status="RUNNING")


@checks("USER-V0-04")
def spoken_to(bench: Bench) -> None:
    """Sends a message and an action as the other user, and reads the events as the owner."""
    stranger, identifier = _stranger(bench), _mine(bench)
    text = "Somebody was here"
    _hidden(stranger.post(path(identifier, "/message"), {"message": text}), text)
    action = {"action": "message", "args": {"content": text}}
    _hidden(stranger.post(path(identifier, "/events"), action), text)
    said = [event for event in bench.v0.events(identifier) if text in str(event.get("args"))]
    bench.expect(not said, "nothing is stored", said)


@checks("USER-V0-05")
def files(bench: Bench) -> None:
    """Puts a file into a conversation, and reads, lists, downloads and uploads as the other user."""
    stranger, identifier = _stranger(bench), bench.v0.running()
    own = [("files", ("mine.txt", b"For my eyes only.", "text/plain"))]
    with bench.arranging("an uploaded file"):
        bench.app.post(path(identifier, "/upload-files"), files=own).needs(200)
    _hidden(stranger.get(path(identifier, "/select-file"), {"file": "mine.txt"}), "For my eyes only.")
    _hidden(stranger.get(path(identifier, "/list-files")), "mine.txt")
    _hidden(stranger.get(path(identifier, "/zip-directory")), "mine.txt")
    theirs = [("files", ("theirs.txt", b"Somebody was here", "text/plain"))]
    _hidden(stranger.post(path(identifier, "/upload-files"), files=theirs), "/theirs.txt")
    entries = bench.app.get(path(identifier, "/list-files")).must(200)
    entries.expect("theirs.txt" not in entries.text, "no file of the other user is there", entries.text)


@checks("USER-V0-06")
def listened_to(bench: Bench) -> None:
    """Connects to a conversation with Socket.IO as the other user."""
    stranger, identifier = _stranger(bench), _mine(bench)
    key = bench.lab.site.second_api_key
    query = {"EIO": "4", "transport": "websocket", "conversation_id": identifier, "session_api_key": key}
    headers = stranger.headers if bench.lab.access.bearer else {}
    stream = V0Stream(bench, "app-server", f"{stranger.origin}/socket.io/", query, headers)
    if stream.accepted:
        stream.until(
            lambda: stream.answered() or stream.frames, "the server lets the client in, or says why not"
        )
    stream.expect(not stream.confirmed and not stream.frames, "the client is refused", "it is let in")


# ---- V1 ------------------------------------------------------------------------------------------------------


def _started(bench: Bench) -> Started:
    return bench.v1.shared()


def _names(answer: Answer) -> list[str]:
    items: list[Mapping[str, Any]] = answer.must(200).pick("items")
    return [str(item["id"]).replace("-", "") for item in items]


@checks("USER-V1-01")
def asked_for(bench: Bench) -> None:
    """Asks for a conversation by its id as the other user."""
    stranger, started = _stranger(bench), _started(bench)
    _nothing(stranger.get(CONVERSATIONS, {"ids": started.id}), [None])


@checks("USER-V1-02")
def searched_for(bench: Bench) -> None:
    """Searches and counts conversations as the other user."""
    stranger, started = _stranger(bench), _started(bench)
    answer = stranger.get(f"{CONVERSATIONS}/search")
    answer.expect(
        started.id not in _names(answer), "the search has no conversation of another user", answer.text
    )
    _nothing(stranger.get(f"{CONVERSATIONS}/count", {"sandbox_id__eq": started.sandbox_id}), 0)


@checks("USER-V1-03")
def start_tasks(bench: Bench) -> None:
    """Asks for the start tasks of a conversation, and searches them, as the other user."""
    stranger, started = _stranger(bench), _started(bench)
    one = {"conversation_id__eq": started.id}
    with bench.arranging("the start task of a conversation"):
        tasks = _names(bench.app.get(f"{TASKS}/search", one))
        bench.expect(tasks, "the owner finds the task")
    _nothing(stranger.get(TASKS, {"ids": tasks[0]}), [None])
    found = stranger.get(f"{TASKS}/search").must(200)
    found.expect(tasks[0] not in _names(found), "the search has no task of another user", found.text)


@checks("USER-V1-04")
def sandboxes(bench: Bench) -> None:
    """Asks for a sandbox, and searches sandboxes, as the other user."""
    stranger, started = _stranger(bench), _started(bench)
    _nothing(stranger.get(SANDBOXES, {"id": started.sandbox_id}), [None])
    found = stranger.get(f"{SANDBOXES}/search").must(200)
    listed = [item["id"] for item in found.pick("items")]
    found.expect(started.sandbox_id not in listed, "the search has no sandbox of another user", listed)


@checks("USER-V1-05")
def paused(bench: Bench) -> None:
    """Pauses and deletes a sandbox as the other user, and reads it as its owner."""
    stranger, started = _stranger(bench), bench.v1.new()
    place = f"{SANDBOXES}/{started.sandbox_id}"
    stranger.post(f"{place}/pause").must(*_FORBIDDEN)
    stranger.delete(f"{place}?sandbox_id={started.sandbox_id}").must(*_FORBIDDEN, 422)
    answer = bench.app.get(SANDBOXES, {"id": started.sandbox_id}).must(200)
    answer.expect(
        answer.pick(0) and answer.pick(0, "status") == "RUNNING", "the sandbox is RUNNING", answer.text
    )


@checks("USER-V1-06")
def moved_in(bench: Bench) -> None:
    """Starts a conversation in a sandbox as the other user, and waits for the end of the task."""
    stranger, started = _stranger(bench), _started(bench)
    request = {"sandbox_id": started.sandbox_id, "initial_message": user_message("Somebody was here")}
    answer = stranger.post(CONVERSATIONS, request)
    if answer.status != 200:
        answer.must(*_FORBIDDEN, 422)
        return
    task_id = answer.pick("id")

    def ended() -> Answer | None:
        task = stranger.get(TASKS, {"ids": task_id}).must(200)
        return task if task.pick(0, "status") in ("READY", "ERROR") else None

    task = bench.until(ended, "the start task ends", within=bench.lab.start_patience)
    task.expect(task.pick(0, "status") == "ERROR", "the start task ends with ERROR", task.text)


@checks("USER-V1-07")
def events(bench: Bench) -> None:
    """Searches and counts the events of a conversation as the other user."""
    stranger, started = _stranger(bench), _started(bench)
    one = {"conversation_id__eq": started.id}
    _nothing(stranger.get(f"{_EVENTS}/search", one), {"items": [], "next_page_id": None})
    _nothing(stranger.get(f"{_EVENTS}/count", one), 0)


@checks("USER-V1-08")
def through_v0(bench: Bench) -> None:
    """Renames and deletes a V1 conversation through its V0 path as the other user, and reads it as its owner."""
    stranger, started = _stranger(bench), bench.v1.new()
    _hidden(stranger.patch(path(started.id), {"title": "Somebody was here"}), "Somebody was here")
    _hidden(stranger.delete(path(started.id)), "true")
    answer = bench.v1.get(started.id).must(200)
    answer.expect(answer.json != [None], "the conversation is there", answer.text)
    answer.expect(answer.pick(0, "title") != "Somebody was here", "the title is as it was", answer.text)
