"""Keys that open nothing: every operation of the documents, each with a request about which nothing else is wrong."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from openhands_contract.checks import checks
from openhands_contract.checks.agent_live import knock
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.plausible import requests_of
from openhands_contract.lab.v0 import CONVERSATIONS, path
from openhands_contract.lab.v1 import Started
from openhands_contract.outcome import Skipped

_V0 = frozenset({"v0-conversations", "v0-events", "v0-workspace", "settings", "feedback"})
_V1 = frozenset({"app-conversations", "start-tasks", "events", "sandboxes", "users"})


def _key(bench: Bench) -> str:
    """The user's key.

    Raises:
        Skipped: none was given, so the server is taken to want none.
    """
    key = bench.lab.access.key
    if not key:
        raise Skipped("no key was given, so the server is taken to want none: --api-key")
    return key


def _wrong() -> str:
    return f"wrong-{secrets.token_hex(8)}"


def _refused(answer: Answer, who: str) -> None:
    answer.must(401).expect(answer.pick("detail"), f"`detail` tells {who} why")


def _all_refuse(bench: Bench, tags: Collection[str]) -> None:
    """Send a request for each operation about something, with a wrong key; none may let us in."""
    _key(bench)
    api = bench.with_key(_wrong())
    for request in requests_of(bench.lab.app_document):
        if request.tag in tags and not request.open:
            _refused(request.send(api), request.operation)


@checks("ACCESS-11")
def v0_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each of these operations of the document with a wrong key."""
    _all_refuse(bench, _V0)


@checks("ACCESS-12")
def v1_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each V1 operation of the document with a wrong key."""
    _all_refuse(bench, _V1)


@checks("ACCESS-13")
def in_the_query(bench: Bench) -> None:
    """Lists conversations with the right key in the query."""
    _refused(bench.nobody.get(CONVERSATIONS, {"session_api_key": _key(bench)}), "who has no key in a header")


@checks("ACCESS-01")
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


@checks("ACCESS-15")
def agent_with_a_wrong_key(bench: Bench) -> None:
    """Sends a request for each operation of the agent server's document with a wrong key."""
    agent = bench.v1.agent(bench.v1.workshop(), key=_wrong())
    for request in requests_of(bench.lab.agent_document):
        if not request.open:
            _refused(request.send(agent), request.operation)


@checks("ACCESS-16")
def in_the_wrong_place(bench: Bench) -> None:
    """Reads a conversation of an agent server with the right key in the query, and in another header."""
    started = bench.v1.workshop()
    nobody = bench.v1.agent(started, key=None)
    _refused(nobody.get(started.path, {"session_api_key": started.key}), "who has the key in the query")
    bearer = {"Authorization": f"Bearer {started.key}"}
    _refused(nobody.get(started.path, headers=bearer), "who has the key in another header")


def _two_sandboxes(bench: Bench) -> tuple[Started, Started]:
    one, other = bench.v1.workshop(), bench.v1.shared()
    with bench.arranging("two sandboxes"):
        bench.expect(one.sandbox_id != other.sandbox_id, "the conversations have sandboxes of their own")
    return one, other


@checks("ACCESS-17")
def keys_differ(bench: Bench) -> None:
    """Compares the keys of two sandboxes."""
    one, other = _two_sandboxes(bench)
    bench.expect(one.key != other.key, "each sandbox has a key of its own")


@checks("AGENT-LIVE-25")
def another_sandbox_listens(bench: Bench) -> None:
    """Asks for the WebSocket of a conversation with the key of another sandbox."""
    started, other = _two_sandboxes(bench)
    stream = knock(bench, started, started.dashed, session_api_key=other.key)
    if stream.accepted:
        stream.until_closed("the WebSocket is refused, or closed at once")
    stream.expect(not stream.frames, "nothing of the conversation is heard", stream.frames)
