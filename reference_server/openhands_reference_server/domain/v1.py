"""A V1 conversation: its state, and which records follow from what happens to it.

    idle ──message(run) / run──► running ──finish / say──► finished ──message──► idle
      ▲                           │  │ ▲
      │ reject                    │  │ └─accept / message / run── waiting_for_confirmation
      └───────────────────────────┘  ├─ confirm ─► waiting_for_confirmation
                                     ├─ pause ──► paused ──run / message──► running
                                     └─ error, stuck ──message──► running

Every request about the agent is legal in every state (as on the real agent server); what differs is
what it does. All functions here append records to a `Changes` and return nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

from openhands_reference_server.domain import v1_events as wire
from openhands_reference_server.domain.changes import Changes, Event
from openhands_reference_server.domain.identifiers import dashed
from openhands_reference_server.domain.script import Act, Fail, Finish, GetStuck, Run, Say, Think, Write
from openhands_reference_server.domain.times import zoneless
from openhands_reference_server.domain.titles import default_title, title_from_message
from openhands_reference_server.domain.turn import Turn

IDLE, RUNNING, PAUSED, FINISHED = "idle", "running", "paused", "finished"
WAITING, FAILED, STUCK = "waiting_for_confirmation", "error", "stuck"
DEFAULT_MODEL = "reference/scripted"
DEFAULT_REJECTION = "User rejected the action."


@dataclass(frozen=True, slots=True)
class V1Conversation:
    """The fold of a V1 conversation's records. Ids are 32 hex digits, times zoned texts."""

    id: str
    sandbox_id: str
    created_at: str
    updated_at: str
    title: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: str | None = None
    trigger: str | None = None
    pr_number: tuple[int, ...] = ()
    llm_model: str = DEFAULT_MODEL
    parent_conversation_id: str | None = None
    agent_type: str = "default"
    execution_status: str = IDLE
    calls: int = 0
    turn: Turn = field(default_factory=Turn)

    @property
    def version(self) -> str:
        """The generation."""
        return "V1"

    @property
    def shown_title(self) -> str:
        """The title, or the default."""
        return self.title or default_title(self.id)

    @property
    def working(self) -> bool:
        """The agent has a next step."""
        return self.execution_status == RUNNING

    def to_json(self) -> dict[str, Any]:
        """As it stands in `state.json`."""
        return {
            "version": "V1",
            **asdict(self),
            "pr_number": list(self.pr_number),
            "turn": self.turn.to_json(),
        }


Writing: TypeAlias = Changes[V1Conversation]


def from_json(data: Mapping[str, Any]) -> V1Conversation:
    """Undo `to_json`."""
    fields = {name: value for name, value in data.items() if name != "version"}
    return V1Conversation(
        **{**fields, "pr_number": tuple(fields["pr_number"]), "turn": Turn.from_json(fields["turn"])}
    )


def fold(state: V1Conversation | None, record: Mapping[str, Any]) -> V1Conversation:
    """Apply one record."""
    at = record["at"]
    if state is None:
        details = {**record["conversation"], "pr_number": tuple(record["conversation"]["pr_number"])}
        return V1Conversation(**details, created_at=at, updated_at=at)
    state = replace(state, updated_at=at)
    if "turn" in record:
        state = replace(state, turn=Turn.from_json(record["turn"]))
    match record["record"]:
        case "renamed":
            return replace(state, title=record["title"])
        case "event":
            return _fold_event(state, record["event"])
        case _:
            return state


def _fold_event(state: V1Conversation, event: Event) -> V1Conversation:
    if event.get("llm_response_id"):
        state = replace(state, calls=state.calls + 1)
    if event["kind"] == "ConversationStateUpdateEvent" and event["key"] == "execution_status":
        state = replace(state, execution_status=event["value"])
    return state


def full_state(state: V1Conversation) -> dict[str, Any]:
    """Everything the agent server knows about a conversation."""
    return {
        "id": dashed(state.id),
        "agent": {
            "kind": "Agent",
            "llm": {"model": state.llm_model, "api_key": None, "base_url": None, "usage_id": "agent"},
            "tools": [{"name": "terminal", "params": {}}],
            "mcp_config": {},
            "filter_tools_regex": None,
            "agent_context": None,
            "system_prompt_filename": "system_prompt.j2",
            "system_prompt_kwargs": {},
            "condenser": None,
        },
        "workspace": {"kind": "LocalWorkspace", "working_dir": "/workspace"},
        "persistence_dir": f"conversations/{state.id}",
        "max_iterations": 500,
        "stuck_detection": True,
        "execution_status": state.execution_status,
        "confirmation_policy": {"kind": "NeverConfirm"},
        "security_analyzer": None,
        "activated_knowledge_skills": [],
        "stats": wire.stats(state.calls, state.llm_model),
        "secret_registry": {"secret_sources": {}},
    }


# -- what happens to a conversation -----------------------------------------------------------------


def create(changes: Writing, details: Mapping[str, Any], *, system_message_suffix: str | None = None) -> None:
    """Bring a conversation into being, with its system prompt."""
    changes.record("created", version="V1", conversation=dict(details))
    _emit(changes, wire.system_prompt(system_message_suffix))


def rename(changes: Writing, title: str) -> None:
    """Give it a title; a blank one means the default title."""
    changes.record("renamed", title=title.strip() or None)


