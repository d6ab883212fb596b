"""App server 1.0.0 with agent server 1.5.2: V0 and V1."""

from __future__ import annotations

from openhands_reference_server.dialects.answers import (
    Answer,
    always,
    broken_off,
    detail,
    plain_defect,
    rule,
)
from openhands_reference_server.dialects.both_lines import UNKNOWN_TO_AGENT_SERVER, raised
from openhands_reference_server.dialects.habits import Dialect
from openhands_reference_server.domain.errors import (
    ConversationNotFound,
    DomainError,
    EventNotFound,
    FileMissing,
    NotAGitRepository,
    NotForeseen,
    NotRunning,
    ParentNotFound,
    PathOutside,
    SandboxNotFound,
    SandboxSpecNotFound,
    SecretExists,
    ToolDisabled,
    UnknownPage,
    UserRoleExpected,
)
from openhands_reference_server.domain.identifiers import canonical

_INSIDE_V0 = (
    "getConversationConfig",
    "searchConversationEvents",
    "addConversationEvent",
    "addConversationMessage",
    "getTrajectory",
    "getMicroagents",
    "getMicroagentPrompt",
    "listFiles",
    "selectFile",
    "zipDirectory",
    "uploadFiles",
    "getGitChanges",
    "getGitDiff",
    "getVSCodeUrl",
    "getWebHosts",
    "submitFeedback",
)
_IDS_CHECKED = frozenset(
    {
        "getConversation",
        "updateConversation",
        "deleteConversation",
        "startConversation",
        "stopConversation",
        "getMicroagentPrompt",
        "addExperimentConfig",
    }
)


def _missing(error: ConversationNotFound) -> Answer:
    return Answer(404, {"detail": f"Conversation {error.conversation_id} not found"})


def _cannot_start(error: ConversationNotFound) -> Answer:
    return Answer(404, {"status": "error", "conversation_id": error.conversation_id})


def _was_not_running(error: ConversationNotFound) -> Answer:
    said = {"message": "Conversation was not running", "conversation_status": "STOPPED"}
    return Answer(200, {"status": "ok", "conversation_id": error.conversation_id, **said})


def _nobody_listens(error: NotRunning) -> Answer:
    reason = f"Error adding message to conversation: no_conversation:{error.conversation_id}"
    return Answer(500, {"success": False, "error": reason})


def _secret_exists(error: SecretExists) -> Answer:
    return Answer(400, {"message": f"Secret {error.name} already exists"})


def _cannot_open(error: FileMissing) -> Answer:
    return Answer(500, {"error": f"Error opening file: {error}"})


def _defect(error: DomainError) -> Answer:
    return Answer(500, {"detail": "Internal Server Error", "exception": str(error)}, resets=True)


def _unknown_event(error: EventNotFound) -> Answer:
    return _defect(NotForeseen(repr(f"Unknown event_id: {error.event_id}")))


def _no_directory(error: FileMissing) -> Answer:
    return _defect(NotForeseen(f"Directory does not exist: /workspace/{error.path}"))


def _no_file(error: FileMissing) -> Answer:
    return _defect(NotForeseen(f"File does not exist: /workspace/{error.path}"))


def _no_trajectory(error: ConversationNotFound) -> Answer:
    path = f"workspace/conversations/{canonical(error.conversation_id)}.zip"
    return _defect(NotForeseen(f"File at path {path} does not exist."))


_APP_RULES = (
    rule(ConversationNotFound, always(200, None), "getConversation"),
    rule(ConversationNotFound, _cannot_start, "startConversation"),
    rule(ConversationNotFound, _was_not_running, "stopConversation"),
    rule(ConversationNotFound, always(200, False), "addExperimentConfig"),
    rule(ConversationNotFound, _missing, *_INSIDE_V0),
    rule(NotRunning, plain_defect, "addConversationEvent"),
    rule(NotRunning, _nobody_listens, "addConversationMessage"),
    rule(FileMissing, _cannot_open, "selectFile"),
    rule(FileMissing, plain_defect, "listFiles", "getGitDiff"),
    rule(PathOutside, plain_defect, "selectFile", "listFiles", "getGitDiff"),
    rule(UnknownPage, plain_defect, "listConversations", "listMicroagentManagementConversations"),
    rule(ParentNotFound, broken_off, "streamStartAppConversation"),
    rule(ParentNotFound, plain_defect),
    rule(SandboxNotFound, detail(404, "Not Found")),
    rule(SandboxSpecNotFound, plain_defect),
    rule(SecretExists, _secret_exists),
    rule(NotForeseen, plain_defect),
)

_AGENT_RULES = (
    rule(ConversationNotFound, detail(400, "Bad Request"), "pauseConversation", "deleteConversation"),
    rule(ConversationNotFound, always(200, {"success": False}), "updateConversation"),
    rule(
        ConversationNotFound,
        always(500, {"detail": "Internal Server Error", "exception": "500: Internal Server Error"}),
        "generateTitle",
        "askAgent",
    ),
    rule(ConversationNotFound, _no_trajectory, "downloadTrajectory"),
    rule(EventNotFound, _unknown_event),
    rule(UserRoleExpected, _defect),
    rule(NotAGitRepository, _defect, "gitChangesAtPath", "gitDiffAtPath"),
    rule(FileMissing, _no_directory, "gitChangesAtPath"),
    rule(FileMissing, _no_file, "gitDiffAtPath"),
    rule(FileMissing, detail(404, "File not found"), "downloadFileAtPath"),
    rule(ToolDisabled, raised),
    rule(NotForeseen, _defect),
    *UNKNOWN_TO_AGENT_SERVER,
)

OPENHANDS_1_0 = Dialect(
    name="openhands-1.0",
    app_rules=_APP_RULES,
    agent_rules=_AGENT_RULES,
    ids_checked_in=_IDS_CHECKED,
    redirects_slashes=True,
    v0_ready="STATUS$RUNTIME_STARTED",
    v0_reaches_v1=False,
    tells_status_before_stop=True,
    web_hosts_have_ports=True,
    reads_replay_later=True,
    lists_count_no_connections=True,
    v0_pages_lose_items=True,
    replays_before_connect=True,
    titles_wait=True,
    initial_message_always_runs=True,
    start_error_prefix="500: ",
    wakes_sandboxes_in_vain=True,
    event_pages_lose_items=True,
    compares_no_zones=True,
    reads_sandbox_of_query=True,
    user_needs_settings=True,
    git_wants_directories=True,
    user_messages_only=True,
    batches_want_known_events=True,
    full_kind_paths=True,
)
