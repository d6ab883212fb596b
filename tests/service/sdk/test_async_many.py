"""``create_many()``: in order, bounded, failures as values, and resumed after any death without a second try."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from openhands_client import (
    AsyncOpenHands,
    ConversationRequest,
    CreationProgress,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    StartTaskError,
    UnsupportedOperationError,
)
from openhands_reference_server import ReferenceServer

generations = pytest.mark.parametrize("api", ["v1", "v0"])
Api = Literal["v1", "v0"]


def requests_for(api: Api, name: str, count: int = 6) -> list[ConversationRequest]:
    return [
        ConversationRequest(f"{name} {number}", title=f"{name} {number}", api=api) for number in range(count)
    ]


async def titles(client: AsyncOpenHands, name: str) -> list[str]:
    """The titles of all conversations of this name that the server has."""
    all_of_them = [str(one.title) async for one in client.conversations.list()]
    return sorted(title for title in all_of_them if title.startswith(name))


def lines_of(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


@generations
async def test_results_come_in_the_order_of_the_requests(server: ReferenceServer, api: Api) -> None:
    told: list[CreationProgress] = []
    requests = requests_for(api, "In order")
    async with AsyncOpenHands(server.url) as client:
        results = await client.conversations.create_many(requests, concurrency=3, on_progress=told.append)
        assert [result.request for result in results] == requests
        assert [result.unwrap().title for result in results] == [request.title for request in requests]
        assert {result.unwrap().status for result in results} == {"RUNNING"}
    assert [(news.done, news.failed, news.total) for news in told] == [(n, 0, 6) for n in range(1, 7)]
    assert {id(news.last) for news in told} == {id(result) for result in results}


async def test_failures_are_values_among_the_results(server: ReferenceServer) -> None:
    requests = [
        "Fine",
        {"message": "x", "title": "y" * 201},
        {"message": "x", "run": False, "api": "v0"},
        "Fine too",
    ]
    told: list[CreationProgress] = []
    async with AsyncOpenHands(server.url) as client:
        results = await client.conversations.create_many(requests, on_progress=told.append)
    assert [result.ok for result in results] == [True, False, False, True]
    assert [type(result.error) for result in results[1:3]] == [
        InvalidArgumentError,
        UnsupportedOperationError,
    ]
    with pytest.raises(InvalidArgumentError, match="title must have"):
        results[1].unwrap()
    assert (told[-1].done, told[-1].failed) == (4, 2)


async def test_what_is_no_list_of_requests_is_refused_at_once(server: ReferenceServer) -> None:
    async with AsyncOpenHands(server.url) as client:
        many = client.conversations.create_many
        with pytest.raises(InvalidArgumentError, match="takes a list"):
            await many("Hello")
        with pytest.raises(InvalidArgumentError, match="no place for colour"):
            await many([{"colour": "red"}])
        with pytest.raises(InvalidArgumentError, match="concurrency must be 1 or more"):
            await many(["Hello"], concurrency=0)
        assert await many([]) == []


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_are_started_at_once_than_was_said(server: ReferenceServer, concurrency: int) -> None:
    begun: set[str] = set()
    most = 0

    async def count(request: httpx.Request) -> None:
        nonlocal most
        if request.method == "POST":
            begun.add(json.loads(request.content)["conversation_id"])
            most = max(most, len(begun) - done)

    def note(news: CreationProgress) -> None:
        nonlocal done
        done = news.done

    done = 0
    async with httpx.AsyncClient(event_hooks={"request": [count]}) as pool:
        client = AsyncOpenHands(server.url, http_client=pool)
        requests = requests_for("v1", "Bounded", 9)
        results = await client.conversations.create_many(requests, concurrency=concurrency, on_progress=note)
    assert all(result.ok for result in results)
    assert most == concurrency


class Killed(BaseException):
    """Stands for the end of the process."""


class Death:
    """Lets requests pass, and kills the program at one of them: before it is sent, or after it was answered."""

    def __init__(self, fatal: int, *, answered: bool) -> None:
        self._left = fatal
        self._answered = answered

    def before(self, request: httpx.Request) -> None:
        if request.method == "POST":
            self._left -= 1
            if self._left == 0 and not self._answered:
                raise Killed

    def after(self, response: httpx.Response) -> None:
        if response.request.method == "POST" and self._left == 0:
            self._left = -1
            raise Killed

    def hooks(self) -> dict[str, Any]:
        async def before(request: httpx.Request) -> None:
            self.before(request)

        async def after(response: httpx.Response) -> None:
            self.after(response)

        return {"request": [before], "response": [after]}


@generations
@pytest.mark.parametrize("answered", [False, True], ids=["before it was sent", "after it was answered"])
@pytest.mark.parametrize("fatal", [1, 3])
async def test_a_killed_run_is_resumed(
    server: ReferenceServer, tmp_path: Path, api: Api, answered: bool, fatal: int
) -> None:
    journal = tmp_path / "journal"
    name = f"Killed {uuid.uuid4().hex}"
    requests = requests_for(api, name, 4)
    async with httpx.AsyncClient(event_hooks=Death(fatal, answered=answered).hooks()) as doomed:
        client = AsyncOpenHands(server.url, http_client=doomed)
        with pytest.raises(Killed):
            await client.conversations.create_many(requests, concurrency=1, journal=journal)
    async with AsyncOpenHands(server.url) as client:
        results = await client.conversations.create_many(requests, concurrency=2, journal=journal)
        unclear = [result for result in results if not result.ok]
        if api == "v1":
            assert unclear == []
        for result in unclear:  # in V0, nothing shows whether the last request was taken
            assert isinstance(result.error, OutcomeUnknownError)
        assert len(unclear) <= 1
        there = await titles(client, name)
        assert len(there) == len(set(there)), "one was created twice"
        again = await client.conversations.create_many(requests, concurrency=2, journal=journal)
        assert [result.conversation and result.conversation.id for result in again] == [
            result.conversation and result.conversation.id for result in results
        ]
        assert await titles(client, name) == there


async def test_the_ids_are_in_the_journal_before_anything_is_sent(
    server: ReferenceServer, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    seen: list[set[str]] = []

    async def look(request: httpx.Request) -> None:
        if request.method == "POST":
            noted = {line["conversation_id"] for line in lines_of(journal)[1:]}
            seen.append({json.loads(request.content)["conversation_id"]} - noted)

    async with httpx.AsyncClient(event_hooks={"request": [look]}) as pool:
        client = AsyncOpenHands(server.url, http_client=pool)
        requests = [ConversationRequest("s3cret", mcp_config=None, api="v1") for _ in range(3)]
        await client.conversations.create_many(requests, journal=journal)
    assert seen == [set()] * 3
    assert "s3cret" not in journal.read_text()


async def test_a_finished_run_gives_the_same_conversations_again(
    server: ReferenceServer, tmp_path: Path
) -> None:
    requests = [*requests_for("v1", "Again", 2), *requests_for("v0", "Again", 2)]
    async with AsyncOpenHands(server.url) as client:
        first = await client.conversations.create_many(requests, journal=tmp_path / "journal")
        await first[0].unwrap().delete()
        second = await client.conversations.create_many(requests, journal=str(tmp_path / "journal"))
        assert [result.unwrap().id for result in first[1:]] == [result.unwrap().id for result in second[1:]]
        assert isinstance(second[0].error, NotFoundError)
        with pytest.raises(InvalidArgumentError, match="for other requests"):
            await client.conversations.create_many(requests[::-1], journal=tmp_path / "journal")


async def test_what_certainly_failed_is_tried_again(server: ReferenceServer, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    requests = [ConversationRequest("Hello", api="v1")]

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json={"detail": "not today"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as pool:
        client = AsyncOpenHands(server.url, http_client=pool)
        [refused] = await client.conversations.create_many(requests, journal=journal)
        assert not refused.ok
    async with AsyncOpenHands(server.url) as client:
        [done] = await client.conversations.create_many(requests, journal=journal)
        assert done.unwrap().status == "RUNNING"
    stages = [line["stage"] for line in lines_of(journal)[1:]]
    assert stages == ["sent", "failed", "sent", "started", "ready"]


async def test_what_a_resumed_run_finds_begun_is_completed_once(
    server: ReferenceServer, tmp_path: Path
) -> None:
    """A V1 message that must not wake the agent is sent after the start: the killed run had sent it already."""
    journal = tmp_path / "journal"
    requests = [ConversationRequest("Do not wake", run=False, api="v1")]
    async with AsyncOpenHands(server.url) as client:
        [first] = await client.conversations.create_many(requests, journal=journal)
        journal.write_text(
            "".join(journal.read_text().splitlines(keepends=True)[:-1])
        )  # «ready» was never written
        [second] = await client.conversations.create_many(requests, journal=journal)
        assert second.unwrap().id == first.unwrap().id
        texts = [event.to_json() async for event in second.unwrap().history()]
    assert sum("Do not wake" in text for text in texts) == 1


async def test_a_failed_start_task_is_an_error_and_started_anew_next_time(
    server: ReferenceServer, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    requests = [ConversationRequest("Hello", parent="0" * 32, api="v1")]
    async with AsyncOpenHands(server.url) as client:
        for _ in range(2):
            [result] = await client.conversations.create_many(requests, journal=journal)
            assert isinstance(result.error, NotFoundError | StartTaskError)
    assert [line["stage"] for line in lines_of(journal)[1:]] == ["sent", "failed"] * 2
