"""Nothing is done twice and nothing is lost, whatever happens to the answers: the SDK against small worlds.

A world keeps what it was told to do, and has troubles: it loses requests before or after it acted on them, acts
late, fails, or turns requests away.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import errors
from openhands_client import models as m
from openhands_client._core import unified
from openhands_client._core.commands import Command, Flow, Open, Request, Send
from openhands_client._core.ordering import NewConversation
from openhands_client._core.places import Snapshot
from openhands_client._core.starting import STALLED, Patience, find_start, order_task, order_v0, wait_for
from openhands_client._core.timing import Deadline
from tests.unit.sdk.playing import (
    PATIENT,
    Clock,
    Player,
    Routes,
    answer,
    body_of,
    line_of,
    query_of,
    session_on,
    text,
)

ID = "c0de" * 8
V0 = f"/api/conversations/{ID}"
AGENT = "http://agent.test:8001"
FIND_V1 = "GET /api/v1/app-conversations"
TASKS = "GET /api/v1/app-conversations/start-tasks/search"
START = "POST /api/v1/app-conversations"
STREAM = "POST /api/v1/app-conversations/stream-start"

LOST = errors.APIConnectionError("reset")
SLOW = errors.APITimeoutError("slow")
REFUSED = errors.APIConnectionError("refused", request_sent=False)

# What becomes of a request: seconds until the server acts (None: never), and what the client hears of it.
TROUBLES: dict[str, tuple[float | None, Any]] = {
    "lost before": (None, LOST),
    "lost after": (0.0, LOST),
    "late": (1.0, LOST),
    "failed before": (None, text("", 500)),
    "failed after": (0.0, text("", 500)),
    "gateway before": (None, text("", 502)),
    "gateway after": (0.0, text("", 502)),
    "slow before": (None, SLOW),
    "slow after": (0.0, SLOW),
    "gateway timeout": (0.0, text("", 504)),
    "turned away": (None, text("", 429)),
    "refused": (None, REFUSED),
    "garbled": (0.0, answer("?")),
}
troubles = st.lists(st.sampled_from(sorted(TROUBLES)), max_size=4)


class World:
    """Acts on ``line`` with the scripted troubles, then without; other requests go to ``routes``."""

    def __init__(self, line: str, act: Callable[[Any], Any], routes: dict[str, Any], *plan: str) -> None:
        self.clock = Clock()
        self.player = Player(self, self.clock)
        self.session = session_on(self.clock)
        self._line = line
        self._act = act
        self._routes = Routes(routes)
        self._plan = list(plan)
        self._later: list[tuple[float, Any]] = []

    def __call__(self, command: Command) -> Any:
        due = [body for moment, body in self._later if moment <= self.clock()]
        self._later = [(moment, body) for moment, body in self._later if moment > self.clock()]
        for body in due:
            self._act(body)
        if isinstance(command, Send | Open) and line_of(command.request) == self._line:
            return self._suffer(command.request)
        return self._routes(command)

    def _suffer(self, request: Request) -> Any:
        body = body_of(request)
        if not self._plan:
            return self._act(body)
        delay, heard = TROUBLES[self._plan.pop(0)]
        if delay == 0.0:
            self._act(body)
        elif delay is not None:
            self._later.append((self.clock() + delay, body))
        return heard

    def play(self, flow: Flow[Any]) -> Any:
        try:
            return self.player.play(flow)
        except errors.OpenHandsError as failure:
            return failure
        finally:
            self.clock.advance(60.0)
            self(Send(Request("GET", "http://app.test/alive", {})))  # whatever is late has happened now

    @property
    def tries(self) -> int:
        return self.player.lines.count(self._line)


# Messages


class Log:
    """The log of a conversation, of either generation, with the same text in it already."""

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self.texts = ["hello", "hello"]

    def add(self, body: Any) -> Any:
        self.texts.append(body["message"] if self.generation == "v0" else body["content"][0]["text"])
        return answer({"success": True})

    @property
    def ours(self) -> list[str]:
        return self.texts[2:]

    def read_v0(self, request: Request) -> Any:
        events = [
            {"id": number, "source": "user", "action": "message", "args": {"content": said}}
            for number, said in enumerate(self.texts)
        ]
        query = query_of(request)
        if "reverse" in query:
            return answer({"events": events[::-1][: int(query["limit"][0])]})
        return answer({"events": events[int(query["start_id"][0]) :]})

    def read_v1(self, request: Request) -> Any:
        """In pages of two, each of which begins with the event that its id names."""
        events = [
            {
                "kind": "MessageEvent",
                "id": str(number),
                "timestamp": "2026-11-20T23:23:55",
                "source": "user",
                "llm_message": {"role": "user", "content": [{"type": "text", "text": said}]},
            }
            for number, said in enumerate(self.texts)
        ]
        query = query_of(request)
        if query.get("sort_order") == ["TIMESTAMP_DESC"]:
            return answer({"items": events[-1:]})
        first = int(query.get("page_id", ["0"])[0])
        following = str(first + 2) if first + 2 < len(events) else None
        return answer({"items": events[first : first + 2], "next_page_id": following})


def conversation(generation: str) -> Snapshot:
    if generation == "v0":
        info = {
            "conversation_id": ID,
            "title": "t",
            "status": "RUNNING",
            "conversation_version": "V0",
            "url": V0,
        }
        return Snapshot(m.ConversationInfo.model_validate(info))
    return Snapshot(m.AppConversation.model_validate(APP_CONVERSATION))


APP_CONVERSATION = {
    "id": ID,
    "sandbox_id": "s",
    "sandbox_status": "RUNNING",
    "conversation_url": AGENT + V0,
    "session_api_key": "key",
}


def talking(generation: str, *plan: str) -> tuple[World, Log]:
    log = Log(generation)
    routes = {
        f"GET {V0}": answer(conversation("v0").info.model_dump(mode="json")),
        f"GET {V0}/events": log.read_v0,
        f"GET {V0}/events/search": log.read_v1,
        FIND_V1: answer([APP_CONVERSATION]),
    }
    line = f"POST {V0}/message" if generation == "v0" else f"POST {V0}/events"
    return World(line, log.add, routes, *plan), log


both_generations = pytest.mark.parametrize("generation", ["v0", "v1"])


@both_generations
@given(plan=troubles)
@PATIENT
def test_a_message_is_sent_once_or_the_error_says_what_is_known(generation: str, plan: list[str]) -> None:
    world, log = talking(generation, *plan)
    result = world.play(unified.send(world.session, conversation(generation), "hello"))
    if result is None:
        assert log.ours == ["hello"]
    elif isinstance(result, errors.OutcomeUnknownError):
        assert len(log.ours) <= 1
        assert result.conversation_id == ID
        assert "history()" in str(result)
    else:
        assert log.ours == []  # any other error says that it was not taken


@both_generations
@pytest.mark.parametrize(
    ("trouble", "tries", "taken"),
    [
        ("lost before", 2, True),
        ("lost after", 1, True),
        ("late", 1, True),
        ("failed before", 2, True),
        ("failed after", 1, True),
        ("gateway before", 2, True),
        ("slow after", 1, True),
        ("slow before", 1, False),
        ("turned away", 2, True),
        ("garbled", 1, True),
    ],
)
def test_a_message_is_repeated_only_when_the_log_does_not_have_it(
    generation: str, trouble: str, tries: int, taken: bool
) -> None:
    world, log = talking(generation, trouble)
    result = world.play(unified.send(world.session, conversation(generation), "hello"))
    assert world.tries == tries
    assert log.ours == (["hello"] if taken else [])
    assert (result is None) is taken


def test_without_retries_a_message_that_was_taken_is_still_found() -> None:
    world, log = talking("v1", "lost after")
    world.session = session_on(world.clock, max_retries=0)
    assert world.play(unified.send(world.session, conversation("v1"), "hello")) is None
    assert log.ours == ["hello"]


def test_a_log_that_cannot_be_read_leaves_the_outcome_unknown() -> None:
    world, log = talking("v1", "lost after")
    readable = [log.read_v1, text("", 500)]
    world._routes = Routes({f"GET {V0}/events/search": readable, FIND_V1: answer([APP_CONVERSATION])})
    result = world.play(unified.send(world.session, conversation("v1"), "hello"))
    assert isinstance(result, errors.OutcomeUnknownError)
    assert isinstance(result.__cause__, errors.APIConnectionError)
    assert world.tries == 1


def test_a_log_that_cannot_be_read_at_first_sends_nothing() -> None:
    world, log = talking("v1")
    world._routes = Routes({f"GET {V0}/events/search": text("", 503)})
    assert isinstance(
        world.play(unified.send(world.session, conversation("v1"), "hello")), errors.ServerError
    )
    assert world.tries == 0
    assert log.ours == []


def test_a_message_by_the_service_method_is_sent_once_too() -> None:
    from openhands_client._core.ordering import user_message

    world, log = talking("v1", "lost after")
    message = user_message("hello", None, run=True)
    assert world.play(unified.send_message(world.session, conversation("v1"), message)).success
    assert log.ours == ["hello"]


def test_a_moved_agent_server_is_looked_at_where_it_is_now() -> None:
    """The sandbox was restarted while the message was on its way."""
    world, log = talking("v1", "lost after")
    moved = {**APP_CONVERSATION, "conversation_url": "http://agent.test:8002" + V0}

    def read(request: Request) -> Any:
        return log.read_v1(request) if ":8002" in request.url or world.tries == 0 else REFUSED

    world._routes = Routes({f"GET {V0}/events/search": read, FIND_V1: answer([moved])})
    known = conversation("v1")
    assert world.play(unified.send(world.session, known, "hello")) is None
    assert log.ours == ["hello"]
    assert isinstance(known.info, m.AppConversation)
    assert known.info.conversation_url == moved["conversation_url"]  # the handle knows it now


# A sandbox that takes connections and never answers

PAUSED = {**APP_CONVERSATION, "sandbox_status": "PAUSED", "conversation_url": None, "session_api_key": None}


def test_reading_from_a_paused_sandbox_says_that_it_is_paused() -> None:
    player = Player(Routes({f"GET {V0}/events/search": SLOW, FIND_V1: answer([PAUSED])}))
    with pytest.raises(errors.ConflictError, match=r"PAUSED.*start\(\)"):
        player.play(unified.send(session_on(player.clock), conversation("v1"), "hello"))
    assert player.lines == [f"GET {V0}/events/search", FIND_V1]  # after one read timeout, not three


def test_a_message_to_a_paused_sandbox_may_yet_be_taken() -> None:
    world, log = talking("v1", "slow before")
    world._routes = Routes({f"GET {V0}/events/search": log.read_v1, FIND_V1: answer([PAUSED])})
    with pytest.raises(errors.OutcomeUnknownError, match="PAUSED"):
        world.player.play(unified.send(world.session, conversation("v1"), "hello"))
    assert world.tries == 1


# Confirmations


class Asking:
    """An agent that waits for confirmation; it asks again as soon as it got one."""

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self.answers: list[Any] = []

    def take(self, body: Any) -> Any:
        self.answers.append(body)
        return answer({"success": True})

    def read_v1(self, request: Request) -> Any:
        events = []
        for number in range(len(self.answers) + 1):
            events += [state(f"r{number}", "running"), state(f"w{number}", "waiting_for_confirmation")]
        events.append({**state("stats", ""), "key": "stats", "value": {}})
        if query_of(request).get("sort_order") == ["TIMESTAMP_DESC"]:
            return answer({"items": events[:-1][-1:]})
        return answer({"items": events})

    def read_v0(self, request: Request) -> Any:
        events = [
            {
                "id": number,
                "observation": "agent_state_changed",
                "extras": {"agent_state": "awaiting_user_confirmation"},
            }
            for number in range(len(self.answers) + 1)
        ]
        query = query_of(request)
        return answer({"events": events[-1:] if "reverse" in query else events[int(query["start_id"][0]) :]})


def state(event_id: str, value: str) -> dict[str, Any]:
    return {
        "kind": "ConversationStateUpdateEvent",
        "id": event_id,
        "timestamp": "2026-11-20T23:23:55",
        "source": "environment",
        "key": "execution_status",
        "value": value,
    }


@both_generations
@given(plan=troubles)
@PATIENT
def test_one_action_is_confirmed_not_the_next_one_too(generation: str, plan: list[str]) -> None:
    asking = Asking(generation)
    routes = {
        f"GET {V0}": answer(conversation("v0").info.model_dump(mode="json")),
        f"GET {V0}/events": asking.read_v0,
        f"GET {V0}/events/search": asking.read_v1,
        FIND_V1: answer([APP_CONVERSATION]),
    }
    line = f"POST {V0}/events" + ("/respond_to_confirmation" if generation == "v1" else "")
    world = World(line, asking.take, routes, *plan)
    result = world.play(unified.confirm(world.session, conversation(generation), True, None))
    if result is None:
        assert len(asking.answers) == 1
    else:
        assert len(asking.answers) <= (1 if isinstance(result, errors.OutcomeUnknownError) else 0)


def test_a_confirmation_is_not_waited_for_until_the_run_is_over() -> None:
    asking = Asking("v1")
    line = f"POST {V0}/events/respond_to_confirmation"
    routes = {f"GET {V0}/events/search": asking.read_v1, FIND_V1: answer([APP_CONVERSATION])}
    world = World(line, asking.take, routes, "slow after")
    assert world.play(unified.confirm(world.session, conversation("v1"), True, None)) is None
    [request] = [one for one in world.player.requests if line_of(one) == line]
    assert request.timeout == unified.RUN_ANSWER_TIMEOUT


# Deleting


@pytest.mark.parametrize("trouble", ["lost before", "lost after", "failed after", "slow after"])
def test_what_was_deleted_without_an_answer_was_deleted(trouble: str) -> None:
    there = {ID}

    def delete(body: Any) -> Any:
        was_there = ID in there
        there.discard(ID)
        return answer(was_there)

    routes = {
        f"GET {V0}": lambda request: answer(
            conversation("v0").info.model_dump(mode="json") if there else None
        ),
        FIND_V1: answer([None]),
    }
    world = World(f"DELETE {V0}", delete, routes, trouble)
    assert world.play(unified.delete(world.session, ID)) is True
    assert not there


# Starting


class Starts:
    """An app server's start tasks and conversations. Of each id, it has one conversation."""

    def __init__(self, *, shows_tasks: bool = True) -> None:
        self.ordered: list[str] = []
        self._shows_tasks = shows_tasks

    def take(self, body: Any) -> Any:
        self.ordered.append(body["conversation_id"])
        return answer(self.tasks()[0])

    def tasks(self) -> list[dict[str, Any]]:
        return [
            {"id": f"task-{number}", "status": "WORKING", "request": {"conversation_id": dashed(id_)}}
            for number, id_ in reversed(list(enumerate(self.ordered)))
        ]

    def search(self, request: Request) -> Any:
        return answer({"items": self.tasks()}) if self._shows_tasks else answer({"detail": "Not Found"}, 404)

    def find(self, request: Request) -> Any:
        [wanted] = query_of(request)["ids"]
        return answer([{"id": wanted, "sandbox_id": "s"} if wanted in self.ordered else None])


