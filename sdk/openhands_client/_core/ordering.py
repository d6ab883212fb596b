"""What a caller of ``create()`` wants, and how each generation of the API is asked for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

from openhands_client import models as m
from openhands_client.errors import InvalidArgumentError, UnsupportedOperationError

_PROVIDER_OF_HOST = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket",
    "dev.azure.com": "azure_devops",
}
_SCP_FORM = re.compile(r"^[\w.-]+@(?P<host>[\w.-]+):(?P<path>.+)$")


class CreateOptions(TypedDict, total=False):
    """The keyword arguments of ``create()`` beside ``wait``, for type checkers."""

    repository: str | None
    git_provider: str | None
    branch: str | None
    instructions: str | None
    title: str | None
    image_urls: Sequence[str] | None
    suggested_task: Mapping[str, Any] | None
    create_microagent: Mapping[str, Any] | None
    replay_json: str | None
    mcp_config: Mapping[str, Any] | None
    parent: str | None
    agent_type: str | None
    llm_model: str | None
    run: bool
    api: Literal["auto", "v1", "v0"] | None
    timeout: float | None
    poll_interval: float | None
    on_progress: Callable[[Any], Any] | None


@dataclass(frozen=True, kw_only=True)
class NewConversation:
    """The arguments of ``create()``, checked and normalized.

    ``conversation_id`` is of our choosing; only a V1 conversation can have it.
    """

    message: str | None = None
    repository: str | None = None
    git_provider: str | None = None
    branch: str | None = None
    instructions: str | None = None
    title: str | None = None
    image_urls: Sequence[str] | None = None
    suggested_task: Mapping[str, Any] | None = None
    create_microagent: Mapping[str, Any] | None = None
    replay_json: str | None = None
    mcp_config: Mapping[str, Any] | None = field(default=None, repr=False)  # it may hold keys
    parent: str | None = None
    agent_type: str | None = None
    llm_model: str | None = None
    run: bool = True
    conversation_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def of(cls, **arguments: Any) -> NewConversation:
        """Raises InvalidArgumentError for what no server accepts."""
        title = arguments.get("title")
        if title is not None and not 1 <= len(title.strip()) <= 200:
            raise InvalidArgumentError("title must have 1 to 200 characters; nothing was sent")
        repository, provider = normalize_repository(
            arguments.pop("repository"), arguments.pop("git_provider")
        )
        return cls(repository=repository, git_provider=provider, **arguments)

    @property
    def only_v0(self) -> list[str]:
        """The arguments that V1 has no place for."""
        names = ("create_microagent", "replay_json", "mcp_config")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def only_v1(self) -> list[str]:
        """The arguments that V0 has no place for."""
        names = [name for name in ("parent", "agent_type", "llm_model") if getattr(self, name) is not None]
        return names if self.run or not self.has_message else [*names, "run=False"]

    def check_for(self, generation: str) -> None:
        """Raises UnsupportedOperationError for arguments that this generation would silently ignore."""
        lost = self.only_v0 if generation == "v1" else self.only_v1
        if lost:
            raise UnsupportedOperationError(
                f"{', '.join(lost)} cannot be asked for in a {generation.upper()} conversation; nothing was started"
            )

    @property
    def has_message(self) -> bool:
        """Images alone are a message too."""
        return self.message is not None or bool(self.image_urls)

    @property
    def title_before_message(self) -> bool:
        """V0 makes a title of the first message, over any that it gets meanwhile, unless it has one before.

        So where both are wanted, the message is not part of the creation.
        """
        writes_its_own_message = self.suggested_task or self.create_microagent or self.replay_json
        return self.title is not None and self.has_message and not writes_its_own_message

    def v0_body(self) -> dict[str, Any]:
        held_back = self.title_before_message
        body = {
            "repository": self.repository,
            "git_provider": self.git_provider,
            "selected_branch": self.branch,
            "initial_user_msg": None if held_back else self.message,
            "image_urls": list(self.image_urls) if self.image_urls and not held_back else None,
            "replay_json": self.replay_json,
            "suggested_task": self.suggested_task,
            "create_microagent": self.create_microagent,
            "conversation_instructions": self.instructions,
            "mcp_config": self.mcp_config,
        }
        return {name: value for name, value in body.items() if value is not None}

    def v1_body(self) -> m.AppConversationStartRequest:
        """The start request. It carries an id of our choosing, by which the conversation can be found again.

        A first message that must not wake the agent is not part of it: one server line runs it regardless.
        """
        wakes = self.has_message and self.run
        return m.AppConversationStartRequest(
            conversation_id=self.conversation_id,
            initial_message=user_message(self.message or "", self.image_urls, run=True) if wakes else None,
            system_message_suffix=self.instructions,
            selected_repository=self.repository,
            selected_branch=self.branch,
            git_provider=None if self.git_provider is None else m.ProviderType(self.git_provider),
            title=self.title,
            parent_conversation_id=self.parent,
            agent_type=None if self.agent_type is None else m.AgentType(self.agent_type),
            llm_model=self.llm_model,
            suggested_task=None if self.suggested_task is None else dict(self.suggested_task),
        )


@dataclass(frozen=True)
class ConversationRequest:
    """One conversation for ``create_many()``: the arguments of ``create()`` that say what it is to be."""

    message: str | None = None
    _: KW_ONLY
    repository: str | None = None
    git_provider: str | None = None
    branch: str | None = None
    instructions: str | None = None
    title: str | None = None
    image_urls: Sequence[str] | None = None
    suggested_task: Mapping[str, Any] | None = None
    create_microagent: Mapping[str, Any] | None = None
    replay_json: str | None = None
    mcp_config: Mapping[str, Any] | None = field(default=None, repr=False)  # it may hold keys
    parent: str | None = None
    agent_type: str | None = None
    llm_model: str | None = None
    run: bool = True
    api: Literal["auto", "v1", "v0"] | None = None

    @classmethod
    def of(cls, given: ConversationRequest | Mapping[str, Any] | str) -> ConversationRequest:
        """From a message alone, or from arguments by name. Raises InvalidArgumentError."""
        if isinstance(given, ConversationRequest):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise InvalidArgumentError(
                f"a request is a ConversationRequest, a mapping or a message, not {kind}; nothing was sent"
            )
        if unknown := set(given) - {argument.name for argument in fields(cls)}:
            names = ", ".join(sorted(map(str, unknown)))
            raise InvalidArgumentError(
                f"create_many() has no place for {names} in a request; nothing was sent"
            )
        return cls(**given)

    def order(self, conversation_id: str) -> NewConversation:
        """Raises InvalidArgumentError for what no server accepts."""
        arguments = {argument.name: getattr(self, argument.name) for argument in fields(self)}
        del arguments["api"]
        return NewConversation.of(**arguments, conversation_id=conversation_id)


def user_message(text: str, image_urls: Sequence[str] | None, *, run: bool) -> m.SendMessageRequest:
    content: list[m.TextContent | m.ImageContent] = []
    if text or not image_urls:
        content.append(m.TextContent(text=text))
    if image_urls:
        content.append(m.ImageContent(image_urls=list(image_urls)))
    return m.SendMessageRequest(content=content, run=run)


def normalize_repository(repository: str | None, provider: str | None) -> tuple[str | None, str | None]:
    """``owner/name`` and the provider in lower case, as servers want them, from a name or any clone URL.

    Raises InvalidArgumentError when there is no owner and name in it.
    """
    provider = provider.lower() if provider else None
    if repository is None:
        return None, provider
    host, path = _host_and_path(repository.strip())
    name = path.strip("/").removesuffix(".git")
    if not re.fullmatch(r"[^/\s]+(/[^/\s]+)+", name):
        given = "this URL" if "@" in repository or "://" in repository else repr(repository)  # no tokens
        raise InvalidArgumentError(
            f"repository must be owner/name or a clone URL, not {given}; nothing was sent"
        )
    return name, provider or _PROVIDER_OF_HOST.get(host)


def _host_and_path(repository: str) -> tuple[str, str]:
    if scp := _SCP_FORM.match(repository):
        return scp["host"].lower(), scp["path"]
    if "://" in repository:
        parts = urlsplit(repository)
        return (parts.hostname or "").lower(), parts.path
    host, _, path = repository.partition("/")
    host = host.lower().removeprefix("www.")
    if host in _PROVIDER_OF_HOST and "/" in path:  # as it is copied from an address bar
        return host, path
    return "", repository
