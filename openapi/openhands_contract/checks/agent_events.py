"""Events on agent servers: searching, counting, reading, sending."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import elsewhere
from openhands_contract.lab.together import at_once
from openhands_contract.lab.v1 import Started, user_message

Event = dict[str, Any]
_DASHED = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _history(bench: Bench) -> tuple[Started, list[Event]]:
    """The shared conversation and all its events."""
    started = bench.v1.shared()
    events = _search(bench, started, limit=100).pick("items")
    with bench.arranging("a conversation with at least five events"):
        bench.expect(len(events) >= 5, "at least five events", len(events))
    return started, events


def _search(bench: Bench, started: Started, **query: Any) -> Answer:
    return bench.v1.agent(started).get(f"{started.path}/events/search", query).must(200)


def _ids(events: list[Event]) -> list[str]:
    return [event["id"] for event in events]


def _found(bench: Bench, started: Started, wanted: list[Event], **query: Any) -> None:
    """Hold a search to what it must find, and the count to as many."""
    answer = _search(bench, started, **query)
    answer.expect(
        _ids(answer.pick("items")) == _ids(wanted), f"{query} finds {len(wanted)} events", answer.text
    )


@checks("AGENT-EVENTS-01")
def orders(bench: Bench) -> None:
    """Reads all events in both orders."""
    started, events = _history(bench)
    times = [event["timestamp"] for event in events]
    bench.expect(times == sorted(times), "the timestamps do not fall", times)
    bench.expect(len(set(_ids(events))) == len(events), "no event comes twice")
    _found(bench, started, events, sort_order="TIMESTAMP")
    _found(bench, started, events[::-1], sort_order="TIMESTAMP_DESC")
    refused(
        bench.v1.agent(started).get(f"{started.path}/events/search", {"sort_order": "RANDOM"}), "sort_order"
    )


@checks("AGENT-EVENTS-02")
def pages(bench: Bench) -> None:
    """Pages through all events, one, two and three at a time, forwards and backwards."""
    started, events = _history(bench)
    agent, path = bench.v1.agent(started), f"{started.path}/events/search"
    for limit in (1, 2, 3):
        found = bench.v1.all_pages(agent, path, {"limit": limit})
        bench.expect(
            _ids(found) == _ids(events), f"all events in their order, with limit {limit}", _ids(found)
        )
    found = bench.v1.all_pages(agent, path, {"limit": 2, "sort_order": "TIMESTAMP_DESC"})
    bench.expect(_ids(found) == _ids(events)[::-1], "all events, backwards", _ids(found))
    for limit in (2, len(events), len(events) + 1):
        page = _search(bench, started, limit=min(limit, 100))
        number = min(limit, len(events))
        page.expect(len(page.pick("items")) == number, f"{number} events", len(page.pick("items")))
        more = page.pick("next_page_id") is not None
        page.expect(more is (number < len(events)), f"there is another page: {number < len(events)}", more)


@checks("AGENT-EVENTS-03")
def by_kind(bench: Bench) -> None:
    """Asks for the events of each kind there is, by name and path, and of one that nobody knows."""
    started, events = _history(bench)
    for kind in sorted({event["kind"] for event in events}):
        wanted = [event for event in events if event["kind"] == kind]
        _found(bench, started, wanted, kind=kind)
        _found(bench, started, wanted, kind=f"openhands.sdk.event.some.module.{kind}")
    _found(bench, started, [], kind="Telepathy")


@checks("AGENT-EVENTS-04")
def by_source(bench: Bench) -> None:
    """Asks for the events of each source, and of one that does not exist."""
    started, events = _history(bench)
    for source in ("user", "agent", "environment", "nobody"):
        _found(bench, started, [event for event in events if event["source"] == source], source=source)


@checks("AGENT-EVENTS-05")
def by_text(bench: Bench) -> None:
    """Asks for a word of the user's message, in two spellings, and for one that nobody said."""
    started, events = _history(bench)
    said = [event for event in events if event["kind"] == "MessageEvent"]
    for word in ("Say hello", "sAY hELLO"):
        wanted = [event for event in said if word.lower() in _text(event).lower()]
        _found(bench, started, wanted, body=word)
    _found(bench, started, [], body=secrets.token_hex(8))


