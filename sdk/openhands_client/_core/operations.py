"""The catalogue: one record per operation of openapi/app-server.yaml and openapi/agent-server.yaml.

Constants carry the operationId; those of the agent server are prefixed, because both documents use the
same short names.
"""

from __future__ import annotations

from typing import Any, cast

from openhands_client import models as m

from .operation import Operation, Repeat


def _success() -> type[m.SuccessResponse]:
    return m.SuccessResponse


_CONVERSATION = "/api/conversations/{conversation_id}"
_APP_CONVERSATIONS = "/api/v1/app-conversations"
_START_TASKS = "/api/v1/app-conversations/start-tasks"
_SANDBOXES = "/api/v1/sandboxes"

# V0 conversations

CREATE_CONVERSATION = Operation(
    "app",
    "create_conversation",
    "POST",
    "/api/conversations",
    lambda: m.ConversationResponse,
    Repeat.NEVER,
)
LIST_CONVERSATIONS = Operation(
    "app",
    "list_conversations",
    "GET",
    "/api/conversations",
    lambda: m.ConversationInfoResultSet,
)
GET_CONVERSATION = Operation(
    "app",
    "get_conversation",
    "GET",
    _CONVERSATION,
    lambda: m.ConversationInfo,
    null_is_missing=True,
)
UPDATE_CONVERSATION = Operation("app", "update_conversation", "PATCH", _CONVERSATION, lambda: bool)
DELETE_CONVERSATION = Operation("app", "delete_conversation", "DELETE", _CONVERSATION, lambda: bool)
START_CONVERSATION = Operation(
    "app",
    "start_conversation",
    "POST",
    _CONVERSATION + "/start",
    lambda: m.ConversationResponse,
)
STOP_CONVERSATION = Operation(
    "app",
    "stop_conversation",
    "POST",
    _CONVERSATION + "/stop",
    lambda: m.ConversationResponse,
)
PAUSE_CONVERSATION = Operation("app", "pause_conversation", "POST", _CONVERSATION + "/pause", _success)
GET_CONVERSATION_CONFIG = Operation(
    "app",
    "get_conversation_config",
    "GET",
    _CONVERSATION + "/config",
    lambda: m.ConversationConfig,
)

# V0 events

SEARCH_CONVERSATION_EVENTS = Operation(
    "app",
    "search_conversation_events",
    "GET",
    _CONVERSATION + "/events",
    lambda: m.EventsPage,
)
ADD_CONVERSATION_EVENT = Operation(
    "app", "add_conversation_event", "POST", _CONVERSATION + "/events", _success, Repeat.NEVER
)
ADD_CONVERSATION_MESSAGE = Operation(
    "app", "add_conversation_message", "POST", _CONVERSATION + "/message", _success, Repeat.NEVER
)

# V0 conversations: what they hold

GET_TRAJECTORY = Operation(
    "app", "get_trajectory", "GET", _CONVERSATION + "/trajectory", lambda: m.Trajectory
)
GET_MICROAGENTS = Operation(
    "app", "get_microagents", "GET", _CONVERSATION + "/microagents", lambda: m.MicroagentsResponse
)
GET_MICROAGENT_PROMPT = Operation(
    "app", "get_microagent_prompt", "GET", _CONVERSATION + "/remember-prompt", lambda: m.MicroagentPrompt
)
ADD_EXPERIMENT_CONFIG = Operation(
    "app", "add_experiment_config", "POST", _CONVERSATION + "/exp-config", lambda: bool
)
LIST_MICROAGENT_MANAGEMENT_CONVERSATIONS = Operation(
    "app",
    "list_microagent_management_conversations",
    "GET",
    "/api/microagent-management/conversations",
    lambda: m.ConversationInfoResultSet,
)
LIST_FILES = Operation("app", "list_files", "GET", _CONVERSATION + "/list-files", lambda: list[str])
SELECT_FILE = Operation("app", "select_file", "GET", _CONVERSATION + "/select-file", lambda: m.FileContent)
ZIP_DIRECTORY = Operation("app", "zip_directory", "GET", _CONVERSATION + "/zip-directory", lambda: object)
UPLOAD_FILES = Operation(
    "app",
    "upload_files",
    "POST",
    _CONVERSATION + "/upload-files",
    lambda: m.FileUploadSuccessResponse,
    Repeat.NEVER,  # a file object can be read only once
)
GET_GIT_CHANGES = Operation(
    "app", "get_git_changes", "GET", _CONVERSATION + "/git/changes", lambda: list[m.GitChange]
)
GET_GIT_DIFF = Operation("app", "get_git_diff", "GET", _CONVERSATION + "/git/diff", lambda: m.GitDiff)
GET_VS_CODE_URL = Operation(
    "app", "get_vs_code_url", "GET", _CONVERSATION + "/vscode-url", lambda: m.VSCodeUrl
)
GET_WEB_HOSTS = Operation("app", "get_web_hosts", "GET", _CONVERSATION + "/web-hosts", lambda: m.WebHosts)

