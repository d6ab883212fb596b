"""Brings conversations up: walks the start script for V1 start tasks and for V0 agent loops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from openhands_reference_server.domain import sandbox, start_task, v0, v1
from openhands_reference_server.domain.errors import DomainError, SandboxNotStartable
from openhands_reference_server.domain.identifiers import sandbox_id
from openhands_reference_server.domain.sandbox import Sandbox
from openhands_reference_server.domain.script import (
    PREPARING_REPOSITORY,
    READY,
    Clone,
    Stage,
    StartFailure,
)
from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.workspace.cloning import Cloned
from openhands_reference_server.workspace.sandbox_files import SandboxFiles
from openhands_reference_server.workspace.workspaces import Workspaces
from openhands_reference_server.world.core import Core

_logger = logging.getLogger(__name__)

Reached = Callable[[Stage], bool]
"""Does what a stage brings; says whether to go on to the next."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """A start in progress.

    Attributes:
        stages: what is to come.
        reached: told of each stage.
        clone: begins to clone a repository into the workspace, and is told what to tell the end.
    """

    stages: Iterator[tuple[float, Stage]]
    reached: Reached
    clone: Callable[[str, Cloned], None]


class Starts:
    """All starts in progress of one world.

    Args:
        core: the world's state.
        workspaces: where repositories of V0 conversations are cloned to.
        sandbox_files: where those of V1 conversations are.
        ready: told of each start task that is READY.
    """

    def __init__(
        self,
        core: Core,
        workspaces: Workspaces,
        sandbox_files: SandboxFiles,
        ready: Callable[[StartTask], None],
    ) -> None:
        self._core = core
        self._sandbox_files = sandbox_files
        self._begun = 0
        self._workspaces = workspaces
        self._ready = ready
        self._v0_starts: dict[str, object] = {}

    def forget(self) -> None:
        """Count from the beginning: another script is played."""
        self._begun = 0

    def begin_task(self, task: StartTask) -> None:
        """Walk a new start task through its stages."""
        reached, clone = partial(self._task_reached, task.id), partial(self._clone_v1, task.id)
        self._next(_Walk(self._stages(task.request), reached, clone))

    def begin_v0(self, conversation: V0Conversation) -> None:
        """Bring up the agent loop of a V0 conversation that is STARTING."""
        attempt = self._v0_starts[conversation.id] = object()
        reached = partial(self._v0_reached, conversation.id, attempt)
        clone = partial(self._clone_v0, conversation)
        self._next(_Walk(self._stages(_as_request(conversation)), reached, clone))

    def _stages(self, request: Mapping[str, Any]) -> Iterator[tuple[float, Stage]]:
        """What the script says, with nothing of it run before the first stage is asked for."""
        self._begun += 1
        return self._said(request, self._begun)

    def _said(self, request: Mapping[str, Any], number: int) -> Iterator[tuple[float, Stage]]:
        yield from self._core.script.start(request, number)

    def _next(self, walk: _Walk) -> None:
        delay, stage = self._next_stage(walk.stages)
        self._core.scheduler.after(delay, partial(self._arrive, stage, walk))

    def _next_stage(self, stages: Iterator[tuple[float, Stage]]) -> tuple[float, Stage]:
        try:
            return next(stages, (0.0, READY))
        except Exception as error:
            _logger.exception("the script failed")
            return 0.0, StartFailure(str(error) or type(error).__name__)

    def _arrive(self, stage: Stage, walk: _Walk) -> None:
        with self._core.lock:
            if self._core.closed or not walk.reached(stage):
                return
            if isinstance(stage, Clone):
                walk.clone(stage.source, partial(self._cloned, walk))
            else:
                self._next(walk)

    def _cloned(self, walk: _Walk, failure: str | None) -> None:
        with self._core.lock:
            if self._core.closed:
                return
            if failure is None:
                self._next(walk)
            else:
                walk.reached(StartFailure(failure))

    # -- V0 -----------------------------------------------------------------------------------------

    def _v0_reached(self, conversation_id: str, attempt: object, stage: Stage) -> bool:
        if self._v0_starts.get(conversation_id) is not attempt:
            return False
        found = self._core.conversations.get(conversation_id)
        starting = found if isinstance(found, V0Conversation) and found.status == v0.STARTING else None
        if starting and stage != READY and not isinstance(stage, StartFailure):
            return True
        del self._v0_starts[conversation_id]
        if starting:
            with self._core.changing_v0(starting) as changes:
                if isinstance(stage, StartFailure):
                    v0.fail_to_begin(changes, stage.detail)
                else:
                    v0.begin(changes)
        return False

    def _clone_v0(self, conversation: V0Conversation, source: str, cloned: Cloned) -> None:
        self._workspaces.clone(conversation.id, source, conversation.selected_branch, cloned)

    # -- V1 -----------------------------------------------------------------------------------------

    def _task_reached(self, task_id: str, stage: Stage) -> bool:
        task = self._core.start_tasks.get(task_id)
        if task is None or task.ended:
            return False
        try:
            if isinstance(stage, StartFailure):
                self._fail(task, stage.detail)
            elif stage == READY:
                self._finish(task)
            else:
                home = self._home_of(task)
                with self._core.changing_task(task) as changes:
                    name = PREPARING_REPOSITORY if isinstance(stage, Clone) else stage
                    start_task.reach(changes, name, sandbox_id=home.id)
                return True
        except DomainError as error:
            self._fail(task, f"{self._core.dialect.start_error_prefix}{error}")
        return False

    def _clone_v1(self, task_id: str, source: str, cloned: Cloned) -> None:
        """The sandbox is there: the stage that was just reached has made it."""
        task = self._core.start_tasks.get(task_id)
        if task is not None and task.sandbox_id is not None:
            self._sandbox_files.clone(task.sandbox_id, source, task.request["selected_branch"], cloned)

    def _fail(self, task: StartTask, detail: str) -> None:
        with self._core.changing_task(task) as changes:
            start_task.fail(changes, detail)

    def _finish(self, task: StartTask) -> None:
        wanted = task.request["conversation_id"]
        conversation = None if wanted is None else self._core.conversations.get(wanted)
        if isinstance(conversation, V0Conversation):
            self._fail(task, f"Conversation id is taken: {wanted}")
            return
        if conversation is None:
            conversation = self._create(task, self._home_of(task))
        with self._core.changing_task(task) as changes:
            start_task.finish(changes, conversation.id, sandbox_id=conversation.sandbox_id)
        self._ready(changes.state)

    def _create(self, task: StartTask, home: Sandbox) -> V1Conversation:
        request = task.request
        parent_id = request["parent_conversation_id"]
        parent = None if parent_id is None else self._core.v1(parent_id)
        with self._core.changing_v1(None) as changes:
            details = _details(request, parent, home)
            if self._core.dialect.titles_wait:
                details["title"] = None
            details["id"] = request["conversation_id"] or self._core.new_conversation_id()
            v1.create(changes, details, system_message_suffix=request["system_message_suffix"])
            message = request["initial_message"]
            if message is not None:
                v1.send_message(
                    changes,
                    message["content"],
                    role=message["role"],
                    run=message["run"] or self._core.dialect.initial_message_always_runs,
                )
        return changes.state

    def _home_of(self, task: StartTask) -> Sandbox:
        """The sandbox of the conversation to be: an existing one where the request leads to one.

        Raises:
            SandboxNotFound: the request names one that does not exist.
            SandboxNotStartable: it was paused, and this server does not wait until it runs again.
        """
        known = task.sandbox_id or self._sandbox_asked_for(task)
        if known is None:
            with self._core.changing_sandbox(None) as changes:
                sandbox.create(changes, sandbox_id(self._core.new_id()))
            return changes.state
        home = self._core.sandbox(known)
        if not home.running:
            with self._core.changing_sandbox(home) as changes:
                sandbox.resume(changes)
            for conversation in self._core.conversations_in(home.id):
                self._core.attend(conversation.id)
            if self._core.dialect.wakes_sandboxes_in_vain:
                raise SandboxNotStartable(home.id)
        return self._core.sandbox(known)

    def _sandbox_asked_for(self, task: StartTask) -> str | None:
        request = task.request
        wanted = request["conversation_id"]
        if wanted is not None:
            existing = self._core.conversations.get(wanted)
            if isinstance(existing, V1Conversation):
                return existing.sandbox_id
            for other in self._core.start_tasks:
                if other.request["conversation_id"] == wanted and not other.ended and other.sandbox_id:
                    return other.sandbox_id
        parent = request["parent_conversation_id"]
        if parent is not None:
            return self._core.v1(parent).sandbox_id
        named: str | None = request["sandbox_id"]
        return named


def _as_request(conversation: V0Conversation) -> dict[str, Any]:
    """A V0 conversation as a start request of V1 says it."""
    text = conversation.initial_message
    return {
        "conversation_id": conversation.id,
        "initial_message": None if text is None else {"content": [{"type": "text", "text": text}]},
        "selected_repository": conversation.selected_repository,
        "selected_branch": conversation.selected_branch,
        "git_provider": conversation.git_provider,
        "title": conversation.title,
    }


def _details(request: Mapping[str, Any], parent: V1Conversation | None, home: Sandbox) -> dict[str, Any]:
    """What the conversation record says; a sub-conversation inherits what it does not say itself."""
    inherited = ("selected_repository", "selected_branch", "git_provider", "llm_model")
    given = {
        name: request[name] or (getattr(parent, name) if parent is not None else None) for name in inherited
    }
    return {
        **given,
        "sandbox_id": home.id,
        "title": (request["title"] or "").strip() or None,
        "trigger": request["trigger"],
        "pr_number": request["pr_number"],
        "llm_model": given["llm_model"] or v1.DEFAULT_MODEL,
        "parent_conversation_id": request["parent_conversation_id"],
        "agent_type": request["agent_type"],
    }
