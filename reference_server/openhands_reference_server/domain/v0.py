"""A V0 conversation: its state, and which records follow from what happens to it.

    created ──► STARTING ──► RUNNING ──stop, pause──► STOPPED ──start──► STARTING
                   │            │                        ▲
                   └─► ERROR ◄──┘        ERROR ──start──► STARTING       ARCHIVED: no way out

While it runs, the agent has a state of its own (`agent_state`), told by `agent_state_changed`
observations: loading, awaiting_user_input, running, awaiting_user_confirmation, paused, finished,
error, stopped. All functions here append records to a `Changes` and return nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from openhands_reference_server.domain import v0_events as wire
from openhands_reference_server.domain.changes import Changes, Event
from openhands_reference_server.domain.errors import IllegalTransition, NotRunning
from openhands_reference_server.domain.script import (
    Act,
    Fail,
    Finish,
    GetRateLimited,
    GetStuck,
    Run,
    Say,
    Think,
    Write,
    pretend_shell,
)
from openhands_reference_server.domain.times import parse, zoneless
from openhands_reference_server.domain.titles import default_title, title_from_message
from openhands_reference_server.domain.turn import Turn

STARTING, RUNNING, STOPPED, ARCHIVED, ERROR = "STARTING", "RUNNING", "STOPPED", "ARCHIVED", "ERROR"
_RUNTIME_STATUS = {
    STARTING: "STATUS$STARTING_RUNTIME",
    RUNNING: "STATUS$READY",
    ERROR: "STATUS$ERROR",
}
_AGENT_RUNNING, _AGENT_PAUSED, _AGENT_STOPPED = "running", "paused", "stopped"
_AWAITING_INPUT, _AWAITING_CONFIRMATION = "awaiting_user_input", "awaiting_user_confirmation"
_STUCK = "AgentStuckInLoopError: Agent got stuck in a loop"
_BUSY = (_AGENT_RUNNING, _AWAITING_CONFIRMATION, "user_confirmed")


@dataclass(frozen=True, slots=True)
class V0Conversation:
    """The fold of a V0 conversation's records. The id is 32 hex digits, times are zoned texts."""

    id: str
    created_at: str
    updated_at: str
    title: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: str | None = None
    trigger: str | None = None
    pr_number: tuple[int, ...] = ()
    instructions: str | None = None
    initial_message: str | None = None
    image_urls: tuple[str, ...] | None = None
    mcp_config: str | None = None  # sealed
    status: str = STARTING
    agent_state: str | None = None
    begun: bool = False
    next_event_id: int = 0
    calls: int = 0
    turn: Turn = field(default_factory=Turn)

    @property
    def version(self) -> str:
        """The generation."""
        return "V0"

    @property
    def shown_title(self) -> str:
        """The title, or the default."""
        return self.title or default_title(self.id)

    @property
    def runtime_status(self) -> str | None:
        """What the wire says about the runtime; null when there is none."""
        return _RUNTIME_STATUS.get(self.status)

    @property
    def has_loop(self) -> bool:
        """The agent loop runs or is about to."""
        return self.status in (STARTING, RUNNING)

    @property
    def working(self) -> bool:
        """The agent has a next step."""
        return self.status == RUNNING and self.agent_state == _AGENT_RUNNING and self.turn.active

    def to_json(self) -> dict[str, Any]:
        """As it stands in `state.json`."""
        images = None if self.image_urls is None else list(self.image_urls)
        plain = {"pr_number": list(self.pr_number), "image_urls": images, "turn": self.turn.to_json()}
        return {"version": "V0", **asdict(self), **plain}


Writing: TypeAlias = Changes[V0Conversation]


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    images = fields.get("image_urls")
    return {
        **fields,
        "pr_number": tuple(fields.get("pr_number", ())),
        "image_urls": None if images is None else tuple(images),
    }


def from_json(data: Mapping[str, Any]) -> V0Conversation:
    """Undo `to_json`."""
    fields = {name: value for name, value in data.items() if name != "version"}
    return V0Conversation(**{**_with_tuples(fields), "turn": Turn.from_json(fields["turn"])})


