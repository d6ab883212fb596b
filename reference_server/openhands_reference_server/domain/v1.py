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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

from openhands_reference_server.domain import confirmation
from openhands_reference_server.domain import v1_events as wire
from openhands_reference_server.domain.changes import Changes, Event
from openhands_reference_server.domain.errors import GoalRunning, NoGoal
from openhands_reference_server.domain.identifiers import dashed
from openhands_reference_server.domain.masking import MASK, masked
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
    Written,
)
from openhands_reference_server.domain.times import parse, zoneless
from openhands_reference_server.domain.titles import default_title, title_from_message
from openhands_reference_server.domain.turn import Turn

IDLE, RUNNING, PAUSED, FINISHED = "idle", "running", "paused", "finished"
WAITING, FAILED, STUCK = "waiting_for_confirmation", "error", "stuck"
_HALTED = frozenset({PAUSED, FAILED, STUCK})
DEFAULT_MODEL = "reference/scripted"
_CONDENSED = frozenset(
    {"MessageEvent", "ActionEvent", "ObservationEvent", "UserRejectObservation", "AgentErrorEvent"}
)
_FOLDED_KEYS = frozenset({"execution_status", "confirmation_policy", "security_analyzer", "goal"})
DEFAULT_REJECTION = "User rejected the action."
_RESUMED_GOAL = "Go on with the goal: {objective}"
_REACHED = {"score": 1.0, "complete": True, "missing": ""}


@dataclass(frozen=True, slots=True)
class V1Conversation:
    """The fold of a V1 conversation's records. Ids are 32 hex digits, times zoned texts.

    Attributes:
        agent: the agent as a client of the agent server described it, its keys masked; None for the scripted
            one. It is shown, and nothing else: the script does the work.
        secrets: names and descriptions. Values are not kept: the scripted agent needs none.
        metrics: what an agent server has reported; None when nothing was.
        public, tags: what users have noted; shown, and nothing else.
        forked_from_conversation_id, forked_from_event_id: what it was copied from, dashed, and up to where.
        goal: how the last goal stands; None when there was none.
    """

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
    agent: Mapping[str, Any] | None = None
    workspace: Mapping[str, Any] | None = None
    max_iterations: int = 500
    stuck_detection: bool = True
    confirmation_policy: Mapping[str, Any] = field(default_factory=lambda: confirmation.NEVER)
    security_analyzer: Mapping[str, Any] | None = None
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    metrics: Mapping[str, Any] | None = None
    public: bool | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    forked_from_conversation_id: str | None = None
    forked_from_event_id: str | None = None
    goal: Mapping[str, Any] | None = None
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
    def pursuing(self) -> bool:
        """The agent works on a goal."""
        return self.goal is not None and bool(self.goal["active"])

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
        case "secrets":
            return replace(state, secrets={**state.secrets, **record["secrets"]})
        case "reported":
            metrics = _reported_metrics(record["event"])
            return state if metrics is None else replace(state, metrics=metrics)
        case "metrics":
            return replace(state, metrics=record["metrics"])
        case "noted":
            return replace(state, **record["changes"])
        case "reset":
            return replace(state, calls=0, turn=Turn())
        case _:
            return state


def _fold_event(state: V1Conversation, event: Event) -> V1Conversation:
    if event.get("llm_response_id"):
        state = replace(state, calls=state.calls + 1)
    if event["kind"] == "ConversationStateUpdateEvent" and event["key"] in _FOLDED_KEYS:
        state = replace(state, **{event["key"]: event["value"]})
    return state


def _reported_metrics(event: Event) -> dict[str, Any] | None:
    """The metrics in a `stats` update of an agent server; None when it is something else."""
    if event["kind"] != "ConversationStateUpdateEvent" or event["key"] != "stats":
        return None
    return _metrics_of(event["value"])


def _metrics_of(stats: Any) -> dict[str, Any] | None:
    usages = stats.get("usage_to_metrics") if isinstance(stats, Mapping) else None
    metrics = usages.get("agent") if isinstance(usages, Mapping) else None
    return wire.metrics(metrics) if isinstance(metrics, Mapping) else None


def full_state(state: V1Conversation) -> dict[str, Any]:
    """Everything the agent server knows about a conversation."""
    return {
        "id": dashed(state.id),
        "agent": dict(state.agent or wire.agent(state.llm_model)),
        "workspace": dict(state.workspace or wire.WORKSPACE),
        "persistence_dir": f"conversations/{state.id}",
        "max_iterations": state.max_iterations,
        "stuck_detection": state.stuck_detection,
        "execution_status": state.execution_status,
        "confirmation_policy": dict(state.confirmation_policy),
        "security_analyzer": state.security_analyzer and dict(state.security_analyzer),
        "activated_knowledge_skills": [],
        "stats": wire.stats(state.calls, state.llm_model),
        "secret_registry": {
            "secret_sources": {
                name: {"kind": "StaticSecret", "description": description, "value": MASK}
                for name, description in state.secrets.items()
            }
        },
    }