def _text(event: Event) -> str:
    return " ".join(part.get("text", "") for part in event["llm_message"]["content"])


@checks("AGENT-EVENTS-06")
def by_time(bench: Bench) -> None:
    """Asks for what happened from an event in the middle on, and before it."""
    started, events = _history(bench)
    moment = events[len(events) // 2]["timestamp"]
    _found(bench, started, [e for e in events if e["timestamp"] >= moment], timestamp__gte=moment)
    _found(bench, started, [e for e in events if e["timestamp"] < moment], timestamp__lt=moment)


@checks("AGENT-EVENTS-07")
def counts(bench: Bench) -> None:
    """Counts what several searches find."""
    started, events = _history(bench)
    moment = events[len(events) // 2]["timestamp"]
    filters: tuple[Mapping[str, Any], ...] = (
        {},
        {"source": "agent"},
        {"source": "nobody"},
        {"body": "hello"},
        {"timestamp__gte": moment},
        {"timestamp__lt": moment},
        {"kind": "MessageEvent"},
    )
    for query in filters:
        number = len(_search(bench, started, **query).pick("items"))
        count = bench.v1.agent(started).get(f"{started.path}/events/count", query).must(200)
        count.expect(count.json == number, f"{number}, as many as the search finds for {query}", count.text)


@checks("AGENT-EVENTS-08")
def by_id(bench: Bench) -> None:
    """Reads each event by its id."""
    started, events = _history(bench)
    for event in events:
        answer = bench.v1.agent(started).get(f"{started.path}/events/{event['id']}").must(200)
        answer.expect(answer.json == event, "the event is the one of the search")


@checks("AGENT-EVENTS-09")
def unknown_events(bench: Bench) -> None:
    """Reads an event that nobody has made."""
    started = bench.v1.shared()
    answer = bench.v1.agent(started).get(f"{started.path}/events/{uuid.uuid4()}").must(404)
    answer.expect(answer.pick("detail"), "`detail` says so")


@checks("AGENT-EVENTS-10")
def several(bench: Bench) -> None:
    """Reads two events and one that nobody has made, in an order of its own."""
    started, events = _history(bench)
    ids = [events[1]["id"], str(uuid.uuid4()), events[0]["id"]]
    answer = bench.v1.agent(started).get(f"{started.path}/events", json=ids).must(200)
    answer.expect(answer.json == [events[1], None, events[0]], "the second, null and the first", answer.text)


def _say(bench: Bench, started: Started, text: str, **options: Any) -> Answer:
    return bench.v1.agent(started).post(f"{started.path}/events", user_message(text, **options))


def _said(bench: Bench, started: Started) -> list[str]:
    events = bench.v1.events(started)
    return [_text(event) for event in events if event["kind"] == "MessageEvent" and event["source"] == "user"]


@checks("AGENT-EVENTS-11")
def running_messages(bench: Bench) -> None:
    """Sends a message that is to run, and waits for the agent's answer to it."""
    started = bench.v1.beside()
    text = f'\n  Say "{secrets.token_hex(4)}" <b>&amp;</b> — 你好 🚀 \n'
    _say(bench, started, text, run=True).must(200).has(success=True)
    bench.until(
        lambda: text in _said(bench, started) or None, f"the user's message {text!r} is among the events"
    )
    bench.v1.await_rest(started)
    bench.expect(_said(bench, started) == [text], "the message is there once", _said(bench, started))
    agent = [event for event in bench.v1.events(started) if event["source"] == "agent"]
    done = [event for event in agent if event["kind"] != "SystemPromptEvent"]
    bench.expect(done, "the agent has done something about it")


@checks("AGENT-EVENTS-12")
def silent_messages(bench: Bench) -> None:
    """Sends a message without `run`, looks at the agent, and then runs it."""
    started = bench.v1.beside()
    text = f"Say {secrets.token_hex(4)}"
    _say(bench, started, text).must(200).has(success=True)
    bench.until(lambda: text in _said(bench, started) or None, "the message is among the events")
    status = bench.v1.status(started)
    bench.expect(status == "idle", "the agent is idle", status)
    bench.v1.agent(started).post(f"{started.path}/run", timeout=bench.lab.start_patience).must(200)
    bench.v1.await_rest(started)
    last = bench.v1.events(started)
    bench.expect(
        any(e["source"] == "agent" and e["kind"] != "SystemPromptEvent" for e in last), "then it works on it"
    )


@checks("AGENT-EVENTS-13")
def strange_messages(bench: Bench) -> None:
    """Sends messages that are none, and compares the events."""
    started = bench.v1.beside()
    before = _ids(bench.v1.events(started))
    text = [{"type": "text", "text": "Hi"}]
    for body in (
        {"role": "boss", "content": text},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "user", "content": [{"type": "text"}]},
    ):
        refused(bench.v1.agent(started).post(f"{started.path}/events", body))
    after = _ids(bench.v1.events(started))
    bench.expect(after == before, "there is no new event", after)


@checks("AGENT-EVENTS-14")
def bounds(bench: Bench) -> None:
    """Asks for what cannot be asked for."""
    started = bench.v1.shared()
    for query in ({"limit": 101}, {"page_id": "garbage"}, {"timestamp__gte": "yesterday"}):
        answer = bench.v1.agent(started).get(f"{started.path}/events/search", query)
        refused(answer, next(iter(query)))


@checks("AGENT-EVENTS-19")
def lower_bounds(bench: Bench) -> None:
    """Asks for 0 and `many` events."""
    started = bench.v1.shared()
    for limit in (0, "many"):
        refused(bench.v1.agent(started).get(f"{started.path}/events/search", {"limit": limit}), "limit")


@checks("AGENT-EVENTS-15")
def in_order(bench: Bench) -> None:
    """Sends five messages without `run`, two of them alike, and compares their order."""
    started = bench.v1.beside()
    texts = [f"Message {number}" for number in (0, 1, 1, 2, 3)]
    for text in texts:
        _say(bench, started, text, run=False).must(200)
    said = bench.until(
        lambda: found if texts[-1] in (found := _said(bench, started)) else None, "the last message is there"
    )
    bench.expect(said == texts, f"the messages are {texts}", said)


@checks("AGENT-EVENTS-16")
def ids(bench: Bench) -> None:
    """Looks at the ids of all events."""
    _, events = _history(bench)
    wrong = [event["id"] for event in events if not _DASHED.fullmatch(event["id"])]
    bench.expect(not wrong, "every id is a UUID with dashes", wrong)
    bench.expect(len(set(_ids(events))) == len(events), "no two events share an id")


@checks("AGENT-EVENTS-17")
def actions_first(bench: Bench) -> None:
    """Looks for the action of each observation."""
    _, events = _history(bench)
    seen: set[str] = set()
    for event in events:
        if event["kind"] in ("ObservationEvent", "UserRejectObservation"):
            bench.expect(
                event["action_id"] in seen, f"the action of {event['id']} came before it", event["action_id"]
            )
        seen.add(event["id"])


@checks("AGENT-EVENTS-18")
def state_updates(bench: Bench) -> None:
    """Reads the state updates of a conversation in which one message was answered."""
    _, events = _history(bench)
    states = [event["value"] for event in events if event.get("key") == "execution_status"]
    bench.expect("running" in states, "the agent was `running`", states)
    bench.expect(states[-1] in ("finished", "idle"), "then it was `finished` or `idle`", states)


_IMAGE = "data:image/png;base64,iVBORw0KGgo="


@checks("AGENT-EVENTS-20")
def several_contents(bench: Bench) -> None:
    """Sends a message of two texts and an image between them, and looks for all three in its event."""
    started = bench.v1.beside()
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "Before the image"},
        {"type": "image", "image_urls": [_IMAGE]},
        {"type": "text", "text": "and behind it"},
    ]
    message = {"role": "user", "content": content, "run": False}
    bench.v1.agent(started).post(f"{started.path}/events", message).must(200)
    events = bench.until(
        lambda: [event for event in bench.v1.events(started) if event["kind"] == "MessageEvent"] or None,
        "the message is among the events",
    )
    shown = [
        {name: item.get(name) for name in wanted}
        for item, wanted in zip(events[0]["llm_message"]["content"], content, strict=False)
    ]
    bench.expect(shown == content, f"its content is {content}", events[0]["llm_message"]["content"])