def dashed(conversation_id: str) -> str:
    return "-".join(
        conversation_id[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    )


def order(**arguments: Any) -> NewConversation:
    return NewConversation.of(message="hello", **{"repository": None, "git_provider": None, **arguments})


@pytest.mark.parametrize("shows_tasks", [True, False])
@given(plan=troubles)
@PATIENT
def test_an_order_makes_one_conversation(shows_tasks: bool, plan: list[str]) -> None:
    starts = Starts(shows_tasks=shows_tasks)
    world = World(START, starts.take, {TASKS: starts.search, FIND_V1: starts.find}, *plan)
    wanted = order()
    result = world.play(order_task(world.session, wanted.v1_body()))
    assert len(set(starts.ordered)) <= 1
    if isinstance(result, m.AppConversationStartTask):
        assert starts.ordered
        assert starts.ordered[0] == wanted.conversation_id
    if not set(plan) & {"slow before", "gateway timeout"}:
        assert len(starts.ordered) <= 1  # what is not under way any more is not even ordered twice


def test_an_order_that_was_lost_is_found_by_its_id() -> None:
    starts = Starts()
    world = World(START, starts.take, {TASKS: starts.search, FIND_V1: starts.find}, "lost after")
    task = world.play(order_task(world.session, m.AppConversationStartRequest()))
    assert task.id == "task-0"
    assert world.tries == 1


def test_of_several_tasks_the_best_counts() -> None:
    def task(number: int, status: str) -> dict[str, Any]:
        return {"id": str(number), "status": status, "request": {"conversation_id": ID}}

    other = {"id": "other", "status": "READY", "request": {"conversation_id": "f" * 32}}
    for statuses, best in (("ERROR WORKING READY", "2"), ("ERROR WORKING", "1"), ("ERROR", "0")):
        tasks = [other, *(task(number, status) for number, status in enumerate(statuses.split()))]
        player = Player(Routes({TASKS: answer({"items": tasks})}))
        found = player.play(find_start(session_on(player.clock), ID))
        assert found is not None
        assert found.id == best


def test_a_start_that_nobody_can_tell_of_is_not_ordered_again() -> None:
    starts = Starts()
    world = World(START, starts.take, {TASKS: text("", 500), FIND_V1: text("", 500)}, "lost after")
    result = world.play(order_task(world.session, m.AppConversationStartRequest()))
    assert isinstance(result, errors.OutcomeUnknownError)
    assert result.conversation_id == starts.ordered[0]
    assert result.conversation_id in str(result)
    assert world.tries == 1


def test_a_start_that_is_out_of_time_names_its_conversation() -> None:
    starts = Starts()
    world = World(START, starts.take, {TASKS: starts.search}, "slow after")
    patience = Patience(Deadline.after(world.clock, 0.01))
    flow = unified.create(world.session, order(), "v1", patience)
    result = world.play(flow)
    assert isinstance(result, errors.StartTaskTimeout)
    assert result.conversation_id == starts.ordered[0]


def test_a_start_that_stands_still_without_its_stream_is_ordered_again_in_its_sandbox() -> None:
    """Real servers give up a start when the connection of its stream is cut."""
    still = {
        "id": "t",
        "status": "PREPARING_REPOSITORY",
        "sandbox_id": "s",
        "updated_at": "2026-11-20T23:23:55Z",
    }
    ready = {"id": "u", "status": "READY", "app_conversation_id": ID, "sandbox_id": "s"}
    player = Player(
        Routes({"GET /api/v1/app-conversations/start-tasks": answer([still]), START: answer(ready)})
    )
    session, wanted = session_on(player.clock), order().v1_body()
    patience = Patience(Deadline.after(player.clock, 600.0))
    task = m.AppConversationStartTask.model_validate(still)
    result = player.play(wait_for(session, task, patience, wanted))
    assert result.app_conversation_id == ID
    [again] = [body_of(request) for request in player.requests if request.method == "POST"]
    assert again["conversation_id"] == wanted.conversation_id
    assert again["sandbox_id"] == "s"
    assert STALLED <= player.clock.now - 1000.0 < STALLED + 5


# Starting in V0, where an order has no id

LIST_V0 = "GET /api/conversations"
CREATE_V0 = "POST /api/conversations"
EPOCH = 1_800_000_000.0


class V0World(World):
    """A server whose clock is an hour ahead of ours."""

    def __init__(self, *plan: str) -> None:
        self.made: list[dict[str, Any]] = []
        super().__init__(CREATE_V0, self.make, {LIST_V0: self.list}, *plan)
        self.made.append(self.info("old", self.now() - 60))

    def now(self) -> float:
        return EPOCH + self.clock() + 3600

    def info(self, name: str, created_at: float, **fields: Any) -> dict[str, Any]:
        moment = datetime.fromtimestamp(created_at, UTC).isoformat()
        return {"conversation_id": name, "title": "t", "status": "STARTING", "created_at": moment, **fields}

    def make(self, body: Any) -> Any:
        self.made.append(
            self.info(f"new-{len(self.made)}", self.now(), selected_repository=body.get("repository"))
        )
        return answer({"conversation_id": self.made[-1]["conversation_id"]})

    def list(self, request: Request) -> Any:
        return answer({"results": self.made[::-1]}, date=email.utils.formatdate(self.now(), usegmt=True))

    @property
    def new(self) -> list[str]:
        return [one["conversation_id"] for one in self.made if one["conversation_id"].startswith("new")]


@given(plan=troubles)
@PATIENT
def test_an_order_in_v0_makes_one_conversation_or_none_is_known(plan: list[str]) -> None:
    world = V0World(*plan)
    result = world.play(order_v0(world.session, order()))
    if isinstance(result, str):
        assert world.new == [result]
    elif isinstance(result, errors.OutcomeUnknownError):
        assert len(world.new) <= 1
        assert set(result.candidates) <= set(world.new)
        assert "conversations.list()" in str(result)
    else:
        assert world.new == []


@pytest.mark.parametrize("trouble", ["lost after", "failed after", "late", "slow after"])
def test_a_conversation_that_came_up_meanwhile_is_named(trouble: str) -> None:
    world = V0World(trouble)
    result = world.play(order_v0(world.session, order(repository="acme/app")))
    assert isinstance(result, errors.OutcomeUnknownError)
    assert result.candidates == ("new-1",)
    assert "new-1" in str(result)
    assert world.tries == 1


def test_another_ones_conversation_is_none_of_ours() -> None:
    world = V0World("lost before")
    world.made.append(world.info("another", world.now(), selected_repository="acme/other"))
    assert world.play(order_v0(world.session, order(repository="acme/app"))) == "new-2"
    assert world.tries == 2


def test_a_v0_server_that_was_too_slow_may_still_act() -> None:
    world = V0World("slow before")
    result = world.play(order_v0(world.session, order()))
    assert isinstance(result, errors.OutcomeUnknownError)
    assert result.candidates == ()
    assert world.tries == 1


# What was started, but could not be completed


@pytest.mark.parametrize("route", [f"PATCH {V0}", f"POST {V0}/events"])
def test_a_conversation_that_is_up_is_not_lost_when_the_rest_fails(route: str) -> None:
    ready = {"id": "t", "status": "READY", "app_conversation_id": ID}
    log = Log("v1")
    routes = {
        START: answer(ready),
        FIND_V1: answer([{**APP_CONVERSATION, "title": "Conversation c0de"}]),
        f"GET {V0}/events/search": log.read_v1,
        f"PATCH {V0}": answer(True),
        f"POST {V0}/events": answer({"success": True}),
        route: answer({"detail": "no"}, 403),
    }
    player = Player(Routes(routes))
    session = session_on(player.clock)
    patience = Patience(Deadline.after(player.clock, 100.0))
    with pytest.raises(errors.StartTaskError, match=ID) as raised:
        player.play(unified.create(session, order(title="Mine", run=False), "v1", patience))
    assert raised.value.conversation_id == ID
    assert isinstance(raised.value.__cause__, errors.PermissionDeniedError)


def test_errors_with_ids_survive_pickling() -> None:
    import pickle

    error = errors.OutcomeUnknownError("?", conversation_id=ID, candidates=["a", "b"])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (copy.conversation_id, copy.candidates) == (ID, ("a", "b"))
    assert json.dumps(copy.candidates) == '["a", "b"]'