# What people say of conversations

SUBMIT_FEEDBACK = Operation(
    "app",
    "submit_feedback",
    "POST",
    _CONVERSATION + "/submit-feedback",
    lambda: m.FeedbackResponse,
    Repeat.NEVER,
)
SUBMIT_CONVERSATION_FEEDBACK = Operation(
    "app",
    "submit_conversation_feedback",
    "POST",
    "/feedback/conversation",
    lambda: m.FeedbackResponse,
    Repeat.NEVER,
)
CHECK_FEEDBACK_EXISTS = Operation(
    "app",
    "check_feedback_exists",
    "GET",
    "/feedback/conversation/{conversation_id}/{event_id}",
    lambda: m.FeedbackStatus,
)
GET_BATCH_FEEDBACK = Operation(
    "app",
    "get_batch_feedback",
    "GET",
    "/feedback/conversation/{conversation_id}/batch",
    lambda: dict[str, m.FeedbackStatus],
)

# Settings, secrets, and what a server offers

GET_CONFIG = Operation("app", "get_config", "GET", "/api/options/config", lambda: dict[str, Any])
LIST_MODELS = Operation("app", "list_models", "GET", "/api/options/models", lambda: list[str])
LIST_AGENTS = Operation("app", "list_agents", "GET", "/api/options/agents", lambda: list[str])
LIST_SECURITY_ANALYZERS = Operation(
    "app", "list_security_analyzers", "GET", "/api/options/security-analyzers", lambda: list[str]
)
GET_SETTINGS = Operation("app", "get_settings", "GET", "/api/settings", lambda: dict[str, Any])
STORE_SETTINGS = Operation("app", "store_settings", "POST", "/api/settings", lambda: dict[str, Any])
LIST_SECRETS = Operation("app", "list_secrets", "GET", "/api/secrets", lambda: dict[str, Any])
CREATE_SECRET = Operation(
    "app", "create_secret", "POST", "/api/secrets", lambda: dict[str, Any], Repeat.NEVER
)
UPDATE_SECRET = Operation("app", "update_secret", "PUT", "/api/secrets/{secret_name}", lambda: dict[str, Any])
DELETE_SECRET = Operation(
    "app", "delete_secret", "DELETE", "/api/secrets/{secret_name}", lambda: dict[str, Any]
)
GET_USER_INFO = Operation("app", "get_user_info", "GET", "/api/user/info", lambda: dict[str, Any])
LIST_USER_REPOSITORIES = Operation(
    "app", "list_user_repositories", "GET", "/api/user/repositories", lambda: list[dict[str, Any]]
)

# V1 conversations on the app server