def fold(state: V0Conversation | None, record: Mapping[str, Any]) -> V0Conversation:
    """Apply one record."""
    at = record["at"]
    if state is None:
        return V0Conversation(**_with_tuples(record["conversation"]), created_at=at, updated_at=at)
    state = replace(state, updated_at=at)
    if "turn" in record:
        state = replace(state, turn=Turn.from_json(record["turn"]))
    match record["record"]:
        case "renamed":
            return replace(state, title=record["title"])
        case "status":
            return replace(state, status=record["status"])
        case "event":
            return _fold_event(state, record["event"])
        case _:
            return state


def _fold_event(state: V0Conversation, event: Event) -> V0Conversation:
    state = replace(state, next_event_id=event["id"] + 1)
    if event.get("llm_metrics"):
        state = replace(state, calls=state.calls + 1)
    if event.get("action") == "system":
        state = replace(state, begun=True)
    if event.get("observation") == "agent_state_changed":
        state = replace(state, agent_state=event["extras"]["agent_state"])
    return state


# -- what happens to a conversation -----------------------------------------------------------------


def create(changes: Writing, details: Mapping[str, Any], history: Iterable[Event] = ()) -> None:
    """Bring a conversation into being; its agent loop is about to start.

    Args:
        changes: collects the records.
        details: what is known of it.
        history: events of another conversation, without ids, which become its own.
    """
    changes.record("created", version="V0", conversation=dict(details))
    for event in history:
        _emit(changes, event)
        if event.get("action") == "message" and event["source"] == wire.USER:
            _entitle(changes, event["args"].get("content"))
    _emit(changes, wire.agent_state_changed("loading"))
    if changes.state.begun:  # by the history; otherwise it is said when the agent loop begins
        _say_initial_message(changes)


def rename(changes: Writing, title: str) -> None:
    """Give it a title; a blank one means the default title."""
    changes.record("renamed", title=title.strip() or None)


def start(changes: Writing) -> None:
    """Start the agent loop; nothing changes when it runs or starts already.

    Raises:
        IllegalTransition: the conversation is archived.
    """
    if changes.state.has_loop:
        return
    if changes.state.status == ARCHIVED:
        raise IllegalTransition(f"Cannot start a conversation that is {ARCHIVED}: it has ended for good")
    was_paused = changes.state.agent_state == _AGENT_PAUSED
    changes.record("status", status=STARTING)
    if not was_paused:
        _emit(changes, wire.agent_state_changed("loading"))


def begin(changes: Writing) -> None:
    """The runtime is up: the agent loop runs, and takes up what waits for it."""
    if changes.state.status != STARTING:
        return
    changes.record("status", status=RUNNING)
    if not changes.state.begun:
        _emit(changes, wire.system(changes.state.instructions))
        _say_initial_message(changes)
    turn = changes.state.turn
    if turn.active:
        unanswered = turn.pending is not None and turn.pending["confirm"]
        _bring_agent_to(changes, _AWAITING_CONFIRMATION if unanswered else _AGENT_RUNNING)
    elif turn.queue:
        _emit(changes, wire.change_agent_state(wire.ENVIRONMENT, _AGENT_RUNNING))
        _take_up(changes)
    else:
        _bring_agent_to(changes, _AWAITING_INPUT)


def fail_to_begin(changes: Writing, detail: str) -> None:
    """The runtime could not be brought up."""
    if changes.state.status == STARTING:
        _set_agent_state(changes, "error", detail, turn=changes.state.turn.ended())
        changes.record("status", status=ERROR)


def stop(changes: Writing) -> None:
    """End the agent loop, and what it was doing; nothing changes when none runs."""
    if changes.state.has_loop:
        _set_agent_state(changes, _AGENT_STOPPED, turn=changes.state.turn.dropped())
        changes.record("status", status=STOPPED)


def pause(changes: Writing) -> None:
    """Suspend the agent loop; `start` lets it go on where it was.

    Raises:
        IllegalTransition: it does not run.
    """
    if changes.state.status != RUNNING:
        raise IllegalTransition(
            f"Cannot pause a conversation that is {changes.state.status}; only a {RUNNING} one can be paused"
        )
    _set_agent_state(changes, _AGENT_PAUSED)
    changes.record("status", status=STOPPED)


