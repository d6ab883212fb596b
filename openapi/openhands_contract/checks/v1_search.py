"""Finding V1 conversations and start tasks: pages, filters, counts and batches.

Each check looks for conversations whose titles have a word of its own in them, so that others do not disturb it.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.clock import elsewhere
from openhands_contract.lab.v1 import CONVERSATIONS, TASKS, Started

_SEARCH = f"{CONVERSATIONS}/search"
_COUNT = f"{CONVERSATIONS}/count"
_TASK_SEARCH = f"{TASKS}/search"
_TASK_COUNT = f"{TASKS}/count"


def _five(bench: Bench) -> tuple[str, list[Started]]:
    """A word and five conversations with it in their titles, newest first; all checks share them."""

    def make(bench: Bench) -> tuple[str, list[Started]]:
        word = f"Word{secrets.token_hex(6)}"
        made = [_titled(bench, f"About {word} {number}") for number in range(5)]
        return word, made[::-1]

    return bench.shared("v1 five", make)


def _titled(bench: Bench, title: str) -> Started:
    started = bench.v1.beside()
    with bench.arranging("a V1 conversation with a title"):
        bench.v1.rename(started.id, title).needs(200)
        bench.until(
            lambda: bench.v1.get(started.id).needs(200).pick(0, "title") == title or None,
            "it has the new title",
        )
    return started


def _find(bench: Bench, **query: Any) -> Answer:
    return bench.app.get(_SEARCH, query).must(200)


def _ids(answer: Answer) -> list[str]:
    return [item["id"].replace("-", "") for item in answer.pick("items")]


def _pages(bench: Bench, path: str, query: Mapping[str, Any]) -> Iterator[Answer]:
    page_id: str | None = None
    seen: set[str] = set()
    while True:
        answer = bench.app.get(path, {**query, **({"page_id": page_id} if page_id else {})}).must(200)
        yield answer
        page_id = answer.next_page_id(seen)
        if page_id is None:
            return


@checks("V1-SEARCH-01")
def newest_first(bench: Bench) -> None:
    """Looks for five conversations and compares their order."""
    word, five = _five(bench)
    answer = _find(bench, title__contains=word)
    wanted = [one.id for one in five]
    answer.expect(_ids(answer) == wanted, f"the order is {wanted}", _ids(answer))
    times = [item["created_at"] for item in answer.pick("items")]
    answer.expect(times == sorted(times, reverse=True), "`created_at` falls", times)


@checks("V1-SEARCH-02")
def full_pages(bench: Bench) -> None:
    """Pages through five conversations, two at a time, and reads them with limits of 5 and 6."""
    word, _ = _five(bench)
    pages = list(_pages(bench, _SEARCH, {"title__contains": word, "limit": 2}))
    lengths = [len(_ids(page)) for page in pages]
    bench.expect(lengths == [2, 2, 1], "the pages have 2, 2 and 1 conversations", lengths)
    for limit in (5, 6):
        _find(bench, title__contains=word, limit=limit).has(next_page_id=None)
    four = _find(bench, title__contains=word, limit=4)
    four.expect(four.pick("next_page_id"), "four of five leave another page")


@checks("V1-SEARCH-03")
def exactly_once(bench: Bench) -> None:
    """Pages through five conversations, one, two, three and four at a time."""
    word, five = _five(bench)
    wanted = [one.id for one in five]
    for limit in (1, 2, 3, 4):
        pages = _pages(bench, _SEARCH, {"title__contains": word, "limit": limit})
        found = [identifier for page in pages for identifier in _ids(page)]
        bench.expect(found == wanted, f"all five, newest first, with limit {limit}: {wanted}", found)


@checks("V1-SEARCH-04")
def inserts_between_pages(bench: Bench) -> None:
    """Pages through five conversations two at a time, and starts another one after the first page."""
    word, five = _five(bench)
    found: list[str] = []
    for page in _pages(bench, _SEARCH, {"sandbox_id__eq": bench.v1.workshop().sandbox_id, "limit": 2}):
        if not found:
            bench.v1.beside()
        found += _ids(page)
    ours = [identifier for identifier in found if identifier in {one.id for one in five}]
    bench.expect(ours == [one.id for one in five], f"the five about {word}, once each, in order", ours)
    bench.expect(len(found) == len(set(found)), "nothing comes twice", len(found) - len(set(found)))


@checks("V1-SEARCH-05")
def lower_bounds_of_limits(bench: Bench) -> None:
    """Asks for 0 and `many`, of conversations and of start tasks, and for 1 and 100."""
    for path in (_SEARCH, _TASK_SEARCH):
        for limit in (0, "many"):
            refused(bench.app.get(path, {"limit": limit}), "limit")
        for limit in (1, 100):
            answer = bench.app.get(path, {"limit": limit}).must(200)
            answer.expect(len(answer.pick("items")) <= limit, f"at most {limit}", len(answer.pick("items")))


@checks("V1-SEARCH-06")
def upper_bounds_of_limits(bench: Bench) -> None:
    """Asks for 101 conversations and start tasks."""
    for path in (_SEARCH, _TASK_SEARCH):
        refused(bench.app.get(path, {"limit": 101}), "limit")


@checks("V1-SEARCH-07")
def strange_page_ids(bench: Bench) -> None:
    """Asks for pages with ids that nobody has handed out."""
    for path in (_SEARCH, _TASK_SEARCH):
        for page_id in ("garbage", "!!!", "Z2FyYmFnZQ"):
            refused(bench.app.get(path, {"page_id": page_id}), "page_id")


@checks("V1-SEARCH-08")
def by_title(bench: Bench) -> None:
    """Looks for parts of titles, for one title, and for a word that is in none."""
    word, five = _five(bench)
    one = _find(bench, title__contains=f"{word} 3")
    one.expect(_ids(one) == [five[1].id], "only the one with this title", _ids(one))
    none = _find(bench, title__contains=f"{word}{word}")
    none.expect(_ids(none) == [], "none has this title", _ids(none))


def _created(bench: Bench, started: Started, name: str = "created_at") -> str:
    """A time of a conversation, without its zone: all servers understand that as UTC."""
    value: str = bench.v1.get(started.id).needs(200).pick(0, name)
    return value.removesuffix("Z").removesuffix("+00:00")


def _later(moment: str) -> str:
    return (datetime.fromisoformat(moment) + timedelta(microseconds=1)).isoformat(timespec="microseconds")


@checks("V1-SEARCH-09")
def by_creation(bench: Bench) -> None:
    """Looks for conversations from the moment one was created, before it, and just after."""
    word, five = _five(bench)
    moment = _created(bench, five[2])
    ids = [one.id for one in five]
    for query, wanted in (
        ({"created_at__gte": moment}, ids[:3]),
        ({"created_at__lt": moment}, ids[3:]),
        ({"created_at__gte": _later(moment)}, ids[:2]),
        ({"created_at__lt": _later(moment)}, ids[2:]),
    ):
        answer = _find(bench, title__contains=word, **query)
        answer.expect(_ids(answer) == wanted, f"those of {query}: {wanted}", _ids(answer))


@checks("V1-SEARCH-10")
def by_update(bench: Bench) -> None:
    """Looks for conversations from the moment one was last updated, before it, and just after."""
    word, five = _five(bench)
    moments = {one.id: _created(bench, one, "updated_at") for one in five}
    moment = sorted(moments.values())[2]
    since = {identifier for identifier, value in moments.items() if value >= moment}
    before = moments.keys() - since
    for query, wanted in (({"updated_at__gte": moment}, since), ({"updated_at__lt": moment}, before)):
        answer = _find(bench, title__contains=word, **query)
        answer.expect(set(_ids(answer)) == wanted, f"those of {query}: {sorted(wanted)}", _ids(answer))


@checks("V1-SEARCH-11")
def by_sandbox(bench: Bench) -> None:
    """Looks for the conversations of two sandboxes."""
    shared = bench.v1.shared()
    answer = _find(bench, sandbox_id__eq=shared.sandbox_id)
    answer.expect(_ids(answer) == [shared.id], f"only {shared.id}", _ids(answer))
    _, five = _five(bench)
    answer = _find(bench, sandbox_id__eq=five[0].sandbox_id)
    answer.expect(
        {one.id for one in five} <= set(_ids(answer)), "the five of the workshop are found", _ids(answer)
    )
    answer.expect(shared.id not in _ids(answer), "those of another sandbox are not")


@checks("V1-SEARCH-12")
def counts(bench: Bench) -> None:
    """Counts what several searches find."""
    word, five = _five(bench)
    moment = _created(bench, five[2])
    for query in (
        {"title__contains": word},
        {"title__contains": f"{word} 3"},
        {"title__contains": f"{word}{word}"},
        {"title__contains": word, "created_at__gte": moment},
        {"title__contains": word, "created_at__lt": moment},
        {"title__contains": word, "updated_at__gte": moment},
        {"title__contains": word, "updated_at__lt": moment},
    ):
        found = len(_ids(_find(bench, **query)))
        count = bench.app.get(_COUNT, query).must(200)
        count.expect(count.json == found, f"{found}, as many as the search finds for {query}", count.text)


@checks("V1-SEARCH-13")
def sub_conversations(bench: Bench) -> None:
    """Starts a conversation under another and looks for both."""
    word = f"Word{secrets.token_hex(6)}"
    parent = _titled(bench, f"{word} parent")
    child = bench.v1.start(parent_conversation_id=parent.id)
    with bench.arranging("a title"):
        bench.v1.rename(child.id, f"{word} child").needs(200)
    alone = _find(bench, title__contains=word)
    alone.expect(_ids(alone) == [parent.id], "only the parent", _ids(alone))
    both = _find(bench, title__contains=word, include_sub_conversations=True)
    both.expect(set(_ids(both)) == {parent.id, child.id}, "both with `include_sub_conversations`", _ids(both))


@checks("V1-SEARCH-14")
def strange_times(bench: Bench) -> None:
    """Looks for conversations since yesterday, and since the 30th of February."""
    for name in ("created_at__gte", "created_at__lt", "updated_at__gte", "updated_at__lt"):
        for value in ("yesterday", "2026-02-30T00:00:00"):
            refused(bench.app.get(_SEARCH, {name: value}), name)
            refused(bench.app.get(_COUNT, {name: value}), name)
    refused(bench.app.get(_TASK_SEARCH, {"created_at__gte": "yesterday"}), "created_at__gte")


@checks("V1-SEARCH-15")
def says_the_same(bench: Bench) -> None:
    """Compares conversations in a search with their own answers."""
    word, _ = _five(bench)
    for item in _find(bench, title__contains=word).pick("items"):
        own = bench.v1.get(item["id"]).must(200).pick(0)
        fluid = {"updated_at", "metrics"}
        different = {name for name in own.keys() | item.keys() if own.get(name) != item.get(name)} - fluid
        bench.expect(not different, "both say the same", f"different: {sorted(different)}")


@checks("V1-TASKS-01")
def tasks_of_a_conversation(bench: Bench) -> None:
    """Looks for the start tasks of a conversation, and of one that nobody has made."""
    started = bench.v1.workshop()
    for identifier, number in ((started.id, 1), (started.dashed, 1), (uuid.uuid4().hex, 0)):
        query = {"conversation_id__eq": identifier}
        answer = bench.app.get(_TASK_SEARCH, query).must(200)
        items = answer.pick("items")
        answer.expect(len(items) == number, f"{number} task of {identifier}", len(items))
        for item in items:
            named = (item["app_conversation_id"] or "").replace("-", "")
            answer.expect(named == started.id, "it is the task of this conversation", named)
        count = bench.app.get(_TASK_COUNT, query).must(200)
        count.expect(count.json == number, f"the count is {number}", count.text)


def _since(bench: Bench) -> str:
    _, five = _five(bench)
    found = bench.app.get(_TASK_SEARCH, {"conversation_id__eq": five[-1].id}).needs(200)
    moment: str = found.pick("items", 0, "created_at")
    return moment.removesuffix("Z")


@checks("V1-TASKS-02")
def orders_of_tasks(bench: Bench) -> None:
    """Looks for the start tasks of this run in all orders."""
    since = _since(bench)
    _overtaking(bench)
    for order, name, falling in (
        (None, "created_at", True),
        ("CREATED_AT", "created_at", False),
        ("CREATED_AT_DESC", "created_at", True),
        ("UPDATED_AT", "updated_at", False),
        ("UPDATED_AT_DESC", "updated_at", True),
    ):
        query = {"created_at__gte": since, **({"sort_order": order} if order else {})}
        answer = bench.app.get(_TASK_SEARCH, query).must(200)
        times = [item[name] for item in answer.pick("items")]
        answer.expect(len(times) >= 5, "at least five tasks", len(times))
        answer.expect(
            times == sorted(times, reverse=falling), f"the order is {order or 'CREATED_AT_DESC'}", times
        )
    refused(bench.app.get(_TASK_SEARCH, {"sort_order": "RANDOM"}), "sort_order")


def _overtaking(bench: Bench) -> None:
    """A start task that ends before one that was there first, so that the orders differ."""
    with bench.arranging("two start tasks"):
        requests = ({"sandbox_id": bench.v1.workshop().sandbox_id}, {"sandbox_id": secrets.token_hex(11)})
        slow, quick = (bench.app.post(CONVERSATIONS, one).needs(200).pick("id") for one in requests)
        for identifier in (quick, slow):
            bench.v1.await_task(identifier)


@checks("V1-TASKS-03")
def tasks_since(bench: Bench) -> None:
    """Looks for start tasks from the moment one was created, and from the future."""
    since = _since(bench)
    answer = bench.app.get(_TASK_SEARCH, {"created_at__gte": since}).must(200)
    times = [item["created_at"].removesuffix("Z") for item in answer.pick("items")]
    answer.expect(times and min(times) == since, f"the oldest is of {since}", min(times, default=None))
    query = {"created_at__gte": "2999-01-01T00:00:00"}
    answer = bench.app.get(_TASK_SEARCH, query).must(200)
    answer.expect(answer.pick("items") == [], "none from the future", len(answer.pick("items")))
    count = bench.app.get(_TASK_COUNT, query).must(200)
    count.expect(count.json == 0, "the count is 0", count.text)


@checks("V1-TASKS-04")
def pages_of_tasks(bench: Bench) -> None:
    """Pages through the start tasks of this run, two at a time, oldest first."""
    since = _since(bench)
    _, five = _five(bench)
    query = {"created_at__gte": since, "sort_order": "CREATED_AT", "limit": 2}
    items = [item for page in _pages(bench, _TASK_SEARCH, query) for item in page.pick("items")]
    ids = [item["id"] for item in items]
    bench.expect(len(ids) == len(set(ids)), "no task comes twice", len(ids) - len(set(ids)))
    named = [
        item["app_conversation_id"]
        for item in items
        if item["app_conversation_id"] in {one.id for one in five}
    ]
    wanted = [one.id for one in reversed(five)]
    bench.expect(named == wanted, f"the tasks of {wanted}, in this order", named)


def _batch(bench: Bench, path: str, ids: list[str]) -> Answer:
    return bench.app.get(path, [("ids", identifier) for identifier in ids])


def _in_order(bench: Bench, path: str, known: list[str]) -> None:
    unknown = uuid.uuid4().hex
    asked = [known[1], unknown, known[0]]
    answer = _batch(bench, path, asked).must(200)
    found = [item and item["id"].replace("-", "") for item in answer.json]
    answer.expect(found == [known[1], None, known[0]], f"{known[1]}, null and {known[0]}", found)
    answer = _batch(bench, path, [unknown]).must(200)
    answer.expect(answer.json == [None], "null alone", answer.text)


@checks("V1-BATCH-01")
def conversations_in_order(bench: Bench) -> None:
    """Reads two conversations and one that nobody has made, in an order of its own."""
    _in_order(bench, CONVERSATIONS, [bench.v1.shared().id, bench.v1.workshop().id])


@checks("V1-BATCH-02")
def tasks_in_order(bench: Bench) -> None:
    """Reads two start tasks and one that nobody has made, in an order of its own."""
    ids = []
    for started in (bench.v1.shared(), bench.v1.workshop()):
        found = bench.app.get(_TASK_SEARCH, {"conversation_id__eq": started.id}).needs(200)
        with bench.arranging("a start task"):
            ids.append(found.pick("items", 0, "id").replace("-", ""))
    _in_order(bench, TASKS, ids)


@checks("V1-BATCH-03")
def dashes(bench: Bench) -> None:
    """Reads a conversation under both forms of its id."""
    started = bench.v1.shared()
    answer = _batch(bench, CONVERSATIONS, [started.id, started.dashed]).must(200)
    found = [item and item["id"].replace("-", "") for item in answer.json]
    answer.expect(found == [started.id, started.id], "the same conversation twice", found)


@checks("V1-BATCH-04")
def most_ids(bench: Bench) -> None:
    """Reads 100 and 101 conversations and start tasks that nobody has made."""
    for path in (CONVERSATIONS, TASKS):
        ids = [uuid.uuid4().hex for _ in range(101)]
        answer = _batch(bench, path, ids[:100]).must(200)
        answer.expect(answer.json == [None] * 100, "100 times null", len(answer.json))
        refused(_batch(bench, path, ids), "ids")


@checks("V1-BATCH-05")
def no_ids(bench: Bench) -> None:
    """Reads no conversation, and one whose id is none."""
    for path in (CONVERSATIONS, TASKS):
        refused(bench.app.get(path), "ids")
        refused(_batch(bench, path, ["not-a-uuid"]))


@checks("V1-BATCH-06")
def many_ids(bench: Bench) -> None:
    """Reads 99 conversations and start tasks that nobody has made."""
    for path in (CONVERSATIONS, TASKS):
        answer = _batch(bench, path, [uuid.uuid4().hex for _ in range(99)]).must(200)
        answer.expect(answer.json == [None] * 99, "99 times null", len(answer.json))


@checks("V1-BATCH-07")
def ids_in_capitals(bench: Bench) -> None:
    """Reads a conversation and its start task by their ids in capitals, with dashes and without."""
    started = bench.v1.workshop()
    task = bench.app.get(_TASK_SEARCH, {"conversation_id__eq": started.id}).needs(200).pick("items", 0, "id")
    for path, known in ((CONVERSATIONS, started.id), (TASKS, task)):
        for spelling in (uuid.UUID(known).hex.upper(), str(uuid.UUID(known)).upper()):
            answer = _batch(bench, path, [spelling]).must(200)
            found = [item and item["id"] for item in answer.json]
            answer.expect(found == [known], f"{spelling} is {known}", found)


@checks("V1-SEARCH-16")
def deletions_between_pages(bench: Bench) -> None:
    """Pages through three conversations one at a time, and deletes the first after the first page."""
    word = f"Word{secrets.token_hex(6)}"
    made = [bench.v1.new() for _ in range(3)]
    for started in made:
        with bench.arranging("a title"):
            bench.v1.rename(started.id, f"About {word}").needs(200)
    found: list[str] = []
    for page in _pages(bench, _SEARCH, {"title__contains": word, "limit": 1}):
        if not found:
            with bench.arranging("a deletion"):
                bench.v1.delete(made[-1].id).needs(200)
        found += _ids(page)
    wanted = [started.id for started in reversed(made)]
    bench.expect(found == wanted, f"all three, once each: {wanted}", found)


@checks("V1-SEARCH-17")
def by_title_to_the_letter(bench: Bench) -> None:
    """Looks for titles with signs that mean something in patterns, and in another case."""
    word = f"Word{secrets.token_hex(6)}"
    started = _titled(bench, f"{word}% a_b (x.y)")
    for text, wanted in (
        (f"{word}% a_b (x.y)", [started.id]),
        (f"{word}_ a", []),
        (f"{word}%b (", []),
        (f"{word}% a.b", []),
        (f"{word}%.*", []),
        (word.upper(), []),
    ):
        answer = _find(bench, title__contains=text)
        answer.expect(_ids(answer) == wanted, f"{len(wanted)} with {text!r} in the title", _ids(answer))
        count = bench.app.get(_COUNT, {"title__contains": text}).must(200)
        count.expect(count.json == len(wanted), f"the count is {len(wanted)}", count.text)


@checks("V1-SEARCH-18")
def by_time_with_an_offset(bench: Bench) -> None:
    """Looks for conversations from the moment one was created or updated and before it, told in another zone."""
    word, five = _five(bench)
    for name in ("created_at", "updated_at"):
        moments = {one.id: bench.v1.get(one.id).needs(200).pick(0, name) for one in five}
        moment = sorted(moments.values())[2]
        since = {identifier for identifier, value in moments.items() if value >= moment}
        for bound, wanted in (("gte", since), ("lt", moments.keys() - since)):
            query = {f"{name}__{bound}": elsewhere(moment)}
            answer = _find(bench, title__contains=word, **query)
            answer.expect(set(_ids(answer)) == wanted, f"those of {query}: {sorted(wanted)}", _ids(answer))


@checks("V1-SEARCH-19")
def between_two_moments(bench: Bench) -> None:
    """Looks for conversations that were created between two others, and counts them."""
    word, five = _five(bench)
    query = {"created_at__gte": _created(bench, five[3]), "created_at__lt": _created(bench, five[1])}
    wanted = [one.id for one in five[2:4]]
    answer = _find(bench, title__contains=word, **query)
    answer.expect(_ids(answer) == wanted, f"those of {query}: {wanted}", _ids(answer))
    count = bench.app.get(_COUNT, {"title__contains": word, **query}).must(200)
    count.expect(count.json == len(wanted), f"the count is {len(wanted)}", count.text)
