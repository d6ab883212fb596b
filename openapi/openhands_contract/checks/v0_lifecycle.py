"""V0 conversations start, stop, pause and start again, and refuse what is not possible."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import path, user_messages


@checks("V0-LIFECYCLE-01")
def becomes_running(bench: Bench) -> None:
    """Creates a conversation and polls it until it is RUNNING."""
    bench.v0.await_status(bench.v0.new(), "RUNNING")


@checks("V0-LIFECYCLE-02")
def running_has_an_address(bench: Bench) -> None:
    """Reads a running conversation and looks at its `url` and `runtime_status`."""
    identifier = bench.v0.running()
    answer = bench.v0.status(identifier).must(200)
    url = answer.pick("url")
    answer.expect(url and url.endswith(identifier), "`url` leads to the conversation", url)
    answer.expect(answer.pick("runtime_status"), "`runtime_status` is set")


@checks("V0-LIFECYCLE-03")
def stop_answers_stopped(bench: Bench) -> None:
    """Stops a running conversation and looks at the answer."""
    answer = bench.app.post(path(bench.v0.running(), "/stop")).must(200)
    answer.has(status="ok", conversation_status="STOPPED")


@checks("V0-LIFECYCLE-04")
def stopped_is_stopped(bench: Bench) -> None:
    """Stops a running conversation and reads it."""
    identifier = bench.v0.running()
    with bench.arranging("a title"):
        title = bench.v0.status(identifier).needs(200).pick("title")
    bench.app.post(path(identifier, "/stop")).must(200)
    answer = bench.v0.await_status(identifier, "STOPPED")
    answer.has(conversation_id=identifier, title=title, runtime_status=None)


@checks("V0-LIFECYCLE-05")
def stopping_twice(bench: Bench) -> None:
    """Stops a stopped conversation, twice more."""
    identifier = bench.v0.stopped()
    for _ in range(2):
        answer = bench.app.post(path(identifier, "/stop")).must(200)
        answer.has(status="ok", conversation_status="STOPPED")
    bench.v0.status(identifier).must(200).has(status="STOPPED")


@checks("V0-LIFECYCLE-06")
def starting_again(bench: Bench) -> None:
    """Starts a stopped conversation and polls it until it runs."""
    identifier = bench.v0.stopped()
    answer = bench.app.post(path(identifier, "/start"), {}).must(200)
    answer.has(status="ok")
    status = answer.pick("conversation_status")
    answer.expect(status == "STARTING", "conversation_status is 'STARTING'", status)
    bench.v0.await_status(identifier, "RUNNING")


@checks("V0-LIFECYCLE-07")
def starting_what_runs(bench: Bench) -> None:
    """Starts a running conversation, twice, and reads it."""
    identifier = bench.v0.running()
    for _ in range(2):
        answer = bench.app.post(path(identifier, "/start"), {}).must(200)
        answer.has(status="ok", conversation_status="RUNNING")
    bench.v0.status(identifier).must(200).has(status="RUNNING")


@checks("V0-LIFECYCLE-08")
def events_survive(bench: Bench) -> None:
    """Stops and starts a conversation with a history, and compares the events it had before."""
    identifier = bench.v0.finished("Say something worth keeping.")
    with bench.arranging("a history"):
        before = bench.v0.events(identifier)
        bench.app.post(path(identifier, "/stop")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
    _same_beginning(bench, identifier, before)
    with bench.arranging("a second start"):
        bench.app.post(path(identifier, "/start"), {}).needs(200)
        bench.v0.await_status(identifier, "RUNNING")
    _same_beginning(bench, identifier, before)


def _same_beginning(bench: Bench, identifier: str, before: list[dict[str, object]]) -> None:
    after = {event["id"]: event for event in bench.v0.events(identifier)}
    lost = [event["id"] for event in before if after.get(event["id"]) != event]
    bench.expect(not lost, "the events from before are there, unchanged", f"lost or changed: {lost}")


@checks("V0-LIFECYCLE-09")
def pausing(bench: Bench) -> None:
    """Pauses a running conversation and reads it."""
    identifier = bench.v0.running()
    bench.app.post(path(identifier, "/pause")).must(200).has(success=True)
    bench.v0.await_status(identifier, "STOPPED")


@checks("V0-LIFECYCLE-10")
def resuming(bench: Bench) -> None:
    """Pauses a running conversation, starts it, and polls until it runs."""
    identifier = bench.v0.running()
    with bench.arranging("a paused conversation"):
        bench.app.post(path(identifier, "/pause")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
    bench.app.post(path(identifier, "/start"), {}).must(200).has(status="ok")
    bench.v0.await_status(identifier, "RUNNING")


def refused(answer: Answer, status: int, msg_id: str) -> None:
    """Hold an answer to an error envelope."""
    answer.must(status).has(status="error", msg_id=msg_id)
    answer.expect(answer.pick("message"), "the message says why")


@checks("V0-LIFECYCLE-11")
def pausing_what_does_not_run(bench: Bench) -> None:
    """Pauses a stopped conversation."""
    identifier = bench.v0.stopped()
    refused(bench.app.post(path(identifier, "/pause")), 409, "CONVERSATION$ILLEGAL_TRANSITION")
    bench.v0.status(identifier).must(200).has(status="STOPPED")


@checks("V0-LIFECYCLE-12")
def messaging_what_does_not_run(bench: Bench) -> None:
    """Sends a message to a stopped conversation, and compares the events before and after."""
    identifier = bench.v0.stopped()
    before = bench.v0.events(identifier)
    answer = bench.app.post(path(identifier, "/message"), {"message": "Anybody there?"})
    refused(answer, 409, "CONVERSATION$NOT_RUNNING")
    bench.expect(bench.v0.events(identifier) == before, "a refused message leaves no event")


@checks("V0-LIFECYCLE-13")
def acting_on_what_does_not_run(bench: Bench) -> None:
    """Sends a message action to a stopped conversation, and compares the events before and after."""
    identifier = bench.v0.stopped()
    before = bench.v0.events(identifier)
    action = {"action": "message", "args": {"content": "Anybody there?"}}
    refused(bench.app.post(path(identifier, "/events"), action), 409, "CONVERSATION$NOT_RUNNING")
    bench.expect(bench.v0.events(identifier) == before, "a refused action leaves no event")


@checks("V0-LIFECYCLE-14")
def answers_name_the_conversation(bench: Bench) -> None:
    """Stops and starts a conversation, and compares the ids in the answers."""
    identifier = bench.v0.running()
    bench.app.post(path(identifier, "/stop")).must(200).has(conversation_id=identifier)
    bench.app.post(path(identifier, "/start"), {}).must(200).has(conversation_id=identifier)


@checks("V0-LIFECYCLE-15")
def messages_after_a_second_start(bench: Bench) -> None:
    """Stops and starts a conversation, sends a message, and looks for it among the events."""
    identifier = bench.v0.stopped()
    with bench.arranging("a second start"):
        bench.app.post(path(identifier, "/start"), {}).needs(200)
        bench.v0.await_status(identifier, "RUNNING")
    bench.app.post(path(identifier, "/message"), {"message": "Welcome back"}).must(200).has(success=True)
    bench.until(
        lambda: any(_says(event, "Welcome back") for event in bench.v0.events(identifier)) or None,
        "the message is among the events",
    )


def _says(event: dict[str, object], text: str) -> bool:
    args = event.get("args")
    return event.get("action") == "message" and isinstance(args, dict) and args.get("content") == text


@checks("V0-LIFECYCLE-16")
def bodies_of_start(bench: Bench) -> None:
    """Starts a conversation without a body, with providers, and with a provider that does not exist."""
    identifier = bench.v0.running()
    bench.app.post(path(identifier, "/start")).must(200)
    bench.app.post(path(identifier, "/start"), {"providers_set": ["github", "gitlab"]}).must(200)
    bench.app.post(path(identifier, "/start"), {"providers_set": ["nobody"]}).must(422)


def _restart(bench: Bench, identifier: str) -> None:
    """Stop a conversation, start it, and wait until it runs."""
    with bench.arranging("a stop and a second start"):
        bench.app.post(path(identifier, "/stop")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
        bench.app.post(path(identifier, "/start"), {}).needs(200)
        bench.v0.await_status(identifier, "RUNNING")


def _said(bench: Bench, identifier: str, text: str) -> list[dict[str, Any]]:
    """Send a message, and wait until the agent has worked on it; return all events."""
    with bench.arranging("a message and its answer"):
        last = bench.v0.events(identifier)[-1]["id"]
        bench.app.post(path(identifier, "/message"), {"message": text}).needs(200)
        return [*bench.v0.await_rest(identifier, after=last)]


@checks("V0-LIFECYCLE-17")
def a_restart_changes_nothing_else(bench: Bench) -> None:
    """Creates a conversation on a repository, renames it, stops and starts it, and compares what it shows."""
    identifier = bench.v0.running(repository="Acme/App", selected_branch="next", git_provider="github")
    with bench.arranging("a title"):
        bench.app.patch(path(identifier), {"title": "Still the same"}).needs(200)
    before = bench.v0.status(identifier).needs(200).json
    _restart(bench, identifier)
    after = bench.v0.status(identifier).must(200)
    after.has(title="Still the same", **{name: before[name] for name in _LASTING})


_LASTING = ("created_at", "selected_repository", "selected_branch", "git_provider", "trigger", "pr_number")


@checks("V0-LIFECYCLE-18")
def a_restart_says_nothing_again(bench: Bench) -> None:
    """Stops and starts a conversation with an initial message, sends another, and reads all events."""
    identifier = bench.v0.finished("Say this once.")
    _restart(bench, identifier)
    events = _said(bench, identifier, "Say that, too.")
    heard = [event["args"]["content"] for event in user_messages(events)]
    bench.expect(
        heard == ["Say this once.", "Say that, too."], "the user has said both messages, once each", heard
    )
    ids = [event["id"] for event in events]
    bench.expect(ids == list(range(len(ids))), "there is no gap between the ids", ids)


@checks("V0-LIFECYCLE-19")
def starting_what_runs_leaves_nothing(bench: Bench) -> None:
    """Starts a conversation at rest that runs, and compares its events."""
    identifier = bench.v0.finished("Say hello and finish.")
    before = bench.v0.events(identifier)
    with bench.arranging("a start of what runs"):
        bench.app.post(path(identifier, "/start"), {}).needs(200).has(conversation_status="RUNNING")
    after = bench.v0.events(identifier)
    bench.expect(after == before, "there is no new event", after[len(before) :])


@checks("V0-LIFECYCLE-20")
def times_move_on(bench: Bench) -> None:
    """Lets the agent of a conversation work on a message, and compares its times."""
    identifier = bench.v0.running()
    before = bench.v0.status(identifier).needs(200).json
    _said(bench, identifier, "Say hello and finish.")
    answer = bench.v0.status(identifier).must(200).has(created_at=before["created_at"])
    was, updated = before["last_updated_at"], answer.pick("last_updated_at")
    later = updated and (was is None or datetime.fromisoformat(updated) > datetime.fromisoformat(was))
    answer.expect(later, f"`last_updated_at` is later than {was}", updated)


@checks("V0-LIFECYCLE-21")
def resuming_goes_on(bench: Bench) -> None:
    """Sends a message, pauses the conversation at once, starts it, and waits for the agent's answer."""
    identifier = bench.v0.running()
    with bench.arranging("a conversation that was paused at work"):
        last = bench.v0.events(identifier)[-1]["id"]
        bench.app.post(path(identifier, "/message"), {"message": "Say hello and finish."}).needs(200)
        bench.app.post(path(identifier, "/pause")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
        bench.app.post(path(identifier, "/start"), {}).needs(200)

    def answered() -> bool:
        return any(
            event["source"] == "agent" and event.get("action") in ("message", "finish")
            for event in bench.v0.events(identifier, start_id=last + 1)
        )

    bench.until(answered, "the agent answers the message")