def archive(changes: Writing) -> None:
    """End the conversation for good."""
    stop(changes)
    changes.record("status", status=ARCHIVED)


def send_message(changes: Writing, text: str, *, image_urls: Any = None, file_urls: Any = None) -> None:
    """A message of the user; the agent answers it when it has answered those before.

    Raises:
        NotRunning: no agent loop runs or is about to.
    """
    _need_loop(changes)
    _say(changes, text, image_urls=image_urls, file_urls=file_urls)
    state = changes.state
    if state.status == STARTING or state.agent_state in _BUSY:
        return
    if state.turn.active:
        _set_agent_state(changes, _AGENT_RUNNING)
    else:
        _take_up(changes)


def send_action(changes: Writing, action: Mapping[str, Any]) -> None:
    """Any action of the user, as it came over the wire.

    Raises:
        NotRunning: no agent loop runs or is about to.
    """
    _need_loop(changes)
    args = action.get("args") or {}
    match action["action"]:
        case "message":
            images, files = args.get("image_urls"), args.get("file_urls")
            send_message(changes, args["content"], image_urls=images, file_urls=files)
        case "change_agent_state":
            _emit(changes, wire.change_agent_state(wire.USER, args["agent_state"]))
            _obey(changes, args["agent_state"])
        case "run":
            ran = _emit(changes, wire.user_run(args["command"]))
            output = pretend_shell(args["command"])
            _emit(changes, wire.ran(wire.USER, args["command"], output, 0, ran["id"]))
        case name:
            _emit(changes, wire.user_action(name, args))


def _obey(changes: Writing, wanted: str) -> None:
    """The user wants the agent in another state; what makes no sense now is only on the record."""
    state, turn = changes.state.agent_state, changes.state.turn
    if state == _AWAITING_CONFIRMATION and wanted in ("user_confirmed", "user_rejected"):
        _set_agent_state(changes, wanted)
        if wanted == "user_confirmed":
            _set_agent_state(changes, _AGENT_RUNNING)
        else:
            _reject(changes)
    elif wanted == _AGENT_STOPPED and state != _AGENT_STOPPED:
        _set_agent_state(changes, _AGENT_STOPPED, turn=turn.dropped())
    elif wanted == _AGENT_PAUSED and state == _AGENT_RUNNING:
        _set_agent_state(changes, _AGENT_PAUSED)
    elif wanted == _AGENT_RUNNING and state != _AGENT_RUNNING and turn.active and turn.pending is None:
        _set_agent_state(changes, _AGENT_RUNNING)


def _reject(changes: Writing) -> None:
    pending = changes.state.turn.pending
    if pending is not None:
        turn = changes.state.turn
        goes_on = pending["heeds_rejection"]
        _emit(changes, wire.user_rejected(pending["cause"]), turn=turn.refused() if goes_on else turn.ended())
    if changes.state.turn.active and changes.state.turn.queue:
        _set_agent_state(changes, _AGENT_RUNNING)
    else:
        _rest_or_go_on(changes, _AWAITING_INPUT)


# -- what the agent does ----------------------------------------------------------------------------


