"""Events of a V1 conversation: one class per `kind`, and one for the kinds still to come.

`parse_event` never fails on a JSON object: an event of an unknown kind, or of a known kind in an
unexpected shape, becomes an `UnknownEvent` that has lost nothing, because a stream must not end over
one strange event.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, TypeAdapter

from openhands_client.models.base import JsonObject, OrAsSent, Timestamp, WireModel
from openhands_client.models.content import (
    AnyContent,
    Content,
    ImageContent,
    Message,
    MessageToolCall,
    TextContent,
    text_of,
)
from openhands_client.models.enums import EventSource, ExecutionStatus, SecurityRisk

_Contents = list[TextContent | ImageContent | Content]


class Event(WireModel, frozen=True):
    """What every event has. A `timestamp` has no zone: it is the local time of its server."""

    kind: str
    id: str
    timestamp: Timestamp | None
    source: EventSource | None

    @property
    def gist(self) -> str:
        """The event in a few words, for people."""
        return ""

    def __str__(self) -> str:
        gist = self.gist
        return f"[{self.source}] {self.kind}: {gist}" if gist else f"[{self.source}] {self.kind}"


class UnknownEvent(Event, frozen=True):
    """An event this package has no class for; its other fields are attributes and in `model_extra`."""

    kind: Annotated[str, OrAsSent] = ""
    id: Annotated[str, OrAsSent] = ""
    timestamp: Annotated[Timestamp | None, OrAsSent] = None
    source: Annotated[EventSource | None, OrAsSent] = None


class KnownEvent(Event, frozen=True):
    """What events of the known kinds have in common."""

    timestamp: Timestamp
    source: EventSource


class Action(WireModel, frozen=True):
    """What the agent wants to do, of a kind this package has no class for."""

    kind: str


class FinishAction(Action, frozen=True):
    """The agent is done, and says so."""

    kind: Literal["FinishAction"]
    message: str


class ThinkAction(Action, frozen=True):
    """The agent notes a thought."""

    kind: Literal["ThinkAction"]
    thought: str


class TerminalAction(Action, frozen=True):
    """A command for the terminal; `timeout` is in seconds."""

    kind: Literal["TerminalAction"]
    command: str
    is_input: StrictBool = False
    timeout: StrictFloat | None = None
    reset: StrictBool = False


class FileEditorAction(Action, frozen=True):
    """Look at a file or change it: `command` is view, create, str_replace, insert or undo_edit."""

    kind: Literal["FileEditorAction"]
    command: str
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: StrictInt | None = None
    view_range: list[StrictInt] | None = None


AnyAction = Annotated[
    Annotated[FinishAction | ThinkAction | TerminalAction | FileEditorAction, Field(discriminator="kind")]
    | Action,
    Field(union_mode="left_to_right"),
]


class Observation(WireModel, frozen=True):
    """What came of an action."""

    kind: str
    content: list[AnyContent] = Field(default_factory=_Contents)
    is_error: StrictBool = False

    @property
    def text(self) -> str:
        """Its text, images left out."""
        return text_of(self.content)


class TerminalObservation(Observation, frozen=True):
    """What a command printed. The exit code may stand in `metadata` only; `exit_status` reads both."""

    kind: Literal["TerminalObservation"]
    command: str | None = None
    exit_code: StrictInt | None = None
    timeout: StrictBool = False
    metadata: JsonObject = Field(default_factory=JsonObject)
    full_output_save_dir: str | None = None

    @property
    def exit_status(self) -> int | None:
        """The exit code of the command, if it has ended."""
        code = self.metadata.get("exit_code") if self.exit_code is None else self.exit_code
        return code if isinstance(code, int) else None


class FileEditorObservation(Observation, frozen=True):
    """What became of a file."""

    kind: Literal["FileEditorObservation"]
    command: str | None = None
    path: str | None = None
    prev_exist: StrictBool | None = None
    old_content: str | None = None
    new_content: str | None = None


AnyObservation = Annotated[
    Annotated[TerminalObservation | FileEditorObservation, Field(discriminator="kind")] | Observation,
    Field(union_mode="left_to_right"),
]


class SystemPromptEvent(KnownEvent, frozen=True):
    """What the agent was told before anything else."""

    kind: Literal["SystemPromptEvent"]
    system_prompt: TextContent = Field(repr=False)
    tools: list[JsonObject] = Field(default_factory=list[JsonObject], repr=False)


class MessageEvent(KnownEvent, frozen=True):
    """A message of the user or of the agent."""

    kind: Literal["MessageEvent"]
    llm_message: Message
    llm_response_id: str | None = None
    activated_skills: list[str] = Field(default_factory=list[str])
    extended_content: list[AnyContent] = Field(default_factory=_Contents)
    sender: str | None = None

    @property
    def gist(self) -> str:
        return self.llm_message.text


class ActionEvent(KnownEvent, frozen=True):
    """The agent acts. `action` is None when it called a tool that does not exist, or wrongly."""

    kind: Literal["ActionEvent"]
    thought: list[AnyContent] = Field(default_factory=_Contents)
    reasoning_content: str | None = None
    thinking_blocks: list[JsonObject] = Field(default_factory=list[JsonObject])
    responses_reasoning_item: Any = None
    action: AnyAction | None = None
    tool_name: str = ""
    tool_call_id: str = ""
    tool_call: MessageToolCall | None = None
    llm_response_id: str | None = None
    security_risk: SecurityRisk = SecurityRisk.UNKNOWN

    @property
    def gist(self) -> str:
        match self.action:
            case FinishAction(message=said) | ThinkAction(thought=said) | TerminalAction(command=said):
                return f"{self.tool_name}: {said}"
            case FileEditorAction(command=command, path=path):
                return f"{self.tool_name}: {command} {path}"
            case _:
                return self.tool_name


class ObservationEvent(KnownEvent, frozen=True):
    """What came of the action `action_id`."""

    kind: Literal["ObservationEvent"]
    observation: AnyObservation
    action_id: str = ""
    tool_name: str = ""
    tool_call_id: str = ""

    @property
    def gist(self) -> str:
        return f"{self.tool_name}: {self.observation.text}"


class UserRejectObservation(KnownEvent, frozen=True):
    """The user refused the action `action_id`."""

    kind: Literal["UserRejectObservation"]
    rejection_reason: str = ""
    action_id: str = ""
    tool_name: str = ""
    tool_call_id: str = ""

    @property
    def gist(self) -> str:
        return self.rejection_reason


class AgentErrorEvent(KnownEvent, frozen=True):
    """The agent made a mistake, was told, and goes on."""

    kind: Literal["AgentErrorEvent"]
    error: str
    tool_name: str = ""
    tool_call_id: str = ""

    @property
    def gist(self) -> str:
        return self.error


class ConversationErrorEvent(KnownEvent, frozen=True):
    """The conversation came to rest in an error."""

    kind: Literal["ConversationErrorEvent"]
    code: str
    detail: str = ""

    @property
    def gist(self) -> str:
        return f"{self.code}: {self.detail}"


class ConversationStateUpdateEvent(KnownEvent, frozen=True):
    """A piece of the conversation's state changed: `key` names it, `full_state` being all of it."""

    kind: Literal["ConversationStateUpdateEvent"]
    key: str
    value: Any = None

    @property
    def execution_status(self) -> ExecutionStatus | None:
        """What the agent does now, if this event tells."""
        status = self.value
        if self.key == "full_state" and isinstance(self.value, dict):
            status = self.value.get("execution_status")
        elif self.key != "execution_status":
            return None
        return ExecutionStatus(status) if isinstance(status, str) else None

    @property
    def gist(self) -> str:
        status = self.execution_status
        return f"{self.key}={status}" if status else self.key