@checks("AGENT-EVENTS-21")
def pages_of_a_source(bench: Bench) -> None:
    """Pages through the events of the environment, one and two at a time, in both orders."""
    started, events = _history(bench)
    wanted = _ids([event for event in events if event["source"] == "environment"])
    agent, path = bench.v1.agent(started), f"{started.path}/events/search"
    for order, ids_in_order in (("TIMESTAMP", wanted), ("TIMESTAMP_DESC", wanted[::-1])):
        for limit in (1, 2):
            query = {"source": "environment", "limit": limit, "sort_order": order}
            found = bench.v1.all_pages(agent, path, query)
            bench.expect(_ids(found) == ids_in_order, f"all {len(wanted)} with {query}", _ids(found))
            page, number = _search(bench, started, **query), min(limit, len(wanted))
            page.expect(len(page.pick("items")) == number, f"{number} on the first page", page.text)


@checks("AGENT-EVENTS-22")
def by_text_to_the_letter(bench: Bench) -> None:
    """Asks for texts that a pattern would find, and for letters beyond ASCII in another case."""
    started, lines = bench.v1.beside(), ("Äpfel und ÖL (1) a.b", "50% a_b")
    for line in lines:
        _say(bench, started, line, run=False).needs(200)
    said = [event for event in bench.v1.events(started) if event["kind"] == "MessageEvent"]
    for text in ("äPFEL und öl (1)", "(1)", "a.b", "%", "_", "a%b", "ÖL .1.", ".*"):
        wanted = [event for event in said if text.lower() in _text(event).lower()]
        _found(bench, started, wanted, body=text)


