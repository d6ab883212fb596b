"""What changes, pauses and deletions of V1 conversations leave behind: in lists, on agent servers, on live streams."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.agent_live import knock, listen, says
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.streams import ids
from openhands_contract.lab.v0 import path
from openhands_contract.lab.v1 import CONVERSATIONS, SANDBOXES, TASKS, Started, user_message
from openhands_contract.outcome import NotReached

_EVENTS = "/api/v1/events"
_SPECS = "/api/v1/sandbox-specs"


def _info(bench: Bench, started: Started) -> Mapping[str, Any]:
    with bench.arranging("a conversation"):
        info: Mapping[str, Any] = bench.v1.get(started.id).needs(200).pick(0)
        if not info:
            raise NotReached("prerequisite: the conversation is not there")
        return info


def _word() -> str:
    return f"Word{secrets.token_hex(6)}"


def _renamed(bench: Bench, started: Started, title: str) -> Mapping[str, Any]:
    """Rename a conversation, and read it as soon as it has the title."""
    bench.v1.rename(started.id, title).must(200)

    def has_it() -> Mapping[str, Any] | None:
        info = _info(bench, started)
        return info if info["title"] == title else None

    return bench.until(has_it, f"the title is {title!r}")


@checks("V1-CHANGE-01")
def leaves_the_rest(bench: Bench) -> None:
    """Renames a conversation and compares everything about it with what was before."""
    started = bench.v1.beside()
    before = _info(bench, started)
    after = _renamed(bench, started, _word())
    moving = {"title", "updated_at", "metrics"}
    other = [name for name in before if name not in moving and after.get(name) != before[name]]
    bench.expect(not other, "everything but the title is as it was", f"other: {other}")
    times = [datetime.fromisoformat(info["updated_at"]) for info in (before, after)]
    bench.expect(times[0] <= times[1], "`updated_at` is not set back", f"{times[0]}, then {times[1]}")


@checks("V1-CHANGE-02")
def bounds_of_titles(bench: Bench) -> None:
    """Renames a conversation to titles at the bounds and beyond, to none, and with an unknown field."""
    started = bench.v1.beside()
    place = path(started.id)
    for length in (1, 200):
        _renamed(bench, started, "t" * length)
    for body in ({"title": ""}, {"title": "t" * 201}, {}, {"title": None}, {"title": "new", "owner": "me"}):
        bench.app.patch(place, body).must(422)
    answer = bench.v1.get(started.id).must(200)
    answer.expect(answer.pick(0, "title") == "t" * 200, "the title is as it was", answer.pick(0, "title"))


@checks("V1-CHANGE-03")
def everywhere(bench: Bench) -> None:
    """Renames a conversation, and looks for the title on its agent server and in a search."""
    started, title = bench.v1.beside(), _word()
    _renamed(bench, started, title)
    agent = bench.v1.agent(started)
    bench.until(
        lambda: agent.get(started.path).must(200).pick("title") == title or None,
        "the agent server has the title",
    )
    found = bench.app.get(f"{CONVERSATIONS}/search", {"title__contains": title}).must(200)
    names = [item["id"] for item in found.pick("items")]
    found.expect(names == [started.id], "the search finds it, and nothing else", names)


@checks("V1-CHANGE-04")
def nobody_else(bench: Bench) -> None:
    """Renames one of two conversations of a sandbox, and reads the other."""
    started, other = bench.v1.beside(), bench.v1.beside()
    before = _info(bench, other)["title"]
    _renamed(bench, started, _word())
    answer = bench.v1.get(other.id).must(200)
    answer.expect(
        answer.pick(0, "title") == before, f"the other's title is {before!r}", answer.pick(0, "title")
    )


# ---- pauses --------------------------------------------------------------------------------------------------


def _sandbox(bench: Bench, started: Started, verb: str) -> Answer:
    return bench.app.post(f"{SANDBOXES}/{started.sandbox_id}/{verb}")


def _status(bench: Bench, started: Started) -> str | None:
    found = bench.app.get(SANDBOXES, {"id": started.sandbox_id}).must(200).pick(0)
    return found and str(found["status"])


def _is(bench: Bench, started: Started, status: str) -> bool:
    return _status(bench, started) == status


def _paused(bench: Bench, started: Started) -> None:
    with bench.arranging("a paused sandbox"):
        _sandbox(bench, started, "pause").needs(200)
        bench.until(lambda: _status(bench, started) == "PAUSED" or None, "the sandbox is PAUSED")


@checks("V1-PAUSE-01")
def pausing_disconnects(bench: Bench) -> None:
    """Listens to a conversation and pauses its sandbox."""
    started = bench.v1.new()
    stream = listen(bench, started)
    _paused(bench, started)
    ending = stream.until_closed("the connection is closed with 1001")
    stream.expect(ending.code == 1001, "the code is 1001", str(ending))


@checks("V1-PAUSE-02")
def paused_is_silent(bench: Bench) -> None:
    """Pauses a sandbox and asks for the WebSocket of its conversation."""
    started = bench.v1.new()
    _paused(bench, started)
    stream = knock(bench, started, started.dashed, session_api_key=started.key)
    if stream.accepted:
        stream.until_closed("the connection is refused, or closed at once")
    stream.expect(not stream.frames, "nothing is heard", stream.frames)


@checks("V1-PAUSE-03")
def leaves_others_running(bench: Bench) -> None:
    """Pauses one of two sandboxes and reads the other."""
    started, other = bench.v1.new(), bench.v1.shared()
    _paused(bench, started)
    status = _status(bench, other)
    bench.expect(status == "RUNNING", "the other sandbox is RUNNING", status)
    bench.v1.agent(other).get(other.path).must(200)
    with bench.arranging("a resumed sandbox"):
        _sandbox(bench, started, "resume").needs(200)
    status = _status(bench, other)
    bench.expect(status == "RUNNING", "the other sandbox is RUNNING", status)


@checks("V1-PAUSE-04")
def remembers(bench: Bench) -> None:
    """Pauses and resumes the sandbox of a conversation with a history, and listens with `resend_all=true`."""
    started = bench.v1.new(initial_message=user_message("Remember this."))
    with bench.arranging("a V1 conversation whose agent has finished"):
        bench.v1.await_rest(started)
        before = ids(bench.v1.events(started))
    _paused(bench, started)
    with bench.arranging("a resumed sandbox"):
        _sandbox(bench, started, "resume").needs(200)
        again = bench.v1.find(started.id)
    stream = knock(bench, again, again.dashed, session_api_key=again.key, resend_all="true")
    stream.until(lambda: before[-1] in ids(stream.events), "the last event of before is sent")
    missing = [name for name in before if name not in ids(stream.events)]
    stream.expect(not missing, "everything that had happened is sent", f"missing: {missing}")


@checks("V1-PAUSE-05")
def twice(bench: Bench) -> None:
    """Stops a V1 conversation on its V0 path twice, and starts it twice."""
    started = bench.v1.new()
    for verb, status in (("/stop", "PAUSED"), ("/start", "RUNNING")):
        for _ in range(2):
            bench.app.post(path(started.id, verb), {}).must(200).has(status="ok")
            bench.until(partial(_is, bench, started, status), f"the sandbox is {status}")


# ---- deletions -----------------------------------------------------------------------------------------------


def _delete_there(bench: Bench, started: Started) -> None:
    with bench.arranging("a deletion on the agent server"):
        bench.v1.agent(started).delete(started.path).needs(200)


@checks("V1-DELETE-11")
def lets_go(bench: Bench) -> None:
    """Listens to a conversation and deletes it on its agent server."""
    started = bench.v1.beside()
    stream = listen(bench, started)
    _delete_there(bench, started)
    stream.until_closed("the connection is closed")


@checks("V1-DELETE-12")
def lets_nobody_in(bench: Bench) -> None:
    """Deletes a conversation on its agent server and asks for its WebSocket."""
    started = bench.v1.beside()
    _delete_there(bench, started)
    stream = knock(bench, started, started.dashed, session_api_key=started.key)
    ending = stream.until_closed("the connection is accepted and closed with 4004")
    stream.expect(ending.code == 4004, "the code is 4004", str(ending))


def _deleted(bench: Bench) -> Started:
    started = bench.v1.start(initial_message=user_message("Forget this."))
    with bench.arranging("a V1 conversation that is deleted"):
        bench.v1.await_rest(started)
        bench.v1.delete(started.id).needs(200)
        bench.until(lambda: bench.v1.get(started.id).json == [None] or None, "the conversation is gone")
    return started


@checks("V1-DELETE-13")
def opens_nothing(bench: Bench) -> None:
    """Deletes a conversation, and uses its key on its agent server and its WebSocket."""
    started = _deleted(bench)
    for rest in ("", "/events/search", "/events/count"):
        answer = bench.v1.agent(started).get(f"{started.path}{rest}")
        answer.expect(
            answer.status in (0, 401, 403, 404), "nobody answers for the conversation", answer.status
        )
    try:
        stream = knock(bench, started, started.dashed, session_api_key=started.key)
    except NotReached:
        return
    if stream.accepted:
        stream.until_closed("the connection is refused, or closed at once")
    stream.expect(not stream.frames, "nothing is heard", stream.frames)


@checks("V1-DELETE-14")
def leaves_nothing(bench: Bench) -> None:
    """Deletes a conversation, and asks the app server for its events and its V0 path."""
    started = _deleted(bench)
    one = {"conversation_id__eq": started.id}
    found = bench.app.get(f"{_EVENTS}/search", one).must(200)
    found.expect(found.pick("items") == [], "there are no events", found.text)
    count = bench.app.get(f"{_EVENTS}/count", one).must(200)
    count.expect(count.json == 0, "the count is 0", count.text)
    bench.app.get(path(started.id)).must(404)
    bench.app.get(path(started.id, "/config")).must(404)
    bench.app.patch(path(started.id), {"title": "Back again"}).must(404)
    bench.app.post(path(started.id, "/start"), {}).must(404)


@checks("V1-DELETE-15")
def leaves_others(bench: Bench) -> None:
    """Deletes a conversation, and reads another and its events."""
    other = bench.v1.shared()
    before = bench.v1.events(other)
    _deleted(bench)
    found = bench.v1.get(other.id).must(200)
    found.expect(found.json != [None], "the other is there", found.text)
    bench.v1.agent(other).get(other.path).must(200)
    after = bench.v1.events(other)
    bench.expect(after[: len(before)] == before, "its events are as they were")


# ---- batches -------------------------------------------------------------------------------------------------


def _one_each(answer: Answer, wanted: list[str | None]) -> None:
    """Hold a batch to these ids, in this order."""
    found = [item and str(item["id"]).replace("-", "") for item in answer.must(200).json]
    answer.expect(found == wanted, f"the ids are {wanted}", found)


@checks("V1-BATCH-11")
def twice_the_same(bench: Bench) -> None:
    """Asks for a conversation, a start task, a sandbox and an event, each twice with an unknown one between."""
    started, nobody = bench.v1.shared(), uuid.uuid4().hex
    one = {"conversation_id__eq": started.id}
    with bench.arranging("a start task and an event"):
        task = bench.app.get(f"{TASKS}/search", one).needs(200).pick("items", 0, "id").replace("-", "")
        event = bench.app.get(f"{_EVENTS}/search", one).needs(200).pick("items", 0, "id").replace("-", "")
    for place, name, known in (
        (CONVERSATIONS, "ids", started.id),
        (TASKS, "ids", task),
        (_EVENTS, "id", event),
        (SANDBOXES, "id", started.sandbox_id),
    ):
        unknown = "0" * len(known) if place == SANDBOXES else nobody
        asked = [(name, known), (name, unknown), (name, known)]
        _one_each(bench.app.get(place, asked), [known, None, known])


@checks("V1-BATCH-12")
def specs(bench: Bench) -> None:
    """Asks for a sandbox spec before and after an unknown one."""
    with bench.arranging("a sandbox spec"):
        known = bench.app.get(f"{_SPECS}/search").needs(200).pick("items", 0, "id")
    nobody = f"kit-{secrets.token_hex(6)}"
    for asked in ([nobody, known], [known, nobody]):
        answer = bench.app.get(_SPECS, [("id", name) for name in asked]).must(200)
        found = [item and item["id"] for item in answer.json]
        wanted = [name if name == known else None for name in asked]
        answer.expect(found == wanted, f"the ids are {wanted}", found)


@checks("V1-BATCH-13")
def events_of_an_agent(bench: Bench) -> None:
    """Asks an agent server for two of its events, one of them twice, with an unknown one between."""
    started = bench.v1.shared()
    first, second = (event["id"] for event in bench.v1.events(started)[:2])
    asked = [second, str(uuid.uuid4()), first, second]
    answer = bench.v1.agent(started).request("GET", f"{started.path}/events", json=asked)
    bare = [None if name == asked[1] else name.replace("-", "") for name in asked]
    _one_each(answer, bare)


@checks("V1-PAUSE-06")
def hears_after_resuming(bench: Bench) -> None:
    """Pauses and resumes a sandbox, listens, and sends a message."""
    started = bench.v1.new()
    _paused(bench, started)
    with bench.arranging("a resumed sandbox"):
        _sandbox(bench, started, "resume").needs(200)
        again = bench.v1.find(started.id)
    stream, text = listen(bench, again), _word()
    with bench.arranging("a message"):
        bench.v1.agent(again).post(f"{again.path}/events", user_message(text, run=False)).needs(200)
    stream.until(lambda: any(says(event, text) for event in stream.events), "the message is heard")