def perform(changes: Writing, act: Act) -> None:
    """The next act of the script."""
    state = changes.state
    calls, created = state.calls + 1, int(parse(state.updated_at).timestamp())
    match act:
        case Run():
            action = _emit(changes, wire.run(act, calls, created))
            done = wire.ran(wire.AGENT, act.command, act.output, act.exit_code, action["id"])
            pending = {"observation": done, "cause": action["id"], "confirm": act.confirm}
            pending["heeds_rejection"] = act.heeds_rejection
            changes.record("turn", turn=state.turn.announced(pending).to_json())
            if act.confirm:
                _set_agent_state(changes, _AWAITING_CONFIRMATION)
        case Write():
            action = _emit(changes, wire.write(act, calls, created))
            _emit(changes, wire.written(act, action["id"]), turn=state.turn.acted())
        case Think(thought):
            action = _emit(changes, wire.think(thought, calls, created))
            _emit(changes, wire.thought_logged(action["id"]), turn=state.turn.acted())
        case Say(text):
            said = {**wire.message(wire.AGENT, text, waits=True), "llm_metrics": wire.metrics(calls)}
            _emit(changes, said, turn=state.turn.ended())
            _rest_or_go_on(changes, _AWAITING_INPUT)
        case Finish(text, thought):
            _emit(changes, wire.finish(text, thought, calls, created), turn=state.turn.ended())
            _rest_or_go_on(changes, "finished")
        case Fail(code, detail):
            _set_agent_state(changes, "error", f"{code}: {detail}", turn=state.turn.ended())
        case GetRateLimited(detail):
            _set_agent_state(changes, "rate_limited", detail, turn=state.turn.ended())
        case GetStuck():
            _set_agent_state(
                changes, "error", "AgentStuckInLoopError: Agent got stuck in a loop", turn=state.turn.ended()
            )


def observe(changes: Writing) -> None:
    """Carry out the action that was announced."""
    pending = changes.state.turn.pending
    if pending is not None:
        _emit(changes, dict(pending["observation"]), turn=changes.state.turn.acted())


def end_turn(changes: Writing) -> None:
    """The script has nothing more for this turn."""
    changes.record("turn", turn=changes.state.turn.ended().to_json())
    _rest_or_go_on(changes, "finished")


def _rest_or_go_on(changes: Writing, rest: str) -> None:
    if changes.state.turn.queue:
        _take_up(changes)
    else:
        _set_agent_state(changes, rest)


def _say_initial_message(changes: Writing) -> None:
    state = changes.state
    if state.initial_message is None and not state.image_urls:
        return
    images = None if state.image_urls is None else list(state.image_urls)
    early = state.turn.queue
    _say(changes, state.initial_message or "", image_urls=images)
    first_of_all = replace(changes.state.turn, queue=(state.initial_message or "", *early))
    changes.record("turn", turn=first_of_all.to_json())


def _say(changes: Writing, text: str, *, image_urls: Any = None, file_urls: Any = None) -> None:
    said = wire.message(wire.USER, text, image_urls=image_urls, file_urls=file_urls)
    _emit(changes, said, turn=changes.state.turn.queued(text))
    _entitle(changes, text)


def _entitle(changes: Writing, text: Any) -> None:
    """Give a conversation without a title one made of a message, if that says anything."""
    if changes.state.title is None and isinstance(text, str) and text.strip():
        changes.record("renamed", title=title_from_message(text))


def _take_up(changes: Writing) -> None:
    """Begin the turn for the oldest waiting message."""
    turn = changes.state.turn.begun()
    first, state = turn.number == 1, changes.state
    asked = _emit(changes, wire.recall(turn.text, first=first))
    if state.agent_state != _AGENT_RUNNING:
        _set_agent_state(changes, _AGENT_RUNNING)
    known = wire.recalled(
        asked["id"],
        first=first,
        day=changes.state.updated_at[:10],
        repository=state.selected_repository,
        branch=state.selected_branch,
        instructions=state.instructions,
    )
    _emit(changes, known, turn=turn)


# -- records ----------------------------------------------------------------------------------------


def _need_loop(changes: Writing) -> None:
    if not changes.state.has_loop:
        raise NotRunning(changes.state.id, changes.state.status)


def _emit(changes: Writing, body: Event, *, turn: Turn | None = None) -> Event:
    at: datetime = changes.now()
    event = {"id": changes.state.next_event_id, "timestamp": zoneless(at), **body}
    bookkeeping = {} if turn is None else {"turn": turn.to_json()}
    changes.record("event", at=at, event=event, **bookkeeping)
    return event


def _bring_agent_to(changes: Writing, state: str) -> None:
    _emit(changes, wire.change_agent_state(wire.ENVIRONMENT, state))
    _set_agent_state(changes, state)


def _set_agent_state(changes: Writing, state: str, reason: str = "", *, turn: Turn | None = None) -> None:
    _emit(changes, wire.agent_state_changed(state, reason), turn=turn)
