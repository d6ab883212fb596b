"""Who is let in: every operation of the documents, without a key and with wrong ones."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

from openhands_contract.bench import Answer, Api, Bench
from openhands_contract.checks import checks
from openhands_contract.checks.agent_live import knock
from openhands_contract.outcome import Skipped
from openhands_contract.plausible import Plausible, requests_of
from openhands_contract.site import KEY_HEADER
from openhands_contract.v0 import CONVERSATIONS, path, unknown_id
from openhands_contract.v1 import SANDBOXES

_V0 = frozenset({"v0-conversations", "v0-events", "v0-workspace"})
_V1 = frozenset({"app-conversations", "start-tasks", "events", "sandboxes", "users"})
_USER = frozenset({"settings", "feedback"})
_META = ("/alive", "/health", "/server_info")


def _key(bench: Bench) -> str:
    """The user's key.

    Raises:
        Skipped: none was given, so the server is taken to want none.
    """
    key = bench.lab.access.key
    if not key:
        raise Skipped("no key was given, so the server is taken to want none: --api-key")
    return key


def _wrong(bench: Bench) -> str:
    key = f"wrong-{secrets.token_hex(8)}"
    bench.lab.redact.learn(key, "$WRONG_KEY")
    return key


def _refused(answer: Answer, who: str) -> Answer:
    answer.must(401)
    return answer.expect(answer.pick("detail"), f"`detail` tells {who} why")


def _all_refuse(bench: Bench, api: Api, tags: Collection[str]) -> None:
    """Send a request for each operation about something; none may let us in."""
    _key(bench)
    for request in requests_of(bench.lab.app_document):
        if request.tag in tags and not request.open:
            _refused(request.send(api), request.operation)


@checks("KEY-APP-01")
def v0_without_a_key(bench: Bench) -> None:
    """Sends a request for each V0 operation of the document without a key."""
    _all_refuse(bench, bench.nobody, _V0)


@checks("KEY-APP-02")
def v0_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each V0 operation of the document with a wrong key."""
    _all_refuse(bench, bench.with_key(_wrong(bench)), _V0)


@checks("KEY-APP-03")
def v1_without_a_key(bench: Bench) -> None:
    """Sends a request for each V1 operation of the document without a key."""
    _all_refuse(bench, bench.nobody, _V1)


@checks("KEY-APP-04")
def v1_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each V1 operation of the document with a wrong key."""
    _all_refuse(bench, bench.with_key(_wrong(bench)), _V1)


@checks("KEY-APP-05")
def the_rest(bench: Bench) -> None:
    """Sends a request for each of the other operations without a key, and with a wrong one."""
    _all_refuse(bench, bench.nobody, _USER)
    _all_refuse(bench, bench.with_key(_wrong(bench)), _USER)


def _nearly(key: str) -> list[str]:
    """Keys that a careless comparison takes for the right one."""
    return [
        one for one in (key[:-1], f"{key}x", key[:1], key.swapcase(), f"{key},{key}") if one and one != key
    ]


@checks("KEY-APP-06")
def nearly_right(bench: Bench) -> None:
    """Lists conversations of both generations with keys that are nearly right."""
    for key in _nearly(_key(bench)):
        bench.lab.redact.learn(key, "$WRONG_KEY")
        _refused(bench.with_key(key).get(CONVERSATIONS), "who has a key that is nearly right")
        _refused(bench.with_key(key).get(f"{SANDBOXES}/search"), "who has a key that is nearly right")


@checks("KEY-APP-07")
def in_the_query(bench: Bench) -> None:
    """Lists conversations with the right key in the query."""
    _refused(bench.nobody.get(CONVERSATIONS, {"session_api_key": _key(bench)}), "who has no key")


@checks("KEY-APP-08")
def health_is_open(bench: Bench) -> None:
    """Asks for health and version without a key."""
    for open_path in _META:
        bench.nobody.get(open_path).must(200)


@checks("KEY-APP-09")
def tells_nothing(bench: Bench) -> None:
    """Reads a conversation that exists and one that does not, without a key, and compares the answers."""
    _key(bench)
    there = bench.nobody.get(path(bench.v0.new())).must(401)
    not_there = bench.nobody.get(path(unknown_id())).must(401)
    there.expect(there.text == not_there.text, f"both answers are {not_there.text}", there.text)


@checks("KEY-APP-10")
def reports(bench: Bench) -> None:
    """Reports an event without a key and with a wrong one."""
    for request in requests_of(bench.lab.app_document):
        if request.tag == "webhooks" and not request.open:
            request.send(bench.nobody).must(401)
            request.send(bench.nobody, headers={KEY_HEADER: _wrong(bench)}).must(401)


@checks("KEY-APP-11")
def nothing_is_done(bench: Bench) -> None:
    """Renames, stops and deletes a conversation without a key, and reads it."""
    _key(bench)
    identifier = bench.v0.running()
    with bench.arranging("a conversation"):
        before = bench.v0.status(identifier).needs(200)
    bench.nobody.patch(path(identifier), {"title": "Somebody was here"})
    bench.nobody.post(path(identifier, "/stop"))
    bench.nobody.delete(path(identifier))
    after = bench.v0.status(identifier).must(200)
    after.has(title=before.pick("title"), status="RUNNING")


def _agent_refuses(
    bench: Bench, key: str | None, tell: Callable[[Plausible], bool] = lambda request: True
) -> None:
    agent = bench.v1.agent(bench.v1.workshop(), key=key)
    for request in requests_of(bench.lab.agent_document):
        if not request.open and tell(request):
            _refused(request.send(agent), request.operation)


@checks("KEY-AGENT-01")
def agent_without_a_key(bench: Bench) -> None:
    """Sends a request for each operation of the agent server's document without a key."""
    _agent_refuses(bench, None)


