"""Keys: what needs one, which ones open what; and users, who must not see each other's things."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.contract_document import Document
from openhands_contract.lab.bench import Answer, Api, Bench
from openhands_contract.lab.site import KEY_HEADER
from openhands_contract.lab.streams import V0Stream
from openhands_contract.lab.v0 import CONVERSATIONS, path
from openhands_contract.lab.v1 import CONVERSATIONS as APP_CONVERSATIONS
from openhands_contract.lab.v1 import SANDBOXES, TASKS, user_message
from openhands_contract.outcome import Skipped

_MICROAGENTS = "/api/microagent-management/conversations"
_META = ("/alive", "/health", "/server_info")
_V0_TAGS = frozenset({"v0-conversations", "v0-events", "v0-workspace", "feedback", "settings"})
_V1_TAGS = frozenset({"app-conversations", "start-tasks", "events", "sandboxes", "users"})
_AGENT_TAGS = frozenset({"conversations", "events", "files", "git", "tools", "bash"})
# What goes into a path or a query where an operation wants something; nobody has made it.
_VALUES: Mapping[str, str] = {
    "conversation_id": "0123456789abcdef0123456789abcdef",
    "sandbox_id": "0123456789abcdef012345",
    "event_id": "7",
    "secret_name": "NOBODYS_SECRET",
    "path": "%2Fworkspace%2Fnobodys.txt",
}


def _key(bench: Bench) -> str:
    """The key of the first user. Whoever gives one says that the server wants it."""
    key = bench.lab.site.api_key
    if not key:
        raise Skipped("needs a server that wants a key: --api-key")
    return key


def _operations(document: Document, tags: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Method and path of every operation with one of these tags that wants a key."""
    for method, template in document.operations.values():
        operation = document.operation(method, _filled(template))
        if operation is not None and operation.tag in tags and operation.needs_key:
            yield method, _filled(template)


def _filled(template: str) -> str:
    for name, value in _VALUES.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _closed(api: Api, document: Document, tags: frozenset[str]) -> None:
    for method, place in _operations(document, tags):
        body: dict[str, str] | None = {} if method in ("POST", "PUT", "PATCH") else None
        api.request(method, place, json=body).must(401)


@checks("ACCESS-01")
def v0_without_a_key(bench: Bench) -> None:
    """Sends every operation of V0 without a key; creates nothing that way."""
    _key(bench)
    _closed(bench.nobody, bench.lab.app_document, _V0_TAGS)
    marker = f"acme/{secrets.token_hex(8)}"
    bench.nobody.post(CONVERSATIONS, {"repository": marker}).must(401)
    answer = bench.app.get(CONVERSATIONS, {"selected_repository": marker}).must(200)
    answer.expect(answer.pick("results") == [], "no conversation was made", answer.text)


@checks("ACCESS-02")
def v1_without_a_key(bench: Bench) -> None:
    """Sends every operation of V1 without a key; starts nothing that way."""
    _key(bench)
    _closed(bench.nobody, bench.lab.app_document, _V1_TAGS)
    identifier = uuid.uuid4().hex
    bench.nobody.post(APP_CONVERSATIONS, {"conversation_id": identifier}).must(401)
    count = bench.app.get(f"{TASKS}/count", {"conversation_id__eq": identifier}).must(200)
    count.expect(count.json == 0, "no start was begun", count.text)


