"""Timing, resting, ordering, options: the values that the flows decide with."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_client import AsyncOpenHands, OpenHands, RetryPolicy, errors, models
from openhands_client._core import operations as ops
from openhands_client._core.auth import BearerAuth
from openhands_client._core.options import DEFAULT_BASE_URL, Options
from openhands_client._core.ordering import NewConversation, normalize_repository
from openhands_client._core.pipeline import call
from openhands_client._core.resting import V0_REST, V1_REST, Resting, is_user_message, state_of
from openhands_client._core.timing import SHORTEST_TIMEOUT, Backoff, Deadline
from tests.unit.sdk.playing import PATIENT, Clock, Player, Script, answer

SECRET = "hunter2-hunter2"

# Timing


@given(st.floats(0.01, 5), st.floats(1, 3), st.floats(0.01, 60), st.integers(0, 100_000))
@PATIENT
def test_a_backoff_grows_and_is_bounded(first: float, factor: float, longest: float, turn: int) -> None:
    backoff = Backoff(first, factor, longest)
    assert backoff.delay(0) == min(first, longest)
    assert 0 < backoff.delay(turn) <= backoff.delay(turn + 1) <= longest


def test_a_deadline_is_a_moment_on_its_clock() -> None:
    clock = Clock(100.0)
    deadline = Deadline.after(clock, 10.0)
    assert (deadline.passed, deadline.cap(4.0), deadline.cap(40.0)) == (False, 4.0, 10.0)
    assert (deadline.leaves(10.0), deadline.leaves(10.5)) == (True, False)
    clock.advance(9.0)
    assert (deadline.timeout(5.0), deadline.timeout(0.5), deadline.timeout(None)) == (1.0, 0.5, 1.0)
    clock.advance(1.0)
    assert (deadline.passed, deadline.cap(4.0), deadline.leaves(0.1)) == (True, 0.0, False)
    clock.advance(5.0)
    assert (deadline.passed, deadline.cap(4.0), deadline.timeout(4.0)) == (True, 0.0, SHORTEST_TIMEOUT)


def test_no_deadline_never_passes() -> None:
    clock = Clock()
    deadline = Deadline.after(clock, None)
    clock.advance(1e12)
    assert (deadline.passed, deadline.cap(4.0), deadline.leaves(1e9)) == (False, 4.0, True)
    assert (deadline.timeout(None), deadline.timeout(4.0)) == (None, 4.0)


def test_a_deadline_of_no_time_has_passed() -> None:
    assert Deadline.after(Clock(), 0).passed


# Resting


def v1_state(state: str, key: str = "execution_status") -> Any:
    value: Any = {"execution_status": state} if key == "full_state" else state
    return event("ConversationStateUpdateEvent", "environment", key=key, value=value)


def event(kind: str, source: str, **fields: Any) -> Any:
    return models.parse_event(
        {"kind": kind, "id": "e", "timestamp": "2026-11-20T23:23:55", "source": source, **fields}
    )


def v1_message(source: str = "user") -> Any:
    return event("MessageEvent", source, llm_message={"role": source, "content": []})


def v0_event(**fields: Any) -> Any:
    return models.V0Event.model_validate({"id": 1, **fields})


def v0_state(state: str) -> Any:
    return v0_event(observation="agent_state_changed", extras={"agent_state": state})


V0_STATES = [str(state) for state in models.AgentState]
V1_STATES = [str(state) for state in models.ExecutionStatus]


@pytest.mark.parametrize("state", V1_STATES)
def test_a_v1_agent_rests_in_its_rest_states_only(state: str) -> None:
    resting = Resting(V1_REST)
    resting.feed(v1_state(state.upper()))
    assert (resting.state, resting.at_rest) == (state, state not in ("running", "deleting"))
    assert resting.would_rest(v1_state(state)) is resting.at_rest


@pytest.mark.parametrize("state", V0_STATES)
def test_a_v0_agent_rests_in_its_rest_states_only(state: str) -> None:
    resting = Resting(V0_REST)
    resting.feed(v0_state(state))
    busy = ("loading", "running", "user_confirmed", "user_rejected")
    assert (resting.state, resting.at_rest) == (state, state not in busy)


def test_nothing_is_known_at_first() -> None:
    assert not Resting(V1_REST).at_rest


def test_a_state_that_nobody_knows_is_no_rest() -> None:
    resting = Resting(V1_REST)
    resting.feed(v1_state("meditating"))
    assert (resting.state, resting.at_rest) == ("meditating", False)


def test_a_message_wakes_the_agent_until_it_says_otherwise() -> None:
    for rest, message, state in (
        (V1_REST, v1_message(), v1_state),
        (V0_REST, v0_event(source="user", action="message"), v0_state),
    ):
        resting = Resting(rest)
        resting.feed(state("finished"))
        resting.feed(message)
        assert (resting.pending, resting.at_rest) == (True, False)
        resting.look("finished")
        assert not resting.at_rest
        resting.feed(state("running"))
        assert (resting.pending, resting.at_rest) == (False, False)
        resting.feed(state("finished"))
        assert resting.at_rest


def test_a_v0_agent_that_is_loaded_awaits_input_before_it_sees_a_message() -> None:
    resting = Resting(V0_REST)
    resting.feed(v0_state("loading"))
    resting.feed(v0_event(source="user", action="message"))
    resting.feed(v0_state("awaiting_user_input"))
    assert not resting.at_rest
    resting.feed(v0_state("running"))
    resting.feed(v0_state("awaiting_user_input"))
    assert resting.at_rest


def test_a_message_that_does_not_wake_a_loaded_agent_is_given_up() -> None:
    resting = Resting(V0_REST)
    resting.feed(v0_state("loading"))
    resting.feed(v0_event(source="user", action="message"))
    resting.doubt_no_more()
    assert not resting.at_rest
    resting.feed(v0_state("awaiting_user_input"))
    resting.doubt_no_more()
    assert resting.at_rest


def test_a_look_at_a_running_agent_answers_the_message() -> None:
    resting = Resting(V1_REST)
    resting.feed(v1_message())
    resting.look("running")
    assert not resting.pending


@pytest.mark.parametrize(
    "other",
    [
        v1_message("agent"),
        v1_state("finished", key="stats"),
        v1_state("finished", key="full_state"),
        event("PauseEvent", "user"),
        event("BrandNewEvent", "user"),
        v0_event(source="agent", action="message"),
        v0_event(source="user", action="run"),
        v0_event(observation="run", extras={"agent_state": "finished"}),
        v0_event(observation="agent_state_changed", extras={}),
        v0_event(observation="agent_state_changed", extras={"agent_state": 5}),
        {"not": "an event"},
    ],
    ids=repr,
)
def test_other_events_change_nothing(other: Any) -> None:
    resting = Resting(V1_REST | V0_REST)
    resting.enter("finished")
    resting.feed(other)
    assert (resting.state, resting.pending, resting.at_rest) == ("finished", False, True)
    assert state_of(other) is None
    assert not is_user_message(other)


# Ordering


@pytest.mark.parametrize(
    ("repository", "provider", "normal"),
    [
        (None, None, (None, None)),
        (None, "GITHUB", (None, "github")),
        ("acme/app", None, ("acme/app", None)),
        ("acme/app", "GitLab", ("acme/app", "gitlab")),
        (" acme/app ", None, ("acme/app", None)),
        ("group/sub/app", "gitlab", ("group/sub/app", "gitlab")),
        ("https://github.com/acme/app", None, ("acme/app", "github")),
        ("github.com/acme/app", None, ("acme/app", "github")),
        ("www.GitHub.com/acme/app.git", None, ("acme/app", "github")),
        ("gitlab.com/group/sub/app", None, ("group/sub/app", "gitlab")),
        ("github.com/app", None, ("github.com/app", None)),
        ("acme.org/sub/app", None, ("acme.org/sub/app", None)),
        ("https://github.com/acme/app.git", None, ("acme/app", "github")),
        ("https://GitHub.com/acme/app/", None, ("acme/app", "github")),
        ("http://gitlab.com/group/sub/app.git", None, ("group/sub/app", "gitlab")),
        ("https://x:token@bitbucket.org/acme/app.git", None, ("acme/app", "bitbucket")),
        ("git@github.com:acme/app.git", None, ("acme/app", "github")),
        ("ssh://git@gitlab.com:22/acme/app.git", None, ("acme/app", "gitlab")),
        ("git://github.com/acme/app", None, ("acme/app", "github")),
        ("https://git.example.org/acme/app", None, ("acme/app", None)),
        ("https://git.example.org/acme/app", "forgejo", ("acme/app", "forgejo")),
        ("git@git.example.org:acme/app.git", "gitlab", ("acme/app", "gitlab")),
        ("https://github.com/acme/my.app.git", None, ("acme/my.app", "github")),
    ],
)
def test_a_repository_is_owner_and_name(
    repository: str | None, provider: str | None, normal: tuple[str | None, str | None]
) -> None:
    assert normalize_repository(repository, provider) == normal


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "app",
        "/",
        "acme/",
        "/app",
        "https://github.com",
        "https://github.com/acme",
        "acme/my app",
        "git@github.com:app",
    ],
)
def test_what_names_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="owner/name"):
        normalize_repository(repository, None)


@pytest.mark.parametrize(
    "repository", [f"https://x:{SECRET}@github.com/acme", f"{SECRET}@github.com:app", f"ftp://{SECRET}"]
)
def test_a_token_in_a_repository_is_not_shown(repository: str) -> None:
    with pytest.raises(errors.InvalidArgumentError) as refused:
        normalize_repository(repository, None)
    assert SECRET not in str(refused.value)


def test_an_order_does_not_show_the_keys_in_it() -> None:
    order = NewConversation(message="hello", mcp_config={"sse_servers": [{"api_key": SECRET}]})
    assert SECRET not in repr(order)


# Options


def options(environment: dict[str, str] | None = None, **given: Any) -> Options:
    defaults: dict[str, Any] = {
        "base_url": None,
        "api_key": None,
        "session_api_key": None,
        "auth": None,
        "timeout": 60.0,
        "max_retries": 2,
        "api": "auto",
        "headers": None,
    }
    return Options.resolve(**{**defaults, **given}, environment=environment or {})


EVERYTHING = {
    "OPENHANDS_BASE_URL": "http://env.test",
    "OPENHANDS_API_KEY": "env-key",
    "OPENHANDS_CLOUD_API_KEY": "cloud-key",
    "OPENHANDS_SESSION_API_KEY": "env-session",
}


def test_without_anything_it_is_this_machine() -> None:
    resolved = options()
    assert (resolved.base_url, resolved.api_key, resolved.session_api_key) == (DEFAULT_BASE_URL, None, None)


def test_the_environment_completes_what_is_not_given() -> None:
    resolved = options(EVERYTHING)
    assert resolved.base_url == "http://env.test"
    assert (resolved.api_key, resolved.session_api_key) == ("env-key", "env-session")
    cloud_only = {name: value for name, value in EVERYTHING.items() if name != "OPENHANDS_API_KEY"}
    assert options(cloud_only).api_key == "cloud-key"
    assert options(dict.fromkeys(EVERYTHING, "")) == options()


def test_what_is_given_wins() -> None:
    resolved = options(EVERYTHING, base_url="http://mine.test", api_key="mine", session_api_key="mine")
    assert (resolved.base_url, resolved.api_key, resolved.session_api_key) == (
        "http://mine.test",
        "mine",
        "mine",
    )


def test_an_auth_of_ones_own_needs_no_key() -> None:
    auth = BearerAuth("token")
    resolved = options(EVERYTHING, auth=auth)
    assert (resolved.auth, resolved.api_key) == (auth, None)
    assert resolved.session().endpoint.auth is auth


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
def test_a_header_of_ones_own_is_the_only_credential(name: str) -> None:
    resolved = options(EVERYTHING, headers={name: "Basic x"})
    assert resolved.api_key is None
    player = Player(Script(answer({})))
    player.play(call(resolved.session(), ops.ALIVE))
    sent = player.requests[0].headers
    assert [value for header, value in sent.items() if header.lower() == "authorization"] == ["Basic x"]


def test_a_session_key_in_a_header_of_ones_own_is_the_only_one() -> None:
    assert options(EVERYTHING, headers={"x-session-api-key": "mine"}).session_api_key is None


BAD: list[dict[str, Any]] = [
    {"api": "v2"},
    {"api": None},
    {"max_retries": -1},
    {"max_retries": None},
    {"max_retries": 1.5},
    {"timeout": 0},
    {"timeout": -1.0},
    {"api_key": "b", "auth": BearerAuth("a")},
    {"api_key": "b", "headers": {"authorization": "Bearer a"}},
    {"auth": BearerAuth("a"), "headers": {"AUTHORIZATION": "Bearer a"}},
    {"session_api_key": "b", "headers": {"x-session-api-key": "a"}},
    {"max_retries": 5, "retry": RetryPolicy()},
]


@pytest.mark.parametrize("given", BAD, ids=repr)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        options(**given)


@pytest.mark.parametrize("given", [*BAD, {"base_url": "ftp://x"}, {"api_key": "a\n"}], ids=repr)
@pytest.mark.parametrize("kind", [OpenHands, AsyncOpenHands])
def test_a_copy_is_no_way_round_the_checks(kind: Any, given: dict[str, Any]) -> None:
    client = kind("http://app.test")
    with pytest.raises((ValueError, errors.UnsafeURLError)):
        client.with_options(**given)


def test_options_do_not_show_their_keys() -> None:
    shown = repr(options(api_key=SECRET, session_api_key=SECRET, headers={"X": SECRET}))
    assert SECRET not in shown


# Clients


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EVERYTHING:
        monkeypatch.delenv(name, raising=False)


KINDS = pytest.mark.parametrize("kind", [OpenHands, AsyncOpenHands])


def pickled(value: Any) -> Any:
    """The value after a journey to another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - what we have just written ourselves


