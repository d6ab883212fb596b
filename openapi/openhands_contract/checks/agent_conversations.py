"""Conversations on agent servers: reading, changing, asking for confirmation, ending."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Api, Bench
from openhands_contract.lab.v1 import Started, user_message
from openhands_contract.outcome import Skipped

_PATH = "/api/conversations"
_WAITING = "waiting_for_confirmation"


def _bare(identifier: str) -> str:
    return identifier.replace("-", "")


@checks("AGENT-CONV-01")
def both_forms(bench: Bench) -> None:
    """Reads a conversation under both forms of its id."""
    started = bench.v1.shared()
    for identifier in (started.id, started.dashed):
        bench.v1.agent(started).get(f"{_PATH}/{identifier}").must(200).has(id=started.dashed)


def _everything(agent: Api, path: str) -> Iterator[Answer]:
    yield agent.get(path)
    yield agent.patch(path, {"title": "New"})
    yield agent.post(f"{path}/run")
    yield agent.post(f"{path}/pause")
    yield agent.post(f"{path}/events", user_message("Hi"))
    yield agent.get(f"{path}/events/search")
    yield agent.get(f"{path}/events/count")
    yield agent.get(f"{path}/events/{uuid.uuid4()}")
    yield agent.post(f"{path}/events/respond_to_confirmation", {"accept": True})
    yield agent.post(f"{path}/confirmation_policy", {"policy": {"kind": "NeverConfirm"}})
    yield agent.post(f"{path}/secrets", {"secrets": {"TOKEN": "value"}})
    yield agent.post(f"{path}/ask_agent", {"question": "Why?"})
    yield agent.delete(path)


@checks("AGENT-CONV-02")
def unknown_conversations(bench: Bench) -> None:
    """Sends every operation to a conversation that nobody has made."""
    agent = bench.v1.agent(bench.v1.shared())
    for answer in _everything(agent, f"{_PATH}/{uuid.uuid4()}"):
        answer.must(404).expect(answer.pick("detail"), "`detail` says so")


@checks("AGENT-CONV-03")
def strange_ids(bench: Bench) -> None:
    """Reads a conversation whose id is no UUID, and its events."""
    agent = bench.v1.agent(bench.v1.shared())
    for rest in ("", "/events/search", "/events/count"):
        refused(agent.get(f"{_PATH}/not-a-uuid{rest}"), "conversation_id")


@checks("AGENT-CONV-04")
def renaming(bench: Bench) -> None:
    """Renames a conversation to titles of 0, 1, 200 and 201 characters, and to none."""
    started = bench.v1.beside()
    agent = bench.v1.agent(started)
    for title in ("t", "Größe 会话", "t" * 200):
        agent.patch(started.path, {"title": title}).must(200).has(success=True)
        agent.get(started.path).must(200).has(title=title)
    for body in ({"title": ""}, {"title": "t" * 201}, {}):
        refused(agent.patch(started.path, body), "title")
    agent.get(started.path).must(200).has(title="t" * 200)


@checks("AGENT-CONV-05")
def in_order(bench: Bench) -> None:
    """Reads two conversations and one that nobody has made, in an order of its own."""
    first, second = bench.v1.workshop(), bench.v1.beside()
    asked = [("ids", second.dashed), ("ids", str(uuid.uuid4())), ("ids", first.id)]
    answer = bench.v1.agent(first).get(_PATH, asked).must(200)
    found = [item and item["id"] for item in answer.json]
    answer.expect(found == [second.dashed, None, first.dashed], "the second, null and the first", found)


@checks("AGENT-CONV-06")
def searching(bench: Bench) -> None:
    """Looks for the conversations of a sandbox in every state, and counts them."""
    started = bench.v1.shared()
    agent = bench.v1.agent(started)
    status = bench.v1.status(started)
    for wanted, there in ((None, True), (status, True), ("paused" if status != "paused" else "stuck", False)):
        query = {"status": wanted} if wanted else {}
        answer = agent.get(f"{_PATH}/search", query).must(200)
        found = [item["id"] for item in answer.pick("items")]
        answer.expect((started.dashed in found) is there, f"found when asked for {wanted}: {there}", found)
        count = agent.get(f"{_PATH}/count", query).must(200)
        count.expect(count.json == len(found), f"the count is {len(found)}", count.text)
    for rest in ("search", "count"):
        refused(agent.get(f"{_PATH}/{rest}", {"status": "DREAMING"}), "status")


@checks("AGENT-CONV-07")
def nothing_to_do(bench: Bench) -> None:
    """Pauses and runs an agent at rest."""
    started = bench.v1.beside()
    agent = bench.v1.agent(started)
    agent.post(f"{started.path}/pause").must(200).has(success=True)
    answer = agent.post(f"{started.path}/run").must(200, 409)
    answer.expect(
        answer.status == 409 or answer.pick("success") is True, "the answer is `success`", answer.text
    )


def _policy(bench: Bench, started: Started, kind: str) -> None:
    answer = bench.v1.agent(started).post(f"{started.path}/confirmation_policy", {"policy": {"kind": kind}})
    answer.needs(200)


def _asking(bench: Bench) -> tuple[Started, dict[str, Any]]:
    """A conversation whose agent waits for confirmation, and the action it wants to do."""
    started = bench.v1.beside()
    with bench.arranging("an agent that waits for confirmation"):
        _policy(bench, started, "AlwaysConfirm")
        bench.v1.agent(started).post(f"{started.path}/events", user_message("echo hello", run=True)).needs(
            200
        )
        status = bench.v1.await_status(started, _WAITING, "finished", "error", "stuck")
    if status != _WAITING:
        unasked = [event["id"] for event in bench.v1.events(started) if _is_held_for_confirmation(event)]
        bench.expect(not unasked, "with `AlwaysConfirm` nothing is done unasked", unasked)
        raise Skipped(f"the agent did nothing that needs confirmation (it is {status})")
    actions = [event for event in bench.v1.events(started) if event["kind"] == "ActionEvent"]
    return started, actions[-1]


def _is_held_for_confirmation(event: dict[str, Any]) -> bool:
    """Is it an action that waits for the user? To finish never does."""
    kind = (event.get("action") or {}).get("kind")
    return event["kind"] == "ActionEvent" and kind not in (None, "FinishAction")


def _respond(bench: Bench, started: Started, body: dict[str, Any]) -> Answer:
    return bench.v1.agent(started).post(f"{started.path}/events/respond_to_confirmation", body)


@checks("AGENT-CONV-08")
def accepting(bench: Bench) -> None:
    """Lets an agent wait for confirmation, looks that nothing has happened, accepts, and waits for the observation."""
    started, action = _asking(bench)
    events = bench.v1.events(started)
    done = [event for event in events if event.get("action_id") == action["id"]]
    bench.expect(not done, "the action is not carried out before it is accepted", done)
    _respond(bench, started, {"accept": True}).must(200).has(success=True)

    def observed() -> dict[str, Any] | None:
        found = [event for event in bench.v1.events(started) if event.get("action_id") == action["id"]]
        return found[0] if found else None

    observation = bench.until(observed, "an event about the accepted action")
    bench.expect(observation["kind"] == "ObservationEvent", "it is an observation", observation["kind"])
    bench.v1.await_rest(started)


@checks("AGENT-CONV-09")
def rejecting(bench: Bench) -> None:
    """Lets an agent wait for confirmation, rejects with a reason, and reads what is told of it."""
    started, action = _asking(bench)
    _respond(bench, started, {"accept": False, "reason": "Too dangerous"}).must(200).has(success=True)

    def told() -> dict[str, Any] | None:
        found = [event for event in bench.v1.events(started) if event.get("action_id") == action["id"]]
        return found[0] if found else None

    event = bench.until(told, "an event about the rejected action")
    bench.expect(event["kind"] == "UserRejectObservation", "it is a `UserRejectObservation`", event["kind"])
    bench.expect(event["rejection_reason"] == "Too dangerous", "it has the reason", event["rejection_reason"])
    status = bench.v1.await_status(started, "idle", "paused", "finished", _WAITING)
    bench.expect(status == "idle", "the agent is idle", status)


@checks("AGENT-CONV-10")
def policies(bench: Bench) -> None:
    """Sets each policy, reads it, and sets one that nobody knows."""
    started = bench.v1.beside()
    agent = bench.v1.agent(started)
    for kind in ("AlwaysConfirm", "NeverConfirm", "ConfirmRisky"):
        path = f"{started.path}/confirmation_policy"
        agent.post(path, {"policy": {"kind": kind}}).must(200).has(success=True)
        shown = agent.get(started.path).must(200).pick("confirmation_policy", "kind")
        bench.expect(shown == kind, f"the policy is {kind}", shown)
    refused(agent.post(f"{started.path}/confirmation_policy", {"policy": {"kind": "AskMyMother"}}))
    shown = agent.get(started.path).must(200).pick("confirmation_policy", "kind")
    bench.expect(shown == "ConfirmRisky", "the policy is still ConfirmRisky", shown)
    updates = [
        event["value"] for event in bench.v1.events(started) if event.get("key") == "confirmation_policy"
    ]
    told = [update["kind"] for update in updates]
    bench.expect(
        told[-3:] == ["AlwaysConfirm", "NeverConfirm", "ConfirmRisky"], "each is a state update", told
    )


@checks("AGENT-CONV-11")
def secrets_stay_secret(bench: Bench) -> None:
    """Gives a conversation a secret and looks for it in all that is answered."""
    started = bench.v1.beside()
    agent = bench.v1.agent(started)
    value = f"hunter2-{secrets.token_hex(8)}"
    answers = [
        agent.post(f"{started.path}/secrets", {"secrets": {"TOKEN": value}}).must(200).has(success=True)
    ]
    answers += [agent.get(started.path).must(200), agent.get(f"{started.path}/events/search").must(200)]
    for answer in answers:
        answer.expect(value not in answer.text, "the value is not in the answer", "it is")


@checks("AGENT-CONV-12")
def asking_the_agent(bench: Bench) -> None:
    """Asks the agent something and compares the events."""
    started = bench.v1.beside()
    before = [event["id"] for event in bench.v1.events(started)]
    answer = (
        bench.v1.agent(started)
        .post(f"{started.path}/ask_agent", {"question": "What are you doing?"})
        .must(200)
    )
    answer.expect(isinstance(answer.pick("response"), str), "`response` is a text")
    after = [event["id"] for event in bench.v1.events(started)]
    bench.expect(after == before, "there is no new event", after)
    refused(bench.v1.agent(started).post(f"{started.path}/ask_agent", {}), "question")


@checks("AGENT-CONV-13")
def generated_titles(bench: Bench) -> None:
    """Lets a title be generated, of at most 10 characters and of none."""
    started = bench.v1.shared()
    agent = bench.v1.agent(started)
    before = agent.get(started.path).must(200).pick("title")
    answer = agent.post(f"{started.path}/generate_title", {"max_length": 10}).must(200)
    title = answer.pick("title")
    answer.expect(isinstance(title, str) and len(title) <= 10, "a title of at most 10 characters", title)
    agent.get(started.path).must(200).has(title=before)
    refused(agent.post(f"{started.path}/generate_title", {"max_length": 0}), "max_length")


@checks("AGENT-CONV-14")
def condensing(bench: Bench) -> None:
    """Condenses a conversation with a history and compares the events."""
    started = bench.v1.beside(initial_message=user_message("Say hello and finish.", run=True))
    bench.v1.await_rest(started)
    before = bench.v1.events(started)
    bench.v1.agent(started).post(f"{started.path}/condense").must(200).has(success=True)

    def condensed() -> bool | None:
        kinds = {event["kind"] for event in bench.v1.events(started)}
        return {"CondensationRequest", "Condensation"} <= kinds or None

    bench.until(condensed, "there is a CondensationRequest and a Condensation")
    ids = [event["id"] for event in bench.v1.events(started)]
    lost = [event["id"] for event in before if event["id"] not in ids]
    bench.expect(not lost, "no event is lost", lost)


@checks("AGENT-CONV-15")
def starting(bench: Bench) -> None:
    """Starts a conversation on the agent server, twice under the same id."""
    host = bench.v1.workshop()
    agent = bench.v1.agent(host)
    with bench.arranging("the workspace of a conversation"):
        workspace = agent.get(host.path).needs(200).pick("workspace")
    body = {
        "agent": {"kind": "Agent", "llm": {"model": "some/model"}},
        "workspace": workspace,
        "conversation_id": str(uuid.uuid4()),
    }
    agent.post(_PATH, body).must(201).has(id=body["conversation_id"])
    agent.post(_PATH, body).must(200).has(id=body["conversation_id"])
    agent.get(f"{_PATH}/{body['conversation_id']}").must(200)
    refused(agent.post(_PATH, {}))


@checks("AGENT-CONV-16")
def deleting(bench: Bench) -> None:
    """Deletes one of two conversations, twice, and reads both."""
    started = bench.v1.beside()
    agent = bench.v1.agent(started)
    agent.delete(started.path).must(200).has(success=True)
    agent.get(started.path).must(404)
    agent.get(f"{started.path}/events/search").must(404)
    agent.delete(started.path).must(404)
    other = bench.v1.workshop()
    agent.get(other.path).must(200)


@checks("AGENT-CONV-17")
def other_sandboxes(bench: Bench) -> None:
    """Reads the conversation of one sandbox on the agent server of another, with the key of the latter."""
    started, other = bench.v1.shared(), bench.v1.workshop()
    agent = bench.v1.agent(other)
    answer = agent.get(started.path)
    answer.expect(answer.status in (401, 403, 404), "it is not found there", answer.status)
    listed = agent.get(f"{_PATH}/search").must(200)
    ids = [item["id"] for item in listed.pick("items")]
    listed.expect(started.dashed not in ids, "nor listed", ids)
    batch = agent.get(_PATH, {"ids": started.id}).must(200)
    batch.expect(batch.json == [None], "nor read by its id", batch.text)


@checks("AGENT-CONV-18")
def nothing_to_confirm(bench: Bench) -> None:
    """Accepts and rejects when nothing waits, and compares the events; answers without saying what."""
    started = bench.v1.beside()
    before = [event["id"] for event in bench.v1.events(started)]
    for accept in (True, False):
        _respond(bench, started, {"accept": accept}).must(200).has(success=True)
    after = [event["id"] for event in bench.v1.events(started)]
    bench.expect(after == before, "there is no new event", after)
    refused(_respond(bench, started, {}), "accept")


@checks("AGENT-CONV-19")
def pages(bench: Bench) -> None:
    """Pages through the conversations of a sandbox, one at a time, and asks for what cannot be asked for."""
    first, second = bench.v1.workshop(), bench.v1.beside()
    agent = bench.v1.agent(first)
    found = [item["id"] for item in bench.v1.all_pages(agent, f"{_PATH}/search", {"limit": 1})]
    bench.expect(len(found) == len(set(found)), "none comes twice", found)
    bench.expect({first.dashed, second.dashed} <= set(found), "none is missing", found)
    for limit in (0, 101, "many"):
        refused(agent.get(f"{_PATH}/search", {"limit": limit}), "limit")
    refused(agent.get(f"{_PATH}/search", {"page_id": "garbage"}), "page_id")
