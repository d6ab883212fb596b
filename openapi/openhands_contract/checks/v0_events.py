"""What was said and done in a V0 conversation, how it is searched, and how to say more."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import elsewhere
from openhands_contract.lab.together import at_once
from openhands_contract.lab.v0 import path, user_messages

Event = Mapping[str, Any]
_WORDS = "Say the word Marmalade and finish."


def _history(bench: Bench) -> str:
    """A stopped conversation with a history, which all checks here share and none changes."""

    def make(bench: Bench) -> str:
        identifier = bench.v0.finished(_WORDS)
        with bench.arranging("a stopped conversation with a history"):
            bench.app.post(path(identifier, "/stop")).needs(200)
            bench.v0.await_status(identifier, "STOPPED")
        return identifier

    return bench.shared("v0 history", make)


def _search(bench: Bench, identifier: str, **query: Any) -> Answer:
    return bench.app.get(path(identifier, "/events"), query)


def _ids(answer: Answer) -> list[int]:
    return [event["id"] for event in answer.must(200).pick("events")]


def _all(bench: Bench) -> tuple[str, list[dict[str, Any]]]:
    identifier = _history(bench)
    events = bench.v0.events(identifier)
    with bench.arranging("a conversation with at least six events"):
        bench.expect(len(events) >= 6, "the agent has left at least six events", len(events))
    return identifier, events


@checks("V0-EVENTS-01")
def rising_ids(bench: Bench) -> None:
    """Reads all events of a conversation and compares their ids."""
    answer = _search(bench, _history(bench), limit=100)
    ids = _ids(answer)
    answer.expect(ids[:1] == [0], "the first event has the id 0", ids[:1])
    answer.expect(ids == sorted(set(ids)), "the ids rise", ids)


@checks("V0-EVENTS-02")
def consecutive_ids(bench: Bench) -> None:
    """Reads all events of a conversation and looks for gaps."""
    answer = _search(bench, _history(bench), limit=100)
    ids = _ids(answer)
    answer.expect(ids == list(range(len(ids))), "there is no gap between the ids", ids)


@checks("V0-EVENTS-03")
def inclusive_ranges(bench: Bench) -> None:
    """Reads ranges of one event, the first one among them, of three and of all."""
    identifier, events = _all(bench)
    ids = [event["id"] for event in events]
    ranges = ((ids[2], ids[4]), (ids[3], ids[3]), (ids[0], ids[0]), (ids[0], ids[-1]), (ids[4], ids[-1]))
    for first, last in ranges:
        answer = _search(bench, identifier, start_id=first, end_id=last, limit=100)
        wanted = [one for one in ids if first <= one <= last]
        answer.expect(_ids(answer) == wanted, f"the events {wanted}", _ids(answer))
    since = _search(bench, identifier, start_id=ids[4], limit=100)
    since.expect(_ids(since) == ids[4:], f"the events from {ids[4]} on", _ids(since))
    until = _search(bench, identifier, end_id=ids[2], limit=100)
    until.expect(_ids(until) == ids[:3], f"the events up to {ids[2]}", _ids(until))
    beyond = _search(bench, identifier, start_id=ids[-1] + 1000)
    beyond.expect(_ids(beyond) == [], "no events beyond the last one", _ids(beyond))


@checks("V0-EVENTS-04")
def newest_first(bench: Bench) -> None:
    """Reads all events, and three, backwards."""
    identifier, events = _all(bench)
    ids = [event["id"] for event in events]
    answer = _search(bench, identifier, reverse=True, limit=100)
    answer.expect(_ids(answer) == ids[::-1], f"the events {ids[::-1]}", _ids(answer))
    answer = _search(bench, identifier, reverse=True, limit=3)
    answer.expect(_ids(answer) == ids[:-4:-1], f"the newest three: {ids[:-4:-1]}", _ids(answer))
    answer = _search(bench, identifier, reverse=False, limit=3)
    answer.expect(_ids(answer) == ids[:3], f"the oldest three: {ids[:3]}", _ids(answer))


@checks("V0-EVENTS-05")
def limits(bench: Bench) -> None:
    """Reads one event, all but one, exactly all, and more than all; pages with a limit of two."""
    identifier, events = _all(bench)
    total = len(events)
    for limit in (1, total - 1, total, total + 1):
        answer = _search(bench, identifier, limit=limit)
        answer.expect(
            len(_ids(answer)) == min(limit, total), f"{min(limit, total)} events", len(_ids(answer))
        )
        answer.has(has_more=limit < total)
    found: list[int] = []
    while True:
        start = found[-1] + 1 if found else 0
        answer = _search(bench, identifier, start_id=start, limit=2)
        answer.expect(all(one >= start for one in _ids(answer)), f"events from {start} on", _ids(answer))
        found += _ids(answer)
        if not answer.pick("has_more"):
            break
        answer.expect(len(_ids(answer)) == 2, "two events while there are more", len(_ids(answer)))
    bench.expect(found == [event["id"] for event in events], "all events, once each", found)
    answer = _search(bench, identifier, end_id=events[2]["id"], limit=3)
    answer.has(has_more=False)


@checks("V0-EVENTS-25")
def limits_backwards(bench: Bench) -> None:
    """Reads all but one event, and all, backwards."""
    identifier, events = _all(bench)
    total = len(events)
    for limit in (total - 1, total):
        answer = _search(bench, identifier, reverse=True, limit=limit).must(200)
        answer.expect(len(_ids(answer)) == limit, f"{limit} events", len(_ids(answer)))
        answer.has(has_more=limit < total)


@checks("V0-EVENTS-06")
def bounds_of_limits(bench: Bench) -> None:
    """Asks for 101 and for -1 events, and for 100."""
    identifier = _history(bench)
    for limit in (101, -1):
        _search(bench, identifier, limit=limit).must(400).has(detail="Invalid limit")
    _search(bench, identifier, limit=100).must(200)


@checks("V0-EVENTS-07")
def strict_bounds(bench: Bench) -> None:
    """Asks for no events, and for ranges that are none."""
    identifier = _history(bench)
    _search(bench, identifier, limit=0).must(400).has(detail="Invalid limit")
    for name, value in (("start_id", -1), ("end_id", -1), ("start_id", "first"), ("end_id", "last")):
        refused(_search(bench, identifier, **{name: value}), name)


@checks("V0-EVENTS-08")
def ranges_that_end_first(bench: Bench) -> None:
    """Asks for the events from 3 to 2."""
    answer = _search(bench, _history(bench), start_id=3, end_id=2).must(200, 422)
    if answer.status == 200:
        answer.has(events=[], has_more=False)


@checks("V0-EVENTS-09")
def messages(bench: Bench) -> None:
    """Sends a message, finds it among the events, and waits for the agent's answer to it."""
    identifier = bench.v0.running()
    text = f'\n  Say "{secrets.token_hex(4)}" <b>&amp;</b> — 你好 🚀 \n'
    bench.app.post(path(identifier, "/message"), {"message": text}).must(200).has(success=True)
    _answered(bench, identifier, text)