START_APP_CONVERSATION = Operation(
    "app",
    "start_app_conversation",
    "POST",
    _APP_CONVERSATIONS,
    lambda: m.AppConversationStartTask,
    Repeat.NEVER,
)
STREAM_START_APP_CONVERSATION = Operation(
    "app",
    "stream_start_app_conversation",
    "POST",
    _APP_CONVERSATIONS + "/stream-start",
    lambda: m.AppConversationStartTask,  # of one element of the streamed array
    Repeat.NEVER,
)
BATCH_GET_APP_CONVERSATIONS = Operation(
    "app",
    "batch_get_app_conversations",
    "GET",
    _APP_CONVERSATIONS,
    lambda: list[m.AppConversation | None],
)
SEARCH_APP_CONVERSATIONS = Operation(
    "app",
    "search_app_conversations",
    "GET",
    _APP_CONVERSATIONS + "/search",
    lambda: m.AppConversationPage,
)
COUNT_APP_CONVERSATIONS = Operation(
    "app", "count_app_conversations", "GET", _APP_CONVERSATIONS + "/count", lambda: int
)
BATCH_GET_START_TASKS = Operation(
    "app",
    "batch_get_start_tasks",
    "GET",
    _START_TASKS,
    lambda: list[m.AppConversationStartTask | None],
)
SEARCH_START_TASKS = Operation(
    "app",
    "search_start_tasks",
    "GET",
    _START_TASKS + "/search",
    lambda: m.AppConversationStartTaskPage,
)
COUNT_START_TASKS = Operation("app", "count_start_tasks", "GET", _START_TASKS + "/count", lambda: int)

# Events of V1 conversations as the app server was told of them

SEARCH_EVENTS = Operation("app", "search_events", "GET", "/api/v1/events/search", lambda: m.EventPage)
COUNT_EVENTS = Operation("app", "count_events", "GET", "/api/v1/events/count", lambda: int)

# Sandboxes

BATCH_GET_SANDBOXES = Operation(
    "app", "batch_get_sandboxes", "GET", _SANDBOXES, lambda: list[m.SandboxInfo | None]
)
SEARCH_SANDBOXES = Operation("app", "search_sandboxes", "GET", _SANDBOXES + "/search", lambda: m.SandboxPage)
PAUSE_SANDBOX = Operation("app", "pause_sandbox", "POST", _SANDBOXES + "/{sandbox_id}/pause", _success)
RESUME_SANDBOX = Operation("app", "resume_sandbox", "POST", _SANDBOXES + "/{sandbox_id}/resume", _success)

# Both servers

ALIVE = Operation("app", "alive", "GET", "/alive", lambda: object)
HEALTH = Operation("app", "health", "GET", "/health", lambda: object)
SERVER_INFO = Operation("app", "server_info", "GET", "/server_info", lambda: m.ServerInfo)
AGENT_ALIVE = Operation("agent", "alive", "GET", "/alive", lambda: object)
AGENT_HEALTH = Operation("agent", "health", "GET", "/health", lambda: object)
AGENT_SERVER_INFO = Operation("agent", "server_info", "GET", "/server_info", lambda: m.ServerInfo)

# V1 conversations on their agent server

AGENT_GET_CONVERSATION = Operation(
    "agent", "get_conversation", "GET", _CONVERSATION, lambda: m.AgentConversationInfo
)
AGENT_RUN_CONVERSATION = Operation(
    "agent", "run_conversation", "POST", _CONVERSATION + "/run", _success, Repeat.NEVER
)
AGENT_PAUSE_CONVERSATION = Operation(
    "agent", "pause_conversation", "POST", _CONVERSATION + "/pause", _success
)
AGENT_SEARCH_EVENTS = Operation(
    "agent",
    "search_events",
    "GET",
    _CONVERSATION + "/events/search",
    lambda: m.EventPage,
)
AGENT_COUNT_EVENTS = Operation("agent", "count_events", "GET", _CONVERSATION + "/events/count", lambda: int)
AGENT_GET_EVENT: Operation[m.AnyEvent] = Operation(
    "agent",
    "get_event",
    "GET",
    _CONVERSATION + "/events/{event_id}",
    lambda: cast("type[m.AnyEvent]", m.AnyEvent),
)
AGENT_SEND_EVENT = Operation("agent", "send_event", "POST", _CONVERSATION + "/events", _success, Repeat.NEVER)
AGENT_RESPOND_TO_CONFIRMATION = Operation(
    "agent",
    "respond_to_confirmation",
    "POST",
    _CONVERSATION + "/events/respond_to_confirmation",
    _success,
    Repeat.NEVER,
)

ALL: tuple[Operation[Any], ...] = tuple(value for value in globals().values() if isinstance(value, Operation))