@KINDS
def test_a_client_reads_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in EVERYTHING.items():
        monkeypatch.setenv(name, value)
    client = kind()
    assert client.base_url == "http://env.test"
    assert client.driver.session.endpoint.session_api_key == "env-session"


@KINDS
def test_a_client_shows_where_it_talks_to_and_no_key(kind: Any) -> None:
    client = kind("http://app.test", api_key=SECRET, session_api_key=SECRET, headers={"X": SECRET})
    assert "http://app.test" in repr(client)
    assert SECRET not in repr(client)
    assert SECRET not in repr(vars(client))


@KINDS
def test_a_client_can_be_pickled_and_copied(kind: Any) -> None:
    client = kind(
        "http://app.test/base",
        api_key="a",
        session_api_key="s",
        timeout=5.0,
        max_retries=7,
        api="v1",
        headers={"X": "y"},
    )
    for twin in (pickled(client), copy.copy(client), copy.deepcopy(client)):
        assert type(twin) is kind
        assert twin._options == client._options
        assert twin.driver.transport is not client.driver.transport
        assert twin.base_url == "http://app.test/base"


@KINDS
def test_a_conversation_can_be_pickled(kind: Any) -> None:
    from openhands_client._core.places import Snapshot

    client = kind("http://app.test", api_key=SECRET)
    info = models.AppConversation(id="c", sandbox_id="s", session_api_key=SECRET)
    conversation = client.conversations._handle(Snapshot(info, "running"))
    twin = pickled(conversation)
    assert (twin.id, twin.info, twin.agent_state) == ("c", info, "running")
    assert SECRET not in repr(twin)


