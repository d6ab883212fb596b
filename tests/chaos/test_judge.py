"""The judge itself: what is wrong is found, and what is right is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from openhands_client import OpenHands
from openhands_reference_server import ReferenceServer

from .crowds import live_all
from .judge import faults_in, judge
from .life import Api, Life


@pytest.fixture(scope="module")
def server() -> Iterator[ReferenceServer]:
    with ReferenceServer(max_concurrent_conversations=100) as running:
        yield running


def lose(life: Life) -> None:
    del life.seen[3]


def repeat(life: Life) -> None:
    life.seen.insert(5, life.seen[4])


def swap(life: Life) -> None:
    life.seen[3], life.seen[4] = life.seen[4], life.seen[3]


def stop_early(life: Life) -> None:
    del life.seen[-3:]


def fail(life: Life) -> None:
    life.failure = TimeoutError()


HARMS = (lose, repeat, swap, stop_early, fail)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lose, "events lost"),
        (repeat, "events seen twice"),
        (swap, "events out of order"),
        (stop_early, "events lost"),
        (fail, "lives that failed"),
    ],
)
@pytest.mark.parametrize("api", ["v1", "v0"])
def test_what_a_caller_saw_wrong_is_found(
    server: ReferenceServer, api: Api, harm: Callable[[Life], None], found: str
) -> None:
    [life] = lives = [Life(HARMS.index(harm), api, 0 if api == "v0" else 1)]
    calm: Counter[str] = Counter()
    live_all(server.url, lives, calm)
    assert not faults_in(calm + judge(server.url, lives))
    harm(life)
    assert set(faults_in(judge(server.url, lives))) == {found}


@pytest.mark.parametrize("repository", ["acme/app", None])
def test_what_the_server_holds_twice_is_found(server: ReferenceServer, repository: str | None) -> None:
    [life] = lives = [Life(int(repository is None), "v0", 2, repository)]
    live_all(server.url, lives, Counter())
    with OpenHands(server.url) as client:
        client.conversations.create(
            life.messages[0], api="v0", repository=life.repository, branch=life.branch
        ).wait(30)
        client.conversations.get(life.conversation_id or "").start().send(life.messages[1])
    found = faults_in(judge(server.url, lives))
    assert (found["conversations created twice"], found["messages stored twice"]) == (1, 1)
