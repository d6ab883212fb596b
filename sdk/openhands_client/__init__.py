"""Client for the OpenHands conversation API, V0 and V1: ``OpenHands`` and ``AsyncOpenHands``.

The sync client is loaded at import; the async one (with asyncio), services and models at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, models
from ._core.auth import Auth, BearerAuth, OAuth2Auth
from ._core.operation import Repeat
from ._core.retry import Retry, RetryPolicy
from ._sync.client import OpenHands
from .errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    OpenHandsError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    ResponseFormatError,
    ServerError,
    StartTaskError,
    StartTaskTimeout,
    StreamError,
    UnsafeURLError,
    UnsupportedOperationError,
    ValidationError,
)

if TYPE_CHECKING:
    from ._async.client import AsyncOpenHands
    from ._async.conversations import AsyncConversation, AsyncStartTask
    from ._async.watching import Watched, watch
    from ._core.many import CreationProgress, CreationResult
    from ._core.ordering import ConversationRequest
    from ._sync.conversations import Conversation, StartTask

_LATER = {
    "AsyncConversation": "_async.conversations",
    "AsyncOpenHands": "_async.client",
    "AsyncStartTask": "_async.conversations",
    "Conversation": "_sync.conversations",
    "ConversationRequest": "_core.ordering",
    "CreationProgress": "_core.many",
    "CreationResult": "_core.many",
    "StartTask": "_sync.conversations",
    "Watched": "_async.watching",
    "watch": "_async.watching",
}

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncConversation",
    "AsyncOpenHands",
    "AsyncStartTask",
    "Auth",
    "AuthenticationError",
    "BadRequestError",
    "BearerAuth",
    "ClientClosedError",
    "ConflictError",
    "Conversation",
    "ConversationRequest",
    "CreationProgress",
    "CreationResult",
    "InvalidArgumentError",
    "NotFoundError",
    "OAuth2Auth",
    "OpenHands",
    "OpenHandsError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimitError",
    "Repeat",
    "ResponseFormatError",
    "Retry",
    "RetryPolicy",
    "ServerError",
    "StartTask",
    "StartTaskError",
    "StartTaskTimeout",
    "StreamError",
    "UnsafeURLError",
    "UnsupportedOperationError",
    "ValidationError",
    "Watched",
    "errors",
    "models",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value
