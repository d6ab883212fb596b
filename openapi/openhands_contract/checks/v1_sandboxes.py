"""Sandboxes: paused, resumed, deleted; and how the V0 paths show what becomes of V1 conversations."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.checks.v0_lifecycle import refused as refused_with
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import path
from openhands_contract.lab.v1 import CONVERSATIONS, SANDBOXES, Started, user_message


def _sandbox(bench: Bench, identifier: str) -> Answer:
    return bench.app.get(SANDBOXES, {"id": identifier}).must(200)


def _await_sandbox(bench: Bench, identifier: str, status: str) -> Answer:
    def reached() -> Answer | None:
        answer = _sandbox(bench, identifier)
        return answer if (answer.pick(0) or {}).get("status") == status else None

    return bench.until(reached, f"the sandbox becomes {status}")


def _await_conversation(bench: Bench, started: Started, status: str) -> Answer:
    def reached() -> Answer | None:
        answer = bench.v1.get(started.id).must(200)
        return answer if (answer.pick(0) or {}).get("sandbox_status") == status else None

    return bench.until(reached, f"the conversation shows `sandbox_status` {status}")


def _change(bench: Bench, identifier: str, verb: str) -> Answer:
    return bench.app.post(f"{SANDBOXES}/{identifier}/{verb}")


def _delete(bench: Bench, identifier: str) -> Answer:
    return bench.app.delete(f"{SANDBOXES}/{identifier}", query={"sandbox_id": identifier})


def _paused(bench: Bench) -> Started:
    started = bench.v1.new()
    with bench.arranging("a paused sandbox"):
        _change(bench, started.sandbox_id, "pause").needs(200)
        _await_sandbox(bench, started.sandbox_id, "PAUSED")
    return started


@checks("V1-SANDBOX-01")
def running_sandboxes(bench: Bench) -> None:
    """Reads the sandbox of a conversation that runs."""
    started = bench.v1.shared()
    answer = _sandbox(bench, started.sandbox_id)
    answer.expect(answer.pick(0, "status") == "RUNNING", "it is RUNNING", answer.pick(0, "status"))
    answer.expect(answer.pick(0, "session_api_key") == started.key, "its key is that of the conversation")
    names = [url["name"] for url in answer.pick(0, "exposed_urls")]
    answer.expect("AGENT_SERVER" in names, "`exposed_urls` names AGENT_SERVER", names)


@checks("V1-SANDBOX-02")
def pausing(bench: Bench) -> None:
    """Pauses a sandbox and reads it."""
    started = bench.v1.new()
    _change(bench, started.sandbox_id, "pause").must(200).has(success=True)
    answer = _await_sandbox(bench, started.sandbox_id, "PAUSED")
    for name in ("session_api_key", "exposed_urls"):
        answer.expect(answer.pick(0, name) is None, f"`{name}` is null", answer.pick(0, name))


@checks("V1-SANDBOX-03")
def conversations_of_paused_sandboxes(bench: Bench) -> None:
    """Pauses a sandbox and reads its conversation."""
    started = _paused(bench)
    answer = _await_conversation(bench, started, "PAUSED")
    for name in ("conversation_url", "session_api_key", "execution_status"):
        answer.expect(answer.pick(0, name) is None, f"`{name}` is null", answer.pick(0, name))


@checks("V1-SANDBOX-04")
def resuming(bench: Bench) -> None:
    """Pauses and resumes the sandbox of a conversation with a history, and reads its events."""
    started = bench.v1.new(initial_message=user_message("Say hello and finish.", run=True))
    bench.v1.await_rest(started)
    before = [event["id"] for event in bench.v1.events(started)]
    whole, status = _sandbox(bench, started.sandbox_id).pick(0), bench.v1.status(started)
    with bench.arranging("a paused sandbox"):
        _change(bench, started.sandbox_id, "pause").needs(200)
        _await_sandbox(bench, started.sandbox_id, "PAUSED")
    _change(bench, started.sandbox_id, "resume").must(200).has(success=True)
    _await_sandbox(bench, started.sandbox_id, "RUNNING")
    again = bench.v1.find(started.id)
    after = [event["id"] for event in bench.v1.events(again)]
    bench.expect(after[: len(before)] == before, "all events are there, in their order", after)
    bench.expect(
        bench.v1.status(again) == status, f"the agent is {status}, as before", bench.v1.status(again)
    )
    running = _sandbox(bench, started.sandbox_id)
    for name, wanted in (("created_at", whole["created_at"]), ("session_api_key", again.key)):
        running.expect(
            running.pick(0, name) == wanted, f"`{name}` of the sandbox is {wanted}", running.pick(0, name)
        )


@checks("V1-SANDBOX-05")
def twice(bench: Bench) -> None:
    """Resumes a sandbox that runs, pauses it twice, and reads it in between."""
    started = bench.v1.new()
    _change(bench, started.sandbox_id, "resume").must(200).has(success=True)
    _await_sandbox(bench, started.sandbox_id, "RUNNING")
    for _ in range(2):
        _change(bench, started.sandbox_id, "pause").must(200).has(success=True)
        _await_sandbox(bench, started.sandbox_id, "PAUSED")


@checks("V1-SANDBOX-06")
def unknown_sandboxes(bench: Bench) -> None:
    """Pauses, resumes and deletes a sandbox that nobody has made."""
    unknown = secrets.token_hex(11)
    for answer in (
        _change(bench, unknown, "pause"),
        _change(bench, unknown, "resume"),
        _delete(bench, unknown),
    ):
        answer.must(404).expect(answer.pick("detail"), "`detail` says so")


@checks("V1-SANDBOX-07")
def paused_agent_servers(bench: Bench) -> None:
    """Asks the agent server of a paused sandbox for its conversation."""
    started = _paused(bench)
    answer = bench.v1.agent(started).get(started.path).must(503)
    answer.expect(answer.pick("detail"), "`detail` says so")


@checks("V1-SANDBOX-08")
def deleting(bench: Bench) -> None:
    """Deletes a sandbox, and reads it and its conversation."""
    started = bench.v1.new()
    _delete(bench, started.sandbox_id).must(200).has(success=True)
    bench.until(lambda: _sandbox(bench, started.sandbox_id).json == [None] or None, "the sandbox is null")
    _await_conversation(bench, started, "MISSING")
    _delete(bench, started.sandbox_id).must(404)


@checks("V1-SANDBOX-09")
def two_ids(bench: Bench) -> None:
    """Deletes a sandbox whose query names another."""
    first, second = bench.v1.new(), bench.v1.workshop()
    answer = bench.app.delete(f"{SANDBOXES}/{first.sandbox_id}", query={"sandbox_id": second.sandbox_id})
    answer.must(422, 400, 404, 409)
    for started in (first, second):
        still = _sandbox(bench, started.sandbox_id)
        still.expect(still.pick(0) is not None, "both sandboxes are still there")


@checks("V1-SANDBOX-10")
def in_order(bench: Bench) -> None:
    """Reads two sandboxes and one that nobody has made, in an order of its own."""
    first, second, unknown = (
        bench.v1.shared().sandbox_id,
        bench.v1.workshop().sandbox_id,
        secrets.token_hex(11),
    )
    answer = bench.app.get(SANDBOXES, [("id", second), ("id", unknown), ("id", first)]).must(200)
    found = [item and item["id"] for item in answer.json]
    answer.expect(found == [second, None, first], f"{second}, null and {first}", found)
    refused(bench.app.get(SANDBOXES), "id")


@checks("V1-SANDBOX-11")
def listing(bench: Bench) -> None:
    """Pages through the sandboxes, one at a time, until two of this run were seen."""
    wanted = [bench.v1.shared().sandbox_id, bench.v1.workshop().sandbox_id]
    whole = bench.app.get(f"{SANDBOXES}/search", {"limit": 100}).must(200)
    times = [item["created_at"] for item in whole.pick("items")]
    whole.expect(times == sorted(times, reverse=True), "`created_at` falls", times)
    found: list[str] = []
    seen: set[str] = set()
    page_id: str | None = None
    while not set(wanted) <= set(found):
        query = {"limit": 1, **({"page_id": page_id} if page_id else {})}
        page = bench.app.get(f"{SANDBOXES}/search", query).must(200)
        page.expect(len(page.pick("items")) == 1, "a page has one sandbox while there are more")
        found.append(page.pick("items", 0, "id"))
        page_id = page.next_page_id(seen)
        if page_id is None:
            break
    bench.expect(set(wanted) <= set(found), "both sandboxes were listed", found)
    bench.expect(len(found) == len(set(found)), "none comes twice", found)
    for limit in (0, 101, "many"):
        refused(bench.app.get(f"{SANDBOXES}/search", {"limit": limit}), "limit")
    refused(bench.app.get(f"{SANDBOXES}/search", {"page_id": "garbage"}), "page_id")


@checks("V1-SANDBOX-12")
def on_its_own(bench: Bench) -> None:
    """Starts a sandbox, a conversation in it, and deletes both."""
    answer = bench.app.post(SANDBOXES, timeout=bench.lab.start_patience).must(200).has(status="RUNNING")
    identifier = answer.pick("id")
    bench.later(lambda: _delete(bench, identifier))
    answer.expect(answer.pick("session_api_key"), "it has a key")
    started = bench.v1.start(sandbox_id=identifier)
    bench.expect(started.sandbox_id == identifier, "the conversation runs in it", started.sandbox_id)


@checks("V1-SANDBOX-13")
def kinds(bench: Bench) -> None:
    """Lists the kinds of sandboxes, reads the first and one that does not exist, and starts one of the latter."""
    specs = "/api/v1/sandbox-specs"
    unknown = f"unknown-{secrets.token_hex(4)}"
    listed = bench.app.get(f"{specs}/search").must(200)
    first = listed.pick("items", 0, "id")
    answer = bench.app.get(specs, [("id", unknown), ("id", first)]).must(200)
    found = [item and item["id"] for item in answer.json]
    answer.expect(found == [None, first], f"null and {first}", found)
    bench.app.post(SANDBOXES, query={"sandbox_spec_id": unknown}).must(404)


@checks("V1-VIEW-01")
def through_v0(bench: Bench) -> None:
    """Compares what V0 and V1 say of a conversation."""
    started = bench.v1.shared()
    own = bench.v1.get(started.id).must(200).pick(0)
    answer = bench.app.get(path(started.id)).must(200)
    answer.has(conversation_version="V1", status="RUNNING", runtime_status="STATUS$READY", title=own["title"])
    answer.has(url=own["conversation_url"], session_api_key=started.key, created_at=own["created_at"])
    for name in ("selected_repository", "selected_branch", "git_provider", "pr_number"):
        answer.expect(answer.pick(name) == own[name], f"`{name}` is {own[name]!r}", answer.pick(name))
    if bench.lab.site.dialect != "docs":
        return
    updated = answer.pick("last_updated_at")
    not_before = updated and datetime.fromisoformat(updated) >= datetime.fromisoformat(own["updated_at"])
    answer.expect(not_before, f"`last_updated_at` is {own['updated_at']}, or later", updated)


@checks("V1-VIEW-02")
def in_the_v0_list(bench: Bench) -> None:
    """Starts a conversation under another and looks for both in the V0 list."""
    parent = bench.v1.beside()
    child = bench.v1.start(parent_conversation_id=parent.id)
    for included in (False, True):
        query = {"limit": 100, "include_sub_conversations": included}
        answer = bench.app.get("/api/conversations", query).must(200)
        versions = {one["conversation_id"]: one["conversation_version"] for one in answer.pick("results")}
        answer.expect(versions.get(parent.id) == "V1", "the parent is listed as V1", versions.get(parent.id))
        answer.expect(
            (child.id in versions) is included, f"the child is listed: {included}", child.id in versions
        )


@checks("V1-VIEW-03")
def renaming(bench: Bench) -> None:
    """Renames a conversation on its V0 path and reads it in V1."""
    started = bench.v1.beside()
    title = f"Renamed {secrets.token_hex(4)}"
    answer = bench.app.patch(path(started.id), {"title": title}).must(200)
    answer.expect(answer.json is True, "the answer is `true`", answer.text)
    bench.app.get(path(started.id)).must(200).has(title=title)
    own = bench.v1.get(started.id).must(200)
    own.expect(own.pick(0, "title") == title, f"the title is {title!r}", own.pick(0, "title"))
    refused(bench.app.patch(path(started.id), {"title": "t" * 201}), "title")


@checks("V1-VIEW-04")
def paused_through_v0(bench: Bench) -> None:
    """Pauses a sandbox and reads its conversation on the V0 path."""
    started = _paused(bench)
    bench.v0.await_status(started.id, "STOPPED").has(runtime_status=None, url=None, session_api_key=None)


@checks("V1-VIEW-05")
def archived_through_v0(bench: Bench) -> None:
    """Deletes a sandbox and reads its conversation on the V0 path."""
    started = bench.v1.new()
    _delete(bench, started.sandbox_id).needs(200)
    bench.v0.await_status(started.id, "ARCHIVED").has(runtime_status=None, url=None, session_api_key=None)


@checks("V1-VIEW-06")
def config_through_v0(bench: Bench) -> None:
    """Reads the config of a conversation."""
    started = bench.v1.shared()
    bench.app.get(path(started.id, "/config")).must(200).has(runtime_id=started.sandbox_id)


@checks("V1-VIEW-07")
def stopping_through_v0(bench: Bench) -> None:
    """Stops and starts a conversation on its V0 path, and reads its sandbox."""
    started = bench.v1.new()
    bench.app.post(path(started.id, "/stop")).must(200).has(status="ok", conversation_status="STOPPED")
    _await_sandbox(bench, started.sandbox_id, "PAUSED")
    bench.app.post(path(started.id, "/start"), {}).must(200).has(status="ok")
    _await_sandbox(bench, started.sandbox_id, "RUNNING")
    bench.v0.await_status(started.id, "RUNNING")


@checks("V1-VIEW-08")
def starting_what_is_archived(bench: Bench) -> None:
    """Deletes a sandbox and starts its conversation."""
    started = bench.v1.new()
    with bench.arranging("an archived conversation"):
        _delete(bench, started.sandbox_id).needs(200)
        bench.v0.await_status(started.id, "ARCHIVED")
    refused_with(bench.app.post(path(started.id, "/start"), {}), 409, "CONVERSATION$ILLEGAL_TRANSITION")


@checks("V1-VIEW-09")
def v0_events(bench: Bench) -> None:
    """Sends a V0 message and reads V0 events on the path of a V1 conversation."""
    started = bench.v1.shared()
    bench.app.get(path(started.id, "/events")).must(404)
    bench.app.post(path(started.id, "/message"), {"message": "Hi"}).must(404)
    bench.app.get(path(started.id, "/trajectory")).must(404)


@checks("V1-DELETE-01")
def is_gone(bench: Bench) -> None:
    """Deletes a conversation and looks for it everywhere."""
    started = bench.v1.start()
    word = f"Word{secrets.token_hex(6)}"
    with bench.arranging("a title"):
        bench.v1.rename(started.id, word).needs(200)
    bench.v1.delete(started.id).must(200)
    bench.until(
        lambda: bench.v1.get(started.id).must(200).json == [None] or None, "reading it by its id gives null"
    )
    found = bench.app.get(f"{CONVERSATIONS}/search", {"title__contains": word}).must(200)
    found.expect(found.pick("items") == [], "the search does not find it", found.text)
    count = bench.app.get(f"{CONVERSATIONS}/count", {"title__contains": word}).must(200)
    count.expect(count.json == 0, "it is not counted", count.text)
    if bench.lab.app_document.has("listConversations"):
        listed = [one["conversation_id"] for one in bench.v0.listed()]
        bench.expect(started.id not in listed, "the V0 list does not have it")
        answer = bench.app.get(path(started.id)).must(404, 200)
        answer.expect(
            answer.status == 404 or answer.json is None, "the V0 path does not have it", answer.text
        )
    agent = bench.v1.agent(started).get(started.path)
    agent.expect(agent.status != 200, "the agent server does not answer for it any more", agent.status)


@checks("V1-DELETE-02")
def takes_along(bench: Bench) -> None:
    """Deletes a conversation with a sub-conversation, and reads the sandbox and the other."""
    started = bench.v1.start()
    child = bench.v1.start(parent_conversation_id=started.id)
    bench.app.delete(path(started.id)).must(200)
    bench.until(
        lambda: bench.v1.get(child.id).must(200).json == [None] or None, "the sub-conversation is null"
    )
    bench.until(lambda: _sandbox(bench, started.sandbox_id).json == [None] or None, "the sandbox is null")
    again = bench.app.delete(path(started.id)).must(200)
    again.expect(again.json is False, "deleting it again is answered `false`", again.text)


@checks("V1-BATCH-05")
def ids_of_sandboxes(bench: Bench) -> None:
    """Reads 101 sandboxes, and deletes a conversation that nobody has made."""
    if bench.lab.site.dialect == "docs":
        ids = [("id", uuid.uuid4().hex[:22]) for _ in range(101)]
        refused(bench.app.get(SANDBOXES, ids), "id")


@checks("V1-SANDBOX-14")
def paused_in_the_search(bench: Bench) -> None:
    """Looks for a conversation, pauses its sandbox, and looks again."""
    started = bench.v1.new()
    query = {"sandbox_id__eq": started.sandbox_id}
    bench.app.get(f"{CONVERSATIONS}/search", query).needs(200)
    with bench.arranging("a paused sandbox"):
        _change(bench, started.sandbox_id, "pause").needs(200)
        own = _await_conversation(bench, started, "PAUSED").pick(0)
    found = bench.app.get(f"{CONVERSATIONS}/search", query).must(200)
    for name in ("sandbox_status", "execution_status", "conversation_url", "session_api_key"):
        shown = found.pick("items", 0, name)
        found.expect(shown == own[name], f"`{name}` is {own[name]!r}, as when it is read by its id", shown)


@checks("V1-DELETE-16")
def is_named_no_more(bench: Bench) -> None:
    """Starts a conversation under another, deletes it, and reads the other."""
    parent = bench.v1.new()
    child = bench.v1.start(parent_conversation_id=parent.id)
    with bench.arranging("a sub-conversation that is deleted"):
        bench.app.delete(path(child.id)).needs(200)
    found = bench.v1.get(parent.id).must(200)
    parts = found.pick(0, "sub_conversation_ids")
    found.expect(child.id not in parts, f"{child.id} is not among the sub-conversations", parts)