class PauseEvent(KnownEvent, frozen=True):
    """The user paused the agent."""

    kind: Literal["PauseEvent"]


class Condensation(KnownEvent, frozen=True):
    """Old events were forgotten, and perhaps summarised, to shorten the model's context."""

    kind: Literal["Condensation"]
    forgotten_event_ids: list[str] = Field(default_factory=list[str])
    summary: str | None = None
    summary_offset: StrictInt | None = None
    llm_response_id: str | None = None

    @property
    def gist(self) -> str:
        return self.summary or ""


class CondensationRequest(KnownEvent, frozen=True):
    """A condensation was asked for."""

    kind: Literal["CondensationRequest"]


class CondensationSummaryEvent(KnownEvent, frozen=True):
    """What the forgotten events said."""

    kind: Literal["CondensationSummaryEvent"]
    summary: str

    @property
    def gist(self) -> str:
        return self.summary


class LLMCompletionLogEvent(KnownEvent, frozen=True):
    """The log of one call to the model."""

    kind: Literal["LLMCompletionLogEvent"]
    filename: str
    log_data: str = Field(repr=False)
    model_name: str | None = None
    usage_id: str | None = None

    @property
    def gist(self) -> str:
        return self.filename


class TokenEvent(KnownEvent, frozen=True):
    """The tokens of one call to the model."""

    kind: Literal["TokenEvent"]
    prompt_token_ids: list[StrictInt] = Field(repr=False)
    response_token_ids: list[StrictInt] = Field(repr=False)


AnyEvent = Annotated[
    Annotated[
        ActionEvent
        | AgentErrorEvent
        | Condensation
        | CondensationRequest
        | CondensationSummaryEvent
        | ConversationErrorEvent
        | ConversationStateUpdateEvent
        | LLMCompletionLogEvent
        | MessageEvent
        | ObservationEvent
        | PauseEvent
        | SystemPromptEvent
        | TokenEvent
        | UserRejectObservation,
        Field(discriminator="kind"),
    ]
    | UnknownEvent,
    Field(union_mode="left_to_right"),
]


class EventPage(WireModel, frozen=True):
    """One page of events; `next_page_id` is None on the last."""

    items: list[AnyEvent]
    next_page_id: str | None = None


_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent, config=ConfigDict(defer_build=True))


def parse_event(event: JsonObject | str | bytes) -> AnyEvent:
    """The event in a JSON object, or in the JSON text of one.

    Raises pydantic's `ValidationError` if it is no JSON object.
    """
    if isinstance(event, (str, bytes)):
        return _EVENT.validate_json(event)
    return _EVENT.validate_python(event)
