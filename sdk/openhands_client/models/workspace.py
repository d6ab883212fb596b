"""The workspace of a conversation and what people say of it: files, git, microagents, feedback, addresses."""

from typing import Any

from pydantic import Field, model_validator

from openhands_client.models.base import JsonObject, WireModel
from openhands_client.models.enums import GitChangeStatus
from openhands_client.models.v0 import V0Event


class SkippedFile(WireModel, frozen=True):
    """A file that was not uploaded, and why."""

    name: str
    reason: str


class FileUploadSuccessResponse(WireModel, frozen=True):
    """What became of an upload: the paths in the workspace, and what was left out."""

    uploaded_files: list[str] = Field(default_factory=list[str])
    skipped_files: list[SkippedFile] = Field(default_factory=list[SkippedFile])


class FileContent(WireModel, frozen=True):
    """A text file."""

    code: str


class GitChange(WireModel, frozen=True):
    """A file that differs from the last commit."""

    status: GitChangeStatus
    path: str


class GitDiff(WireModel, frozen=True):
    """A file before and after; None where it does not exist, or is no text."""

    modified: str | None = None
    original: str | None = None


class VSCodeUrl(WireModel, frozen=True):
    """Where an editor for the workspace listens; None where there is none. V1 calls the field `url`."""

    vscode_url: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _either_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "vscode_url" not in data and "url" in data:
            return {**data, "vscode_url": data["url"]}
        return data


class WebHosts(WireModel, frozen=True):
    """Addresses of what the agent serves: a list, or an object whose keys they are."""

    hosts: list[str] | dict[str, int | None] = Field(default_factory=list[str])

    @property
    def urls(self) -> list[str]:
        """The addresses alone."""
        return list(self.hosts)


class Trajectory(WireModel, frozen=True):
    """All events of a conversation that are meant to be seen."""

    trajectory: list[V0Event]


class MicroagentInput(WireModel, frozen=True):
    """What a microagent asks for."""

    name: str
    description: str = ""


class Microagent(WireModel, frozen=True):
    """A piece of knowledge that a conversation has loaded."""

    name: str
    type: str
    content: str = ""
    triggers: list[str] = Field(default_factory=list[str])
    inputs: list[MicroagentInput] = Field(default_factory=list[MicroagentInput])
    tools: list[str] = Field(default_factory=list[str])


class MicroagentsResponse(WireModel, frozen=True):
    """The microagents of a conversation."""

    microagents: list[Microagent]


class MicroagentPrompt(WireModel, frozen=True):
    """A prompt for a microagent that remembers what an event taught."""

    status: str = "success"
    prompt: str


class FeedbackStatus(WireModel, frozen=True):
    """A rating of one to five, where there is one."""

    exists: bool = False
    rating: int | None = None
    reason: str | None = None
    metadata: JsonObject | None = None


class FeedbackResponse(WireModel, frozen=True):
    """What became of a feedback."""

    status: str | None = None
    message: str | None = None