def _answered(bench: Bench, identifier: str, text: str) -> None:
    def said() -> Event | None:
        found = [
            event for event in user_messages(bench.v0.events(identifier)) if event["args"]["content"] == text
        ]
        return found[0] if found else None

    message = bench.until(said, f"the user's message {text!r} is among the events")
    events = bench.v0.await_rest(identifier, after=message["id"])
    same = [event for event in user_messages(events) if event["args"]["content"] == text]
    bench.expect(len(same) == 1, "the message is there once", len(same))
    answers = [event for event in events if event["id"] > message["id"] and event["source"] == "agent"]
    bench.expect(answers, "the agent has done something about it")


@checks("V0-EVENTS-10")
def message_actions(bench: Bench) -> None:
    """Sends a message as an action, finds it among the events, and waits for the agent's answer."""
    identifier = bench.v0.running()
    text = f"Say {secrets.token_hex(4)}"
    action = {"action": "message", "args": {"content": text, "image_urls": [], "file_urls": []}}
    bench.app.post(path(identifier, "/events"), action).must(200).has(success=True)
    _answered(bench, identifier, text)


@checks("V0-EVENTS-11")
def messages_in_order(bench: Bench) -> None:
    """Sends five messages, one after the other, two of them alike, and compares their order among the events."""
    identifier = bench.v0.running()
    texts = [f"Message {number}" for number in (0, 1, 1, 2, 3)]
    for text in texts:
        bench.app.post(path(identifier, "/message"), {"message": text}).must(200)

    def all_said() -> list[str] | None:
        said = [event["args"]["content"] for event in user_messages(bench.v0.events(identifier))]
        return said if texts[-1] in said else None

    said = bench.until(all_said, "the last message is among the events")
    bench.expect(said == texts, f"the messages are {texts}", said)


