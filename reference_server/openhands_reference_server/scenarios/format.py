"""The format of scenarios: the one description from which they are checked and the schema is made.

Nothing is converted (a number is no text), nothing is null, and no key is ignored: what a file says is
what is played.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from openhands_reference_server.yaml_files import Part

DEFAULT_DELAY = 0.01

StageName: TypeAlias = Literal[
    "WAITING_FOR_SANDBOX",
    "PREPARING_REPOSITORY",
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    "STARTING_CONVERSATION",
    "READY",
]


def tag_of(model: type[BaseModel]) -> str:
    """How errors name the alternative that was taken; no key of a scenario looks like this."""
    return f"<{model.__name__}>"


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise PydanticCustomError("regex", "not a regular expression: {why}", {"why": str(error)}) from error
    return pattern


def _whole(value: Any) -> Any:
    """JSON Schema takes 2.0 for an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _only_true(value: bool) -> bool:
    if not value:
        raise PydanticCustomError("only_true", "only true makes sense here; leave it out instead")
    return value


Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Count: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Yes: TypeAlias = Annotated[bool, AfterValidator(_only_true), Field(json_schema_extra={"const": True})]
Words: TypeAlias = Annotated[str, Field(min_length=1)]
Regex: TypeAlias = Annotated[Words, AfterValidator(_compiles), Field(json_schema_extra={"format": "regex"})]


def _shape(value: Any) -> str:
    return "<many>" if isinstance(value, list) else "<one>"


Counts: TypeAlias = Annotated[
    Annotated[Count, Tag("<one>")] | Annotated[list[Count], Field(min_length=1), Tag("<many>")],
    Discriminator(_shape),
]


# -- what the agent does ----------------------------------------------------------------------------


class Step(Part):
    """One thing the agent does."""

    after: Seconds = Field(default_factory=float, description="Seconds before this step.")


class Command(Part):
    """A shell command. Nothing is run: the scenario says what it prints."""

    command: Words
    output: str = ""
    exit_code: Whole = 0
    thought: str = ""
    seconds: Seconds = Field(default=0.0, description="How long the command takes.")
    risk: Literal["LOW", "MEDIUM", "HIGH", "UNKNOWN"] = "LOW"
    confirm: bool = Field(default=False, description="The agent asks the user first.")
    rejected: list[AnyStep] = Field(
        default_factory=list,
        description="Instead of the rest of the turn, when the user has said no and lets the agent go on.",
    )


class File(Part):
    """A file that is written into the workspace."""

    path: Words
    content: str
    thought: str = ""


class Ending(Part):
    """What the agent says when it is done."""

    message: str
    thought: str = "Working on it."


class Failure(Part):
    """Why the model call failed."""

    code: Words = "LLMError"
    detail: Words


class Repetition(Part):
    """Steps, again and again; `{{ n }}` counts from 1."""

    times: Count
    steps: list[AnyStep] = Field(min_length=1)


def _text_or(model: type[BaseModel]) -> Discriminator:
    tag = tag_of(model)
    return Discriminator(lambda value: tag if isinstance(value, (dict, model)) else "<text>")


class Run(Step):
    """Run a command."""

    run: Annotated[
        Annotated[Words, Tag("<text>")] | Annotated[Command, Tag(tag_of(Command))], _text_or(Command)
    ]


class Write(Step):
    """Write a file."""

    write: File


class Think(Step):
    """Write down a thought."""

    think: str


class Say(Step):
    """Say something; ends the turn."""

    say: str


class Finish(Step):
    """Finish; ends the turn."""

    finish: Annotated[
        Annotated[str, Tag("<text>")] | Annotated[Ending, Tag(tag_of(Ending))], _text_or(Ending)
    ]


class Error(Step):
    """The model call fails; ends the turn in the state `error`."""

    error: Annotated[
        Annotated[Words, Tag("<text>")] | Annotated[Failure, Tag(tag_of(Failure))], _text_or(Failure)
    ]


class Stuck(Step):
    """The agent repeats itself until it is stopped; ends the turn."""

    stuck: Yes


class RateLimited(Step):
    """The model provider refuses more requests, for this reason; ends the turn."""

    rate_limited: Words


class Hang(Step):
    """The agent works on, and nothing happens any more."""

    hang: Yes


class Repeat(Step):
    """Do something again and again."""

    repeat: Repetition


