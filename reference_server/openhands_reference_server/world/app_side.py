"""What the app server does about one V1 conversation, for those who do not go to its agent server.

Line 1.11 has these operations; on the wire its app server asks the agent server. Here both are one process,
so nothing is asked, but what can go wrong on that way is refused as if it were.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from openhands_reference_server.domain import v1
from openhands_reference_server.domain.errors import (
    AgentServerRefused,
    DomainError,
    FileMissing,
    NotAGitRepository,
    SandboxGone,
    SandboxPaused,
    UnknownRevision,
)
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.workspace.files import Workspace
from openhands_reference_server.workspace.git import Change
from openhands_reference_server.workspace.microagents import Microagent
from openhands_reference_server.workspace.sandbox_files import SandboxFiles
from openhands_reference_server.workspace.workspaces import microagents_in
from openhands_reference_server.world.agent_side import AgentSide
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.sandboxes import Sandboxes

T = TypeVar("T")
_logger = logging.getLogger(__name__)

_HOOKS = ".openhands/hooks.json"
_MOST_BYTES = 1_000_000
_HOOK_EVENTS = (
    "pre_tool_use",
    "post_tool_use",
    "user_prompt_submit",
    "session_start",
    "session_end",
    "stop",
)
HEAD = "HEAD"


class AppSide:
    """The app server's way to the V1 conversations of one world."""

    def __init__(self, core: Core, sandboxes: Sandboxes, agents: AgentSide, files: SandboxFiles) -> None:
        self._core = core
        self._sandboxes = sandboxes
        self._agents = agents
        self._files = files

    def update(self, conversation_id: str, known: Mapping[str, Any]) -> None:
        """Change what is known about a conversation, by the names of its fields.

        Raises:
            ConversationNotFound: there is none.
        """
        noted = {name: value for name, value in known.items() if name != "title"}
        with self._core.lock, self._core.changing_v1(self._core.v1(conversation_id)) as changes:
            v1.note(changes, **noted)
            if "title" in known:
                v1.rename(changes, known["title"] or "")

    def send_message(self, conversation_id: str, message: Mapping[str, Any]) -> None:
        """A message of the user, which runs the agent unless it says otherwise.

        Raises:
            ConversationNotFound: there is none.
            SandboxGone: its sandbox was deleted.
            SandboxPaused: its sandbox does not run.
        """
        with self._core.lock:
            conversation = self._reached(conversation_id)
            self._agents.send_message(
                conversation.id, list(message["content"]), role="user", run=message.get("run", True)
            )

    def check(self, conversation_id: str) -> None:
        """Make sure that there is such a conversation.

        Raises:
            ConversationNotFound: there is none.
        """
        with self._core.lock:
            self._core.v1(conversation_id)

    def skills(self, conversation_id: str) -> list[Microagent]:
        """What the repository of a conversation teaches its agent; nothing while the sandbox does not run.

        Raises:
            ConversationNotFound: there is none.
        """
        workspace, project = self._project(conversation_id)
        return [] if workspace is None else list(microagents_in(workspace, project))

    def hooks(self, conversation_id: str) -> list[dict[str, Any]]:
        """The hooks in the workspace, by event, as they stand in it now; none while the sandbox does not run.

        Raises:
            ConversationNotFound: there is none.
        """
        workspace, project = self._project(conversation_id)
        configured = {} if workspace is None else _hooks_in(workspace, f"{project}/{_HOOKS}")
        return [
            {"event_type": name, "matchers": list(_matchers(configured[name]))}
            for name in _HOOK_EVENTS
            if configured.get(name)
        ]

    def git_changes(self, conversation_id: str, path: str, ref: str | None) -> list[Change]:
        """What differs from the last commit, by paths relative to a directory of the sandbox.

        Raises:
            ConversationNotFound: there is none.
            SandboxGone: its sandbox was deleted.
            SandboxPaused: its sandbox does not run.
            AgentServerRefused: its agent server would not answer this.
        """
        return self._ask_agent(
            conversation_id, lambda sandbox_id: changes_since(self._files, sandbox_id, path, ref)
        )

    def git_diff(self, conversation_id: str, path: str, ref: str | None) -> tuple[str | None, str | None]:
        """A file as it is and as it was at the last commit.

        Raises:
            ConversationNotFound: there is none.
            SandboxGone: its sandbox was deleted.
            SandboxPaused: its sandbox does not run.
            AgentServerRefused: its agent server would not answer this.
        """
        return self._ask_agent(
            conversation_id, lambda sandbox_id: compared_with(self._files, sandbox_id, path, ref)
        )

    def _ask_agent(self, conversation_id: str, ask: Callable[[str], T]) -> T:
        with self._core.lock:
            sandbox_id = self._reached(conversation_id).sandbox_id
        try:
            return ask(sandbox_id)
        except DomainError as error:
            raise AgentServerRefused from error

    def _reached(self, conversation_id: str) -> V1Conversation:
        """The conversation, if its agent server can be reached."""
        conversation = self._core.v1(conversation_id)
        home = self._core.sandboxes.get(conversation.sandbox_id)
        if home is None:
            raise SandboxGone(conversation_id)
        if not home.running:
            raise SandboxPaused(home.id)
        return conversation

    def _project(self, conversation_id: str) -> tuple[Workspace | None, str]:
        """The workspace of a conversation, None while it cannot be seen, and its repository in there."""
        with self._core.lock:
            conversation = self._core.v1(conversation_id)
            home = self._core.sandboxes.get(conversation.sandbox_id)
        if home is None or not home.running:
            return None, "."
        workspace = self._files.of(home.id)
        name = (conversation.selected_repository or "").rstrip("/").rpartition("/")[2]
        return workspace, name if name in _folders(workspace.root) else "."


def _folders(directory: Path) -> set[str]:
    """What the directories in it are called. Names from outside are looked up here, and never made a path."""
    if not directory.is_dir():
        return set()
    return {one.name for one in directory.iterdir() if one.is_dir() and not one.is_symlink()}


def changes_since(files: SandboxFiles, sandbox_id: str, path: str, ref: str | None) -> list[Change]:
    """What differs from the last commit; nothing where there is no repository.

    Raises:
        UnknownRevision: another commit is asked for.
    """
    _check_revision(ref)
    try:
        return files.changes(sandbox_id, path)
    except (NotAGitRepository, FileMissing):
        return []


def compared_with(
    files: SandboxFiles, sandbox_id: str, path: str, ref: str | None
) -> tuple[str | None, str | None]:
    """A file as it is and as it was at the last commit; None for both in no repository.

    Raises:
        UnknownRevision: another commit is asked for.
        FileMissing: the file is in neither.
    """
    _check_revision(ref)
    try:
        return files.compare(sandbox_id, path)
    except NotAGitRepository:
        return None, None


def _check_revision(ref: str | None) -> None:
    if ref not in (None, HEAD):
        raise UnknownRevision(str(ref))


def _hooks_in(workspace: Workspace, name: str) -> Mapping[str, Any]:
    """The configuration in a file; none when it cannot be read."""
    try:
        with workspace.open_text(name) as file:
            configured = json.loads(file.read(_MOST_BYTES))
    except (DomainError, ValueError) as error:
        _logger.debug("no hooks: %s", error)
        return {}
    hooks = configured.get("hooks", configured) if isinstance(configured, dict) else {}
    return hooks if isinstance(hooks, dict) else {}


def _matchers(given: Any) -> Iterator[dict[str, Any]]:
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict):
            hooks = [hook for hook in one.get("hooks", ()) if isinstance(hook, dict)]
            yield {"matcher": one.get("matcher", "*"), "hooks": hooks}
