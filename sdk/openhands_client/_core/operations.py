"""The catalogue: one record per operation of openapi/app-server.yaml and openapi/agent-server.yaml.

Constants carry the operationId; those of the agent server are prefixed, because both documents use the
same short names.
"""

from __future__ import annotations

from typing import Any, cast

from openhands_client import models as m

from .operation import NEWER, NO_LINE, OLDER, Operation, Repeat


def _success() -> type[m.SuccessResponse]:
    return m.SuccessResponse


_CONVERSATION = "/api/conversations/{conversation_id}"
_APP_CONVERSATIONS = "/api/v1/app-conversations"
_APP_CONVERSATION = "/api/v1/app-conversations/{conversation_id}"
_EVENTS_OF = "/api/v1/conversation/{conversation_id}/events"
_START_TASKS = "/api/v1/app-conversations/start-tasks"
_SANDBOXES = "/api/v1/sandboxes"

# V0 conversations

CREATE_CONVERSATION = Operation(
    "app",
    "create_conversation",
    "POST",
    "/api/conversations",
    lambda: m.ConversationResponse,
    Repeat.VERIFY,
    lines=OLDER,
    evidence="a conversation that came up since",
)
LIST_CONVERSATIONS = Operation(
    "app",
    "list_conversations",
    "GET",
    "/api/conversations",
    lambda: m.ConversationInfoResultSet,
    lines=OLDER,
)
GET_CONVERSATION = Operation(
    "app",
    "get_conversation",
    "GET",
    _CONVERSATION,
    lambda: m.ConversationInfo,
    null_is_missing=True,
    lines=OLDER,
)
UPDATE_CONVERSATION = Operation(
    "app", "update_conversation", "PATCH", _CONVERSATION, lambda: bool, lines=OLDER
)
DELETE_CONVERSATION = Operation(
    "app", "delete_conversation", "DELETE", _CONVERSATION, lambda: bool, lines=OLDER
)
START_CONVERSATION = Operation(
    "app",
    "start_conversation",
    "POST",
    _CONVERSATION + "/start",
    lambda: m.ConversationResponse,
    lines=OLDER,
)
STOP_CONVERSATION = Operation(
    "app",
    "stop_conversation",
    "POST",
    _CONVERSATION + "/stop",
    lambda: m.ConversationResponse,
    lines=OLDER,
)
PAUSE_CONVERSATION = Operation(
    "app", "pause_conversation", "POST", _CONVERSATION + "/pause", _success, lines=NO_LINE
)
GET_CONVERSATION_CONFIG = Operation(
    "app",
    "get_conversation_config",
    "GET",
    _CONVERSATION + "/config",
    lambda: m.ConversationConfig,
    lines=OLDER,
)

# V0 events

SEARCH_CONVERSATION_EVENTS = Operation(
    "app",
    "search_conversation_events",
    "GET",
    _CONVERSATION + "/events",
    lambda: m.EventsPage,
    lines=OLDER,
)
ADD_CONVERSATION_EVENT = Operation(
    "app",
    "add_conversation_event",
    "POST",
    _CONVERSATION + "/events",
    _success,
    Repeat.VERIFY,
    lines=OLDER,
    evidence="the log since its last event known before",
)
ADD_CONVERSATION_MESSAGE = Operation(
    "app",
    "add_conversation_message",
    "POST",
    _CONVERSATION + "/message",
    _success,
    Repeat.VERIFY,
    lines=OLDER,
    evidence="the log since its last event known before",
)

# V0 conversations: what they hold

