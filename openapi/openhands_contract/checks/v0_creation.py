"""What a V0 conversation can be made from, and what is refused."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import expect_now
from openhands_contract.lab.together import at_once
from openhands_contract.lab.v0 import CONVERSATIONS, path, user_messages
from openhands_contract.shortening import quoted

_TASK = {
    "git_provider": "github",
    "task_type": "OPEN_ISSUE",
    "repo": "acme/app",
    "issue_number": 7,
    "title": "Crash on start",
}


@checks("V0-CREATE-01")
def answers_starting(bench: Bench) -> None:
    """Creates a conversation from an empty request."""
    answer = bench.v0.create().must(200).has(status="ok", conversation_status="STARTING")
    answer.expect(answer.pick("conversation_id"), "the answer has an id")


@checks("V0-CREATE-02")
def makes_another_each_time(bench: Bench) -> None:
    """Sends the same request twice and compares the ids."""
    first, second = (bench.v0.create().must(200).pick("conversation_id") for _ in range(2))
    bench.expect(first != second, "the second conversation has an id of its own", first)


@checks("V0-CREATE-03")
def is_found_at_once(bench: Bench) -> None:
    """Creates a conversation and reads it without waiting."""
    identifier = bench.v0.create().must(200).pick("conversation_id")
    answer = bench.v0.status(identifier).must(200)
    answer.has(conversation_id=identifier, conversation_version="V0", pr_number=[], sub_conversation_ids=[])
    status = answer.pick("status")
    answer.expect(status in ("STARTING", "RUNNING"), "the status is STARTING or RUNNING", status)


@checks("V0-CREATE-04")
def says_the_initial_message(bench: Bench) -> None:
    """Creates a conversation with a message and looks for it among the events."""
    text = f"Remember {secrets.token_hex(4)}"
    _first_message(bench, bench.v0.new(initial_user_msg=text), text)


def _first_message(bench: Bench, identifier: str, text: str) -> None:
    said = bench.until(
        lambda: user_messages(bench.v0.events(identifier)) or None, "the user has said something"
    )
    heard = said[0]["args"]["content"]
    bench.expect(heard == text, f"the first message is {quoted(text)}", quoted(heard))


@checks("V0-CREATE-05")
def works_on_the_initial_message(bench: Bench) -> None:
    """Creates a conversation with a message and waits until the agent has run and rests."""
    identifier = bench.v0.running(initial_user_msg="Say hello and finish.")
    events = bench.v0.await_rest(identifier)
    bench.expect(
        any(event["source"] == "agent" and event.get("action") not in (None, "system") for event in events),
        "the agent has done something",
    )


@checks("V0-CREATE-06")
def takes_a_repository(bench: Bench) -> None:
    """Creates a conversation on a repository and reads it."""
    wanted = {"repository": "Acme/App", "selected_branch": "feature/Next-1", "git_provider": "gitlab"}
    identifier = bench.v0.create(wanted).must(200).pick("conversation_id")
    bench.v0.status(identifier).must(200).has(
        selected_repository="Acme/App", selected_branch="feature/Next-1", git_provider="gitlab"
    )


@checks("V0-CREATE-07")
def notes_the_trigger(bench: Bench) -> None:
    """Creates conversations in three ways and compares their triggers."""
    _triggered(bench, {}, "gui", "openhands_api")
    _triggered(bench, {"suggested_task": _TASK}, "suggested_task")
    _triggered(bench, {"create_microagent": {"repo": "acme/app"}}, "microagent_management")


def _triggered(bench: Bench, request: Mapping[str, Any], *wanted: str) -> None:
    answer = bench.v0.status(bench.v0.new(**request)).must(200)
    trigger = answer.pick("trigger")
    answer.expect(trigger in wanted, f"the trigger is {' or '.join(wanted)}", trigger)


@checks("V0-CREATE-08")
def refuses_unknown_fields(bench: Bench) -> None:
    """Sends a field that no request has."""
    answer = bench.v0.create({"initial_user_msg": "Hi", "agent_class": "CodeActAgent"})
    refused(answer, "agent_class", kind="extra_forbidden")


def refused(answer: Answer, field: str | None = None, kind: str | None = None) -> None:
    """Hold an answer to being a refusal, because of this field, for this reason."""
    items = answer.must(422).pick("detail")
    answer.expect(isinstance(items, list) and items, "`detail` lists what is wrong", items)
    if field is not None:
        places = [item.get("loc") for item in items if isinstance(item, dict)]
        answer.expect(any(field in (place or []) for place in places), f"`loc` names {field}", places)
    if kind is not None:
        kinds = [item.get("type") for item in items if isinstance(item, dict)]
        answer.expect(kind in kinds, f"the type is {kind}", kinds)


@checks("V0-CREATE-09")
def refuses_unknown_providers(bench: Bench) -> None:
    """Sends `GITHUB`, and a provider nobody knows."""
    for provider in ("GITHUB", "sourceforge"):
        refused(bench.v0.create({"git_provider": provider}), "git_provider")


@checks("V0-CREATE-10")
def refuses_broken_json(bench: Bench) -> None:
    """Sends a body that ends in the middle."""
    refused(_raw(bench, b'{"initial_user_msg": "Hi'), kind="json_invalid")


def _raw(bench: Bench, body: bytes, content_type: str | None = "application/json") -> Answer:
    return bench.app.post(CONVERSATIONS, content=body, headers={"Content-Type": content_type})


@checks("V0-CREATE-11")
def refuses_what_is_no_object(bench: Bench) -> None:
    """Sends no body, an array and a string."""
    for body in (b"", b"[]", b'"Hi"'):
        refused(_raw(bench, body))


@checks("HTTP-JSON-03")
def refuses_other_media_types(bench: Bench) -> None:
    """Sends a form and a plain text instead of a conversation to create."""
    for content_type in ("application/x-www-form-urlencoded", "text/plain"):
        answer = _raw(bench, b"initial_user_msg=Hi", content_type).must(415)
        answer.expect(answer.pick("detail"), "`detail` says why")


@checks("V0-CREATE-13")
def refuses_wrong_types(bench: Bench) -> None:
    """Sends a number for a text, a text for a list, and an object for a text."""
    for name, value in (("initial_user_msg", 5), ("image_urls", "x.png"), ("repository", {"name": "app"})):
        refused(bench.v0.create({name: value}), name)


@checks("V0-CREATE-14")
def a_refusal_makes_nothing(bench: Bench) -> None:
    """Sends a request that is right but for one field, and lists the conversations on its repository."""
    repository = f"acme/{secrets.token_hex(8)}"
    refused(bench.v0.create({"repository": repository, "nonsense": 1}), "nonsense")
    listed = bench.app.get(CONVERSATIONS, {"selected_repository": repository}).must(200)
    listed.expect(listed.pick("results") == [], "no conversation was made")


@checks("V0-CREATE-15")
def replays_a_recording(bench: Bench) -> None:
    """Creates a conversation from three recorded events and reads its history."""
    said = ["First", "Second", "Third"]
    recorded = [{"source": "user", "action": "message", "args": {"content": text}} for text in said]
    for recording in (recorded, {"trajectory": recorded}):
        identifier = bench.v0.create({"replay_json": json.dumps(recording)}).must(200).pick("conversation_id")
        events = bench.v0.events(identifier)
        heard = [event["args"]["content"] for event in user_messages(events)]
        bench.expect(heard[:3] == said, f"the history says {said}", heard)
        bench.expect(events[0]["id"] == 0, "the first event has the id 0", events[0]["id"])


@checks("V0-CREATE-16")
def refuses_a_broken_recording(bench: Bench) -> None:
    """Sends recordings that are no JSON, and no events."""
    for recording in ("not json", "42"):
        refused(bench.v0.create({"replay_json": recording}), "replay_json")


@checks("V0-CREATE-17")
def has_a_default_title(bench: Bench) -> None:
    """Creates a conversation without a message and reads its title."""
    identifier = bench.v0.new()
    bench.v0.status(identifier).must(200).has(title=f"Conversation {identifier[:5]}")


@checks("V0-CREATE-18")
def takes_images(bench: Bench) -> None:
    """Creates a conversation with a message and an image, and looks for both in one event."""
    image = "data:image/png;base64,iVBORw0KGgo="
    identifier = bench.v0.new(initial_user_msg="Look", image_urls=[image])
    said = bench.until(
        lambda: user_messages(bench.v0.events(identifier)) or None, "the user has said something"
    )
    bench.expect(said[0]["args"].get("image_urls") == [image], "the message has the image", said[0]["args"])


@checks("V0-CREATE-19")
def refuses_half_a_task(bench: Bench) -> None:
    """Leaves each field of a suggested task out, and names a type that does not exist."""
    for name in _TASK:
        refused(bench.v0.create({"suggested_task": {key: _TASK[key] for key in _TASK if key != name}}), name)
    refused(bench.v0.create({"suggested_task": {**_TASK, "task_type": "COFFEE"}}), "task_type")


@checks("V0-CREATE-20")
def keeps_any_script(bench: Bench) -> None:
    """Creates a conversation with a message in several scripts, with quotes and line ends."""
    text = 'Zeile 1\nsecond "line" \\ 第三行 🚀 \u202e'
    _first_message(bench, bench.v0.new(initial_user_msg=text), text)


@checks("V0-CREATE-06")
def shows_no_repository_by_itself(bench: Bench) -> None:
    """Reads a conversation that was created without a repository."""
    bench.app.get(path(bench.v0.new())).must(200).has(
        selected_repository=None, selected_branch=None, git_provider=None
    )


@checks("V0-CREATE-21")
def keeps_the_whole_message(bench: Bench) -> None:
    """Creates conversations with a message with white space around it, and with one of 50,000 characters."""
    word = secrets.token_hex(4)
    for text in (f"\n\n  {word} \t\n", f"{word} {'and so on ' * 5000}to the end"):
        _first_message(bench, bench.v0.new(initial_user_msg=text), text)


@checks("V0-CREATE-22")
def notes_the_time(bench: Bench) -> None:
    """Creates a conversation, and compares its `created_at` with the `Date` of the answer."""
    answer = bench.v0.status(bench.v0.new()).must(200)
    expect_now(answer, "created_at", answer.pick("created_at"))


@checks("V0-CREATE-23")
def makes_several_at_once(bench: Bench) -> None:
    """Sends three requests at the same time, and reads a conversation for each."""
    ids = [answer.must(200).pick("conversation_id") for answer in at_once(3, lambda _: bench.v0.create())]
    bench.expect(len(set(ids)) == len(ids), "each has an id of its own", ids)
    for identifier in ids:
        bench.v0.status(identifier).must(200).has(conversation_id=identifier)
