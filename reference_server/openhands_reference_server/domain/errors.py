"""What the domain refuses, and why; `http/problems.py` knows how each looks on the wire."""

from __future__ import annotations


class DomainError(Exception):
    """Base of everything the domain refuses."""


class ServerClosing(DomainError):
    """Nothing becomes true any more: the server is about to end."""

    def __init__(self) -> None:
        super().__init__("The server is shutting down")


class NotForeseen(DomainError):
    """Played only in dialects: the server they play stumbles here.

    Args:
        exception: what it says went wrong.
    """

    def __init__(self, exception: str = "") -> None:
        super().__init__(exception)


class ConversationNotFound(DomainError):
    """No conversation has this id."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation not found: {conversation_id}")
        self.conversation_id = conversation_id


class ParentNotFound(DomainError):
    """A start request names a parent conversation that does not exist."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Parent conversation not found: {conversation_id}")


class SandboxNotFound(DomainError):
    """No sandbox has this id."""

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(f"Sandbox not found: {sandbox_id}")


class SandboxSpecNotFound(DomainError):
    """There is no such kind of sandbox."""

    def __init__(self, spec_id: str) -> None:
        super().__init__(f"Sandbox spec not found: {spec_id}")


class SandboxPaused(DomainError):
    """The agent server of a paused sandbox cannot do anything."""

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(f"Sandbox is paused: {sandbox_id}")
        self.sandbox_id = sandbox_id


class SandboxNotStartable(DomainError):
    """Some servers wake a paused sandbox too late for a start in it."""

    def __init__(self, sandbox_id: str) -> None:
        super().__init__(f"Sandbox not startable: {sandbox_id}")


class SandboxGone(DomainError):
    """The sandbox of a conversation was deleted."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Sandbox not found for conversation {conversation_id}")


class AgentServerRefused(DomainError):
    """The agent server did not do what the app server asked of it."""

    def __init__(self) -> None:
        super().__init__("Agent server error: 400")


class ConversationIdTaken(DomainError):
    """Another conversation, that cannot be seen from here, has this id."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Conversation id is taken: {conversation_id}")


class EventNotFound(DomainError):
    """The conversation has no event with this id."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"Event not found: {event_id}")
        self.event_id = event_id


class IllegalTransition(DomainError):
    """The state machine has no such transition from where it stands."""


class UserRoleExpected(DomainError):
    """Some agent servers take messages of the user only."""

    def __init__(self) -> None:
        super().__init__("Only user messages are allowed to be sent to the agent.")


class ToolDisabled(DomainError):
    """This server has no such tool.

    Args:
        tool: what it is called.
        setting: what would bring it.
    """

    def __init__(self, tool: str, setting: str) -> None:
        super().__init__(f"{tool} is disabled in configuration")
        self.setting = setting


class AlreadyRunning(DomainError):
    """Some servers do not run what runs already."""

    def __init__(self) -> None:
        super().__init__("Conversation already running. Wait for completion or pause first.")


class GoalRunning(DomainError):
    """The agent works already, on a goal or otherwise."""

    def __init__(self) -> None:
        super().__init__("Conversation run or goal loop already running.")


class NoGoal(DomainError):
    """There is no goal that could be taken up again."""

    def __init__(self) -> None:
        super().__init__("no_resumable_goal")


class ForkSourceEvent(DomainError):
    """A copy is to end with an event that the conversation does not have."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"from_event_id not found: {event_id}")


class TooManyPending(DomainError):
    """A conversation that is not there yet keeps only so many messages."""

    def __init__(self, most: int) -> None:
        super().__init__(f"Too many pending messages. Maximum {most} messages per conversation.")


class UnknownRevision(DomainError):
    """Files are compared with the last commit, and with no other."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Cannot compare with {name}: this server compares with HEAD only")


class NotRunning(DomainError):
    """A V0 conversation takes messages and events only while its agent loop runs."""

    def __init__(self, conversation_id: str, status: str) -> None:
        super().__init__(f"The conversation is {status}; start it first")
        self.conversation_id = conversation_id


class UnknownPage(DomainError):
    """A `page_id` this server never gave out."""

    def __init__(self, page_id: str) -> None:
        super().__init__("Unknown page_id")
        self.page_id = page_id


class EventHidden(DomainError):
    """The event is none that users see."""

    def __init__(self, event_id: int) -> None:
        super().__init__("The event is hidden")
        self.event_id = event_id


class AgentSessionNotFound(DomainError):
    """Only a running agent loop has loaded anything."""

    def __init__(self) -> None:
        super().__init__("Agent session not found for this conversation")


class FileMissing(DomainError):
    """The workspace has no such file or directory."""

    def __init__(self, path: str) -> None:
        super().__init__(f"File not found: {path}")
        self.path = path


class PathOutside(DomainError):
    """The path leads out of the workspace."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The path does not lead into the workspace: {path}")


class PathNotAbsolute(DomainError):
    """Files of sandboxes are named by their absolute path."""

    def __init__(self) -> None:
        super().__init__("Path must be absolute")


class BinaryFile(DomainError):
    """The file is no text."""

    def __init__(self, path: str) -> None:
        super().__init__(f"Unable to open binary file: {path}")


class FileTooLarge(DomainError):
    """An upload brings a file that is longer than allowed."""

    def __init__(self) -> None:
        super().__init__("Request Entity Too Large")


class BashDisabled(DomainError):
    """This server runs no commands."""

    def __init__(self) -> None:
        super().__init__("The shell is disabled; start the server with --enable-bash to run commands")


class BashEventNotFound(DomainError):
    """The sandbox has no such command and no such output."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"Bash event not found: {event_id}")


class NotAGitRepository(DomainError):
    """The workspace is not under version control."""

    def __init__(self) -> None:
        super().__init__("Not a git repository")


class SettingsNotFound(DomainError):
    """No settings were stored yet."""

    def __init__(self) -> None:
        super().__init__("Settings not found")


class SecretNotFound(DomainError):
    """No secret has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Secret not found: {name}")


class SecretExists(DomainError):
    """Another secret has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Secret already exists: {name}")
        self.name = name
