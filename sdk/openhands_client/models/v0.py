"""The V0 conversation API: what `/api/conversations…` takes and gives."""

from typing import Any, Literal

from pydantic import Field, StrictInt

from openhands_client.models.base import JsonObject, RequestModel, Timestamp, WireModel
from openhands_client.models.enums import (
    AgentState,
    ConversationStatus,
    ConversationTrigger,
    EventSource,
    ProviderType,
    RuntimeStatus,
    TaskType,
)


class ConversationInfo(WireModel, frozen=True):
    """A conversation of either generation, as V0 shows it.

    `url` is relative for a V0 conversation and the agent server's address for a V1 one; both it and
    `session_api_key` are None while nothing runs.
    """

    conversation_id: str
    title: str = ""
    status: ConversationStatus
    runtime_status: RuntimeStatus | None = None
    created_at: Timestamp | None = None
    last_updated_at: Timestamp | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: ProviderType | None = None
    trigger: ConversationTrigger | None = None
    num_connections: int = 0
    url: str | None = None
    session_api_key: str | None = Field(default=None, repr=False)
    pr_number: list[int] = Field(default_factory=list[int])
    conversation_version: str = "V0"
    sub_conversation_ids: list[str] = Field(default_factory=list[str])


class ConversationInfoResultSet(WireModel, frozen=True):
    """One page of conversations; `next_page_id` is None on the last."""

    results: list[ConversationInfo]
    next_page_id: str | None = None


class ConversationResponse(WireModel, frozen=True):
    """The answer to create, start and stop.

    Servers differ in what `conversation_status` means after a stop: ask again instead of reading it.
    """

    status: str = "ok"
    conversation_id: str
    message: str | None = None
    conversation_status: ConversationStatus | None = None


class ConversationConfig(WireModel, frozen=True):
    """Which runtime carries a conversation."""

    runtime_id: str | None = None
    session_id: str | None = None


class SuccessResponse(WireModel, frozen=True):
    """The answer of operations that only report whether they worked."""

    success: bool = True


class V0Event(WireModel, frozen=True):
    """A V0 event: an action (what someone wants) or an observation (what came of it)."""

    id: StrictInt
    timestamp: Timestamp | None = None
    source: EventSource | None = None
    message: str | None = None
    cause: StrictInt | None = None
    action: str | None = None
    args: JsonObject = Field(default_factory=JsonObject)
    observation: str | None = None
    content: Any = None
    extras: JsonObject = Field(default_factory=JsonObject)
    tool_call_metadata: JsonObject | None = Field(default=None, repr=False)
    llm_metrics: JsonObject | None = Field(default=None, repr=False)

    @property
    def is_action(self) -> bool:
        """Whether it is an action."""
        return self.action is not None

    @property
    def is_observation(self) -> bool:
        """Whether it is an observation."""
        return self.observation is not None

    @property
    def agent_state(self) -> AgentState | None:
        """The state this event says the agent has come to; None for every other event."""
        state = self.extras.get("agent_state") if self.observation == "agent_state_changed" else None
        return AgentState(state) if isinstance(state, str) else None

    def __str__(self) -> str:
        what = self.action or self.observation or "event"
        said = self.agent_state or self.message or (self.content if isinstance(self.content, str) else "")
        return f"[{self.source}] {what}: {said}" if said else f"[{self.source}] {what}"


class EventsPage(WireModel, frozen=True):
    """A stretch of a V0 conversation's events."""

    events: list[V0Event]
    has_more: bool = False


class SuggestedTask(RequestModel, frozen=True):
    """A task the provider suggests, to start a conversation on."""

    git_provider: ProviderType
    task_type: TaskType
    repo: str
    issue_number: int
    title: str


class CreateMicroagent(RequestModel, frozen=True):
    """Where to put the microagent a conversation is to write."""

    repo: str
    git_provider: ProviderType | None = None
    title: str | None = None


class InitSessionRequest(RequestModel, frozen=True):
    """The body of `POST /api/conversations`."""

    repository: str | None = None
    git_provider: ProviderType | None = None
    selected_branch: str | None = None
    initial_user_msg: str | None = None
    image_urls: list[str] | None = None
    replay_json: str | None = None
    suggested_task: SuggestedTask | None = None
    create_microagent: CreateMicroagent | None = None
    conversation_instructions: str | None = None
    mcp_config: JsonObject | None = None
    conversation_id: str | None = None


class UpdateConversationRequest(RequestModel, frozen=True):
    """The body of `PATCH /api/conversations/{conversation_id}`."""

    title: str = Field(min_length=1, max_length=200)


class ProvidersSetModel(RequestModel, frozen=True):
    """The body of `POST /api/conversations/{conversation_id}/start`."""

    providers_set: list[ProviderType] | None = None


class AddMessageRequest(RequestModel, frozen=True):
    """The body of `POST /api/conversations/{conversation_id}/message`."""

    message: str


class V0MessageArgs(RequestModel, frozen=True):
    """What a V0 message action carries."""

    content: str
    image_urls: list[str] = Field(default_factory=list[str])
    file_urls: list[str] = Field(default_factory=list[str])
    timestamp: Timestamp | None = None


class V0MessageAction(RequestModel, frozen=True):
    """A user's message as a V0 event, for `POST /api/conversations/{conversation_id}/events`."""

    action: Literal["message"] = "message"
    args: V0MessageArgs