@checks("V0-EVENTS-12")
def impossible_actions(bench: Bench) -> None:
    """Sends actions that are none to a running conversation, and compares its events."""
    identifier = bench.v0.finished("Say hello and finish.")
    before = bench.v0.events(identifier)
    impossible: tuple[Any, ...] = (
        {"action": "dance", "args": {}},
        {"args": {"content": "Hi"}},
        {"action": "message", "args": {}},
        {"action": "message", "args": {"content": 5}},
        {"action": "change_agent_state", "args": {"agent_state": "dreaming"}},
        {"action": "run", "args": {}},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        [],
    )
    for action in impossible:
        refused(bench.app.post(path(identifier, "/events"), action))
    bench.expect(bench.v0.events(identifier) == before, "no event was left")


@checks("V0-EVENTS-13")
def no_message(bench: Bench) -> None:
    """Sends no message, null and a number."""
    identifier = bench.v0.running()
    for body in ({}, {"message": None}, {"message": 5}):
        refused(bench.app.post(path(identifier, "/message"), body), "message")


def _filtered(bench: Bench, wanted: Sequence[Event], **conditions: Any) -> None:
    identifier = _history(bench)
    answer = _search(bench, identifier, filter=json.dumps(conditions), limit=100)
    ids = [event["id"] for event in wanted]
    answer.expect(_ids(answer) == ids, f"the events {ids}", _ids(answer))


def _type(event: Event) -> str:
    return str(event.get("action") or event.get("observation"))


@checks("V0-EVENTS-14")
def by_source(bench: Bench) -> None:
    """Asks for the events of each source, and compares them with those of the whole history."""
    _, events = _all(bench)
    for source in ("user", "agent", "environment"):
        _filtered(bench, [event for event in events if event["source"] == source], source=source)


@checks("V0-EVENTS-15")
def by_text(bench: Bench) -> None:
    """Asks for events with a word, in two spellings, and with one that nobody said."""
    _, events = _all(bench)
    identifier = _history(bench)
    for word in ("Marmalade", "mARMALADE"):
        answer = _search(bench, identifier, filter=json.dumps({"query": word}), limit=100)
        ids = _ids(answer)
        said = [event["id"] for event in user_messages(events)]
        answer.expect(set(said) <= set(ids), f"the message of the user, {said}, is found", ids)
        silent = [event["id"] for event in events if "marmalade" not in json.dumps(event).lower()]
        answer.expect(not set(silent) & set(ids), f"none of {silent} is found", ids)
    _filtered(bench, [], query=secrets.token_hex(8))


@checks("V0-EVENTS-16")
def by_type(bench: Bench) -> None:
    """Asks for messages only, and for all but messages and state changes."""
    _, events = _all(bench)
    _filtered(bench, [event for event in events if _type(event) == "message"], include_types=["message"])
    chosen = ["message", "agent_state_changed"]
    _filtered(bench, [event for event in events if _type(event) not in chosen], exclude_types=chosen)


@checks("V0-EVENTS-17")
def by_time(bench: Bench) -> None:
    """Asks for what happened between the third and the fifth event."""
    _, events = _all(bench)
    first, last = events[2]["timestamp"], events[4]["timestamp"]
    wanted = [event for event in events if first <= event["timestamp"] <= last]
    _filtered(bench, wanted, start_date=first, end_date=last)


@checks("V0-EVENTS-18")
def strange_filters(bench: Bench) -> None:
    """Sends filters that are no JSON, no object, and of wrong types."""
    for text in ("not json", "[]", '{"include_types": "message"}', '{"start_date": "yesterday"}'):
        refused(_search(bench, _history(bench), filter=text))


