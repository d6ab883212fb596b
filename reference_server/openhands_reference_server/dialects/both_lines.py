"""What the agent servers of both lines say alike."""

from __future__ import annotations

from openhands_reference_server.dialects.answers import Answer, detail, rule
from openhands_reference_server.domain.errors import ConversationNotFound, ToolDisabled
from openhands_reference_server.domain.identifiers import canonical, dashed

_ABOUT_EVENTS = (
    "searchEvents",
    "countEvents",
    "getEvent",
    "batchGetEvents",
    "sendEvent",
    "respondToConfirmation",
)


def raised(error: ToolDisabled) -> Answer:
    """A refusal with a status of 5xx, whose text is kept from `detail`."""
    text = f"503: {error}. Set {error.setting} to enable."
    return Answer(503, {"detail": "Internal Server Error", "exception": text})


def _unknown(error: ConversationNotFound) -> Answer:
    return Answer(404, {"detail": f"Conversation not found: {dashed(canonical(error.conversation_id))}"})


UNKNOWN_TO_AGENT_SERVER = (
    rule(ConversationNotFound, _unknown, *_ABOUT_EVENTS),
    rule(ConversationNotFound, detail(404, "Not Found")),
)
"""An unknown conversation is named where events are asked for, and nowhere else."""