@checks("KEY-AGENT-02")
def agent_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each operation of the agent server's document with a wrong key."""
    _agent_refuses(bench, _wrong(bench))


@checks("KEY-AGENT-03")
def agent_with_a_key_in_disguise(bench: Bench) -> None:
    """Reads a conversation with keys that are nearly right, and with the right one where it does not belong."""
    started = bench.v1.workshop()
    for key in _nearly(started.key):
        bench.lab.redact.learn(key, "$WRONG_KEY")
        _refused(bench.v1.agent(started, key=key).get(started.path), "who has a key that is nearly right")
    nobody = bench.v1.agent(started, key=None)
    _refused(nobody.get(started.path, {"session_api_key": started.key}), "who has the key in the query")
    bearer = {"Authorization": f"Bearer {started.key}"}
    _refused(nobody.get(started.path, headers=bearer), "who has the key in another header")


@checks("KEY-AGENT-04")
def another_sandbox(bench: Bench) -> None:
    """Reads, renames and deletes a conversation with the key of another sandbox, and reads it with its own."""
    started, other = bench.v1.beside(), bench.v1.shared()
    with bench.arranging("two sandboxes"):
        bench.expect(started.sandbox_id != other.sandbox_id, "the conversations have sandboxes of their own")
    intruder = bench.v1.agent(started, key=other.key)
    for rest in ("", "/events/search", "/events/count"):
        intruder.get(f"{started.path}{rest}").must(401, 403, 404)
    intruder.patch(started.path, {"title": "Somebody was here"}).must(401, 403, 404)
    intruder.post(f"{started.path}/run").must(401, 403, 404)
    intruder.delete(started.path).must(401, 403, 404)
    found = bench.v1.agent(started).get(started.path).must(200)
    found.expect(found.pick("title") != "Somebody was here", "the title is as it was", found.pick("title"))


@checks("KEY-AGENT-05")
def agent_health_is_open(bench: Bench) -> None:
    """Asks an agent server for health and version without a key."""
    nobody = bench.v1.agent(bench.v1.workshop(), key=None)
    for open_path in _META:
        nobody.get(open_path).must(200)


@checks("KEY-AGENT-06")
def another_sandbox_listens(bench: Bench) -> None:
    """Asks for the WebSocket of a conversation with the key of another sandbox."""
    started, other = bench.v1.workshop(), bench.v1.shared()
    stream = knock(bench, started, started.dashed, session_api_key=other.key)
    if stream.accepted:
        stream.until_closed("the WebSocket is refused, or closed at once")
    stream.expect(not stream.frames, "nothing of the conversation is heard", stream.frames)


@checks("KEY-AGENT-07")
def keys_differ(bench: Bench) -> None:
    """Compares the keys of two sandboxes."""
    one, other = bench.v1.workshop(), bench.v1.shared()
    with bench.arranging("two sandboxes"):
        bench.expect(one.sandbox_id != other.sandbox_id, "the conversations have sandboxes of their own")
    bench.expect(one.key != other.key, "each sandbox has a key of its own")