@checks("V0-EVENTS-19")
def trajectories(bench: Bench) -> None:
    """Compares the trajectory with the events."""
    identifier, events = _all(bench)
    answer = bench.app.get(path(identifier, "/trajectory")).must(200)
    trajectory = answer.pick("trajectory")
    ids = [event["id"] for event in trajectory]
    answer.expect(ids == sorted(set(ids)), "the ids rise", ids)
    visible = {event["id"] for event in events if not _is_hidden(event) and _type(event) != "null"}
    told = {event["id"] for event in trajectory}
    said = {event["id"] for event in user_messages(events)}
    answer.expect(
        told <= visible | {event["id"] for event in events}, "every event is one of the conversation"
    )
    answer.expect(said <= told, "what the user said is in it", sorted(said - told))
    if bench.lab.site.dialect == "docs":
        answer.expect(visible <= told, "every event that is not hidden is in it", sorted(visible - told))
    by_id = {event["id"]: event for event in events}
    different = [event["id"] for event in trajectory if _type(event) != _type(by_id[event["id"]])]
    answer.expect(not different, "the events are the same as in the search", different)


def _is_hidden(event: dict[str, Any]) -> bool:
    return any((event.get(name) or {}).get("hidden") for name in ("args", "extras"))


@checks("V0-EVENTS-20")
def rising_times(bench: Bench) -> None:
    """Reads all events and compares their timestamps."""
    _, events = _all(bench)
    times = [event["timestamp"] for event in events]
    bench.expect(times == sorted(times), "the timestamps do not fall", times)


@checks("V0-EVENTS-21")
def states_of_the_agent(bench: Bench) -> None:
    """Reads the state changes of a conversation in which one message was answered."""
    _, events = _all(bench)
    states = [e["extras"]["agent_state"] for e in events if e.get("observation") == "agent_state_changed"]
    bench.expect("running" in states, "the agent was `running`", states)
    after = states[states.index("running") + 1 :]
    resting = {"awaiting_user_input", "finished"}
    bench.expect(resting & set(after), "then it was `awaiting_user_input` or `finished`", states)


@checks("V0-EVENTS-22")
def the_same_again(bench: Bench) -> None:
    """Reads all events of a stopped conversation twice."""
    identifier, events = _all(bench)
    bench.expect(bench.v0.events(identifier) == events, "both times the events are the same")


@checks("V0-EVENTS-23")
def microagent_prompts(bench: Bench) -> None:
    """Asks twice for a prompt about what the user said, and for one about an event that is not there."""
    identifier, events = _all(bench)
    (said, *_) = user_messages(events)
    prompts = []
    for _ in range(2):
        answer = bench.app.get(path(identifier, "/remember-prompt"), {"event_id": said["id"]}).must(200)
        prompts.append(answer.has(status="success").pick("prompt"))
    bench.expect(_WORDS in prompts[0], "the prompt quotes the event", prompts[0])
    bench.expect(prompts[0] == prompts[1], "both prompts are the same")
    bench.app.get(path(identifier, "/remember-prompt"), {"event_id": events[-1]["id"] + 1000}).must(404)
    refused(bench.app.get(path(identifier, "/remember-prompt")), "event_id")


@checks("V0-EVENTS-24")
def microagents(bench: Bench) -> None:
    """Lists the microagents of a running and of a stopped conversation."""
    answer = bench.app.get(path(bench.v0.running(), "/microagents")).must(200)
    answer.expect(isinstance(answer.pick("microagents"), list), "there is a list, maybe an empty one")
    answer = bench.app.get(path(_history(bench), "/microagents")).must(404)
    answer.expect(answer.pick("error"), "`error` says why")


@checks("V0-EVENTS-26")
def experiments(bench: Bench) -> None:
    """Notes two experiments, and one that is none."""
    identifier = bench.v0.new()
    for variant in ("a", "b"):
        answer = bench.app.post(path(identifier, "/exp-config"), {"config": {"variant": variant}}).must(200)
        answer.expect(answer.json is False, "the answer is `false`: it did not fail", answer.text)
    refused(bench.app.post(path(identifier, "/exp-config"), {"config": "variant"}), "config")


@checks("V0-EVENTS-27")
def causes(bench: Bench) -> None:
    """Reads all events and looks at what they name as their cause."""
    _, events = _all(bench)
    ids = {event["id"] for event in events}
    wrong = [
        event["id"]
        for event in events
        if event.get("cause") is not None and not (event["cause"] in ids and event["cause"] < event["id"])
    ]
    bench.expect(not wrong, "every cause is an earlier event", wrong)


