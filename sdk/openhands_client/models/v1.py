"""The V1 conversation API: app conversations, start tasks, sandboxes, and the agent server's conversation."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from openhands_client.models.base import JsonObject, RequestModel, Timestamp, WireModel
from openhands_client.models.content import ImageContent, Message, TextContent
from openhands_client.models.enums import (
    AgentType,
    ConversationTrigger,
    ExecutionStatus,
    ProviderType,
    SandboxStatus,
    StartTaskStatus,
)


class TokenUsage(WireModel, frozen=True):
    """Tokens used so far."""

    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    context_window: int = 0
    per_turn_token: int = 0
    response_id: str = ""


class MetricsSnapshot(WireModel, frozen=True):
    """What a conversation has cost so far, in US dollars and tokens."""

    model_name: str | None = None
    accumulated_cost: float = 0.0
    max_budget_per_task: float | None = None
    accumulated_token_usage: TokenUsage | None = None


class AppConversation(WireModel, frozen=True):
    """A V1 conversation. `conversation_url` and `session_api_key` are None unless its sandbox runs."""

    id: str
    sandbox_id: str
    created_by_user_id: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: ProviderType | None = None
    title: str | None = None
    trigger: ConversationTrigger | None = None
    pr_number: list[int] = Field(default_factory=list[int])
    llm_model: str | None = None
    metrics: MetricsSnapshot | None = None
    parent_conversation_id: str | None = None
    sub_conversation_ids: list[str] = Field(default_factory=list[str])
    sandbox_status: SandboxStatus = SandboxStatus.MISSING
    execution_status: ExecutionStatus | None = None
    conversation_url: str | None = None
    session_api_key: str | None = Field(default=None, repr=False)
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class AppConversationPage(WireModel, frozen=True):
    """One page of conversations; `next_page_id` is None on the last."""

    items: list[AppConversation]
    next_page_id: str | None = None


def _without_unknown_fields(
    content: list[TextContent | ImageContent],
) -> list[TextContent | ImageContent]:
    for item in content:
        if item.model_extra:
            unknown = ", ".join(sorted(item.model_extra))
            raise ValueError(f"unknown fields in {type(item).__name__}: {unknown}")
        if item.type == "image_url":
            raise ValueError("servers take images as ImageContent(image_urls=[…])")
    return content


class SendMessageRequest(RequestModel, frozen=True):
    """A message for the agent: the body of the agent server's `POST …/events`, and a first message.

    `run` is always sent, because servers differ in what its absence means. Servers take only the
    role `user`, whatever their documents say.
    """

    role: Literal["user", "system", "assistant", "tool"] = "user"
    content: Annotated[
        list[Annotated[TextContent | ImageContent, Field(discriminator="type")]],
        AfterValidator(_without_unknown_fields),
    ]
    run: bool = True


class ConfirmationResponseRequest(RequestModel, frozen=True):
    """The answer to an action that waits for confirmation."""

    accept: bool
    reason: str | None = None


class AppConversationStartRequest(RequestModel, frozen=True):
    """The body of `POST /api/v1/app-conversations` and `…/stream-start`.

    Without `sandbox_id` each conversation gets a new sandbox. A `conversation_id` that exists already
    gives that conversation, not a second one. Some servers ignore `title`.
    """

    sandbox_id: str | None = None
    conversation_id: str | None = None
    initial_message: SendMessageRequest | None = None
    system_message_suffix: str | None = None
    processors: list[JsonObject] | None = None
    llm_model: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: ProviderType | None = None
    title: str | None = None
    trigger: ConversationTrigger | None = None
    pr_number: list[int] | None = None
    parent_conversation_id: str | None = None
    agent_type: AgentType | None = None
    suggested_task: JsonObject | None = None


class StartRequestEcho(WireModel, frozen=True):
    """The start request as a start task repeats it: the same fields, read tolerantly."""

    sandbox_id: str | None = None
    conversation_id: str | None = None
    initial_message: Message | None = None
    system_message_suffix: str | None = None
    processors: list[JsonObject] | None = None
    llm_model: str | None = None
    selected_repository: str | None = None
    selected_branch: str | None = None
    git_provider: ProviderType | None = None
    title: str | None = None
    trigger: ConversationTrigger | None = None
    pr_number: list[int] = Field(default_factory=list[int])
    parent_conversation_id: str | None = None
    agent_type: AgentType | None = None


class AppConversationStartTask(WireModel, frozen=True):
    """The progress of one start. Terminal in READY and ERROR; `detail` says why it is in ERROR."""

    id: str
    status: StartTaskStatus
    detail: str | None = None
    app_conversation_id: str | None = None
    sandbox_id: str | None = None
    agent_server_url: str | None = None
    created_by_user_id: str | None = None
    request: StartRequestEcho | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in (StartTaskStatus.READY, StartTaskStatus.ERROR)


class AppConversationStartTaskPage(WireModel, frozen=True):
    """One page of start tasks; `next_page_id` is None on the last."""

    items: list[AppConversationStartTask]
    next_page_id: str | None = None


class ExposedUrl(WireModel, frozen=True):
    """An address inside a sandbox that can be reached from outside: AGENT_SERVER, VSCODE, WORKER_1, …"""

    name: str
    url: str
    port: int | None = None


class SandboxInfo(WireModel, frozen=True):
    """A sandbox. `session_api_key` and `exposed_urls` are None unless it runs."""

    id: str
    status: SandboxStatus
    created_by_user_id: str | None = None
    sandbox_spec_id: str | None = None
    session_api_key: str | None = Field(default=None, repr=False)
    exposed_urls: list[ExposedUrl] | None = None
    created_at: Timestamp | None = None


class SandboxPage(WireModel, frozen=True):
    """One page of sandboxes; `next_page_id` is None on the last."""

    items: list[SandboxInfo]
    next_page_id: str | None = None


class ServerInfo(WireModel, frozen=True):
    """What a server says of itself; `uptime` and `idle_time` are seconds."""

    uptime: float | None = None
    idle_time: float | None = None
    title: str | None = None
    version: str | None = None
    docs: str | None = None
    redoc: str | None = None
    resources: JsonObject | None = None


class AgentConversationInfo(WireModel, frozen=True):
    """A conversation as its agent server shows it (named ConversationInfo there)."""

    id: str
    title: str | None = None
    execution_status: ExecutionStatus = ExecutionStatus.IDLE
    agent: JsonObject | None = Field(default=None, repr=False)
    workspace: JsonObject | None = None
    persistence_dir: str | None = None
    max_iterations: int | None = None
    stuck_detection: bool | None = None
    confirmation_policy: JsonObject | None = None
    security_analyzer: Any = None
    activated_knowledge_skills: list[str] = Field(default_factory=list[str])
    stats: JsonObject | None = Field(default=None, repr=False)
    secret_registry: JsonObject | None = Field(default=None, repr=False)
    metrics: MetricsSnapshot | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


class AgentConversationPage(WireModel, frozen=True):
    """One page of an agent server's conversations; `next_page_id` is None on the last."""

    items: list[AgentConversationInfo]
    next_page_id: str | None = None


