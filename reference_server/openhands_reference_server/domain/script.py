"""What the scripted agent does: the only place that stands in for a model and a container.

A script says two things: how the start of a conversation goes (`start`), and what the agent does
about a message (`turn`). Both are iterators of (delay in seconds, step). The steps know no
generation: `v0.py` and `v1.py` turn an act into the events of theirs. A turn must be repeatable: for
the same message, number and talk it yields the same acts, because after a restart the server asks
again and skips what has been done.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

WORKING, READY, ERROR = "WORKING", "READY", "ERROR"
WAITING_FOR_SANDBOX, STARTING_CONVERSATION = "WAITING_FOR_SANDBOX", "STARTING_CONVERSATION"
PREPARING_REPOSITORY = "PREPARING_REPOSITORY"

START_STAGES = (
    WORKING,
    WAITING_FOR_SANDBOX,
    PREPARING_REPOSITORY,
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    STARTING_CONVERSATION,
    READY,
)
"""The stages of a start task, in their order."""


@dataclass(frozen=True, slots=True)
class Run:
    """A shell command and what came of it; with `confirm` the agent asks the user first, whatever the policy.

    `risk` is LOW, MEDIUM, HIGH or UNKNOWN; the confirmation policy `ConfirmRisky` looks at it. With
    `heeds_rejection` the script has something to say when the user rejects the command: the turn is not
    over then, and goes on when the user lets the agent go on.
    """

    command: str
    output: str = ""
    exit_code: int = 0
    thought: str = ""
    seconds: float = 0.0
    confirm: bool = False
    risk: str = "LOW"
    heeds_rejection: bool = False


@dataclass(frozen=True, slots=True)
class Think:
    """A thought for the log."""

    thought: str


@dataclass(frozen=True, slots=True)
class Write:
    """A file for the workspace, by its path there; `replaced` is filled in with what it was before."""

    path: str
    content: str
    thought: str = ""
    replaced: str | None = None

    @property
    def said(self) -> str:
        """What the editor tool says of it."""
        if self.replaced is None:
            return f"File created successfully at: {self.path}"
        return f"The file {self.path} has been overwritten."


@dataclass(frozen=True, slots=True)
class Written:
    """What came of writing a file: what it was before, or why it was not written."""

    replaced: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Plain text; ends the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The finish tool; ends the turn."""

    message: str = "All done."
    thought: str = "Working on it."


@dataclass(frozen=True, slots=True)
class Fail:
    """The model call failed; ends the turn in the state `error`."""

    code: str = "LLMAuthenticationError"
    detail: str = "Error authenticating with the LLM provider. Please check your API key"


@dataclass(frozen=True, slots=True)
class GetStuck:
    """The agent repeats itself until it is stopped; ends the turn in the state `stuck`."""


@dataclass(frozen=True, slots=True)
class GetRateLimited:
    """The model provider refuses more requests; ends the turn (V0: `rate_limited`, V1: `error`)."""

    detail: str = "Rate limit exceeded. Try again later."


@dataclass(frozen=True, slots=True)
class StartFailure:
    """The start ends here, with this explanation."""

    detail: str


@dataclass(frozen=True, slots=True)
class Clone:
    """The stage PREPARING_REPOSITORY, with a repository for the workspace, if that was not used yet."""

    source: str


Act: TypeAlias = Run | Write | Think | Say | Finish | Fail | GetStuck | GetRateLimited
Stage: TypeAlias = str | Clone | StartFailure
Turn: TypeAlias = Callable[[str, int], Iterable[Act]]


def _nothing_earlier() -> Sequence[str]:
    return ()


def _never_rejected(act: int) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation as its script sees it.

    Attributes:
        conversation_id: 32 hex digits.
        repository: the selected repository, if any.
        branch: the selected branch, if any.
        earlier: gives the messages of the turns before this one.
        was_rejected: has the user rejected the act with this index (from 0) of this turn?
    """

    conversation_id: str = ""
    repository: str | None = None
    branch: str | None = None
    earlier: Callable[[], Sequence[str]] = _nothing_earlier
    was_rejected: Callable[[int], bool] = _never_rejected


class Script(Protocol):
    """How conversations start and what the agent answers."""

    def start(self, request: Mapping[str, Any], number: int) -> Iterator[tuple[float, Stage]]:
        """The stages after WORKING, each with the seconds it takes to get there.

        `request` is a start request of V1, or as much of one as is known of a V0 conversation; `number`
        counts the starts of both generations from 1.
        """
        ...

    def turn(self, message: str, number: int, talk: Talk) -> Iterator[tuple[float, Act]]:
        """What the agent does about a message; `number` counts the turns of the conversation from 1."""
        ...


def echo_and_finish(message: str, number: int) -> Iterator[Act]:
    """The default turn: repeat the first line of the message in the shell, and finish."""
    line = (message.strip().splitlines() or [""])[0][:80]
    yield Run(f"echo {shlex.quote(line)}", output=line, thought="Working on it.")
    yield Finish()


@dataclass(frozen=True)
class AgentScript:
    """The default script, with everything tests want to turn.

    Args:
        acts: what the agent does about a message.
        step_delay: seconds before each act.
        stage_delay: seconds before each stage of a start.
        stage_delays: other delays for single stages; `math.inf` means never.
        fail_at: the stage instead of which the start fails, if any.
        failure: the detail of that failure.
        repository: the path or URL of a repository that is cloned into new workspaces.
    """

    acts: Turn = echo_and_finish
    step_delay: float = 0.01
    stage_delay: float = 0.01
    stage_delays: Mapping[str, float] = field(default_factory=dict)
    fail_at: str | None = None
    failure: str = "The sandbox could not be prepared"
    repository: str | None = None

    def start(self, request: Mapping[str, Any], number: int) -> Iterator[tuple[float, Stage]]:
        """All documented stages, up to the one that fails."""
        for stage in START_STAGES[1:]:
            delay = self.stage_delays.get(stage, self.stage_delay)
            if stage == self.fail_at:
                yield delay, StartFailure(self.failure)
                return
            if stage == PREPARING_REPOSITORY and self.repository is not None:
                yield delay, Clone(self.repository)
            else:
                yield delay, stage

    def turn(self, message: str, number: int, talk: Talk) -> Iterator[tuple[float, Act]]:
        """The acts of this turn, evenly spaced."""
        for act in self.acts(message, number):
            yield self.step_delay, act


def pretend_shell(command: str) -> str:
    """What a command typed by the user prints here: `echo` echoes, everything else is silent."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return " ".join(words[1:]) + "\n" if words[:1] == ["echo"] else ""
