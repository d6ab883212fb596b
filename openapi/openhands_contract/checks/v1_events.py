"""What the app server hears of V1 conversations."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import elsewhere
from openhands_contract.lab.site import KEY_HEADER
from openhands_contract.lab.v1 import CONVERSATIONS, Started

_EVENTS = "/api/v1/events"
_WEBHOOK = "/api/v1/webhooks/events"


def _told(bench: Bench) -> tuple[Started, list[dict[str, Any]]]:
    """The shared conversation and its events, once the app server has heard of them all."""
    started = bench.v1.shared()
    stored = bench.v1.events(started)
    query = {"conversation_id__eq": started.id, "limit": 100}

    def heard() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = bench.app.get(f"{_EVENTS}/search", query).must(200).pick("items")
        return found if {event["id"] for event in stored} <= {event["id"] for event in found} else None

    return started, bench.until(heard, f"the app server has all {len(stored)} events of the agent server")


def _search(bench: Bench, started: Started, **query: Any) -> Answer:
    return bench.app.get(f"{_EVENTS}/search", {"conversation_id__eq": started.id, **query}).must(200)


def _ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


@checks("V1-EVENTS-01")
def hears_everything(bench: Bench) -> None:
    """Compares the events on the agent server with those on the app server."""
    started, heard = _told(bench)
    by_id = {event["id"]: event for event in heard}
    different = [event["id"] for event in bench.v1.events(started) if by_id[event["id"]] != event]
    bench.expect(not different, "the events are the same on both servers", different)


@checks("V1-EVENTS-02")
def orders(bench: Bench) -> None:
    """Reads all events in both orders."""
    started, heard = _told(bench)
    times = [event["timestamp"] for event in heard]
    bench.expect(times == sorted(times), "the timestamps do not fall", times)
    backwards = _search(bench, started, sort_order="TIMESTAMP_DESC").pick("items")
    bench.expect(
        _ids(backwards) == _ids(heard)[::-1], "`TIMESTAMP_DESC` is the other way round", _ids(backwards)
    )
    refused(bench.app.get(f"{_EVENTS}/search", {"sort_order": "RANDOM"}), "sort_order")


@checks("V1-EVENTS-03")
def pages(bench: Bench) -> None:
    """Pages through all events, one, two and three at a time."""
    started, heard = _told(bench)
    for limit in (1, 2, 3):
        query = {"conversation_id__eq": started.id, "limit": limit}
        found = bench.v1.all_pages(bench.app, f"{_EVENTS}/search", query)
        bench.expect(
            _ids(found) == _ids(heard), f"all events in their order, with limit {limit}", _ids(found)
        )


@checks("V1-EVENTS-04")
def by_kind(bench: Bench) -> None:
    """Asks for the events of each kind there is, and of one that nobody knows."""
    started, heard = _told(bench)
    for kind in sorted({event["kind"] for event in heard} | {"PauseEvent"}):
        found = _search(bench, started, kind__eq=kind)
        wanted = _ids([event for event in heard if event["kind"] == kind])
        found.expect(_ids(found.pick("items")) == wanted, f"the {len(wanted)} of kind {kind}", found.text)
    refused(bench.app.get(f"{_EVENTS}/search", {"kind__eq": "Telepathy"}), "kind__eq")


@checks("V1-EVENTS-05")
def by_time(bench: Bench) -> None:
    """Asks for what happened from an event in the middle on, and before it."""
    started, heard = _told(bench)
    moment = heard[len(heard) // 2]["timestamp"]
    for zone in ("", "Z"):
        since = _search(bench, started, timestamp__gte=f"{moment}{zone}")
        wanted = _ids([event for event in heard if event["timestamp"] >= moment])
        since.expect(
            _ids(since.pick("items")) == wanted, f"those from {moment} on", _ids(since.pick("items"))
        )
        before = _search(bench, started, timestamp__lt=f"{moment}{zone}")
        wanted = _ids([event for event in heard if event["timestamp"] < moment])
        before.expect(
            _ids(before.pick("items")) == wanted, f"those before {moment}", _ids(before.pick("items"))
        )


@checks("V1-EVENTS-06")
def counts(bench: Bench) -> None:
    """Counts what several searches find."""
    started, heard = _told(bench)
    moment = heard[len(heard) // 2]["timestamp"]
    filters: tuple[Mapping[str, Any], ...] = (
        {},
        {"kind__eq": "MessageEvent"},
        {"kind__eq": "PauseEvent"},
        {"timestamp__gte": moment},
        {"timestamp__lt": moment},
    )
    for query in filters:
        number = len(_search(bench, started, **query).pick("items"))
        count = bench.app.get(f"{_EVENTS}/count", {"conversation_id__eq": started.id, **query}).must(200)
        count.expect(count.json == number, f"{number}, as many as the search finds for {query}", count.text)


@checks("V1-EVENTS-07")
def by_id(bench: Bench) -> None:
    """Reads two events and one that nobody has made, in an order of its own."""
    _, heard = _told(bench)
    first, second, unknown = heard[0]["id"], heard[1]["id"], str(uuid.uuid4())
    answer = bench.app.get(_EVENTS, [("id", second), ("id", unknown), ("id", first.replace("-", ""))]).must(
        200
    )
    answer.expect(answer.json == [heard[1], None, heard[0]], "the second, null and the first", answer.text)


@checks("V1-EVENTS-08")
def of_nobody(bench: Bench) -> None:
    """Searches and counts the events of a conversation that nobody has made."""
    query = {"conversation_id__eq": uuid.uuid4().hex}
    bench.app.get(f"{_EVENTS}/search", query).must(200).has(items=[], next_page_id=None)
    count = bench.app.get(f"{_EVENTS}/count", query).must(200)
    count.expect(count.json == 0, "the count is 0", count.text)


@checks("V1-EVENTS-09")
def bounds(bench: Bench) -> None:
    """Asks for what cannot be asked for."""
    refused(bench.app.get(_EVENTS), "id")
    refused(bench.app.get(_EVENTS, {"id": "not-a-uuid"}))
    refused(bench.app.get(_EVENTS, [("id", uuid.uuid4().hex) for _ in range(101)]), "id")
    for limit in (0, 101, "many"):
        refused(bench.app.get(f"{_EVENTS}/search", {"limit": limit}), "limit")
    refused(bench.app.get(f"{_EVENTS}/search", {"page_id": "garbage"}), "page_id")
    refused(bench.app.get(f"{_EVENTS}/search", {"timestamp__gte": "yesterday"}), "timestamp__gte")


def _report(bench: Bench, started: Started, key: str | None, event: Mapping[str, Any]) -> Answer:
    headers = {KEY_HEADER: key, "Authorization": None}
    return bench.app.post(f"{_WEBHOOK}/{started.id}", [event], headers=headers)


def _event() -> dict[str, Any]:
    return {
        "kind": "PauseEvent",
        "id": str(uuid.uuid4()),
        "timestamp": "2026-01-02T03:04:05.000006",
        "source": "user",
    }


@checks("V1-EVENTS-10")
def reports_need_keys(bench: Bench) -> None:
    """Reports an event without a key, with a wrong one, and with that of another sandbox."""
    started, other = bench.v1.workshop(), bench.v1.shared()
    for key in (None, secrets.token_hex(16)):
        _report(bench, started, key, _event()).must(401)
    event = _event()
    _report(bench, started, other.key, event).must(401, 403, 404)
    found = bench.app.get(_EVENTS, {"id": event["id"]}).must(200)
    found.expect(found.json == [None], "the event was not kept", found.text)


@checks("V1-EVENTS-11")
def reports_are_kept(bench: Bench) -> None:
    """Reports an event and reads it."""
    event = _event()
    _report(bench, bench.v1.beside(), bench.v1.workshop().key, event).must(200)

    def found() -> bool | None:
        return bench.app.get(_EVENTS, {"id": event["id"]}).must(200).json == [event] or None

    bench.until(found, "the event is found as it was reported")


@checks("V1-FILE-01")
def files(bench: Bench) -> None:
    """Uploads a text to the agent server and reads it on the app server; reads what is not there."""
    started = bench.v1.workshop()
    text = f"# Plan\n\n{secrets.token_hex(4)} — 计划\n"
    name = f"/workspace/project/plan-{secrets.token_hex(4)}.md"
    upload = bench.v1.agent(started).post(
        f"/api/file/upload/{name}", files={"file": ("plan.md", text.encode())}
    )
    upload.needs(200)
    for file, wanted in (
        (name, text),
        (f"{name}.not", ""),
        ("/etc/passwd", ""),
        ("/workspace/../etc/passwd", ""),
    ):
        answer = bench.app.get(f"{CONVERSATIONS}/{started.id}/file", {"file_path": file}).must(200)
        answer.expect(answer.json == wanted, f"the text of {file} is {wanted!r}", answer.text)
    refused(bench.app.get(f"{CONVERSATIONS}/not-a-uuid/file"))


@checks("V1-USER-01")
def masked_keys(bench: Bench) -> None:
    """Reads who is asking, and looks at the key."""
    answer = bench.app.get("/api/v1/users/me").must(200)
    key = answer.pick("llm_api_key")
    answer.expect(key is None or set(key) == {"*"}, "the key is null or stars", "something else")


@checks("V1-EVENTS-05")
def by_time_with_an_offset(bench: Bench) -> None:
    """Asks for what happened from an event in the middle on, and before it, told in another zone."""
    started, heard = _told(bench)
    moment = heard[len(heard) // 2]["timestamp"]
    since = {event["id"] for event in heard if event["timestamp"] >= moment}
    for name, wanted in (("timestamp__gte", since), ("timestamp__lt", set(_ids(heard)) - since)):
        query = {name: elsewhere(moment)}
        found = _search(bench, started, **query)
        answer = set(_ids(found.pick("items")))
        found.expect(answer == wanted, f"the {len(wanted)} of {query}", len(answer))


@checks("V1-EVENTS-12")
def pages_of_a_kind(bench: Bench) -> None:
    """Pages through the events of one kind, one and two at a time, in both orders."""
    started, heard = _told(bench)
    kind = "ConversationStateUpdateEvent"
    wanted = _ids([event for event in heard if event["kind"] == kind])
    for order, ids in (("TIMESTAMP", wanted), ("TIMESTAMP_DESC", wanted[::-1])):
        for limit in (1, 2):
            query = {"conversation_id__eq": started.id, "kind__eq": kind, "limit": limit, "sort_order": order}
            found = bench.v1.all_pages(bench.app, f"{_EVENTS}/search", query)
            bench.expect(_ids(found) == ids, f"all {len(ids)} with {query}", _ids(found))
            page = _search(bench, started, kind__eq=kind, limit=limit, sort_order=order)
            number = min(limit, len(ids))
            page.expect(len(page.pick("items")) == number, f"{number} on the first page", page.text)