KINDS: dict[str, type[Step]] = {
    "run": Run,
    "write": Write,
    "think": Think,
    "say": Say,
    "finish": Finish,
    "error": Error,
    "stuck": Stuck,
    "rate_limited": RateLimited,
    "hang": Hang,
    "repeat": Repeat,
}
"""The kinds of steps, by the key that tells them apart."""


def _kind(value: Any) -> str | None:
    if isinstance(value, Step):
        return tag_of(type(value))
    named = (KINDS[key] for key in KINDS if isinstance(value, dict) and key in value)
    return next(map(tag_of, named), None)


AnyStep: TypeAlias = Annotated[
    Annotated[Run, Tag(tag_of(Run))]
    | Annotated[Write, Tag(tag_of(Write))]
    | Annotated[Think, Tag(tag_of(Think))]
    | Annotated[Say, Tag(tag_of(Say))]
    | Annotated[Finish, Tag(tag_of(Finish))]
    | Annotated[Error, Tag(tag_of(Error))]
    | Annotated[Stuck, Tag(tag_of(Stuck))]
    | Annotated[RateLimited, Tag(tag_of(RateLimited))]
    | Annotated[Hang, Tag(tag_of(Hang))]
    | Annotated[Repeat, Tag(tag_of(Repeat))],
    Discriminator(
        _kind,
        custom_error_type="unknown_step",
        custom_error_message=f"a step is a mapping with one of the keys {', '.join(KINDS)}",
    ),
]
Steps: TypeAlias = Annotated[list[AnyStep], Field(min_length=1)]


# -- which message it is about ----------------------------------------------------------------------


class When(Part):
    """A message for which all of this is true."""

    text: Words = Field(
        default_factory=str, description="The message, without space around it, is this text."
    )
    contains: Words = Field(default_factory=str, description="The message contains this text.")
    regex: Regex = Field(default_factory=str, description="Found in the message; `{{ match.1 }}` is a group.")
    turn: Counts = Field(default_factory=list, description="The number of the turn, from 1, or several.")


class Rule(Part):
    """What the agent does about some messages."""

    when: When = Field(default_factory=When, description="Which messages; by default all.")
    delay: Seconds = Field(default_factory=float, description="Seconds before each step.")


class Answer(Rule):
    """The same every time."""

    steps: Steps


class Answers(Rule):
    """The first time the first, then the next; the last one stays. Counted in each conversation."""

    answers: list[Steps] = Field(min_length=1)


def _rule(value: Any) -> str:
    many = isinstance(value, Answers) or (isinstance(value, dict) and "answers" in value)
    return tag_of(Answers if many else Answer)


AnyRule: TypeAlias = Annotated[
    Annotated[Answer, Tag(tag_of(Answer))] | Annotated[Answers, Tag(tag_of(Answers))], Discriminator(_rule)
]


# -- how conversations start ------------------------------------------------------------------------


class StartWhen(Part):
    """A start for which all of this is true."""

    attempt: Counts = Field(
        default_factory=list, description="Which start this is, counted from 1, or which ones."
    )
    contains: Words = Field(default_factory=str, description="The first message contains this text.")
    repository: Words = Field(default_factory=str, description="The name of the selected repository.")


class Stage(Part):
    """One stage of a start."""

    delay: Seconds = Field(default_factory=float, description="Seconds before it.")
    fail: Words = Field(default_factory=str, description="The start fails here, with this detail.")
    hang: bool = Field(default=False, description="The start never gets here.")


class Start(Part):
    """How some conversations start."""

    when: StartWhen = Field(default_factory=StartWhen, description="Which starts; by default all.")
    delay: Seconds = Field(default_factory=float, description="Seconds before each stage.")
    stages: dict[StageName, Stage] = Field(default_factory=dict)


class ScenarioDocument(Part):
    """A scenario for the OpenHands reference server."""

    title: str = ""
    description: str = ""
    delay: Seconds = Field(
        default=DEFAULT_DELAY, description="Seconds before each stage and step, by default."
    )
    repository: Words = Field(
        default_factory=str,
        description="A git repository, by URL or by path beside this file: cloned into new workspaces.",
    )
    start: list[Start] = Field(
        default_factory=list, description="The first that applies counts; by default all goes well."
    )
    turns: list[AnyRule] = Field(
        default_factory=list,
        description="The first that applies counts; by default the agent echoes the message and finishes.",
    )


def json_schema() -> dict[str, Any]:
    """The format as JSON Schema (2020-12), for editors and other programs."""
    made = ScenarioDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