@checks("AGENT-EVENTS-23")
def by_time_with_an_offset(bench: Bench) -> None:
    """Asks for what happened from an event in the middle on, and before it, told in another zone."""
    started, events = _history(bench)
    moment = events[len(events) // 2]["timestamp"]
    there = elsewhere(moment)
    _found(bench, started, [e for e in events if e["timestamp"] >= moment], timestamp__gte=there)
    _found(bench, started, [e for e in events if e["timestamp"] < moment], timestamp__lt=there)


@checks("AGENT-EVENTS-24")
def full_pages(bench: Bench) -> None:
    """Reads a hundred of more than a hundred events, in both orders."""
    started, events = bench.v1.long()
    for order, wanted in (("TIMESTAMP", events[:100]), ("TIMESTAMP_DESC", events[:-101:-1])):
        page = _search(bench, started, limit=100, sort_order=order)
        found = _ids(page.pick("items"))
        page.expect(found == _ids(wanted), "a hundred events", f"{len(found)}: {found}")
        page.expect(page.pick("next_page_id") is not None, "there is another page")


@checks("AGENT-EVENTS-25")
def messages_at_once(bench: Bench) -> None:
    """Sends four messages at the same time, and looks for all among the events."""
    started = bench.v1.beside()
    texts = [f"At once {number}" for number in range(4)]
    for answer in at_once(len(texts), lambda number: _say(bench, started, texts[number], run=False)):
        answer.must(200)
    _say(bench, started, "Last", run=False).must(200)
    said = bench.until(
        lambda: found if "Last" in (found := _said(bench, started)) else None, "the last message is there"
    )
    bench.expect(sorted(said) == [*texts, "Last"], "each message is there once", said)
    made = _ids(bench.v1.events(started))
    bench.expect(len(set(made)) == len(made), "no two events share an id", made)
