"""Listing V0 conversations: pages and filters.

Each check makes conversations on a repository of its own, so that others on the server do not disturb it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import CONVERSATIONS, path

_MICROAGENTS = "/api/microagent-management/conversations"
_DEFAULT_LIMIT = 20


def _several(bench: Bench, number: int) -> tuple[str, list[str]]:
    """A repository and the ids of the conversations on it, newest first."""
    repository = f"acme/{secrets.token_hex(8)}"
    ids = [bench.v0.new(repository=repository) for _ in range(number)]
    return repository, ids[::-1]


def _pages(bench: Bench, query: Mapping[str, Any], path: str = CONVERSATIONS) -> Iterator[Answer]:
    """All pages of a list."""
    page_id: str | None = None
    seen: set[str] = set()
    while True:
        answer = bench.app.get(path, {**query, **({"page_id": page_id} if page_id else {})}).must(200)
        yield answer
        page_id = answer.next_page_id(seen)
        if page_id is None:
            return


def _ids(answer: Answer) -> list[str]:
    return [entry["conversation_id"] for entry in answer.pick("results")]


@checks("V0-LIST-01")
def newest_first(bench: Bench) -> None:
    """Creates three conversations and reads the list."""
    ids = [bench.v0.new() for _ in range(3)]
    entries = bench.v0.listed()
    created = [entry["created_at"] for entry in entries]
    bench.expect(created == sorted(created, reverse=True), "`created_at` falls from entry to entry", created)
    places = [place for place, entry in enumerate(entries) if entry["conversation_id"] in ids]
    order = [entries[place]["conversation_id"] for place in places]
    bench.expect(order == ids[::-1], f"the order is {ids[::-1]}", order)


@checks("V0-LIST-02")
def full_pages(bench: Bench) -> None:
    """Pages through seven conversations, three at a time."""
    repository, _ = _several(bench, 7)
    lengths = [len(_ids(page)) for page in _pages(bench, {"selected_repository": repository, "limit": 3})]
    bench.expect(lengths == [3, 3, 1], "the pages have 3, 3 and 1 conversations", lengths)


@checks("V0-LIST-03")
def exactly_once(bench: Bench) -> None:
    """Pages through seven conversations, one, two, three and five at a time."""
    repository, ids = _several(bench, 7)
    for limit in (1, 2, 3, 5):
        pages = _pages(bench, {"selected_repository": repository, "limit": limit})
        found = [identifier for page in pages for identifier in _ids(page)]
        bench.expect(found == ids, f"all seven, newest first, with limit {limit}: {ids}", found)


@checks("V0-LIST-04")
def the_last_page(bench: Bench) -> None:
    """Pages through four conversations, two at a time, and reads them with limits of 4 and 5."""
    repository, _ = _several(bench, 4)
    pages = list(_pages(bench, {"selected_repository": repository, "limit": 2}))
    lengths = [len(_ids(page)) for page in pages]
    bench.expect(lengths == [2, 2], "there are two pages of two", lengths)
    for limit in (4, 5):
        answer = bench.app.get(CONVERSATIONS, {"selected_repository": repository, "limit": limit}).must(200)
        answer.has(next_page_id=None)


@checks("V0-LIST-05")
def bounds_of_limits(bench: Bench) -> None:
    """Asks for 0, -1, 101 and `many` conversations, and for 1 and 100."""
    for limit in (0, -1, 101, "many"):
        refused(bench.app.get(CONVERSATIONS, {"limit": limit}), "limit")
    for limit in (1, 100):
        answer = bench.app.get(CONVERSATIONS, {"limit": limit}).must(200)
        answer.expect(len(answer.pick("results")) <= limit, f"at most {limit} entries")


@checks("V0-LIST-06")
def strange_page_ids(bench: Bench) -> None:
    """Asks for pages with ids that are garbage, base64, and JSON in base64."""
    for page_id in ("garbage", "!!!", "Z2FyYmFnZQ==", "W10=", "eyJ2MCI6ICJ4IiwgInYxIjogIngifQ=="):
        refused(bench.app.get(CONVERSATIONS, {"page_id": page_id}))


@checks("V0-LIST-07")
def by_repository(bench: Bench) -> None:
    """Creates conversations on a repository, on one whose name begins alike, and on none."""
    repository, ids = _several(bench, 2)
    bench.v0.new(repository=f"{repository}-other")
    bench.v0.new()
    for wanted, expected in ((repository, ids), (repository[:-1], []), (repository.upper(), [])):
        answer = bench.app.get(CONVERSATIONS, {"selected_repository": wanted, "limit": 100}).must(200)
        answer.expect(_ids(answer) == expected, f"those on {wanted}: {expected}", _ids(answer))


@checks("V0-LIST-08")
def by_trigger(bench: Bench) -> None:
    """Creates conversations with two triggers and asks for those of one."""
    repository = f"acme/{secrets.token_hex(8)}"
    plain = bench.v0.new(repository=repository)
    microagent = bench.v0.new(repository=repository, create_microagent={"repo": repository})
    query = {"selected_repository": repository, "limit": 100}
    answer = bench.app.get(CONVERSATIONS, {**query, "conversation_trigger": "microagent_management"}).must(
        200
    )
    answer.expect(_ids(answer) == [microagent], "only the one that makes a microagent", _ids(answer))
    answer = bench.app.get(CONVERSATIONS, {**query, "conversation_trigger": "slack"}).must(200)
    answer.expect(_ids(answer) == [], "none was started by slack", _ids(answer))
    answer = bench.app.get(CONVERSATIONS, query).must(200)
    answer.expect(_ids(answer) == [microagent, plain], "both without the filter", _ids(answer))
    refused(bench.app.get(CONVERSATIONS, {"conversation_trigger": "telepathy"}), "conversation_trigger")


@checks("V0-LIST-09")
def inserts_between_pages(bench: Bench) -> None:
    """Pages through five conversations two at a time, and creates another one after each page."""
    repository, ids = _several(bench, 5)
    found: list[str] = []
    for page in _pages(bench, {"selected_repository": repository, "limit": 2}):
        found += _ids(page)
        if len(found) < len(ids):
            bench.v0.new(repository=repository)
    old = [identifier for identifier in found if identifier in ids]
    bench.expect(old == ids, f"the five that were there, once each: {ids}", old)


@checks("V0-LIST-10")
def default_limit(bench: Bench) -> None:
    """Sees to it that there are more than twenty conversations, and lists them without a limit."""
    for _ in range(_DEFAULT_LIMIT + 1 - len(bench.v0.listed())):
        bench.v0.new()
    number = len(_ids(bench.app.get(CONVERSATIONS).must(200)))
    bench.expect(1 <= number <= _DEFAULT_LIMIT, f"from 1 to {_DEFAULT_LIMIT} conversations", number)


@checks("V0-LIST-11")
def says_the_same(bench: Bench) -> None:
    """Compares the entries of a stopped and a running conversation in the list with their own answers."""
    fluid = {"num_connections", "last_updated_at"}
    for identifier in (bench.v0.stopped(), bench.v0.running()):
        own = bench.v0.status(identifier).must(200).json
        (entry,) = [entry for entry in bench.v0.listed() if entry["conversation_id"] == identifier]
        different = {name for name in own.keys() | entry.keys() if own.get(name) != entry.get(name)} - fluid
        bench.expect(not different, "both say the same", f"different: {sorted(different)}")


@checks("V0-LIST-12")
def microagent_management(bench: Bench) -> None:
    """Creates three conversations for microagents of a repository and one that is not, and pages through them."""
    repository = f"acme/{secrets.token_hex(8)}"
    bench.v0.new(repository=repository)
    request = {"repository": repository, "create_microagent": {"repo": repository}}
    ids = [bench.v0.new(**request) for _ in range(3)][::-1]
    query = {"selected_repository": repository, "limit": 2}
    found = [identifier for page in _pages(bench, query, _MICROAGENTS) for identifier in _ids(page)]
    bench.expect(found == ids, f"the three, newest first: {ids}", found)
    refused(bench.app.get(_MICROAGENTS), "selected_repository")
    refused(bench.app.get(_MICROAGENTS, {"selected_repository": repository, "limit": 101}), "limit")


@checks("V0-LIST-13")
def filters_together(bench: Bench) -> None:
    """Creates conversations on two repositories with two triggers, and asks for one combination."""
    first, second = (f"acme/{secrets.token_hex(8)}" for _ in range(2))
    bench.v0.new(repository=first)
    bench.v0.new(repository=second, create_microagent={"repo": second})
    query = {"selected_repository": first, "conversation_trigger": "microagent_management"}
    answer = bench.app.get(CONVERSATIONS, query).must(200)
    answer.expect(_ids(answer) == [], "none satisfies both", _ids(answer))


@checks("V0-LIST-14")
def deletions_between_pages(bench: Bench) -> None:
    """Pages through five conversations two at a time, and deletes those of the first page."""
    repository, ids = _several(bench, 5)
    found: list[str] = []
    for page in _pages(bench, {"selected_repository": repository, "limit": 2}):
        for identifier in _ids(page) if not found else ():
            with bench.arranging("a deletion"):
                bench.app.delete(path(identifier)).needs(200)
        found += _ids(page)
    bench.expect(found == ids, f"all five, once each: {ids}", found)