@KINDS
def test_a_client_over_a_pool_of_yours_cannot_be_pickled(kind: Any) -> None:
    client = kind("http://app.test", http_client=object())
    with pytest.raises(TypeError, match="http_client"):
        pickle.dumps(client)


@KINDS
def test_with_options_changes_what_is_given_and_shares_the_rest(kind: Any) -> None:
    client = kind("http://app.test", api_key="a", timeout=5.0)
    copied = client.with_options(timeout=None, api="v0")
    assert type(copied) is kind
    assert copied.driver.transport is client.driver.transport
    assert copied.driver.session.timeout is None
    assert copied.driver.session.api == "v0"
    assert copied._options.api_key == "a"
    assert client.driver.session.timeout == 5.0


@KINDS
def test_credentials_are_exchanged_as_one(kind: Any) -> None:
    auth = BearerAuth("token")
    client = kind("http://app.test", api_key="a")
    other = client.with_options(auth=auth)
    assert (other._options.auth, other._options.api_key) == (auth, None)
    back = other.with_options(api_key="b")
    assert (back._options.auth, back._options.api_key) == (None, "b")


@KINDS
@pytest.mark.parametrize("unknown", ["http_client", "colour"])
def test_with_options_takes_no_others(kind: Any, unknown: str) -> None:
    with pytest.raises(TypeError, match=unknown):
        kind("http://app.test").with_options(**{unknown: None})


def test_closing_a_copy_leaves_the_connections_open() -> None:
    client = OpenHands("http://app.test")
    pool = client.driver.transport._enter()
    client.driver.transport._leave()
    client.with_options(timeout=1.0).close()
    assert not pool.is_closed
    with client:
        pass
    assert pool.is_closed


async def test_closing_an_async_copy_leaves_the_connections_open() -> None:
    client = AsyncOpenHands("http://app.test")
    pool = await client.driver.transport._enter()
    client.driver.transport._leave()
    await client.with_options(timeout=1.0).aclose()
    assert not pool.is_closed
    async with client:
        pass
    assert pool.is_closed