class SandboxSpec(WireModel, frozen=True):
    """What a sandbox is made from."""

    id: str
    command: list[str] | None = None
    created_at: Timestamp | None = None
    initial_env: JsonObject = Field(default_factory=JsonObject, repr=False)
    working_dir: str | None = None


class SandboxSpecPage(WireModel, frozen=True):
    """One page of sandbox specs; `next_page_id` is None on the last."""

    items: list[SandboxSpec]
    next_page_id: str | None = None


class GeneratedTitle(WireModel, frozen=True):
    """A title made from the conversation."""

    title: str


class AgentAnswer(WireModel, frozen=True):
    """What the agent said to a question on the side, or at its end."""

    response: str = ""


class BashCommand(WireModel, frozen=True):
    """A command that was started in the sandbox; `timeout` is in seconds."""

    kind: str = "BashCommand"
    id: str
    command: str
    cwd: str | None = None
    timeout: float | None = None
    timestamp: Timestamp | None = None


class BashOutput(WireModel, frozen=True):
    """A piece of a command's output; the last has the exit code."""

    kind: str = "BashOutput"
    id: str
    command_id: str
    order: int = 0
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    timestamp: Timestamp | None = None


class BashEventPage(WireModel, frozen=True):
    """One page of commands and outputs; `next_page_id` is None on the last."""

    items: list[JsonObject]
    next_page_id: str | None = None
