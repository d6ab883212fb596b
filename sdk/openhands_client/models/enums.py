"""The words servers use for states, providers and triggers: open enumerations.

A server newer than this package sends words it has never heard of; a client must keep them, not
fail. So every enumeration here is *open*: a known word is its member, an unknown one becomes an
unregistered member that equals the word and answers False to `known`. Members are strings:
`task.status == "READY"` and `task.status is StartTaskStatus.READY` both work.

Where servers and documents spell one word in two ways, both spellings are the same member.
"""

from enum import StrEnum
from typing import Self


class OpenStrEnum(StrEnum):
    """A string enumeration that never refuses a string."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        wanted = cls._fold(value)
        for member in cls:
            if cls._fold(member.value) == wanted:
                return member
        return cls._unknown(value)

    @classmethod
    def _unknown(cls, value: str) -> Self:
        # Not registered with the class: a server must not be able to grow our memory word by word.
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    @classmethod
    def _fold(cls, value: str) -> str:
        """The form in which two spellings of one word are equal; overridden where spellings vary."""
        return value

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[str]]:
        # Some Python 3.11s pickle members by name, which finds none that is not registered.
        return type(self), (self._value_,)

    @property
    def known(self) -> bool:
        """Whether this package knows the word."""
        return self._name_ in type(self).__members__


class ConversationStatus(OpenStrEnum):
    """Where a conversation stands, as the V0 operations say it."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    ARCHIVED = "ARCHIVED"
    ERROR = "ERROR"


class RuntimeStatus(OpenStrEnum):
    """What the runtime under a V0 conversation is doing; read with and without its prefix."""

    STOPPED = "STATUS$STOPPED"
    BUILDING_RUNTIME = "STATUS$BUILDING_RUNTIME"
    STARTING_RUNTIME = "STATUS$STARTING_RUNTIME"
    RUNTIME_STARTED = "STATUS$RUNTIME_STARTED"
    SETTING_UP_WORKSPACE = "STATUS$SETTING_UP_WORKSPACE"
    SETTING_UP_GIT_HOOKS = "STATUS$SETTING_UP_GIT_HOOKS"
    SETTING_UP_SKILLS = "STATUS$SETTING_UP_SKILLS"
    READY = "STATUS$READY"
    ERROR = "STATUS$ERROR"
    ERROR_RUNTIME_DISCONNECTED = "STATUS$ERROR_RUNTIME_DISCONNECTED"
    ERROR_LLM_AUTHENTICATION = "STATUS$ERROR_LLM_AUTHENTICATION"
    ERROR_LLM_SERVICE_UNAVAILABLE = "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
    ERROR_LLM_INTERNAL_SERVER_ERROR = "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR"
    ERROR_LLM_OUT_OF_CREDITS = "STATUS$ERROR_LLM_OUT_OF_CREDITS"
    ERROR_LLM_CONTENT_POLICY_VIOLATION = "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION"
    AGENT_RATE_LIMITED_STOPPED_MESSAGE = "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE"
    GIT_PROVIDER_AUTHENTICATION_ERROR = "STATUS$GIT_PROVIDER_AUTHENTICATION_ERROR"
    LLM_RETRY = "STATUS$LLM_RETRY"
    ERROR_MEMORY = "STATUS$ERROR_MEMORY"

    @classmethod
    def _fold(cls, value: str) -> str:
        return value.rpartition("$")[2].upper()


class ExecutionStatus(OpenStrEnum):
    """What the agent of a V1 conversation is doing.

    One published type spells these in upper case and with other words; they are read as well.
    """

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING_FOR_CONFIRMATION = "waiting_for_confirmation"
    FINISHED = "finished"
    ERROR = "error"
    STUCK = "stuck"
    DELETING = "deleting"

    @classmethod
    def _fold(cls, value: str) -> str:
        lowered = value.lower()
        return _EXECUTION_STATUS_SYNONYMS.get(lowered, lowered)