def details(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a start request to an agent server says about the conversation, without its keys."""
    agent = masked(dict(request["agent"]))
    return {
        "title": None,
        "pr_number": [],
        "llm_model": str(agent["llm"]["model"]),
        "agent": {"kind": "Agent", **agent},
        "workspace": {"kind": "LocalWorkspace", **request["workspace"]},
        "max_iterations": request.get("max_iterations", 500),
        "stuck_detection": request.get("stuck_detection", True),
        "confirmation_policy": confirmation.completed(
            request.get("confirmation_policy") or confirmation.NEVER
        ),
    }


# -- what happens to a conversation -----------------------------------------------------------------


def create(changes: Writing, details: Mapping[str, Any], *, system_message_suffix: str | None = None) -> None:
    """Bring a conversation into being, with its system prompt."""
    changes.record("created", version="V1", conversation=dict(details))
    _emit(changes, wire.system_prompt(system_message_suffix))


def rename(changes: Writing, title: str) -> None:
    """Give it a title; a blank one means the default title."""
    changes.record("renamed", title=title.strip() or None)


def note(changes: Writing, **known: Any) -> None:
    """What users note about a conversation, by the names of its fields."""
    changed = {name: value for name, value in known.items() if getattr(changes.state, name) != value}
    if changed:
        changes.record("noted", changes=changed)


def send_message(changes: Writing, items: list[dict[str, Any]], *, role: str, run: bool) -> None:
    """A message of the user; with `run` the agent answers it. It takes the place of a goal."""
    stop_goal(changes)
    _take_message(changes, items, role=role, run=run)


def _take_message(changes: Writing, items: list[dict[str, Any]], *, role: str, run: bool) -> None:
    text = wire.text_of(items)
    if changes.state.execution_status == FINISHED:
        _set_status(changes, IDLE)
    _emit(changes, wire.message("user", role, items), turn=changes.state.turn.queued(text))
    if changes.state.title is None and text.strip():
        changes.record("renamed", title=title_from_message(text))
    if run:
        start_run(changes)


def take_initial_message(
    changes: Writing, message: Mapping[str, Any] | None, *, always_runs: bool = False
) -> None:
    """The message a conversation is started with; it runs the agent unless it says `run: false`.

    Some servers do not listen to that, and always run it.
    """
    if message is None:
        return
    items = wire.content(message.get("content") or [])
    run = always_runs or message.get("run", True) is not False
    send_message(changes, items, role=message.get("role", "user"), run=run)


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


def cut_short(changes: Writing) -> None:
    """Hold the agent in the middle of a step; nothing changes when it rests."""
    if changes.state.working:
        _set_status(changes, PAUSED)
        _emit(changes, wire.interruption())


def start_goal(changes: Writing, objective: str, max_iterations: int) -> None:
    """Let the agent work on a goal: the scripted one reaches it with the turn that follows.

    Raises:
        GoalRunning: it works already.
    """
    if changes.state.working or changes.state.pursuing:
        raise GoalRunning
    goal = {"iteration": 0, "max_iterations": max_iterations, "objective": objective, "verdict": None}
    _set_goal(changes, goal, active=True, status="running")
    _take_message(changes, [wire.text_content(objective)], role="user", run=True)


def stop_goal(changes: Writing) -> None:
    """Give the goal up for now; the agent itself goes on."""
    if changes.state.goal is not None and changes.state.pursuing:
        _set_goal(changes, changes.state.goal, active=False, status="interrupted")


def resume_goal(changes: Writing) -> None:
    """Take the interrupted goal up again.

    Raises:
        GoalRunning: the agent works already.
        NoGoal: none was interrupted.
    """
    goal = changes.state.goal
    if changes.state.working or changes.state.pursuing:
        raise GoalRunning
    if goal is None or goal["status"] != "interrupted":
        raise NoGoal
    _set_goal(changes, goal, active=True, status="running")
    nudge = _RESUMED_GOAL.format(objective=goal["objective"])
    _take_message(changes, [wire.text_content(nudge)], role="user", run=True)


def fork(
    changes: Writing,
    source: V1Conversation,
    events: Iterable[Event],
    *,
    conversation_id: str,
    from_event_id: str | None,
    reset_metrics: bool,
    **noted: Any,
) -> None:
    """A copy of a conversation with these events of it, at rest."""
    inherited = ("sandbox_id", "llm_model", "agent", "workspace", "max_iterations", "stuck_detection")
    details = {name: getattr(source, name) for name in inherited}
    origin = {"forked_from_conversation_id": dashed(source.id), "forked_from_event_id": from_event_id}
    conversation = {**details, **origin, **noted, "id": conversation_id, "pr_number": []}
    changes.record("created", version="V1", conversation=conversation)
    for event in events:
        changes.record("event", event=event)
    calls = changes.state.calls
    changes.record("reset")
    if not reset_metrics:
        note(changes, calls=calls)
    if changes.state.execution_status != IDLE:
        _set_status(changes, IDLE)


def final_response(events: Sequence[Event]) -> str:
    """What the agent said last, by finishing or in words; empty when it has not."""
    for event in reversed(events):
        if event["source"] != "agent":
            continue
        if event["kind"] == "ActionEvent" and event["tool_name"] == "finish":
            return str((event["action"] or {}).get("message", ""))
        if event["kind"] == "MessageEvent":
            return wire.text_of(event["llm_message"]["content"])
    return ""


def set_confirmation_policy(changes: Writing, policy: Mapping[str, Any]) -> None:
    """From now on the agent asks when this policy says so; what it has asked already stays asked."""
    _emit(changes, wire.state_update("confirmation_policy", confirmation.completed(policy)))


def set_security_analyzer(changes: Writing, analyzer: Mapping[str, Any] | None) -> None:
    """Who judges risks. The scripted agent judges them itself, so this is only shown."""
    _emit(changes, wire.state_update("security_analyzer", analyzer))


def update_secrets(changes: Writing, secrets: Mapping[str, Any]) -> None:
    """Add secrets or replace them; only their names and descriptions are put on record."""
    described = {
        name: one.get("description") if isinstance(one, Mapping) else None for name, one in secrets.items()
    }
    if described:
        changes.record("secrets", secrets=described)


def condense(changes: Writing, events: Sequence[Event]) -> None:
    """Replace what was said so far by a summary, for the agent; the log stays as it is.

    Args:
        changes: what is being decided.
        events: the log so far.
    """
    _emit(changes, wire.condensation_request())
    gone = {one for event in events for one in event.get("forgotten_event_ids", ())}
    forgotten = [event["id"] for event in events if event["kind"] in _CONDENSED and event["id"] not in gone]
    said = [
        wire.text_of(event["llm_message"]["content"]) for event in events if event["kind"] == "MessageEvent"
    ]
    summary = f"{len(forgotten)} events, {len(said)} messages; the last one: {said[-1]}" if said else ""
    _emit(changes, wire.condensation(forgotten, summary or "Nothing was said yet."))


def suggested_title(state: V1Conversation, events: Iterable[Event], longest: int) -> str:
    """A title made from the first message, or the one it has when nobody has said anything."""
    for event in events:
        text = _said_by_user(event)
        if text:
            return title_from_message(text, longest)
    return title_from_message(state.shown_title, longest)


def answer(state: V1Conversation, question: str) -> str:
    """What the scripted agent says when it is asked about its work; always the same for the same state."""
    turns = state.turn.number
    return f"I follow my script. Turns: {turns}. State: {state.execution_status}. You asked: {question}"


def _said_by_user(event: Event) -> str:
    if event["kind"] != "MessageEvent" or event["source"] != "user":
        return ""
    return wire.text_of(event["llm_message"]["content"]).strip()


def confirm(changes: Writing, *, accept: bool, reason: str = DEFAULT_REJECTION) -> None:
    """Answer the agent's question; nothing changes when it has asked none."""
    pending = changes.state.turn.pending
    if changes.state.execution_status != WAITING or pending is None:
        return
    if accept:
        start_run(changes)
        return
    _set_status(changes, IDLE)
    _emit(changes, wire.rejection(pending, reason), turn=changes.state.turn.refused())


# -- what agent servers elsewhere report ------------------------------------------------------------


def as_reported(event: Event) -> Event:
    """An event in the form it is kept: its id dashed, its time without zone and with six decimals."""
    return {**event, "id": wire.event_id(event["id"]), "timestamp": zoneless(parse(event["timestamp"]))}


def report(changes: Writing, event: Event) -> None:
    """Keep an event that happened elsewhere; the first message of the user gives the title."""
    changes.record("reported", event=event)
    text = _said_by_user(event)
    if changes.state.title is None and text:
        changes.record("renamed", title=title_from_message(text))


def take_up(changes: Writing, conversation_id: str, sandbox_id: str, info: Mapping[str, Any]) -> None:
    """A conversation that was started elsewhere."""
    model = ((info.get("agent") or {}).get("llm") or {}).get("model")
    found = {"id": conversation_id, "sandbox_id": sandbox_id, "pr_number": []}
    found["llm_model"] = model or DEFAULT_MODEL
    changes.record("created", version="V1", conversation=found)


def report_info(changes: Writing, info: Mapping[str, Any]) -> None:
    """Title and metrics of a conversation as its agent server knows them."""
    title = (info.get("title") or "").strip()
    if title and title != changes.state.title:
        rename(changes, title)
    metrics = _metrics_of(info.get("stats"))
    if metrics is not None and metrics != changes.state.metrics:
        changes.record("metrics", metrics=metrics)


# -- what the agent does ----------------------------------------------------------------------------


def perform(changes: Writing, act: Act) -> None:
    """The next act of the script."""
    match act:
        case Run():
            _run(changes, act)
        case Write():
            _write(changes, act)
        case Think(thought):
            _think(changes, thought)
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
        case GetRateLimited(detail):
            perform(changes, Fail("LLMRateLimitError", detail))
        case GetStuck():
            _set_status(changes, STUCK, turn=changes.state.turn.ended())


def observe(changes: Writing, written: Written | None = None) -> None:
    """The action that was announced has been carried out; `written` says what came of a file."""
    pending = changes.state.turn.pending
    if pending is not None:
        observation = pending["observation"] if written is None else wire.after_writing(pending, written)
        _emit(changes, dict(observation), turn=changes.state.turn.acted())


def file_to_write(state: V1Conversation) -> tuple[str, str] | None:
    """Path and content of the file the announced action writes; None when it writes none."""
    pending = state.turn.pending
    return None if pending is None or "file" not in pending else tuple(pending["file"])


def end_turn(changes: Writing) -> None:
    """The script has nothing more for this turn."""
    _come_to_rest(changes)


def _run(changes: Writing, act: Run) -> None:
    call_id, event_id = _call_id(changes), str(changes.new_id())
    observation = wire.terminal_observation(act, call_id, event_id)
    _announce(changes, wire.terminal_action(act, call_id), observation, event_id)
    if act.confirm or confirmation.asks(changes.state.confirmation_policy, act.risk):
        _ask(changes)


def _write(changes: Writing, act: Write) -> None:
    call_id, event_id = _call_id(changes), str(changes.new_id())
    action, observation = wire.file_action(act, call_id), wire.file_observation(act, call_id, event_id)
    _announce(changes, action, observation, event_id, file=[act.path, act.content])
    if confirmation.asks(changes.state.confirmation_policy, action["security_risk"]):
        _ask(changes)


def _think(changes: Writing, thought: str) -> None:
    call_id, event_id = _call_id(changes), str(changes.new_id())
    observation = wire.think_observation(call_id, event_id)
    _announce(changes, wire.think_action(thought, call_id), observation, event_id)
    if confirmation.asks(changes.state.confirmation_policy, wire.THINKING_RISK):
        _ask(changes)
    else:
        observe(changes)


def _announce(changes: Writing, action: Event, observation: Event, event_id: str, **more: Any) -> None:
    """Put an action on record, with what will come of it."""
    pending = {
        "tool_name": action["tool_name"],
        "tool_call_id": action["tool_call_id"],
        "action_id": event_id,
        "observation": observation,
        **more,
    }
    _emit(changes, action, event_id=event_id, turn=changes.state.turn.announced(pending))


def _ask(changes: Writing) -> None:
    """Wait for the user to confirm what was announced."""
    _set_status(changes, WAITING)
    _emit_stats(changes)


def _come_to_rest(changes: Writing) -> None:
    turn = changes.state.turn.ended()
    if turn.queue:
        changes.record("turn", turn=turn.begun().to_json())
        return
    _set_status(changes, FINISHED, turn=turn)
    _emit_stats(changes)
    goal = changes.state.goal
    if goal is not None and changes.state.pursuing:
        reached = {**goal, "iteration": goal["iteration"] + 1, "verdict": _REACHED}
        _set_goal(changes, reached, active=False, status="complete")


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
    if status in _HALTED:
        stop_goal(changes)


def _set_goal(changes: Writing, goal: Mapping[str, Any], *, active: bool, status: str) -> None:
    _emit(changes, wire.state_update("goal", {**goal, "active": active, "status": status}))


def _emit_stats(changes: Writing) -> None:
    state = changes.state
    _emit(changes, wire.state_update("stats", wire.stats(state.calls, state.llm_model)))


def _call_id(changes: Writing) -> str:
    return f"call_{changes.state.calls + 1:08x}"
