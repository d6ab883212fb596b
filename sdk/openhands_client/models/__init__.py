"""Pydantic models of what servers send and take, under their names on the wire.

They are loaded at the first use of any of them: pydantic needs several times longer to set up its
model machinery than the rest of this package to load, and `import openhands_client` should not cost
more than `import httpx, pydantic`. So code that runs at import time must not touch a model: annotate
under `TYPE_CHECKING`, and name a result type in a function (`lambda: models.AppConversation`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openhands_client.models.base import JsonObject, RequestModel, WireModel
    from openhands_client.models.content import (
        AnyContent,
        Content,
        ImageContent,
        Message,
        MessageToolCall,
        TextContent,
    )
    from openhands_client.models.enums import (
        AgentState,
        AgentType,
        ConversationStatus,
        ConversationTrigger,
        EventSource,
        ExecutionStatus,
        ProviderType,
        RuntimeStatus,
        SandboxStatus,
        SecurityRisk,
        StartTaskStatus,
        TaskType,
    )
    from openhands_client.models.events import (
        Action,
        ActionEvent,
        AgentErrorEvent,
        AnyAction,
        AnyEvent,
        AnyObservation,
        Condensation,
        CondensationRequest,
        CondensationSummaryEvent,
        ConversationErrorEvent,
        ConversationStateUpdateEvent,
        Event,
        EventPage,
        FileEditorAction,
        FileEditorObservation,
        FinishAction,
        KnownEvent,
        LLMCompletionLogEvent,
        MessageEvent,
        Observation,
        ObservationEvent,
        PauseEvent,
        SystemPromptEvent,
        TerminalAction,
        TerminalObservation,
        ThinkAction,
        TokenEvent,
        UnknownEvent,
        UserRejectObservation,
        parse_event,
    )
    from openhands_client.models.v0 import (
        AddMessageRequest,
        ConversationConfig,
        ConversationInfo,
        ConversationInfoResultSet,
        ConversationResponse,
        CreateMicroagent,
        EventsPage,
        InitSessionRequest,
        ProvidersSetModel,
        SuccessResponse,
        SuggestedTask,
        UpdateConversationRequest,
        V0Event,
        V0MessageAction,
        V0MessageArgs,
    )
    from openhands_client.models.v1 import (
        AgentConversationInfo,
        AppConversation,
        AppConversationPage,
        AppConversationStartRequest,
        AppConversationStartTask,
        AppConversationStartTaskPage,
        ConfirmationResponseRequest,
        ExposedUrl,
        MetricsSnapshot,
        SandboxInfo,
        SandboxPage,
        SendMessageRequest,
        ServerInfo,
        StartRequestEcho,
        TokenUsage,
    )

__all__ = [
    "Action",
    "ActionEvent",
    "AddMessageRequest",
    "AgentConversationInfo",
    "AgentErrorEvent",
    "AgentState",
    "AgentType",
    "AnyAction",
    "AnyContent",
    "AnyEvent",
    "AnyObservation",
    "AppConversation",
    "AppConversationPage",
    "AppConversationStartRequest",
    "AppConversationStartTask",
    "AppConversationStartTaskPage",
    "Condensation",
    "CondensationRequest",
    "CondensationSummaryEvent",
    "ConfirmationResponseRequest",
    "Content",
    "ConversationConfig",
    "ConversationErrorEvent",
    "ConversationInfo",
    "ConversationInfoResultSet",
    "ConversationResponse",
    "ConversationStateUpdateEvent",
    "ConversationStatus",
    "ConversationTrigger",
    "CreateMicroagent",
    "Event",
    "EventPage",
    "EventSource",
    "EventsPage",
    "ExecutionStatus",
    "ExposedUrl",
    "FileEditorAction",
    "FileEditorObservation",
    "FinishAction",
    "ImageContent",
    "InitSessionRequest",
    "JsonObject",
    "KnownEvent",
    "LLMCompletionLogEvent",
    "Message",
    "MessageEvent",
    "MessageToolCall",
    "MetricsSnapshot",
    "Observation",
    "ObservationEvent",
    "PauseEvent",
    "ProviderType",
    "ProvidersSetModel",
    "RequestModel",
    "RuntimeStatus",
    "SandboxInfo",
    "SandboxPage",
    "SandboxStatus",
    "SecurityRisk",
    "SendMessageRequest",
    "ServerInfo",
    "StartRequestEcho",
    "StartTaskStatus",
    "SuccessResponse",
    "SuggestedTask",
    "SystemPromptEvent",
    "TaskType",
    "TerminalAction",
    "TerminalObservation",
    "TextContent",
    "ThinkAction",
    "TokenEvent",
    "TokenUsage",
    "UnknownEvent",
    "UpdateConversationRequest",
    "UserRejectObservation",
    "V0Event",
    "V0MessageAction",
    "V0MessageArgs",
    "WireModel",
    "parse_event",
]

_MODULES = ("enums", "base", "content", "v1", "v0", "events")


def __getattr__(name: str) -> object:
    if name in __all__:
        for module_name in _MODULES:
            module = import_module(f"{__name__}.{module_name}")
            if name in vars(module):
                globals()[name] = vars(module)[name]
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
