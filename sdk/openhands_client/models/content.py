"""What messages consist of: text, images, tool calls. Shared by requests and events of V1."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from openhands_client.models.base import JsonObject, WireModel


class Content(WireModel, frozen=True):
    """A content item of a type this package does not know."""

    type: str = ""


class TextContent(Content, frozen=True):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str
    cache_prompt: StrictBool = False


class ImageContent(Content, frozen=True):
    """One or more images, by URL (http, https or data).

    The web client's type is `{"type": "image_url", "image_url": {"url": …}}`; servers refuse it, but
    it is understood on reading: its address is in `image_urls` as well.
    """

    type: Literal["image", "image_url"] = "image"
    image_urls: list[str] = Field(default_factory=list[str])
    cache_prompt: StrictBool = False

    @model_validator(mode="after")
    def _understand_image_url(self) -> Self:
        image_url = (self.model_extra or {}).get("image_url")
        if not self.image_urls and isinstance(image_url, dict) and isinstance(image_url.get("url"), str):
            # Set beside pydantic's bookkeeping: the field stays "not sent", so to_dict() stays true.
            vars(self)["image_urls"] = [image_url["url"]]
        return self


AnyContent = Annotated[
    Annotated[TextContent | ImageContent, Field(discriminator="type")] | Content,
    Field(union_mode="left_to_right"),
]


def text_of(content: list[TextContent | ImageContent | Content]) -> str:
    """The text of a content list, images left out."""
    return "\n".join(item.text for item in content if isinstance(item, TextContent))


class MessageToolCall(WireModel, frozen=True):
    """A tool call as the model made it; `arguments` is JSON text.

    Servers send it flat; the web client's type nests name and arguments in `function`. Both are read.
    """

    id: str = ""
    name: str = ""
    arguments: str = ""
    origin: str | None = None
    function: JsonObject | None = None

    @model_validator(mode="after")
    def _understand_function(self) -> Self:
        if self.function is not None:
            for part in ("name", "arguments"):
                value = self.function.get(part)
                if part not in self.model_fields_set and isinstance(value, str):
                    vars(self)[part] = value
        return self


class Message(WireModel, frozen=True):
    """A message to or from the model."""

    role: str
    content: list[AnyContent] = Field(default_factory=list[TextContent | ImageContent | Content])
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[JsonObject] = Field(default_factory=list[JsonObject])
    responses_reasoning_item: Any = None

    @property
    def text(self) -> str:
        """Its text, images left out."""
        return text_of(self.content)