@checks("V0-EVENTS-15")
def by_text_of_any_script(bench: Bench) -> None:
    """Asks for texts that a pattern would find elsewhere, and for letters beyond ASCII in another case."""
    identifier, _ = bench.v0.long()
    for text in ("LINE 7:", "Line%7", "Line_7", "Line .:", "äPFEL und öl (7)", "Äpfel und ÖL .7."):
        wanted = [n for n, line in enumerate(bench.v0.lines) if text.lower() in line.lower()]
        answer = _search(bench, identifier, filter=json.dumps({"query": text}), limit=100)
        answer.expect(_ids(answer) == wanted, f"the events {wanted}, which say {text!r}", _ids(answer))


@checks("V0-EVENTS-17")
def by_time_with_an_offset(bench: Bench) -> None:
    """Asks for what happened between two events, with times of another zone."""
    _, events = _all(bench)
    first, last = (elsewhere(events[place]["timestamp"]) for place in (2, 4))
    wanted = [event for event in events if events[2]["timestamp"] <= event["timestamp"]]
    wanted = [event for event in wanted if event["timestamp"] <= events[4]["timestamp"]]
    _filtered(bench, wanted, start_date=first, end_date=last)


@checks("V0-EVENTS-19")
def long_trajectories(bench: Bench) -> None:
    """Compares the trajectory of a conversation with more than a hundred events with them."""
    if bench.lab.site.dialect != "docs":
        return
    identifier, events = bench.v0.long()
    told = [
        event["id"] for event in bench.app.get(path(identifier, "/trajectory")).must(200).pick("trajectory")
    ]
    missing = [event["id"] for event in events if _is_line(event) and event["id"] not in told]
    bench.expect(not missing, "the trajectory is whole", f"missing: {missing}")


def _is_line(event: Event) -> bool:
    return event.get("action") == "message"


@checks("V0-EVENTS-28")
def full_pages(bench: Bench) -> None:
    """Reads a hundred of more than a hundred events, in both directions, and as many as come without a limit."""
    identifier, events = bench.v0.long()
    ids = [event["id"] for event in events]
    for query, wanted in (
        ({"limit": 100}, ids[:100]),
        ({"limit": 100, "reverse": True}, ids[:-101:-1]),
        ({}, ids[:20]),
    ):
        answer = _search(bench, identifier, **query)
        answer.expect(_ids(answer) == wanted, f"{len(wanted)} events", f"{len(_ids(answer))}: {_ids(answer)}")
        answer.has(has_more=True)


@checks("V0-EVENTS-29")
def limits_of_filtered_ranges(bench: Bench) -> None:
    """Reads one event, all but one, and all of those that a filter leaves."""
    identifier, events = bench.v0.long()
    wanted = [event["id"] for event in events if event["source"] == "environment"]
    with bench.arranging("a conversation with at least two events of the environment"):
        bench.expect(len(wanted) >= 2, "at least two", len(wanted))
    for limit in (1, len(wanted) - 1, len(wanted)):
        answer = _search(bench, identifier, filter=json.dumps({"source": "environment"}), limit=limit)
        answer.expect(_ids(answer) == wanted[:limit], f"the events {wanted[:limit]}", _ids(answer))
        answer.has(has_more=limit < len(wanted))


@checks("V0-EVENTS-30")
def messages_at_once(bench: Bench) -> None:
    """Sends four messages at the same time, then a last one, and looks for all among the events."""
    identifier = bench.v0.running()
    place, texts = path(identifier, "/message"), [f"At once {number}" for number in range(4)]
    for answer in at_once(len(texts), lambda number: bench.app.post(place, {"message": texts[number]})):
        answer.must(200)
    bench.app.post(place, {"message": "Last"}).must(200)

    def all_said() -> list[str] | None:
        said = [event["args"]["content"] for event in user_messages(bench.v0.events(identifier))]
        return said if "Last" in said else None

    said = bench.until(all_said, "the last message is among the events")
    bench.expect(sorted(said) == [*texts, "Last"], "each message is there once", said)
    ids = [event["id"] for event in bench.v0.events(identifier)]
    bench.expect(len(set(ids)) == len(ids), "no two events share an id", ids)