GET_TRAJECTORY = Operation(
    "app",
    "get_trajectory",
    "GET",
    _CONVERSATION + "/trajectory",
    lambda: m.Trajectory,
    lines=OLDER,
)
GET_MICROAGENTS = Operation(
    "app",
    "get_microagents",
    "GET",
    _CONVERSATION + "/microagents",
    lambda: m.MicroagentsResponse,
    lines=OLDER,
)
GET_MICROAGENT_PROMPT = Operation(
    "app",
    "get_microagent_prompt",
    "GET",
    _CONVERSATION + "/remember-prompt",
    lambda: m.MicroagentPrompt,
    lines=OLDER,
)
ADD_EXPERIMENT_CONFIG = Operation(
    "app",
    "add_experiment_config",
    "POST",
    _CONVERSATION + "/exp-config",
    lambda: bool,
    lines=OLDER,
)
LIST_MICROAGENT_MANAGEMENT_CONVERSATIONS = Operation(
    "app",
    "list_microagent_management_conversations",
    "GET",
    "/api/microagent-management/conversations",
    lambda: m.ConversationInfoResultSet,
    lines=OLDER,
)
LIST_FILES = Operation(
    "app", "list_files", "GET", _CONVERSATION + "/list-files", lambda: list[str], lines=OLDER
)
SELECT_FILE = Operation(
    "app", "select_file", "GET", _CONVERSATION + "/select-file", lambda: m.FileContent, lines=OLDER
)
ZIP_DIRECTORY = Operation(
    "app", "zip_directory", "GET", _CONVERSATION + "/zip-directory", lambda: object, lines=OLDER
)
UPLOAD_FILES = Operation(
    "app",
    "upload_files",
    "POST",
    _CONVERSATION + "/upload-files",
    lambda: m.FileUploadSuccessResponse,
    Repeat.NEVER,  # a file object can be read only once
    lines=OLDER,
)
GET_GIT_CHANGES = Operation(
    "app",
    "get_git_changes",
    "GET",
    _CONVERSATION + "/git/changes",
    lambda: list[m.GitChange],
    lines=OLDER,
)
GET_GIT_DIFF = Operation(
    "app", "get_git_diff", "GET", _CONVERSATION + "/git/diff", lambda: m.GitDiff, lines=OLDER
)
GET_VS_CODE_URL = Operation(
    "app",
    "get_vs_code_url",
    "GET",
    _CONVERSATION + "/vscode-url",
    lambda: m.VSCodeUrl,
    lines=OLDER,
)
GET_WEB_HOSTS = Operation(
    "app", "get_web_hosts", "GET", _CONVERSATION + "/web-hosts", lambda: m.WebHosts, lines=OLDER
)

# What people say of conversations

SUBMIT_FEEDBACK = Operation(
    "app",
    "submit_feedback",
    "POST",
    _CONVERSATION + "/submit-feedback",
    lambda: m.FeedbackResponse,
    Repeat.NEVER,
    lines=OLDER,
)
SUBMIT_CONVERSATION_FEEDBACK = Operation(
    "app",
    "submit_conversation_feedback",
    "POST",
    "/feedback/conversation",
    lambda: m.FeedbackResponse,
    Repeat.NEVER,
    lines=NO_LINE,
)
CHECK_FEEDBACK_EXISTS = Operation(
    "app",
    "check_feedback_exists",
    "GET",
    "/feedback/conversation/{conversation_id}/{event_id}",
    lambda: m.FeedbackStatus,
    lines=NO_LINE,
)
GET_BATCH_FEEDBACK = Operation(
    "app",
    "get_batch_feedback",
    "GET",
    "/feedback/conversation/{conversation_id}/batch",
    lambda: dict[str, m.FeedbackStatus],
    lines=NO_LINE,
)

# Settings, secrets, and what a server offers

GET_CONFIG = Operation("app", "get_config", "GET", "/api/options/config", lambda: dict[str, Any], lines=OLDER)
LIST_MODELS = Operation("app", "list_models", "GET", "/api/options/models", lambda: list[str], lines=OLDER)
LIST_AGENTS = Operation("app", "list_agents", "GET", "/api/options/agents", lambda: list[str], lines=OLDER)
LIST_SECURITY_ANALYZERS = Operation(
    "app",
    "list_security_analyzers",
    "GET",
    "/api/options/security-analyzers",
    lambda: list[str],
    lines=OLDER,
)
GET_SETTINGS = Operation("app", "get_settings", "GET", "/api/settings", lambda: dict[str, Any], lines=OLDER)
STORE_SETTINGS = Operation(
    "app", "store_settings", "POST", "/api/settings", lambda: dict[str, Any], lines=OLDER
)
LIST_SECRETS = Operation("app", "list_secrets", "GET", "/api/secrets", lambda: dict[str, Any], lines=OLDER)
CREATE_SECRET = Operation(
    "app",
    "create_secret",
    "POST",
    "/api/secrets",
    lambda: dict[str, Any],
    Repeat.NEVER,
    lines=OLDER,
)
UPDATE_SECRET = Operation(
    "app", "update_secret", "PUT", "/api/secrets/{secret_name}", lambda: dict[str, Any], lines=OLDER
)
DELETE_SECRET = Operation(
    "app",
    "delete_secret",
    "DELETE",
    "/api/secrets/{secret_name}",
    lambda: dict[str, Any],
    lines=OLDER,
)
GET_USER_INFO = Operation(
    "app", "get_user_info", "GET", "/api/user/info", lambda: dict[str, Any], lines=OLDER
)
LIST_USER_REPOSITORIES = Operation(
    "app",
    "list_user_repositories",
    "GET",
    "/api/user/repositories",
    lambda: list[dict[str, Any]],
    lines=OLDER,
)

