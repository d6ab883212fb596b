"""What was said before is not contradicted; and what only looks like a contradiction is none."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from openhands_contract.proxy.history import History, Rule
from openhands_contract.traffic import (
    Answer,
    Body,
    Direction,
    Exchange,
    Fact,
    Frame,
    Request,
    Server,
    SocketOpened,
)

ID, OTHER = "0" * 31 + "1", "0" * 31 + "2"
ONE = f"/api/conversations/{ID}"
START = "/api/v1/app-conversations"
TASKS = f"{START}/start-tasks?ids=t"


class Story:
    """Facts in their order, a second apart."""

    def __init__(self) -> None:
        self._history = History("docs")
        self._clock = count(1)

    def take(self, fact: Fact) -> list[Rule]:
        return [found.rule for found in self._history.take(fact)]

    def answer(
        self,
        operation: str,
        body: Any,
        *,
        sent: Any = None,
        status: int = 200,
        server: Server = Server.APP,
        at: float | None = None,
    ) -> list[Rule]:
        method, _, target = operation.partition(" ")
        request = Request(method, target, (), Body.of(b"" if sent is None else json.dumps(sent).encode()))
        answered = Answer(status, (), Body.of(json.dumps(body).encode()))
        now = float(next(self._clock))
        return self.take(Exchange(int(now), server, request, answered, "", now if at is None else at, 0.1))

    def opened(self, target: str, number: int = 1) -> None:
        self.take(SocketOpened(number, Server.AGENT, Request("GET", target), Answer(101)))

    def heard(self, text: str, number: int = 1) -> list[Rule]:
        return self.take(Frame(number, Direction.TO_CLIENT, "text", text.encode()))


@pytest.fixture
def story() -> Story:
    return Story()


def event(number: int, text: str = "", **more: Any) -> dict[str, Any]:
    return {"id": number, "action": "message", "message": text, "source": "user", **more}


def packet(said: dict[str, Any]) -> str:
    return "42" + json.dumps(["oh_event", said])


def test_ids_of_events_rise(story: Story) -> None:
    assert story.answer(f"GET {ONE}/events", {"events": [event(0), event(1)], "has_more": False}) == []
    assert story.answer(f"GET {ONE}/events?reverse=true", {"events": [event(1), event(0)]}) == []
    assert story.answer(f"GET {ONE}/events", {"events": [event(1), event(0)]}) == [Rule.IDS_RISE]
    assert story.answer(f"GET {ONE}/events", {"events": [event(1), event(1)]}) == [Rule.IDS_RISE]


def test_events_stay_as_they_are(story: Story) -> None:
    story.answer(f"GET {ONE}/events", {"events": [event(0, "a")]})
    assert story.answer(f"GET {ONE}/events", {"events": [event(0, "b")]}) == [Rule.EVENTS_STAY]
    other = f"/api/conversations/{OTHER}/events"
    assert story.answer(f"GET {other}", {"events": [event(0, "c")]}) == []


def task(status: str, **more: Any) -> list[dict[str, Any]]:
    ids = {"app_conversation_id": ID, "sandbox_id": "s"} if status == "READY" else {}
    return [{"id": "t", "status": status, **ids, **more}]


def test_stages_go_forward(story: Story) -> None:
    for status in ("WORKING", "PREPARING_REPOSITORY", "SETTING_UP_SKILLS"):
        assert story.answer(f"GET {TASKS}", task(status)) == []
    assert story.answer(f"GET {TASKS}", task("WORKING")) == [Rule.STAGES_FORWARD]
    assert story.answer(f"GET {TASKS}", task("READY")) == []
    assert story.answer(f"GET {TASKS}", task("ERROR", detail="late")) == [Rule.STAGES_FORWARD]


def test_answers_that_overtake_each_other_are_no_contradiction(story: Story) -> None:
    story.answer(f"GET {TASKS}", task("READY"))
    assert story.answer(f"GET {TASKS}", task("WORKING"), at=0.5) == []


def test_ends_of_tasks_are_complete(story: Story) -> None:
    assert story.answer(f"GET {TASKS}", task("READY", app_conversation_id=None)) == [Rule.READY_HAS_IDS]
    failed = [{"id": "u", "status": "ERROR", "detail": None}]
    assert story.answer(f"GET {TASKS}", failed) == [Rule.ERROR_HAS_DETAIL]


def test_deleted_stays_deleted(story: Story) -> None:
    story.answer(f"DELETE {ONE}", True)
    assert story.answer(f"GET {ONE}", {"conversation_id": ID}) == [Rule.DELETED_STAYS]
    page = {"results": [{"conversation_id": ID}], "next_page_id": None}
    assert story.answer("GET /api/conversations", page) == [Rule.DELETED_NOT_LISTED]
    story.answer(f"POST {START}", task("WORKING")[0], sent={"conversation_id": ID})
    assert story.answer(f"GET {ONE}", {"conversation_id": ID}) == []


def test_what_was_asked_before_the_deletion_may_be_found(story: Story) -> None:
    story.answer(f"DELETE {ONE}", True)
    assert story.answer(f"GET {ONE}", {"conversation_id": ID}, at=0.5) == []


def test_a_new_title_is_kept(story: Story) -> None:
    story.answer(f"GET {ONE}", {"title": "old"})
    story.answer(f"PATCH {ONE}", True, sent={"title": " new "})
    assert story.answer(f"GET {ONE}", {"title": "old"}) == [Rule.TITLE_STAYS]
    assert story.answer(f"GET {ONE}", {"title": "new"}) == []


def test_ids_of_creations_are_new(story: Story) -> None:
    assert story.answer("POST /api/conversations", {"conversation_id": ID}) == []
    assert story.answer("POST /api/conversations", {"conversation_id": ID}) == [Rule.IDS_ARE_NEW]


def test_pages_repeat_nothing(story: Story) -> None:
    def page(identifier: str, following: str | None) -> dict[str, Any]:
        return {"results": [{"conversation_id": identifier}], "next_page_id": following}

    assert story.answer("GET /api/conversations?limit=1", page(ID, "p")) == []
    assert story.answer("GET /api/conversations?limit=1&page_id=p", page(OTHER, "q")) == []
    assert story.answer("GET /api/conversations?limit=1&page_id=q", page(ID, None)) == [Rule.PAGES_DISJOINT]
    assert story.answer("GET /api/conversations?limit=1", page(ID, "p")) == []


def test_v0_events_are_heard_once_and_in_order(story: Story) -> None:
    story.opened(f"/socket.io/?transport=websocket&conversation_id={ID}")
    state = event(9, action=None, observation="agent_state_changed")
    assert [story.heard(packet(one)) for one in (event(1), event(3), state, event(4))] == [[], [], [], []]
    assert story.heard(packet(event(3))) == [Rule.LIVE_ONCE]
    assert story.heard(packet(event(2))) == [Rule.LIVE_ORDER]
    assert story.answer(f"GET {ONE}/events", {"events": [event(1, "changed")]}) == [Rule.LIVE_STORED]


def test_v1_events_are_heard_once_and_as_they_are_stored(story: Story) -> None:
    story.opened(f"/sockets/events/{ID}")
    said = {"id": "e", "kind": "MessageEvent", "text": "a"}
    state = {"id": "f", "kind": "ConversationStateUpdateEvent", "key": "full_state"}
    assert [story.heard(json.dumps(one)) for one in (state, state, said)] == [[], [], []]
    assert story.heard(json.dumps(said)) == [Rule.V1_LIVE_ONCE]
    stored = {"items": [said | {"text": "b"}], "next_page_id": None}
    found = story.answer(f"GET {ONE}/events/search", stored, server=Server.AGENT)
    assert found == [Rule.V1_LIVE_STORED]


@pytest.mark.parametrize("body", [None, 1, [], {}, {"events": 3}, {"items": {}}, {"results": [None, 1]}, "x"])
@pytest.mark.parametrize(
    "operation",
    [
        f"GET {ONE}/events",
        "GET /api/conversations",
        f"GET {TASKS}",
        f"GET {ONE}",
        f"POST {START}",
        f"PATCH {ONE}",
    ],
)
def test_garbage_is_no_contradiction(story: Story, operation: str, body: Any) -> None:
    assert story.answer(operation, body) == []
