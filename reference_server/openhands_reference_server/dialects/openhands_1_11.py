"""App server 1.11.0 with agent server 1.34.0: V1 only, some of its routes moved."""

from __future__ import annotations

import platform
from uuid import uuid4

from openhands_reference_server.dialects.answers import Answer, always, broken_off, detail, plain_defect, rule
from openhands_reference_server.dialects.both_lines import UNKNOWN_TO_AGENT_SERVER, raised
from openhands_reference_server.dialects.habits import Dialect
from openhands_reference_server.domain.errors import (
    ConversationNotFound,
    DomainError,
    EventNotFound,
    FileMissing,
    NotForeseen,
    ParentNotFound,
    SandboxNotFound,
    SandboxPaused,
    SandboxSpecNotFound,
    ToolDisabled,
    UserRoleExpected,
)
from openhands_reference_server.domain.identifiers import canonical, dashed
from openhands_reference_server.domain.v1_events import TOOLS

_VERSION = "1.34.0"


def _missing(error: ConversationNotFound) -> Answer:
    return Answer(404, {"detail": f"Conversation {dashed(canonical(error.conversation_id))} not found"})


def _missing_inside(error: ConversationNotFound) -> Answer:
    return Answer(404, {"error": f"Conversation {dashed(canonical(error.conversation_id))} not found"})


def _paused(error: SandboxPaused) -> Answer:
    text = f"Sandbox is PAUSED. Use POST /api/v1/sandboxes/{error.sandbox_id}/resume to resume it first."
    return Answer(409, {"detail": text})


def _paused_for_git(error: SandboxPaused) -> Answer:
    return Answer(409, {"detail": "Sandbox is paused; resume it before reading git state."})


def _defect(error: DomainError) -> Answer:
    """The id is in the log of the server, too; nobody is to search for it in ours."""
    body = {"detail": "Internal Server Error", "exception": str(error), "error_id": uuid4().hex}
    return Answer(500, body, resets=True)


def _unknown_event(error: EventNotFound) -> Answer:
    return _defect(NotForeseen(repr(f"Unknown event_id: {error.event_id}")))


_APP_RULES = (
    rule(ConversationNotFound, detail(404, "unknown_app_conversation"), "updateAppConversation"),
    rule(ConversationNotFound, detail(404, "Conversation not found"), "deleteAppConversation"),
    rule(ConversationNotFound, _missing_inside, "getSkills", "getHooks"),
    rule(ConversationNotFound, _missing, "sendAppMessage", "getAppGitChanges", "getAppGitDiff"),
    rule(ConversationNotFound, _missing, "downloadConversation"),
    rule(SandboxPaused, _paused, "sendAppMessage"),
    rule(SandboxPaused, _paused_for_git, "getAppGitChanges", "getAppGitDiff"),
    rule(SandboxNotFound, detail(404, "Not Found")),
    rule(ParentNotFound, broken_off, "streamStartAppConversation"),
    rule(ParentNotFound, plain_defect),
    rule(SandboxSpecNotFound, plain_defect),
    rule(NotForeseen, plain_defect),
)

_AGENT_RULES = (
    rule(
        ConversationNotFound,
        detail(400, "Bad Request"),
        "pauseConversation",
        "deleteConversation",
        "interrupt",
    ),
    rule(ConversationNotFound, always(200, {"success": False}), "updateConversation"),
    rule(ConversationNotFound, detail(404, "Source conversation not found"), "forkConversation"),
    rule(ConversationNotFound, detail(404, "Conversation not found"), "downloadTrajectory"),
    rule(ConversationNotFound, lambda error: _defect(NotForeseen()), "askAgent"),
    rule(EventNotFound, _unknown_event),
    rule(UserRoleExpected, _defect),
    rule(FileMissing, detail(404, "File not found"), "downloadFile"),
    rule(FileMissing, lambda error: Answer(400, {"detail": str(error)}), "gitDiff"),
    rule(ToolDisabled, raised),
    rule(NotForeseen, _defect),
    *UNKNOWN_TO_AGENT_SERVER,
)

OPENHANDS_1_11 = Dialect(
    name="openhands-1.11",
    agent_server={
        "title": "OpenHands Agent Server",
        "version": _VERSION,
        "sdk_version": _VERSION,
        "tools_version": _VERSION,
        "workspace_version": _VERSION,
        "build_git_sha": "unknown",
        "build_git_ref": "unknown",
        "python_version": platform.python_version(),
        "usable_tools": list(TOOLS),
        "docs": "/docs",
        "redoc": "/redoc",
    },
    app_rules=_APP_RULES,
    agent_rules=_AGENT_RULES,
    has_v0=False,
    redirects_slashes=True,
    titles_wait=True,
    initial_message_always_runs=True,
    start_error_prefix="500: ",
    reads_sandbox_of_query=True,
    newer_fields=True,
    healthy={"status": "ok"},
    run_waits=False,
    keeps_shared_sandboxes=True,
    key_in_first_frame=True,
    answers_bad_frames=True,
    user_messages_only=True,
    batches_want_known_events=True,
    full_kind_paths=True,
)