@checks("ACCESS-03")
def wrong_keys(bench: Bench) -> None:
    """Lists conversations with keys that are nearly right, and with none at all."""
    key = _key(bench)
    last = "a" if key[-1] != "a" else "b"
    for wrong in (key[:-1] + last, key + "x", key[:-1], key.swapcase(), secrets.token_hex(16)):
        if wrong != key:
            bench.with_key(wrong).get(CONVERSATIONS).must(401)
            bench.with_key(wrong).post(CONVERSATIONS, {}).must(401)
    for headers in ({KEY_HEADER: ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic Og=="}):
        bench.nobody.get(CONVERSATIONS, headers=headers).must(401)


@checks("ACCESS-04")
def refusals_tell_nothing(bench: Bench) -> None:
    """Reads a conversation that is there and one that is not, without a key, and compares the answers."""
    key = _key(bench)
    identifier = bench.v0.new()
    answers = [bench.nobody.get(path(one)).must(401) for one in (identifier, uuid.uuid4().hex)]
    bench.expect(answers[0].json == answers[1].json, "both are told the same", [one.text for one in answers])
    wrong = bench.with_key("wrong-key-0123456789").get(path(identifier)).must(401)
    for answer in (*answers, wrong):
        answer.expect(isinstance(answer.pick("detail"), str), "`detail` says so", answer.text)
        secret = key in answer.text or "wrong-key-0123456789" in answer.text
        answer.expect(not secret, "no key is in the answer")


@checks("ACCESS-05")
def open_doors(bench: Bench) -> None:
    """Asks for health and version without a key."""
    for place in _META:
        bench.nobody.get(place).must(200)


@checks("ACCESS-06")
def agents_without_a_key(bench: Bench) -> None:
    """Sends every operation of the agent server without a key."""
    started = bench.v1.shared()
    api = bench.v1.agent(started, key=None)
    _closed(api, bench.lab.agent_document, _AGENT_TAGS)
    for rest in ("", "/events/search", "/events/count"):
        api.get(f"{started.path}{rest}").must(401)
    api.post(f"{started.path}/events", user_message("Let me in")).must(401)


@checks("ACCESS-07")
def agents_with_wrong_keys(bench: Bench) -> None:
    """Reads a conversation with keys that are nearly right, and with a wrong one in other places."""
    started = bench.v1.shared()
    last = "a" if started.key[-1] != "a" else "b"
    for wrong in (started.key[:-1] + last, started.key + "x", secrets.token_hex(16)):
        bench.v1.agent(started, key=wrong).get(started.path).must(401)
    nobody = bench.v1.agent(started, key=None)
    nobody.get(started.path, {"session_api_key": "wrong-key"}).must(401)
    nobody.get(started.path, headers={"Authorization": "Bearer wrong-key"}).must(401)
    bench.v1.agent(started).get(started.path).must(200)


@checks("ACCESS-08")
def keys_of_other_sandboxes(bench: Bench) -> None:
    """Reads, writes to and deletes the conversation of one sandbox with the key of another."""
    started, other = bench.v1.beside(), bench.v1.shared()
    api = bench.v1.agent(started, key=other.key)
    for answer in (
        api.get(started.path),
        api.get(f"{started.path}/events/search"),
        api.post(f"{started.path}/events", user_message("Let me in")),
        api.patch(started.path, {"title": "Mine"}),
        api.delete(started.path),
    ):
        answer.must(401, 403, 404)
    bench.v1.agent(started).get(started.path).must(200)


@checks("ACCESS-09")
def open_doors_of_agents(bench: Bench) -> None:
    """Asks an agent server for health and version without a key."""
    api = bench.v1.agent(bench.v1.shared(), key=None)
    for place in _META:
        api.get(place).must(200)


def _not_theirs(answer: Answer, *secrets_of_it: str) -> Answer:
    """Hold an answer to the other user to a refusal, without a word of what is there."""
    answer.must(403, 404)
    for text in secrets_of_it:
        answer.expect(text not in answer.text, "the answer tells nothing of the conversation")
    return answer


@checks("USERS-01")
def reading_v0(bench: Bench) -> None:
    """Reads another user's conversation and everything below it."""
    stranger = bench.stranger
    word = f"Secret{secrets.token_hex(6)}"
    identifier = bench.v0.finished(f"Say {word}")
    for rest in (
        "",
        "/events",
        "/trajectory",
        "/config",
        "/list-files",
        "/git/changes",
        "/zip-directory",
        "/microagents",
    ):
        _not_theirs(stranger.get(path(identifier, rest)), word)


@checks("USERS-02")
def listing_v0(bench: Bench) -> None:
    """Lists conversations as another user."""
    stranger = bench.stranger
    repository = f"acme/{secrets.token_hex(8)}"
    identifier = bench.v0.new(repository=repository)
    maker = bench.v0.new(repository=repository, create_microagent={"repo": repository})
    here = {"limit": 100, "selected_repository": repository}
    for place, query in ((CONVERSATIONS, {"limit": 100}), (CONVERSATIONS, here), (_MICROAGENTS, here)):
        answer = stranger.get(place, query).must(200)
        ids = {one["conversation_id"] for one in answer.pick("results")}
        answer.expect(not {identifier, maker} & ids, "the other user's conversations are not listed", ids)


@checks("USERS-03")
def changing_v0(bench: Bench) -> None:
    """Renames, starts, stops, pauses, writes to and deletes another user's conversation, and reads it as its owner."""
    stranger = bench.stranger
    identifier = bench.v0.running()
    before = bench.v0.status(identifier).needs(200)
    _not_theirs(stranger.patch(path(identifier), {"title": "Mine now"}))
    for rest, body in (("/start", {}), ("/stop", None), ("/pause", None), ("/message", {"message": "Hi"})):
        _not_theirs(stranger.post(path(identifier, rest), body))
    deleted = stranger.delete(path(identifier))
    deleted.expect(
        deleted.status in (403, 404) or deleted.json is False, "deleting it is refused", deleted.text
    )
    bench.v0.status(identifier).must(200).has(title=before.pick("title"), status="RUNNING")


@checks("USERS-04")
def reading_v1(bench: Bench) -> None:
    """Reads, searches and counts another user's conversation, in V1 and through V0."""
    stranger = bench.stranger
    started = bench.v1.beside()
    word = f"Word{secrets.token_hex(6)}"
    bench.v1.rename(started.id, word).needs(200)
    batch = stranger.get(APP_CONVERSATIONS, {"ids": started.id}).must(200)
    batch.expect(batch.json == [None], "it is null for the other user", batch.text)
    for query in ({}, {"title__contains": word}):
        found = stranger.get(f"{APP_CONVERSATIONS}/search", query).must(200)
        found.expect(started.id not in found.text, "the search does not find it")
    count = stranger.get(f"{APP_CONVERSATIONS}/count", {"title__contains": word}).must(200)
    count.expect(count.json == 0, "it is not counted", count.text)
    _not_theirs(stranger.get(path(started.id)), word, started.key)
    listed = stranger.get(CONVERSATIONS, {"limit": 100}).must(200)
    listed.expect(started.id not in listed.text, "the V0 list does not have it")


@checks("USERS-05")
def changing_v1(bench: Bench) -> None:
    """Renames and deletes another user's conversation, and pauses, resumes and deletes its sandbox."""
    stranger = bench.stranger
    started = bench.v1.beside()
    before = bench.v1.get(started.id).needs(200).pick(0, "title")
    _not_theirs(stranger.patch(path(started.id), {"title": "Mine now"}))
    deleted = stranger.delete(path(started.id))
    deleted.expect(
        deleted.status in (403, 404) or deleted.json is False, "deleting it is refused", deleted.text
    )
    for verb in ("pause", "resume"):
        _not_theirs(stranger.post(f"{SANDBOXES}/{started.sandbox_id}/{verb}"))
    _not_theirs(
        stranger.delete(f"{SANDBOXES}/{started.sandbox_id}", query={"sandbox_id": started.sandbox_id})
    )
    found = bench.v1.get(started.id).must(200)
    found.expect(found.pick(0, "title") == before, "it has its title", found.pick(0, "title"))
    found.expect(
        found.pick(0, "sandbox_status") == "RUNNING", "its sandbox runs", found.pick(0, "sandbox_status")
    )


@checks("USERS-06")
def reading_the_rest_of_v1(bench: Bench) -> None:
    """Reads another user's start tasks, sandboxes and events."""
    stranger = bench.stranger
    started = bench.v1.shared()
    query = {"conversation_id__eq": started.id}
    tasks = stranger.get(f"{TASKS}/search", query).must(200)
    tasks.expect(tasks.pick("items") == [], "no start task is found", tasks.text)
    count = stranger.get(f"{TASKS}/count", query).must(200)
    count.expect(count.json == 0, "none is counted", count.text)
    sandbox = stranger.get(SANDBOXES, {"id": started.sandbox_id}).must(200)
    sandbox.expect(sandbox.json == [None], "the sandbox is null", sandbox.text)
    listed = stranger.get(f"{SANDBOXES}/search").must(200)
    listed.expect(started.sandbox_id not in listed.text, "nor is it listed")
    events = stranger.get("/api/v1/events/search", query).must(200)
    events.expect(events.pick("items") == [], "no event is found", events.text)


@checks("USERS-07")
def secrets_of_others(bench: Bench) -> None:
    """Stores a secret, and lists and deletes it as another user."""
    stranger = bench.stranger
    name = f"KIT_{secrets.token_hex(6)}"
    bench.app.post("/api/secrets", {"name": name, "value": "value"}).needs(201)
    bench.later(lambda: bench.app.delete(f"/api/secrets/{name}"))
    listed = stranger.get("/api/secrets").must(200)
    listed.expect(name not in listed.text, "the other user does not see it", listed.text)
    stranger.delete(f"/api/secrets/{name}").must(403, 404)
    own = bench.app.get("/api/secrets").must(200)
    own.expect(name in own.text, "it is still there", own.text)


@checks("USERS-08")
def listening_to_others(bench: Bench) -> None:
    """Connects to another user's conversation by Socket.IO."""
    stranger = bench.stranger
    identifier = bench.v0.running()
    query = {"conversation_id": identifier}
    if KEY_HEADER in stranger.headers:
        query["session_api_key"] = stranger.headers[KEY_HEADER]
    url = f"{bench.lab.wire().url}/socket.io/"
    asked = {"EIO": "4", "transport": "websocket", **query}
    stream = V0Stream(bench, "app-server", url, asked, stranger.headers)
    if stream.accepted:
        stream.until(stream.answered, "the server lets the client in, or says why not")
    stream.expect(not stream.confirmed, "the connection is refused", "it was accepted")


@checks("USERS-05")
def starting_in_another_sandbox(bench: Bench) -> None:
    """Starts a conversation in another user's sandbox."""
    started = bench.v1.beside()
    task = _ended(bench, {"sandbox_id": started.sandbox_id})
    bench.expect(task["status"] == "ERROR", "the task becomes ERROR", task)


@checks("USERS-09")
def starting_what_is_theirs(bench: Bench) -> None:
    """Starts conversations under the id of another user's conversation, and under it as their parent."""
    started = bench.v1.beside()
    before = bench.v1.events(started)
    for name in ("conversation_id", "parent_conversation_id"):
        task = _ended(bench, {name: started.id})
        theirs = task.get("sandbox_id") == started.sandbox_id
        bench.expect(not theirs, f"`{name}` does not lead to the other user's sandbox", task)
        refused = name == "conversation_id" or task["status"] == "ERROR"
        bench.expect(refused, "a parent that is another user's is refused", task)
    own = bench.v1.get(started.id).must(200)
    own.expect(own.pick(0, "sub_conversation_ids") == [], "the other user's conversation has no part more")
    bench.expect(bench.v1.events(started) == before, "it has no event more")


def _ended(bench: Bench, request: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of a start by the second user; one that is refused at once has no more than a status."""
    stranger = bench.stranger
    answer = stranger.post(APP_CONVERSATIONS, request)
    if answer.status in (403, 404, 409, 422):
        return {"status": "ERROR"}
    identifier = answer.must(200).pick("id")

    def ended() -> dict[str, Any] | None:
        answer = stranger.get(TASKS, {"ids": identifier}).must(200)
        task: dict[str, Any] | None = answer.pick(0)
        if task is None:
            answer.fail("who started a conversation can read the task of that", answer.text)
        return task if task["status"] in ("READY", "ERROR") else None

    task = bench.until(ended, "the start task ends", within=bench.lab.start_patience)
    if task["app_conversation_id"]:
        bench.later(lambda: stranger.delete(path(task["app_conversation_id"])))
    return task
