"""Drives the scripted agents: asks the script for the next act and lets the scheduler perform it.

No agent has a thread. Per working conversation there is one place in its script and at most one
scheduled step; after every change of a conversation `attend` decides whether there has to be another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from openhands_reference_server.domain import v0, v1
from openhands_reference_server.domain.conversations import Conversation
from openhands_reference_server.domain.errors import DomainError
from openhands_reference_server.domain.script import Act, Fail, Run, Talk, Write, Written
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.workspace.sandbox_files import SandboxFiles
from openhands_reference_server.workspace.workspaces import Workspaces
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.scheduler import Step

_logger = logging.getLogger(__name__)


@dataclass
class _Run:
    """Where one agent is in its script.

    Attributes:
        turn: the number of the turn.
        acts: what the script still has for it.
        seconds: how long the act takes that was announced last.
        step: the next thing to happen, if it is scheduled.
    """

    turn: int
    acts: Iterator[tuple[float, Act]]
    seconds: float = 0.0
    step: Step | None = None

    def next_act(self) -> tuple[float, Act | None]:
        """The next act and the seconds before it; None when the script has no more."""
        try:
            delay, act = next(self.acts, (0.0, None))
        except Exception as error:
            _logger.exception("the script failed")
            delay, act = 0.0, Fail(code="ScriptError", detail=str(error) or type(error).__name__)
        self.seconds = act.seconds if isinstance(act, Run) else 0.0
        return delay, act


class Agents:
    """All agents of one world."""

    def __init__(self, core: Core, workspaces: Workspaces, sandbox_files: SandboxFiles) -> None:
        self._core = core
        self._workspaces = workspaces
        self._sandbox_files = sandbox_files
        self._runs: dict[str, _Run] = {}
        core.attend = self.attend

    def attend(self, conversation_id: str) -> None:
        """See to it that an agent with a next step gets it, and that no other does."""
        conversation = self._core.conversations.get(conversation_id)
        if conversation is None or not self._may_work(conversation):
            self._drop(conversation_id)
            return
        run = self._run_of(conversation)
        if run.step is None:
            run.step = self._schedule(conversation, run)

    def _may_work(self, conversation: Conversation) -> bool:
        if not conversation.working or self._core.closed:
            return False
        if isinstance(conversation, V0Conversation):
            return True
        sandbox = self._core.sandboxes.get(conversation.sandbox_id)
        return sandbox is not None and sandbox.running

    def _run_of(self, conversation: Conversation) -> _Run:
        """The present run; a new one goes to where the conversation stands in its turn."""
        run, turn = self._runs.get(conversation.id), conversation.turn
        if run is None or run.turn != turn.number:
            acts = islice(self._acts(turn.text, turn.number, self._talk(conversation)), turn.acts, None)
            run = self._runs[conversation.id] = _Run(turn.number, acts)
            if turn.pending is not None:
                run.next_act()  # it is the one that was announced
        return run

    def _acts(self, text: str, number: int, talk: Talk) -> Iterator[tuple[float, Act]]:
        """What the script says; nothing of it runs before the first act is asked for."""
        yield from self._core.script.turn(text, number, talk)

    def _talk(self, conversation: Conversation) -> Talk:
        def was_rejected(act: int) -> bool:
            now = self._core.conversations.get(conversation.id)
            return now is not None and act in now.turn.rejected

        return Talk(
            conversation_id=conversation.id,
            repository=conversation.selected_repository,
            branch=conversation.selected_branch,
            earlier=partial(self._earlier, conversation.id, conversation.turn.number),
            was_rejected=was_rejected,
        )

    def _earlier(self, conversation_id: str, number: int) -> Sequence[str]:
        """The messages of the turns before this one, which each record of a turn names."""
        turns = (record["turn"] for record in self._core.records(conversation_id) if "turn" in record)
        texts = {turn["number"]: turn["text"] for turn in turns}
        return [texts[earlier] for earlier in range(1, number)]

    def _schedule(self, conversation: Conversation, run: _Run) -> Step:
        delay, act = run.next_act() if conversation.turn.pending is None else (run.seconds, None)
        return self._core.scheduler.after(delay, partial(self._step, conversation.id, run, act))

    def _step(self, conversation_id: str, run: _Run, act: Act | None) -> None:
        if isinstance(act, Write):
            act = self._written(conversation_id, run, act)
        written = self._written_to_sandbox(conversation_id, run) if act is None else None
        with self._core.lock:
            if self._core.closed or self._runs.get(conversation_id) is not run:
                return
            run.step = None
            conversation = self._core.conversations.get(conversation_id)
            if isinstance(conversation, V0Conversation):
                with self._core.changing_v0(conversation) as changes:
                    _advance_v0(changes, act)
            elif isinstance(conversation, V1Conversation):
                with self._core.changing_v1(conversation) as changes:
                    _advance_v1(changes, act, written)

    def _written(self, conversation_id: str, run: _Run, act: Write) -> Act:
        """Write a file of V0, which must not be waited for under the lock. In V1 it is announced first."""
        with self._core.lock:
            conversation = self._core.conversations.get(conversation_id)
            if self._runs.get(conversation_id) is not run or not isinstance(conversation, V0Conversation):
                return act
        try:
            return replace(act, replaced=self._workspaces.of(conversation_id).write(act.path, act.content))
        except (DomainError, OSError) as error:
            _logger.warning("the script cannot write %s: %s", act.path, error)
            return Fail(code="WriteError", detail=str(error))

    def _written_to_sandbox(self, conversation_id: str, run: _Run) -> Written | None:
        """Write the file a V1 agent has announced, if it has; not under the lock."""
        with self._core.lock:
            conversation = self._core.conversations.get(conversation_id)
            if self._runs.get(conversation_id) is not run or not isinstance(conversation, V1Conversation):
                return None
            file = v1.file_to_write(conversation)
        if file is None:
            return None
        try:
            return Written(self._sandbox_files.of(conversation.sandbox_id).write(*file))
        except (DomainError, OSError) as error:
            return Written(failure=str(error))

    def _drop(self, conversation_id: str) -> None:
        run = self._runs.pop(conversation_id, None)
        if run is not None and run.step is not None:
            run.step.cancel()


def _advance_v0(changes: v0.Writing, act: Act | None) -> None:
    if act is not None:
        v0.perform(changes, act)
    elif changes.state.turn.pending is not None:
        v0.observe(changes)
    else:
        v0.end_turn(changes)


def _advance_v1(changes: v1.Writing, act: Act | None, written: Written | None) -> None:
    if act is not None:
        v1.perform(changes, act)
    elif changes.state.turn.pending is not None:
        v1.observe(changes, written)
    else:
        v1.end_turn(changes)
