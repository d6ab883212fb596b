"""Starting V1 conversations: from the request, through the stages, to READY or ERROR."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import expect_now
from openhands_contract.lab.together import at_once
from openhands_contract.lab.v1 import CONVERSATIONS, STAGES, TASKS, user_message

_STREAM = f"{CONVERSATIONS}/stream-start"
_OVER = ("READY", "ERROR")


def _post(bench: Bench, body: Mapping[str, Any], path: str = CONVERSATIONS) -> Answer:
    patience = bench.lab.start_patience if path == _STREAM else None
    return bench.app.post(path, body, timeout=patience)


def _in_workshop(bench: Bench, **request: Any) -> dict[str, Any]:
    """A request that needs no sandbox of its own."""
    return {"sandbox_id": bench.v1.workshop().sandbox_id, **request}


def _ended(bench: Bench, request: Mapping[str, Any]) -> dict[str, Any]:
    return bench.v1.await_task(_post(bench, request).must(200).pick("id"))


def _forward(stages: Sequence[str]) -> bool:
    """Whether stages come in their order; some may be skipped, ERROR may come after any but READY."""
    places = [
        len(STAGES) if stage == "ERROR" else STAGES.index(stage)
        for stage in stages
        if stage in (*STAGES, "ERROR")
    ]
    return len(places) == len(stages) and places == sorted(places) and not {"READY", "ERROR"} <= set(stages)


@checks("V1-START-01")
def answers_with_a_task(bench: Bench) -> None:
    """Starts a conversation and looks at the answer."""
    answer = (
        _post(bench, _in_workshop(bench))
        .must(200)
        .has(status="WORKING", app_conversation_id=None, detail=None)
    )
    for name in ("id", "created_at", "updated_at"):
        answer.expect(answer.pick(name), f"`{name}` is set")
    with bench.arranging("the end of the start"):
        bench.v1.await_task(answer.pick("id"))


@checks("V1-START-02")
def ready_has_ids(bench: Bench) -> None:
    """Starts a conversation, waits for READY, and looks for what the task names."""
    task = _ended(bench, {})  # on its own: were the ids missing, no other conversation could be used
    bench.expect(task["status"] == "READY", "the task becomes READY", task)
    for name in ("app_conversation_id", "sandbox_id", "agent_server_url"):
        bench.expect(task.get(name), f"`{name}` is set", task)
    found = bench.v1.get(task["app_conversation_id"]).must(200)
    found.expect(found.pick(0) is not None, "the conversation is there")
    found.expect(
        found.pick(0, "sandbox_id") == task["sandbox_id"], "it runs in the sandbox that the task names"
    )


@checks("V1-START-03")
def goes_forward(bench: Bench) -> None:
    """Starts a conversation, polls the task as often as possible, and compares the stages."""
    identifier = _post(bench, _in_workshop(bench)).must(200).pick("id")
    stages = ["WORKING"]

    def over() -> bool | None:
        stages.append(bench.v1.task(identifier).must(200).pick(0, "status"))
        return stages[-1] in _OVER or None

    bench.until(over, "the task ends", within=bench.lab.start_patience)
    bench.expect(
        _forward(stages), f"the stages come in the order {', '.join(STAGES)}", list(dict.fromkeys(stages))
    )


@checks("V1-START-04")
def errors_say_why(bench: Bench) -> None:
    """Starts a conversation in a sandbox that nobody has made, and waits for the end of the task."""
    task = _ended(bench, {"sandbox_id": secrets.token_hex(11)})
    bench.expect(task["status"] == "ERROR", "the task becomes ERROR", task)
    bench.expect(task.get("detail"), "`detail` says why", task)
    bench.expect(task.get("app_conversation_id") is None, "there is no conversation", task)


@checks("V1-START-05")
def ends_for_good(bench: Bench) -> None:
    """Reads two tasks again that have ended, one well and one badly."""
    for request in (_in_workshop(bench), {"sandbox_id": secrets.token_hex(11)}):
        task = _ended(bench, request)
        again = bench.v1.task(task["id"]).must(200).pick(0)
        bench.expect(again == task, "the task is the same as before", again)


def _streamed(bench: Bench, request: Mapping[str, Any]) -> tuple[Answer, list[dict[str, Any]]]:
    answer = _post(bench, request, _STREAM).must(200)
    tasks: list[dict[str, Any]] = answer.json
    answer.expect(
        isinstance(tasks, list) and tasks, "the answer is an array with at least one task", answer.text
    )
    return answer, tasks


@checks("V1-START-06")
def streams_stages(bench: Bench) -> None:
    """Streams a start and compares the stages."""
    answer, tasks = _streamed(bench, _in_workshop(bench))
    stages = [task.get("status") for task in tasks]
    answer.expect(len({task.get("id") for task in tasks}) == 1, "all are the same task")
    answer.expect(_forward([str(stage) for stage in stages]), "the stages come in their order", stages)
    answer.expect(stages[-1] in _OVER, "the last one is READY or ERROR", stages[-1])
    answer.expect(len(set(stages)) == len(stages), "each stage is told once", stages)
    answer.expect(tasks[-1].get("app_conversation_id"), "the last one names the conversation", tasks[-1])


@checks("V1-START-07")
def streams_agree_with_tasks(bench: Bench) -> None:
    """Streams a start and compares its end with the task."""
    _, tasks = _streamed(bench, _in_workshop(bench))
    read = bench.v1.task(tasks[-1]["id"]).must(200)
    read.expect(read.pick(0) is not None, "the task is known")
    for name in ("id", "status", "app_conversation_id", "sandbox_id", "agent_server_url", "detail"):
        wanted = tasks[-1].get(name)
        read.expect(read.pick(0, name) == wanted, f"`{name}` is {wanted!r}", read.pick(0, name))


@checks("V1-START-08")
def unknown_sandboxes(bench: Bench) -> None:
    """Starts conversations in a sandbox that nobody has made, streamed and not."""
    request = {"sandbox_id": secrets.token_hex(11)}
    bench.expect(_ended(bench, request)["status"] == "ERROR", "the task becomes ERROR")
    _, tasks = _streamed(bench, request)
    bench.expect(
        tasks[-1]["status"] == "ERROR" and tasks[-1]["detail"], "the stream ends with ERROR", tasks[-1]
    )


@checks("V1-START-09")
def unknown_parents(bench: Bench) -> None:
    """Starts conversations under a parent that nobody has made, streamed and not."""
    request = {"parent_conversation_id": uuid.uuid4().hex}
    for path in (CONVERSATIONS, _STREAM):
        answer = _post(bench, request, path).must(404)
        answer.expect(isinstance(answer.pick("detail"), str), "`detail` says so")


@checks("V1-START-10")
def ids_of_ones_own(bench: Bench) -> None:
    """Starts conversations under ids of its own, with dashes and without."""
    for identifier in (str(uuid.uuid4()), uuid.uuid4().hex):
        task = _ended(bench, _in_workshop(bench, conversation_id=identifier))
        bench.expect(task["status"] == "READY", "the task becomes READY", task)
        same = uuid.UUID(task["app_conversation_id"]) == uuid.UUID(identifier)
        bench.expect(same, f"the conversation has the id {identifier}", task["app_conversation_id"])


@checks("V1-START-11")
def starting_twice(bench: Bench) -> None:
    """Starts a conversation under the id of one that is there, and compares its events with those before."""
    started = bench.v1.shared()
    before = bench.v1.events(started)
    task = _ended(bench, {"conversation_id": started.id})
    bench.expect(task["status"] == "READY", "the task becomes READY", task)
    same = uuid.UUID(task["app_conversation_id"]) == uuid.UUID(started.id)
    bench.expect(same, f"the conversation is {started.id}", task["app_conversation_id"])
    found = bench.v1.get(started.id).must(200)
    found.expect(found.pick(0, "sandbox_id") == started.sandbox_id, "it is still in its sandbox")
    after = bench.v1.events(started)
    bench.expect(after == before, "it has no new event", after[len(before) :])


@checks("V1-START-12")
def in_a_sandbox(bench: Bench) -> None:
    """Starts a conversation in a sandbox that runs."""
    sandbox = bench.v1.workshop().sandbox_id
    task = _ended(bench, {"sandbox_id": sandbox})
    bench.expect(task["sandbox_id"] == sandbox, f"the task has the sandbox {sandbox}", task)
    found = bench.v1.get(task["app_conversation_id"]).must(200)
    found.expect(
        found.pick(0, "sandbox_id") == sandbox, "the conversation has it, too", found.pick(0, "sandbox_id")
    )


@checks("V1-START-13")
def with_a_parent(bench: Bench) -> None:
    """Starts a conversation under another and reads both."""
    parent = bench.v1.beside()
    task = _ended(bench, {"parent_conversation_id": parent.id})
    bench.expect(task["status"] == "READY", "the task becomes READY", task)
    child = bench.v1.get(task["app_conversation_id"]).must(200).pick(0)
    named = child["parent_conversation_id"]
    bench.expect(_bare(named) == parent.id, f"the parent is {parent.id}", named)
    bench.expect(
        child["sandbox_id"] == parent.sandbox_id, "it runs in the parent's sandbox", child["sandbox_id"]
    )
    parts = bench.v1.get(parent.id).must(200).pick(0, "sub_conversation_ids")
    bench.expect(_bare(child["id"]) in map(_bare, parts), "the parent lists it", parts)


def _bare(identifier: str | None) -> str:
    return (identifier or "").replace("-", "")


@checks("V1-START-14")
def repeats_the_request(bench: Bench) -> None:
    """Starts a conversation and compares the request in the task."""
    sandbox = bench.v1.workshop().sandbox_id
    asked = {"sandbox_id": sandbox, "agent_type": "default", "pr_number": [7], "title": "As asked for"}
    answer = _post(bench, asked).must(200)
    for name, wanted in asked.items():
        found = answer.pick("request", name)
        answer.expect(found == wanted, f"`request.{name}` is {wanted!r}", found)
    with bench.arranging("the end of the start"):
        bench.v1.await_task(answer.pick("id"))


@checks("V1-START-15")
def ignores_unknown_fields(bench: Bench) -> None:
    """Starts a conversation with a field that nobody knows."""
    task = _ended(bench, _in_workshop(bench, favourite_colour="blue"))
    bench.expect(task["status"] == "READY", "the task becomes READY", task)


@checks("V1-START-16")
def refuses_what_is_no_object(bench: Bench) -> None:
    """Sends no body, half a JSON document, an array and a string, streamed and not."""
    for path in (CONVERSATIONS, _STREAM):
        for body in (b"", b'{"title": ', b"[]", b'"Hi"'):
            refused(bench.app.post(path, content=body, headers={"Content-Type": "application/json"}))


@checks("V1-START-17")
def refuses_wrong_fields(bench: Bench) -> None:
    """Sends fields of wrong types and words that do not exist."""
    text = [{"type": "text", "text": "Hi"}]
    for body, place in (
        ({"git_provider": "GITHUB"}, "git_provider"),
        ({"conversation_id": "not-a-uuid"}, "conversation_id"),
        ({"parent_conversation_id": "not-a-uuid"}, "parent_conversation_id"),
        ({"agent_type": "barista"}, "agent_type"),
        ({"trigger": "telepathy"}, "trigger"),
        ({"pr_number": "seven"}, "pr_number"),
        ({"selected_repository": 7}, "selected_repository"),
        ({"initial_message": "Hi"}, "initial_message"),
        ({"initial_message": {"role": "boss", "content": text}}, "role"),
        ({"initial_message": {"role": "user", "content": "Hi"}}, "content"),
        (
            {
                "initial_message": {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "x"}}],
                }
            },
            "content",
        ),
    ):
        refused(_post(bench, body), place)


@checks("V1-START-18")
def says_the_initial_message(bench: Bench) -> None:
    """Starts a conversation with a message, waits until the agent rests, and reads the events."""
    text = f'\n  Say "{secrets.token_hex(4)}" <b>&amp;</b> — 你好 🚀 \n'
    started = bench.v1.beside(initial_message=user_message(text, run=True))
    bench.v1.await_rest(started)
    events = bench.v1.events(started)
    said = [event for event in events if event["kind"] == "MessageEvent" and event["source"] == "user"]
    bench.expect(said, "the user has said something")
    heard = said[0]["llm_message"]["content"][0].get("text")
    bench.expect(heard == text, f"it is {text!r}", heard)
    after = events[events.index(said[0]) + 1 :]
    bench.expect(any(event["source"] == "agent" for event in after), "the agent has done something about it")


@checks("V1-START-19")
def does_not_run(bench: Bench) -> None:
    """Starts a conversation with a message that is not to run, and later runs it."""
    started = bench.v1.beside(initial_message=user_message("Not yet", run=False))
    events = bench.v1.events(started)
    said = [event for event in events if event["kind"] == "MessageEvent"]
    bench.expect(len(said) == 1, "the message is stored, and nobody has answered", len(said))
    status = bench.v1.status(started)
    bench.expect(status == "idle", "the agent is idle", status)
    bench.v1.agent(started).post(f"{started.path}/run").must(200)
    bench.v1.await_rest(started)


@checks("V1-START-20")
def takes_a_repository(bench: Bench) -> None:
    """Starts a conversation on a repository and reads it."""
    wanted = {
        "selected_repository": "Acme/App",
        "selected_branch": "feature/Next-1",
        "git_provider": "gitlab",
        "llm_model": "some/model",
    }
    started = bench.v1.beside(**wanted)
    found = bench.v1.get(started.id).must(200)
    for name, value in wanted.items():
        found.expect(found.pick(0, name) == value, f"`{name}` is {value!r}", found.pick(0, name))


@checks("V1-START-21")
def is_reachable(bench: Bench) -> None:
    """Reads a conversation that is ready, and asks its agent server for it."""
    started = bench.v1.shared()
    found = bench.v1.get(started.id).must(200)
    found.expect(
        found.pick(0, "sandbox_status") == "RUNNING", "its sandbox runs", found.pick(0, "sandbox_status")
    )
    found.expect(found.pick(0, "execution_status"), "`execution_status` says what the agent does")
    url = found.pick(0, "conversation_url")
    named = _bare(url.rpartition("/")[2])
    found.expect(named == started.id, "`conversation_url` ends with the id of the conversation", url)
    answer = bench.v1.agent(started).get(started.path).must(200)
    answer.expect(_bare(answer.pick("id")) == started.id, "the agent server has it", answer.pick("id"))


@checks("V1-START-22")
def sandboxes_of_their_own(bench: Bench) -> None:
    """Compares two conversations that were started without a sandbox."""
    first, second = bench.v1.shared(), bench.v1.workshop()
    bench.expect(first.id != second.id, "they have different ids")
    bench.expect(first.sandbox_id != second.sandbox_id, "and different sandboxes", first.sandbox_id)


@checks("V1-START-09")
def refusals_make_no_task(bench: Bench) -> None:
    """Counts the start tasks of an id whose start was refused."""
    if not bench.lab.app_document.has("countStartTasks"):
        return
    identifier = uuid.uuid4().hex
    _post(bench, {"conversation_id": identifier, "parent_conversation_id": uuid.uuid4().hex}).must(404)
    count = bench.app.get(f"{TASKS}/count", {"conversation_id__eq": identifier}).must(200)
    count.expect(json.loads(count.text) == 0, "there is no task", count.text)


@checks("V1-START-23")
def notes_the_time(bench: Bench) -> None:
    """Starts a conversation, and compares the times of task and conversation with the `Date` of the answers."""
    answer = _post(bench, _in_workshop(bench)).must(200)
    expect_now(answer, "created_at", answer.pick("created_at"))
    task = bench.v1.await_task(answer.pick("id"))
    found = bench.v1.get(task["app_conversation_id"]).must(200)
    for name in ("created_at", "updated_at"):
        expect_now(found, name, found.pick(0, name))


@checks("V1-START-24")
def starts_several_at_once(bench: Bench) -> None:
    """Starts three conversations at the same time, and compares tasks and conversations."""
    request = _in_workshop(bench)
    tasks = [answer.must(200).pick("id") for answer in at_once(3, lambda _: _post(bench, request))]
    bench.expect(len(set(tasks)) == len(tasks), "each has a task of its own", tasks)
    made = [bench.v1.await_task(task)["app_conversation_id"] for task in tasks]
    bench.expect(None not in made and len(set(made)) == len(made), "each has a conversation of its own", made)


@checks("V1-START-25")
def a_new_one_under_an_old_id(bench: Bench) -> None:
    """Starts a conversation, deletes it, starts another under its id, and reads the events of that."""
    word, identifier = f"Old {secrets.token_hex(6)}", uuid.uuid4().hex
    old = bench.v1.start(conversation_id=identifier, initial_message=user_message(word, run=False))
    with bench.arranging("a deletion"):
        bench.v1.delete(old.id).needs(200)
    new = bench.v1.start(conversation_id=identifier)
    kept = [event["id"] for event in bench.v1.events(new) if word in json.dumps(event)]
    bench.expect(not kept, "nothing of the deleted conversation is there", kept)


@checks("V1-START-26")
def lasting_and_moving_fields(bench: Bench) -> None:
    """Streams a start, reads the task afterwards, and compares what it shows at each stage."""
    answer, tasks = _streamed(bench, _in_workshop(bench, title="As asked for"))
    tasks.append(bench.v1.task(tasks[-1]["id"]).must(200).pick(0))
    for name in ("created_at", "request"):
        shown = [task.get(name) for task in tasks]
        answer.expect(shown == shown[:1] * len(shown), f"`{name}` is the same at each stage", shown)
    times = [task["updated_at"] for task in tasks]
    answer.expect(times == sorted(times), "`updated_at` does not fall", times)
    answer.expect(times[-1] > times[0], "`updated_at` has moved on when the task has ended", times)
