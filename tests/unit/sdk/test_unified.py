"""The version-independent verbs: which generation gets what, and what is done where it is not given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openhands_client import errors
from openhands_client import models as m
from openhands_client._core import unified
from openhands_client._core.commands import Flow, Request
from openhands_client._core.ordering import NewConversation
from openhands_client._core.places import Snapshot
from openhands_client._core.session import Session
from openhands_client._core.starting import Patience
from openhands_client._core.timing import Deadline
from openhands_client._core.unified import RUN_ANSWER_TIMEOUT, generations_for
from tests.unit.sdk.playing import (
    BASE,
    Clock,
    Pieces,
    Player,
    Routes,
    answer,
    body_of,
    page,
    query_of,
    session_on,
    text,
)

STREAM = "POST /api/v1/app-conversations/stream-start"
START = "POST /api/v1/app-conversations"
FIND_V1 = "GET /api/v1/app-conversations"
SEARCH_V1 = "GET /api/v1/app-conversations/search"
CREATE_V0 = "POST /api/conversations"
LIST_V0 = "GET /api/conversations"

ID = "c0de" * 8
V0 = f"/api/conversations/{ID}"
AGENT = "http://agent.test:8001"
AGENT_V1 = f"{AGENT}{V0}"

LOG_V0 = f"GET {V0}/events"
LOG_V1 = f"GET {V0}/events/search"
NO_ROUTE = answer({"detail": "Not Found"}, 404)
MISSING = [
    NO_ROUTE,
    answer({"detail": "Method Not Allowed"}, 405),
    answer({}, 501),
    page(200),
    page(404),
    text("", 404),
]
NOT_MISSING = [
    answer({"detail": "no"}, 400),
    answer({}, 401),
    answer({}, 403),
    answer({}, 409),
    answer({}, 422),
    text("", 500),
]
SUCCESS = answer({"success": True})


def v0(**changes: Any) -> dict[str, Any]:
    return {
        "conversation_id": ID,
        "title": "Conversation c0dec",
        "status": "RUNNING",
        "conversation_version": "V0",
        "url": V0,
        **changes,
    }


def v1(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "sandbox_id": "sandbox",
        "title": "Conversation c0dec",
        "sandbox_status": "RUNNING",
        "execution_status": "idle",
        "conversation_url": AGENT_V1,
        "session_api_key": "key",
        **changes,
    }


PAUSED: dict[str, Any] = {
    "sandbox_status": "PAUSED",
    "execution_status": None,
    "conversation_url": None,
    "session_api_key": None,
}
READY = {"id": "t" * 32, "status": "READY", "app_conversation_id": ID}


def stream(*stages: dict[str, Any]) -> Any:
    body = json.dumps(list(stages or (READY,))).encode()
    return lambda request: Pieces(body)


class Server:
    """Routes, a player, and the flows of one client."""

    def __init__(self, routes: dict[str, Any], **options: Any) -> None:
        logs = {LOG_V0: answer({"events": []}), LOG_V1: answer({"items": []})}
        self.player = Player(Routes({**logs, **routes}), Clock())
        self.session: Session = session_on(self.player.clock, **options)

    def play(self, flow: Flow[Any]) -> Any:
        """The result of a flow, or its failure."""
        try:
            return self.player.play(flow)
        except errors.OpenHandsError as failure:
            return failure

    def create(self, message: str | None = "hello", *, api: Any = None, **arguments: Any) -> Any:
        wanted = order(message, **arguments)
        return self.play(unified.create(self.session, wanted, api, self.patience()))

    def patience(self, timeout: float | None = 100.0) -> Patience:
        return Patience(Deadline.after(self.player.clock, timeout))

    @property
    def lines(self) -> list[str]:
        return self.player.lines

    def sent(self, line: str) -> list[Request]:
        return [
            request for request, sent in zip(self.player.requests, self.lines, strict=True) if sent == line
        ]

    def bodies(self, line: str) -> list[Any]:
        return [body_of(request) for request in self.sent(line)]


def order(message: str | None = "hello", **arguments: Any) -> NewConversation:
    return NewConversation.of(message=message, **{"repository": None, "git_provider": None, **arguments})


def snapshot_v0(**changes: Any) -> Snapshot:
    return Snapshot(m.ConversationInfo.model_validate(v0(**changes)))


def snapshot_v1(**changes: Any) -> Snapshot:
    return Snapshot(m.AppConversation.model_validate(v1(**changes)))


def v0_server(**routes: Any) -> Server:
    """A server with V0 only, on which a conversation runs."""
    return Server({CREATE_V0: answer({"conversation_id": ID}), f"GET {V0}": answer(v0()), **routes})


def v1_server(**routes: Any) -> Server:
    """A server with both generations, as 1.0.0 has them."""
    return Server({STREAM: stream(), FIND_V1: answer([v1()]), **routes})


# Which generation

V0_ONLY: dict[str, Any] = {"create_microagent": {"repo": "a/b"}}
V1_ONLY: dict[str, Any] = {"parent": "p"}


@pytest.mark.parametrize(
    ("arguments", "api", "offers", "generations"),
    [
        ({}, "auto", {}, ["v1", "v0"]),
        ({}, "v0", {}, ["v0"]),
        ({}, "v1", {}, ["v1"]),
        ({}, "auto", {"v1": False}, ["v0"]),
        ({}, "auto", {"v0": False}, ["v1"]),
        ({}, "auto", {"v0": False, "v1": False}, ["v1", "v0"]),
        ({}, "auto", {"v0": True, "v1": True}, ["v1", "v0"]),
        ({}, "v1", {"v1": False}, ["v1"]),
        (V0_ONLY, "auto", {}, ["v0"]),
        (V0_ONLY, "auto", {"v0": False}, ["v0"]),
        ({"replay_json": "[]"}, "auto", {}, ["v0"]),
        ({"mcp_config": {}}, "auto", {}, ["v0"]),
        (V1_ONLY, "auto", {}, ["v1"]),
        ({"agent_type": "plan"}, "auto", {}, ["v1"]),
        ({"llm_model": "x"}, "auto", {}, ["v1"]),
        ({"run": False}, "auto", {}, ["v1"]),
        ({"suggested_task": {}}, "auto", {}, ["v1", "v0"]),
        ({"suggested_task": {"repo": "a/b"}}, "auto", {}, ["v0", "v1"]),
        ({"suggested_task": {"repo": "a/b"}}, "auto", {"v0": False}, ["v1"]),
        ({"suggested_task": {"repo": "a/b"}}, "v1", {}, ["v1"]),
    ],
)
def test_generations(
    arguments: dict[str, Any], api: Any, offers: dict[str, bool], generations: list[str]
) -> None:
    session = session_on(Clock(), api=api)
    for name, offered in offers.items():
        setattr(session.offers, name, offered)
    assert generations_for(session, order(**arguments), None) == generations
    session.api = "auto"
    assert generations_for(session, order(**arguments), None if api == "auto" else api) == generations


@pytest.mark.parametrize("missing", MISSING, ids=range(len(MISSING)))
def test_v0_is_tried_where_v1_is_missing_and_that_is_remembered(missing: Any) -> None:
    server = v0_server(**{STREAM: missing, START: missing})
    assert server.create().version == "v0"
    assert server.create().version == "v0"
    assert server.lines == [STREAM, START, CREATE_V0, f"GET {V0}", CREATE_V0, f"GET {V0}"]


@pytest.mark.parametrize(
    "trouble", [*NOT_MISSING, errors.APIConnectionError("reset")], ids=range(len(NOT_MISSING) + 1)
)
def test_v0_is_not_tried_for_any_other_reason(trouble: Any) -> None:
    server = v0_server(**{STREAM: trouble})
    assert isinstance(server.create(), errors.OpenHandsError)
    assert CREATE_V0 not in server.lines
    assert server.session.offers.v1 is None


def test_v1_is_tried_where_a_suggested_task_finds_no_v0() -> None:
    server = v1_server()
    assert server.create(None, suggested_task={"repo": "a/b"}).version == "v1"
    assert server.lines == [CREATE_V0, STREAM, FIND_V1]
    assert server.bodies(STREAM)[0]["suggested_task"] == {"repo": "a/b"}


def test_a_server_without_any_of_it_is_named() -> None:
    server = Server({})
    failure = server.create()
    assert isinstance(failure, errors.UnsupportedOperationError)
    assert BASE in str(failure)
    assert "V1 and V0" in str(failure)


def test_a_choice_is_not_overruled() -> None:
    failure = Server({CREATE_V0: answer({"conversation_id": ID})}).create(api="v1")
    assert isinstance(failure, errors.UnsupportedOperationError)
    server = v0_server(**{STREAM: stream()})
    assert server.create(api="v0").version == "v0"
    assert server.lines[0] == CREATE_V0


@pytest.mark.parametrize(
    ("arguments", "api", "names"),
    [
        (V0_ONLY, "v1", ["create_microagent"]),
        ({"replay_json": "[]", "mcp_config": {}}, "v1", ["replay_json", "mcp_config"]),
        (
            {"parent": "p", "agent_type": "plan", "llm_model": "x"},
            "v0",
            ["parent", "agent_type", "llm_model"],
        ),
        ({"run": False}, "v0", ["run=False"]),
        ({**V0_ONLY, **V1_ONLY}, None, ["parent"]),
        ({"replay_json": "[]", "run": False}, None, ["run=False"]),
    ],
)
def test_what_one_generation_cannot_do_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], api: Any, names: list[str]
) -> None:
    server = Server({})
    failure = server.create(api=api, **arguments)
    assert isinstance(failure, errors.UnsupportedOperationError)
    assert all(name in str(failure) for name in names)
    assert "nothing was started" in str(failure)
    assert server.lines == []


# What is ordered


def test_a_v1_order() -> None:
    server = v1_server()
    server.create(
        "hello",
        image_urls=["http://i.test/1.png"],
        repository="https://gitlab.com/acme/app.git",
        branch="main",
        instructions="be brief",
        title="T",
        parent="p",
        agent_type="plan",
        llm_model="x",
    )
    body = server.bodies(STREAM)[0]
    assert len(body.pop("conversation_id")) == 32
    assert body == {
        "initial_message": {
            "role": "user",
            "run": True,
            "content": [
                {"type": "text", "text": "hello", "cache_prompt": False},
                {"type": "image", "image_urls": ["http://i.test/1.png"], "cache_prompt": False},
            ],
        },
        "system_message_suffix": "be brief",
        "selected_repository": "acme/app",
        "selected_branch": "main",
        "git_provider": "gitlab",
        "title": "T",
        "parent_conversation_id": "p",
        "agent_type": "plan",
        "llm_model": "x",
    }


def test_a_v0_order() -> None:
    server = v0_server()
    microagent = {"repo": "acme/app"}
    server.create(
        "hello",
        image_urls=["http://i.test/1.png"],
        repository="git@github.com:acme/app.git",
        git_provider="GITHUB",
        branch="main",
        instructions="be brief",
        create_microagent=microagent,
        mcp_config={"a": 1},
    )
    assert server.bodies(CREATE_V0) == [
        {
            "repository": "acme/app",
            "git_provider": "github",
            "selected_branch": "main",
            "initial_user_msg": "hello",
            "image_urls": ["http://i.test/1.png"],
            "create_microagent": microagent,
            "conversation_instructions": "be brief",
            "mcp_config": {"a": 1},
        }
    ]


def test_nothing_asked_for_is_nothing_said() -> None:
    server = v0_server()
    server.create(None, api="v0")
    assert server.bodies(CREATE_V0) == [{}]
    server = v1_server()
    server.create(None)
    assert set(server.bodies(STREAM)[0]) == {"conversation_id"}


def test_a_microagent_goes_to_v0_though_there_is_v1() -> None:
    server = v0_server(**{STREAM: stream()})
    assert server.create("write it", **V0_ONLY).version == "v0"
    assert STREAM not in server.lines


@pytest.mark.parametrize("api", ["v0", "v1"])
def test_images_alone_are_a_message(api: str) -> None:
    server = Server(
        {
            STREAM: stream(),
            FIND_V1: answer([v1()]),
            CREATE_V0: answer({"conversation_id": ID}),
            f"GET {V0}": answer(v0()),
        }
    )
    server.create(None, image_urls=["http://i.test/1.png"], api=api)
    if api == "v0":
        assert server.bodies(CREATE_V0) == [{"image_urls": ["http://i.test/1.png"]}]
    else:
        [image] = server.bodies(STREAM)[0]["initial_message"]["content"]
        assert image["image_urls"] == ["http://i.test/1.png"]


# A title that holds


def test_a_title_that_v1_ignored_is_given_afterwards() -> None:
    server = v1_server(**{FIND_V1: [answer([v1()]), answer([v1(title="Mine")])], f"PATCH {V0}": answer(True)})
    assert server.create(title=" Mine ").title == "Mine"
    assert server.lines[-2:] == [f"PATCH {V0}", FIND_V1]
    assert server.bodies(f"PATCH {V0}") == [{"title": " Mine "}]


def test_a_title_that_v1_honoured_is_left_alone() -> None:
    server = v1_server(**{FIND_V1: answer([v1(title="Mine")])})
    assert server.create(title="Mine").title == "Mine"
    assert server.lines == [STREAM, FIND_V1]


def events_page(*events: dict[str, Any]) -> Any:
    return answer({"events": list(events), "has_more": False})


V0_MESSAGE = f"POST {V0}/message"
V0_EVENTS = f"GET {V0}/events"


def test_v0_gets_its_title_before_its_first_message() -> None:
    server = v0_server(
        **{
            f"GET {V0}": [answer(v0()), answer(v0(title="Mine"))],
            f"PATCH {V0}": answer(True),
            V0_MESSAGE: SUCCESS,
            V0_EVENTS: events_page(),
        }
    )
    created = server.create("hello", title="Mine", api="v0")
    assert created.title == "Mine"
    changing = [line for line in server.lines if line in (CREATE_V0, f"PATCH {V0}", V0_MESSAGE)]
    assert changing == [CREATE_V0, f"PATCH {V0}", V0_MESSAGE]
    assert server.bodies(CREATE_V0) == [{}]
    assert server.bodies(f"PATCH {V0}") == [{"title": "Mine"}]
    assert server.bodies(V0_MESSAGE) == [{"message": "hello"}]


def test_v0_keeps_images_with_the_message_that_follows_the_title() -> None:
    server = v0_server(
        **{
            f"GET {V0}": [answer(v0()), answer(v0(title="Mine"))],
            f"PATCH {V0}": answer(True),
            f"POST {V0}/events": SUCCESS,
            V0_EVENTS: events_page(),
        }
    )
    server.create("hello", image_urls=["http://i.test/1.png"], title="Mine", api="v0")
    [sent] = server.bodies(f"POST {V0}/events")
    assert sent["action"] == "message"
    assert (sent["args"]["content"], sent["args"]["image_urls"]) == ("hello", ["http://i.test/1.png"])


def test_v0_without_a_message_is_renamed_when_it_runs() -> None:
    server = v0_server(
        **{
            f"GET {V0}": [answer(v0(status="STARTING")), answer(v0()), answer(v0(title="Mine"))],
            f"PATCH {V0}": answer(True),
            V0_EVENTS: events_page(),
        }
    )
    assert server.create(None, title="Mine", api="v0").title == "Mine"
    assert server.lines.count(f"PATCH {V0}") == 1


@pytest.mark.parametrize("title", ["", " ", "x" * 201])
def test_a_title_that_no_server_takes_is_refused(title: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="title"):
        order(title=title)


# A first message that wakes nobody


def test_a_message_without_a_run_is_stored_when_the_agent_is_there() -> None:
    server = v1_server(**{f"POST {V0}/events": SUCCESS})
    server.create("later", run=False)
    assert "initial_message" not in server.bodies(STREAM)[0]
    [sent] = server.bodies(f"POST {V0}/events")
    assert sent["run"] is False
    assert sent["content"][0]["text"] == "later"
    [request] = server.sent(f"POST {V0}/events")
    assert request.url.startswith(AGENT)


def test_nothing_to_run_is_no_demand() -> None:
    assert v0_server().create(None, run=False, api="v0").version == "v0"


# V0 comes up


def test_v0_is_waited_for() -> None:
    server = v0_server(**{f"GET {V0}": [answer(v0(status="STARTING"))] * 3 + [answer(v0())]})
    assert server.create(api="v0").status == "RUNNING"
    assert len(server.player.slept) == 3


@pytest.mark.parametrize("status", ["ERROR", "STOPPED", "ARCHIVED"])
def test_v0_that_does_not_come_up_is_an_error(status: str) -> None:
    failure = v0_server(**{f"GET {V0}": answer(v0(status=status))}).create(api="v0")
    assert isinstance(failure, errors.StartTaskError)
    assert status in str(failure)


def test_v0_that_never_comes_up_is_a_timeout() -> None:
    server = v0_server(**{f"GET {V0}": answer(v0(status="STARTING"))})
    failure = server.create(api="v0")
    assert isinstance(failure, errors.StartTaskTimeout)
    assert server.player.clock.now == pytest.approx(1100.0)


def test_v0_that_does_not_answer_in_time_is_a_timeout() -> None:
    def hang(request: Request) -> Any:
        server.player.clock.advance(request.timeout or 3600)
        return errors.APITimeoutError("slow")

    server = v0_server(**{f"GET {V0}": hang})
    server.session.timeout = 70.0
    assert isinstance(server.create(api="v0"), errors.StartTaskTimeout)
    assert server.player.clock.now <= 1101.0


# Begin now, wait later


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_a_start_can_be_finished_later(generation: Any) -> None:
    routes = {
        START: answer({"id": "t" * 32, "status": "WORKING"}),
        "GET /api/v1/app-conversations/start-tasks": answer([READY]),
        FIND_V1: answer([v1()]),
    }
    server = v0_server(**routes) if generation == "v0" else Server(routes)
    wanted = order()
    started = server.play(unified.begin(server.session, wanted, generation))
    assert STREAM not in server.lines
    snapshot = server.play(unified.finish(server.session, wanted, started, server.patience()))
    assert (snapshot.id, snapshot.version) == (ID, generation)


# Finding


def test_a_conversation_is_looked_for_in_v1_first() -> None:
    server = Server({FIND_V1: answer([v1()])})
    found = server.play(unified.get(server.session, ID))
    assert (found.version, found.status, found.agent_state) == ("v1", "RUNNING", "idle")
    assert query_of(server.player.requests[0]) == {"ids": [ID]}


@pytest.mark.parametrize("nothing", [answer([None]), answer([]), *MISSING], ids=range(len(MISSING) + 2))
def test_then_in_v0(nothing: Any) -> None:
    server = Server({FIND_V1: nothing, f"GET {V0}": answer(v0())})
    assert server.play(unified.get(server.session, ID)).version == "v0"


def test_that_v1_is_missing_is_remembered() -> None:
    server = Server({f"GET {V0}": answer(v0())})
    for _ in range(2):
        server.play(unified.get(server.session, ID))
    assert server.lines == [FIND_V1, f"GET {V0}", f"GET {V0}"]


def test_an_id_that_is_no_uuid_is_asked_of_v0_only() -> None:
    server = Server({"GET /api/conversations/my-id": answer(v0(conversation_id="my-id"))})
    assert server.play(unified.get(server.session, "my-id")).id == "my-id"
    assert server.lines == ["GET /api/conversations/my-id"]


def test_v1_is_asked_where_v1_is_insisted_on() -> None:
    server = Server({FIND_V1: answer({"detail": []}, 422)}, api="v1")
    assert isinstance(server.play(unified.get(server.session, "my-id")), errors.ValidationError)
    assert server.lines == [FIND_V1]


def test_v0_is_asked_where_v0_is_insisted_on() -> None:
    server = Server({FIND_V1: answer([v1()]), f"GET {V0}": answer(v0())}, api="v0")
    assert server.play(unified.get(server.session, ID)).version == "v0"


@pytest.mark.parametrize(
    "gone",
    [answer(None), answer({"message": "Conversation not found"}, 404), *MISSING],
    ids=range(len(MISSING) + 2),
)
def test_what_neither_has_is_not_found(gone: Any) -> None:
    server = Server({FIND_V1: answer([None]), f"GET {V0}": gone})
    failure = server.play(unified.get(server.session, ID))
    assert isinstance(failure, errors.NotFoundError)


def test_that_v0_is_missing_is_remembered() -> None:
    server = Server({FIND_V1: answer([None])})
    for _ in range(2):
        failure = server.play(unified.get(server.session, ID))
        assert isinstance(failure, errors.NotFoundError)
        assert ID in str(failure)
    assert server.lines == [FIND_V1, f"GET {V0}", FIND_V1]


@pytest.mark.parametrize("trouble", NOT_MISSING, ids=range(len(NOT_MISSING)))
def test_trouble_with_v1_is_not_hidden_by_asking_v0(trouble: Any) -> None:
    server = Server({FIND_V1: trouble, f"GET {V0}": answer(v0())})
    assert isinstance(server.play(unified.get(server.session, ID)), errors.APIStatusError)
    assert f"GET {V0}" not in server.lines


@pytest.mark.parametrize("id_", ["", "../x", "x" * 101, "a\x00"])
@pytest.mark.parametrize("api", ["auto", "v0", "v1"])
def test_an_id_that_no_server_takes_is_not_sent(id_: str, api: str) -> None:
    server = Server({}, api=api)
    assert isinstance(server.play(unified.get(server.session, id_)), errors.InvalidArgumentError)
    assert server.lines == []


def test_a_v1_conversation_that_v0_shows_is_v1() -> None:
    shown = Snapshot(
        m.ConversationInfo.model_validate(v0(conversation_version="V1", url=AGENT_V1, session_api_key="key"))
    )
    assert shown.version == "v1"
    server = Server({f"POST {V0}/events": SUCCESS})
    server.play(unified.send(server.session, shown, "hello"))
    assert server.player.requests[0].url.startswith(AGENT)
    assert server.player.requests[0].headers["X-Session-API-Key"] == "key"


@pytest.mark.parametrize(
    ("sandbox", "status"),
    [
        ("STARTING", "STARTING"),
        ("RUNNING", "RUNNING"),
        ("PAUSED", "STOPPED"),
        ("STOPPED", "STOPPED"),
        ("ERROR", "ERROR"),
        ("MISSING", "ARCHIVED"),
        ("BRAND_NEW", "BRAND_NEW"),
    ],
)
def test_a_v1_conversation_is_as_alive_as_its_sandbox(sandbox: str, status: str) -> None:
    assert snapshot_v1(sandbox_status=sandbox).status == status


def test_a_refreshed_v0_conversation_knows_what_its_agent_does() -> None:
    changed = {"id": 3, "observation": "agent_state_changed", "extras": {"agent_state": "paused"}}
    other = {"id": 4, "observation": "run", "extras": {}}
    server = v0_server(**{V0_EVENTS: events_page(other, changed)})
    assert server.play(unified.refresh(server.session, snapshot_v0())).agent_state == "paused"
    assert query_of(server.sent(V0_EVENTS)[0]) == {"reverse": ["true"], "limit": ["100"]}


# Sending


def test_a_message_to_v1_says_whether_to_run() -> None:
    for run in (True, False):
        server = Server({f"POST {V0}/events": SUCCESS})
        server.play(unified.send(server.session, snapshot_v1(), "hello", ["http://i.test"], run=run))
        [sent] = server.bodies(f"POST {V0}/events")
        assert sent["run"] is run
        assert [item["type"] for item in sent["content"]] == ["text", "image"]


def test_a_message_to_v0_always_runs() -> None:
    server = v0_server(**{V0_MESSAGE: SUCCESS})
    server.play(unified.send(server.session, snapshot_v0(), "hello"))
    assert server.bodies(V0_MESSAGE) == [{"message": "hello"}]
    refused = server.play(unified.send(server.session, snapshot_v0(), "hello", run=False))
    assert isinstance(refused, errors.UnsupportedOperationError)
    assert server.lines == [LOG_V0, V0_MESSAGE]


@pytest.mark.parametrize(
    "refusal",
    [answer({"msg_id": "CONVERSATION$NOT_RUNNING"}, 409), text("Internal Server Error", 500)],
    ids=["docs", "1.0"],
)
def test_a_stopped_v0_conversation_is_started_for_a_message(refusal: Any) -> None:
    server = v0_server(
        **{
            V0_MESSAGE: [refusal, SUCCESS],
            f"GET {V0}": [answer(v0(status="STOPPED")), answer(v0(status="STARTING")), answer(v0())],
            f"POST {V0}/start": answer({"conversation_id": ID}),
        }
    )
    server.play(unified.send(server.session, snapshot_v0(), "hello"))
    assert [line for line in server.lines if line.startswith("POST")] == [
        V0_MESSAGE,
        f"POST {V0}/start",
        V0_MESSAGE,
    ]


# Confirming


def test_an_answer_to_a_v0_agent_is_a_change_of_state() -> None:
    for accept, state in ((True, "user_confirmed"), (False, "user_rejected")):
        server = v0_server(**{f"POST {V0}/events": SUCCESS})
        server.play(unified.confirm(server.session, snapshot_v0(), accept, None))
        assert server.bodies(f"POST {V0}/events") == [
            {"action": "change_agent_state", "args": {"agent_state": state}}
        ]


CONFIRM = f"POST {V0}/events/respond_to_confirmation"


def test_an_answer_to_a_v1_agent() -> None:
    server = Server({CONFIRM: SUCCESS})
    server.play(unified.confirm(server.session, snapshot_v1(), False, "too dangerous"))
    assert server.bodies(CONFIRM) == [{"accept": False, "reason": "too dangerous"}]


# Life cycle

PAUSE_SANDBOX = "POST /api/v1/sandboxes/sandbox/pause"
RESUME_SANDBOX = "POST /api/v1/sandboxes/sandbox/resume"


def test_stopping_v1_pauses_its_sandbox() -> None:
    server = Server({PAUSE_SANDBOX: SUCCESS, FIND_V1: answer([v1(**PAUSED)])})
    assert server.play(unified.stop(server.session, snapshot_v1())).status == "STOPPED"
    assert server.lines == [PAUSE_SANDBOX, FIND_V1]


def test_starting_v1_resumes_its_sandbox_and_waits() -> None:
    server = Server({RESUME_SANDBOX: SUCCESS, FIND_V1: [answer([v1(**PAUSED)]), answer([v1()])]})
    started = server.play(unified.start(server.session, snapshot_v1(**PAUSED), server.patience()))
    assert started.status == "RUNNING"
    assert server.lines == [RESUME_SANDBOX, FIND_V1, FIND_V1]


def test_the_sandbox_of_a_v1_conversation_that_v0_showed_is_looked_up() -> None:
    shown = Snapshot(
        m.ConversationInfo.model_validate(v0(conversation_version="V1", status="STOPPED", url=None))
    )
    server = Server({RESUME_SANDBOX: SUCCESS, FIND_V1: answer([v1()])})
    assert server.play(unified.start(server.session, shown, server.patience())).status == "RUNNING"
    assert server.lines == [FIND_V1, RESUME_SANDBOX, FIND_V1]


@pytest.mark.parametrize("sandbox", ["ERROR", "MISSING"])
def test_a_sandbox_that_does_not_come_back_is_a_conflict(sandbox: str) -> None:
    server = Server({RESUME_SANDBOX: SUCCESS, FIND_V1: answer([v1(**{**PAUSED, "sandbox_status": sandbox})])})
    failure = server.play(unified.start(server.session, snapshot_v1(**PAUSED), server.patience()))
    assert isinstance(failure, errors.ConflictError)


def test_a_sandbox_that_never_comes_back_is_a_timeout() -> None:
    server = Server({RESUME_SANDBOX: SUCCESS, FIND_V1: answer([v1(**PAUSED)])})
    failure = server.play(unified.start(server.session, snapshot_v1(**PAUSED), server.patience(20.0)))
    assert isinstance(failure, errors.StartTaskTimeout)
    assert server.player.clock.now == pytest.approx(1020.0)


def test_stopping_v0_asks_what_became_of_it() -> None:
    server = v0_server(
        **{
            f"POST {V0}/stop": answer({"conversation_id": ID, "conversation_status": "RUNNING"}),
            f"GET {V0}": answer(v0(status="STOPPED", url=None)),
            V0_EVENTS: events_page(),
        }
    )
    assert server.play(unified.stop(server.session, snapshot_v0())).status == "STOPPED"


def test_pausing_v0_uses_its_route_where_there_is_one() -> None:
    server = v0_server(**{f"POST {V0}/pause": SUCCESS, V0_EVENTS: events_page()})
    server.play(unified.pause(server.session, snapshot_v0()))
    assert [line for line in server.lines if line.startswith("POST")] == [f"POST {V0}/pause"]


def test_pausing_v0_tells_the_agent_where_there_is_no_route() -> None:
    server = v0_server(**{f"POST {V0}/events": SUCCESS, V0_EVENTS: events_page()})
    server.play(unified.pause(server.session, snapshot_v0()))
    assert server.bodies(f"POST {V0}/events") == [
        {"action": "change_agent_state", "args": {"agent_state": "paused"}}
    ]


def test_pausing_an_unknown_v0_conversation_is_not_found() -> None:
    unknown = answer(
        {"status": "error", "message": "Conversation not found", "msg_id": "CONVERSATION$NOT_FOUND"}, 404
    )
    server = v0_server(**{f"POST {V0}/pause": unknown})
    assert isinstance(server.play(unified.pause(server.session, snapshot_v0())), errors.NotFoundError)
    assert len(server.lines) == 1


def test_pausing_v1_asks_its_agent() -> None:
    server = Server({f"POST {V0}/pause": SUCCESS, FIND_V1: answer([v1(execution_status="paused")])})
    assert server.play(unified.pause(server.session, snapshot_v1())).agent_state == "paused"


def state_event(state: str) -> Any:
    return events_page({"id": 1, "observation": "agent_state_changed", "extras": {"agent_state": state}})


def test_resuming_a_paused_v0_agent_lets_it_go_on() -> None:
    server = v0_server(
        **{V0_EVENTS: [state_event("paused"), state_event("running")], f"POST {V0}/events": SUCCESS}
    )
    resumed = server.play(unified.resume(server.session, snapshot_v0(), server.patience()))
    assert resumed.agent_state == "running"
    assert server.bodies(f"POST {V0}/events") == [
        {"action": "change_agent_state", "args": {"agent_state": "running"}}
    ]


def test_resuming_a_stopped_v0_conversation_starts_it() -> None:
    server = v0_server(
        **{
            f"GET {V0}": [answer(v0(status="STOPPED")), answer(v0())],
            V0_EVENTS: state_event("stopped"),
            f"POST {V0}/start": answer({"conversation_id": ID}),
        }
    )
    assert server.play(unified.resume(server.session, snapshot_v0(), server.patience())).status == "RUNNING"


def test_resuming_v1_brings_up_the_sandbox_and_then_the_agent() -> None:
    server = Server(
        {
            FIND_V1: [
                answer([v1(**PAUSED)]),
                answer([v1(execution_status="paused")]),
                answer([v1(execution_status="running")]),
            ],
            RESUME_SANDBOX: SUCCESS,
            f"POST {V0}/run": SUCCESS,
        }
    )
    resumed = server.play(unified.resume(server.session, snapshot_v1(), server.patience()))
    assert resumed.agent_state == "running"
    assert server.lines == [FIND_V1, RESUME_SANDBOX, FIND_V1, f"POST {V0}/run", FIND_V1]


def test_resuming_what_runs_changes_nothing() -> None:
    server = Server({FIND_V1: answer([v1()])})
    server.play(unified.resume(server.session, snapshot_v1(), server.patience()))
    assert server.lines == [FIND_V1]


@pytest.mark.parametrize(
    "slow",
    [errors.APITimeoutError("slow"), answer({"detail": "already running"}, 409)],
    ids=["slow", "running"],
)
def test_a_run_that_answers_late_or_runs_already_is_fine(slow: Any) -> None:
    paused, running = answer([v1(execution_status="paused")]), answer([v1(execution_status="running")])
    server = Server({FIND_V1: [paused, running], f"POST {V0}/run": slow})
    resumed = server.play(unified.resume(server.session, snapshot_v1(), server.patience()))
    assert resumed.agent_state == "running"
    [request] = server.sent(f"POST {V0}/run")
    assert request.timeout == RUN_ANSWER_TIMEOUT


def test_an_agent_that_still_seems_paused_is_given_a_moment() -> None:
    """Else a wait() right after would take the old state for the end."""
    paused, running = answer([v1(execution_status="paused")]), answer([v1(execution_status="running")])
    server = Server({FIND_V1: [paused] * 4 + [running], f"POST {V0}/run": SUCCESS})
    assert (
        server.play(unified.resume(server.session, snapshot_v1(), server.patience())).agent_state == "running"
    )
    server = Server({FIND_V1: paused, f"POST {V0}/run": SUCCESS})
    assert (
        server.play(unified.resume(server.session, snapshot_v1(), server.patience())).agent_state == "paused"
    )
    assert server.player.clock.now == pytest.approx(1005.0)


def test_a_run_that_could_not_be_sent_is_an_error() -> None:
    server = Server(
        {
            FIND_V1: answer([v1(execution_status="paused")]),
            f"POST {V0}/run": errors.APITimeoutError("no connection", request_sent=False),
        }
    )
    failure = server.play(unified.resume(server.session, snapshot_v1(), server.patience()))
    assert isinstance(failure, errors.APITimeoutError)


# Deleting and renaming


@pytest.mark.parametrize(
    ("reply", "deleted"),
    [
        (answer(True), True),
        (answer(False), False),
        (answer({"status": "error", "message": "Conversation not found"}, 404), False),
        (answer({"detail": "Conversation not found"}, 404), False),
    ],
)
def test_deleting_says_whether_there_was_anything(reply: Any, deleted: bool) -> None:
    server = Server({f"DELETE {V0}": reply})
    assert server.play(unified.delete(server.session, ID)) is deleted


@pytest.mark.parametrize("missing", MISSING, ids=range(len(MISSING)))
def test_a_server_that_cannot_delete_or_rename_says_so(missing: Any) -> None:
    server = Server({f"DELETE {V0}": missing, f"PATCH {V0}": missing})
    told = (errors.UnsupportedOperationError, errors.ResponseFormatError)
    assert isinstance(server.play(unified.delete(server.session, ID)), told)
    assert isinstance(server.play(unified.rename(server.session, snapshot_v1(), "Mine")), told)


def test_trouble_while_deleting_is_raised() -> None:
    server = Server({f"DELETE {V0}": answer({}, 403)})
    assert isinstance(server.play(unified.delete(server.session, ID)), errors.PermissionDeniedError)


# The agent server moves


SEND = f"POST {V0}/events"


@pytest.mark.parametrize(
    "trouble",
    [answer({"detail": "Unauthorized"}, 401), errors.APIConnectionError("refused", request_sent=False)],
    ids=["key", "address"],
)
def test_a_new_key_and_address_are_looked_up_and_used_once(trouble: Any) -> None:
    moved = v1(conversation_url=AGENT_V1.replace("8001", "8002"), session_api_key="new")
    replies = [trouble, SUCCESS] if not isinstance(trouble, Exception) else [trouble] * 3 + [SUCCESS]
    server = Server({SEND: replies, FIND_V1: answer([moved])})
    assert server.play(unified.send(server.session, snapshot_v1(), "hello")) is None
    last = server.player.requests[-1]
    assert last.url.startswith("http://agent.test:8002/")
    assert last.headers["X-Session-API-Key"] == "new"


def test_a_key_that_stays_wrong_is_an_authentication_error() -> None:
    server = Server({SEND: answer({}, 401), FIND_V1: answer([v1()])})
    assert isinstance(
        server.play(unified.send(server.session, snapshot_v1(), "hello")), errors.AuthenticationError
    )
    assert server.lines == [LOG_V1, SEND, FIND_V1, SEND]


def test_a_conversation_without_an_agent_server_is_looked_up() -> None:
    server = Server({SEND: SUCCESS, FIND_V1: answer([v1()])})
    assert server.play(unified.send(server.session, snapshot_v1(**PAUSED), "hello")) is None
    assert server.lines == [FIND_V1, LOG_V1, SEND]


def test_no_agent_server_is_a_conflict_that_says_what_to_do() -> None:
    server = Server({FIND_V1: answer([v1(**PAUSED)])})
    failure = server.play(unified.send(server.session, snapshot_v1(**PAUSED), "hello"))
    assert isinstance(failure, errors.ConflictError)
    assert "start()" in str(failure)


def test_the_agent_server_is_told_nothing_of_ours() -> None:
    server = Server(
        {SEND: SUCCESS}, api_key="secret", session_api_key="secret", headers={"X-Tenant": "secret"}
    )
    server.play(unified.send(server.session, snapshot_v1(), "hello"))
    assert "secret" not in str(server.player.requests[0].headers)


def test_an_unsafe_agent_url_is_refused() -> None:
    server = Server({}, base_url="https://app.test")
    failure = server.play(unified.send(server.session, snapshot_v1(), "hello"))
    assert isinstance(failure, errors.UnsafeURLError)
    assert server.lines == []


# Events


def test_events_need_an_agent_server() -> None:
    server = Server({FIND_V1: answer([v1(**PAUSED)])})
    for flow in (unified.events, unified.history):
        assert isinstance(server.play(flow(server.session, snapshot_v1(**PAUSED))), errors.ConflictError)


@pytest.mark.parametrize("after", ["abc", "1.5", ""])
def test_a_v0_event_id_is_a_number(after: str) -> None:
    server = v0_server()
    failure = server.play(unified.events(server.session, snapshot_v0(), after=after))
    assert isinstance(failure, errors.InvalidArgumentError)
    assert server.lines == []