_EXECUTION_STATUS_SYNONYMS = {
    "awaiting_user_input": "idle",
    "awaiting_user_confirmation": "waiting_for_confirmation",
    "stopped": "paused",
}


class SandboxStatus(OpenStrEnum):
    """Where a sandbox stands. STOPPED is in the web client's types, though no server was seen to say it."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    ERROR = "ERROR"
    MISSING = "MISSING"


class StartTaskStatus(OpenStrEnum):
    """The stages of a V1 start, in order; a poller may miss any but the last."""

    WORKING = "WORKING"
    WAITING_FOR_SANDBOX = "WAITING_FOR_SANDBOX"
    PREPARING_REPOSITORY = "PREPARING_REPOSITORY"
    RUNNING_SETUP_SCRIPT = "RUNNING_SETUP_SCRIPT"
    SETTING_UP_GIT_HOOKS = "SETTING_UP_GIT_HOOKS"
    SETTING_UP_SKILLS = "SETTING_UP_SKILLS"
    STARTING_CONVERSATION = "STARTING_CONVERSATION"
    READY = "READY"
    ERROR = "ERROR"


class ProviderType(OpenStrEnum):
    """A git provider. Documents write it in upper case too; servers accept lower case only."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    BITBUCKET_DATA_CENTER = "bitbucket_data_center"
    AZURE_DEVOPS = "azure_devops"
    FORGEJO = "forgejo"
    ENTERPRISE_SSO = "enterprise_sso"

    @classmethod
    def _fold(cls, value: str) -> str:
        return value.lower()


class ConversationTrigger(OpenStrEnum):
    """What caused a conversation."""

    RESOLVER = "resolver"
    GUI = "gui"
    SUGGESTED_TASK = "suggested_task"
    OPENHANDS_API = "openhands_api"
    SLACK = "slack"
    MICROAGENT_MANAGEMENT = "microagent_management"
    JIRA = "jira"
    JIRA_DC = "jira_dc"
    LINEAR = "linear"
    BITBUCKET = "bitbucket"
    AUTOMATION = "automation"


class AgentState(OpenStrEnum):
    """What the agent of a V0 conversation is doing, told by `agent_state_changed` observations."""

    LOADING = "loading"
    RUNNING = "running"
    AWAITING_USER_INPUT = "awaiting_user_input"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    REJECTED = "rejected"
    ERROR = "error"
    AWAITING_USER_CONFIRMATION = "awaiting_user_confirmation"
    USER_CONFIRMED = "user_confirmed"
    USER_REJECTED = "user_rejected"
    RATE_LIMITED = "rate_limited"


class TaskType(OpenStrEnum):
    """The kind of a suggested task."""

    MERGE_CONFLICTS = "MERGE_CONFLICTS"
    FAILING_CHECKS = "FAILING_CHECKS"
    UNRESOLVED_COMMENTS = "UNRESOLVED_COMMENTS"
    OPEN_ISSUE = "OPEN_ISSUE"
    OPEN_PR = "OPEN_PR"
    CREATE_MICROAGENT = "CREATE_MICROAGENT"


class AgentType(OpenStrEnum):
    """Which agent a V1 conversation starts with."""

    DEFAULT = "default"
    PLAN = "plan"


class EventSource(OpenStrEnum):
    """Who caused an event."""

    AGENT = "agent"
    USER = "user"
    ENVIRONMENT = "environment"


class SecurityRisk(OpenStrEnum):
    """How dangerous the agent holds its own action to be."""

    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class GitChangeStatus(OpenStrEnum):
    """What happened to a file since the last commit; V1 spells the letters of V0 out."""

    MODIFIED = "M"
    ADDED = "A"
    DELETED = "D"
    RENAMED = "R"
    UNTRACKED = "U"

    @classmethod
    def _fold(cls, value: str) -> str:
        words = {"UPDATED": "M", "ADDED": "A", "DELETED": "D", "MOVED": "R"}
        return words.get(value, value)