# V1 conversations on the app server

START_APP_CONVERSATION = Operation(
    "app",
    "start_app_conversation",
    "POST",
    _APP_CONVERSATIONS,
    lambda: m.AppConversationStartTask,
    Repeat.VERIFY,
    evidence="a start task, or the conversation, with the id that the order chose",
)
STREAM_START_APP_CONVERSATION = Operation(
    "app",
    "stream_start_app_conversation",
    "POST",
    _APP_CONVERSATIONS + "/stream-start",
    lambda: m.AppConversationStartTask,  # of one element of the streamed array
    Repeat.VERIFY,
    evidence="a start task, or the conversation, with the id that the order chose",
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

SEARCH_EVENTS = Operation(
    "app", "search_events", "GET", "/api/v1/events/search", lambda: m.EventPage, lines=OLDER
)
COUNT_EVENTS = Operation("app", "count_events", "GET", "/api/v1/events/count", lambda: int, lines=OLDER)

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
    "agent",
    "run_conversation",
    "POST",
    _CONVERSATION + "/run",
    _success,
    Repeat.VERIFY,
    evidence="the agent's state",
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
AGENT_SEND_EVENT = Operation(
    "agent",
    "send_event",
    "POST",
    _CONVERSATION + "/events",
    _success,
    Repeat.VERIFY,
    evidence="the log since its last event known before",
)
AGENT_RESPOND_TO_CONFIRMATION = Operation(
    "agent",
    "respond_to_confirmation",
    "POST",
    _CONVERSATION + "/events/respond_to_confirmation",
    _success,
    Repeat.VERIFY,
    evidence="the log since its last event known before",
)

# V1 conversations on the app server: the rest

READ_CONVERSATION_FILE = Operation(
    "app", "read_conversation_file", "GET", _APP_CONVERSATION + "/file", lambda: str
)
UPDATE_APP_CONVERSATION = Operation(
    "app", "update_app_conversation", "PATCH", _APP_CONVERSATION, lambda: m.AppConversation, lines=NEWER
)
DELETE_APP_CONVERSATION = Operation(
    "app", "delete_app_conversation", "DELETE", _APP_CONVERSATION, _success, lines=NEWER
)
SEND_APP_MESSAGE = Operation(
    "app",
    "send_app_message",
    "POST",
    _APP_CONVERSATION + "/send-message",
    _success,
    Repeat.NEVER,
    lines=NEWER,
)
GET_SKILLS = Operation(
    "app", "get_skills", "GET", _APP_CONVERSATION + "/skills", lambda: dict[str, Any], lines=NEWER
)
GET_HOOKS = Operation(
    "app", "get_hooks", "GET", _APP_CONVERSATION + "/hooks", lambda: dict[str, Any], lines=NEWER
)
DOWNLOAD_CONVERSATION = Operation(
    "app", "download_conversation", "GET", _APP_CONVERSATION + "/download", lambda: object, lines=NEWER
)
GET_APP_GIT_CHANGES = Operation(
    "app",
    "get_app_git_changes",
    "GET",
    _APP_CONVERSATION + "/git/changes",
    lambda: list[m.GitChange],
    lines=NEWER,
)
GET_APP_GIT_DIFF = Operation(
    "app", "get_app_git_diff", "GET", _APP_CONVERSATION + "/git/diff", lambda: m.GitDiff, lines=NEWER
)
ADD_PENDING_MESSAGE = Operation(
    "app",
    "add_pending_message",
    "POST",
    "/api/v1/conversations/{conversation_id}/pending-messages",
    lambda: dict[str, Any],
    Repeat.NEVER,
    lines=NEWER,
)
BATCH_GET_EVENTS = Operation(
    "app", "batch_get_events", "GET", "/api/v1/events", lambda: list[m.AnyEvent | None], lines=OLDER
)
SEARCH_EVENTS_OF = Operation(
    "app", "search_events_of", "GET", _EVENTS_OF + "/search", lambda: m.EventPage, lines=NEWER
)
COUNT_EVENTS_OF = Operation("app", "count_events_of", "GET", _EVENTS_OF + "/count", lambda: int, lines=NEWER)
BATCH_GET_EVENTS_OF = Operation(
    "app", "batch_get_events_of", "GET", _EVENTS_OF, lambda: list[m.AnyEvent | None], lines=NEWER
)
REPORT_EVENTS = Operation(
    "app",
    "report_events",
    "POST",
    "/api/v1/webhooks/events/{conversation_id}",
    _success,
    Repeat.SAFE,  # events carry ids
)
REPORT_CONVERSATION = Operation(
    "app", "report_conversation", "POST", "/api/v1/webhooks/conversations", _success
)
START_SANDBOX = Operation("app", "start_sandbox", "POST", _SANDBOXES, lambda: m.SandboxInfo, Repeat.NEVER)
DELETE_SANDBOX = Operation("app", "delete_sandbox", "DELETE", _SANDBOXES + "/{sandbox_id}", _success)
SEARCH_SANDBOX_SPECS = Operation(
    "app", "search_sandbox_specs", "GET", "/api/v1/sandbox-specs/search", lambda: m.SandboxSpecPage
)
BATCH_GET_SANDBOX_SPECS = Operation(
    "app", "batch_get_sandbox_specs", "GET", "/api/v1/sandbox-specs", lambda: list[m.SandboxSpec | None]
)
GET_CURRENT_USER = Operation("app", "get_current_user", "GET", "/api/v1/users/me", lambda: dict[str, Any])

# V1 conversations on their agent server: the rest

AGENT_START_CONVERSATION = Operation(
    "agent",
    "start_conversation",
    "POST",
    "/api/conversations",
    lambda: m.AgentConversationInfo,
    Repeat.NEVER,
)
AGENT_SEARCH_CONVERSATIONS = Operation(
    "agent",
    "search_conversations",
    "GET",
    "/api/conversations/search",
    lambda: m.AgentConversationPage,
)
AGENT_COUNT_CONVERSATIONS = Operation(
    "agent", "count_conversations", "GET", "/api/conversations/count", lambda: int
)
AGENT_BATCH_GET_CONVERSATIONS = Operation(
    "agent",
    "batch_get_conversations",
    "GET",
    "/api/conversations",
    lambda: list[m.AgentConversationInfo | None],
)
AGENT_UPDATE_CONVERSATION = Operation("agent", "update_conversation", "PATCH", _CONVERSATION, _success)
AGENT_DELETE_CONVERSATION = Operation("agent", "delete_conversation", "DELETE", _CONVERSATION, _success)
AGENT_GENERATE_TITLE = Operation(
    "agent",
    "generate_title",
    "POST",
    _CONVERSATION + "/generate_title",
    lambda: m.GeneratedTitle,
    lines=OLDER,
)
AGENT_ASK_AGENT = Operation(
    "agent", "ask_agent", "POST", _CONVERSATION + "/ask_agent", lambda: m.AgentAnswer, Repeat.NEVER
)
AGENT_CONDENSE = Operation("agent", "condense", "POST", _CONVERSATION + "/condense", _success, Repeat.NEVER)
AGENT_SET_CONFIRMATION_POLICY = Operation(
    "agent", "set_confirmation_policy", "POST", _CONVERSATION + "/confirmation_policy", _success
)
AGENT_SET_SECURITY_ANALYZER = Operation(
    "agent", "set_security_analyzer", "POST", _CONVERSATION + "/security_analyzer", _success
)
AGENT_UPDATE_SECRETS = Operation("agent", "update_secrets", "POST", _CONVERSATION + "/secrets", _success)
AGENT_INTERRUPT = Operation("agent", "interrupt", "POST", _CONVERSATION + "/interrupt", _success, lines=NEWER)
AGENT_FORK = Operation(
    "agent",
    "fork_conversation",
    "POST",
    _CONVERSATION + "/fork",
    lambda: m.AgentConversationInfo,
    Repeat.NEVER,
    lines=NEWER,
)
AGENT_START_GOAL = Operation(
    "agent", "start_goal", "POST", _CONVERSATION + "/goal", _success, Repeat.NEVER, lines=NEWER
)
AGENT_STOP_GOAL = Operation("agent", "stop_goal", "POST", _CONVERSATION + "/goal/stop", _success, lines=NEWER)
AGENT_RESUME_GOAL = Operation(
    "agent", "resume_goal", "POST", _CONVERSATION + "/goal/resume", _success, lines=NEWER
)
AGENT_GET_FINAL_RESPONSE = Operation(
    "agent",
    "get_final_response",
    "GET",
    _CONVERSATION + "/agent_final_response",
    lambda: m.AgentAnswer,
    lines=NEWER,
)
AGENT_BATCH_GET_EVENTS = Operation(
    "agent", "batch_get_events", "GET", _CONVERSATION + "/events", lambda: list[m.AnyEvent | None]
)

# The sandbox around an agent server: files, git, shell, editor

AGENT_UPLOAD_FILE = Operation(
    "agent", "upload_file", "POST", "/api/file/upload", _success, Repeat.NEVER, lines=NEWER
)
AGENT_UPLOAD_FILE_TO_PATH = Operation(
    "agent", "upload_file_to_path", "POST", "/api/file/upload/{path}", _success, Repeat.NEVER, lines=OLDER
)
AGENT_DOWNLOAD_FILE = Operation(
    "agent", "download_file", "GET", "/api/file/download", lambda: object, lines=NEWER
)
AGENT_DOWNLOAD_FILE_AT_PATH = Operation(
    "agent", "download_file_at_path", "GET", "/api/file/download/{path}", lambda: object, lines=OLDER
)
AGENT_DOWNLOAD_TRAJECTORY = Operation(
    "agent",
    "download_trajectory",
    "GET",
    "/api/file/download-trajectory/{conversation_id}",
    lambda: object,
)
AGENT_GIT_CHANGES = Operation(
    "agent", "git_changes", "GET", "/api/git/changes", lambda: list[m.GitChange], lines=NEWER
)
AGENT_GIT_CHANGES_AT_PATH = Operation(
    "agent",
    "git_changes_at_path",
    "GET",
    "/api/git/changes/{path}",
    lambda: list[m.GitChange],
    lines=OLDER,
)
AGENT_GIT_DIFF = Operation("agent", "git_diff", "GET", "/api/git/diff", lambda: m.GitDiff, lines=NEWER)
AGENT_GIT_DIFF_AT_PATH = Operation(
    "agent", "git_diff_at_path", "GET", "/api/git/diff/{path}", lambda: m.GitDiff, lines=OLDER
)
AGENT_GET_VSCODE_URL = Operation("agent", "get_vscode_url", "GET", "/api/vscode/url", lambda: m.VSCodeUrl)
AGENT_GET_VSCODE_STATUS = Operation(
    "agent", "get_vscode_status", "GET", "/api/vscode/status", lambda: dict[str, Any]
)
AGENT_GET_DESKTOP_URL = Operation(
    "agent", "get_desktop_url", "GET", "/api/desktop/url", lambda: dict[str, Any]
)
AGENT_LIST_TOOLS = Operation("agent", "list_tools", "GET", "/api/tools/", lambda: list[str])
AGENT_EXECUTE_BASH_COMMAND = Operation(
    "agent",
    "execute_bash_command",
    "POST",
    "/api/bash/execute_bash_command",
    lambda: m.BashOutput,
    Repeat.NEVER,
)
AGENT_START_BASH_COMMAND = Operation(
    "agent",
    "start_bash_command",
    "POST",
    "/api/bash/start_bash_command",
    lambda: m.BashCommand,
    Repeat.NEVER,
)
AGENT_SEARCH_BASH_EVENTS = Operation(
    "agent", "search_bash_events", "GET", "/api/bash/bash_events/search", lambda: m.BashEventPage
)
AGENT_GET_BASH_EVENT = Operation(
    "agent", "get_bash_event", "GET", "/api/bash/bash_events/{event_id}", lambda: dict[str, Any]
)
AGENT_CLEAR_BASH_EVENTS = Operation(
    "agent", "clear_bash_events", "DELETE", "/api/bash/bash_events", lambda: dict[str, Any]
)

ALL: tuple[Operation[Any], ...] = tuple(value for value in globals().values() if isinstance(value, Operation))