def send_message(changes: Writing, items: list[dict[str, Any]], *, role: str, run: bool) -> None:
    """A message of the user; with `run` the agent answers it."""
    text = wire.text_of(items)
    if changes.state.execution_status == FINISHED:
        _set_status(changes, IDLE)
    _emit(changes, wire.message("user", role, items), turn=changes.state.turn.queued(text))
    if changes.state.title is None and text.strip():
        changes.record("renamed", title=title_from_message(text))
    if run:
        start_run(changes)


def start_run(changes: Writing) -> None:
    """Let the agent go on, if there is anything to go on with.

    A conversation that waits for confirmation takes this as the confirmation.
    """
    if changes.state.execution_status == RUNNING or not changes.state.turn.has_work:
        return
    turn = changes.state.turn
    _set_status(changes, RUNNING, turn=turn if turn.active else turn.begun())


def pause(changes: Writing) -> None:
    """Hold the agent; nothing changes when there is nothing to hold."""
    if changes.state.execution_status not in (IDLE, RUNNING):
        return
    _set_status(changes, PAUSED)
    _emit(changes, wire.pause())


def interrupt(changes: Writing) -> None:
    """The server was stopped during a run: nobody paused it, but paused is what it is."""
    if changes.state.working:
        _set_status(changes, PAUSED)


def confirm(changes: Writing, *, accept: bool, reason: str = DEFAULT_REJECTION) -> None:
    """Answer the agent's question; nothing changes when it has asked none."""
    pending = changes.state.turn.pending
    if changes.state.execution_status != WAITING or pending is None:
        return
    if accept:
        start_run(changes)
        return
    _set_status(changes, IDLE)
    _emit(changes, wire.rejection(pending, reason), turn=changes.state.turn.acted())


# -- what the agent does ----------------------------------------------------------------------------


def perform(changes: Writing, act: Act) -> None:
    """The next act of the script."""
    match act:
        case Run():
            _announce(changes, act)
        case Write():
            call_id = _call_id(changes)
            action = _emit(changes, wire.file_action(act, call_id))
            done = wire.file_observation(act, call_id, action["id"])
            _emit(changes, done, turn=changes.state.turn.acted())
        case Think(thought):
            call_id = _call_id(changes)
            action = _emit(changes, wire.think_action(thought, call_id))
            _emit(changes, wire.think_observation(call_id, action["id"]), turn=changes.state.turn.acted())
        case Say(text):
            items = [wire.text_content(text)]
            _emit(changes, wire.message("agent", "assistant", items), turn=changes.state.turn.ended())
            _come_to_rest(changes)
        case Finish(text, thought):
            call_id = _call_id(changes)
            action = _emit(changes, wire.finish_action(text, thought, call_id))
            done = wire.finish_observation(text, call_id, action["id"])
            _emit(changes, done, turn=changes.state.turn.ended())
            _come_to_rest(changes)
        case Fail(code, detail):
            _set_status(changes, FAILED, turn=changes.state.turn.ended())
            _emit(changes, wire.conversation_error(code, detail))
        case GetStuck():
            _set_status(changes, STUCK, turn=changes.state.turn.ended())


def observe(changes: Writing) -> None:
    """Carry out the action that was announced."""
    pending = changes.state.turn.pending
    if pending is not None:
        _emit(changes, dict(pending["observation"]), turn=changes.state.turn.acted())


def end_turn(changes: Writing) -> None:
    """The script has nothing more for this turn."""
    _come_to_rest(changes)


def _announce(changes: Writing, act: Run) -> None:
    call_id = _call_id(changes)
    event_id = str(changes.new_id())
    pending = {
        "tool_name": "terminal",
        "tool_call_id": call_id,
        "action_id": event_id,
        "observation": wire.terminal_observation(act, call_id, event_id),
    }
    action = wire.terminal_action(act, call_id)
    _emit(changes, action, event_id=event_id, turn=changes.state.turn.announced(pending))
    if act.confirm:
        _set_status(changes, WAITING)
        _emit_stats(changes)


def _come_to_rest(changes: Writing) -> None:
    turn = changes.state.turn.ended()
    if turn.queue:
        changes.record("turn", turn=turn.begun().to_json())
        return
    _set_status(changes, FINISHED, turn=turn)
    _emit_stats(changes)


# -- records ----------------------------------------------------------------------------------------


def _emit(changes: Writing, body: Event, *, turn: Turn | None = None, event_id: str | None = None) -> Event:
    at = changes.now()
    event = {
        "kind": body["kind"],
        "id": event_id or str(changes.new_id()),
        "timestamp": zoneless(at),
        **body,
    }
    bookkeeping = {} if turn is None else {"turn": turn.to_json()}
    changes.record("event", at=at, event=event, **bookkeeping)
    return event


def _set_status(changes: Writing, status: str, *, turn: Turn | None = None) -> None:
    _emit(changes, wire.state_update("execution_status", status), turn=turn)


def _emit_stats(changes: Writing) -> None:
    state = changes.state
    _emit(changes, wire.state_update("stats", wire.stats(state.calls, state.llm_model)))


def _call_id(changes: Writing) -> str:
    return f"call_{changes.state.calls + 1:08x}"
