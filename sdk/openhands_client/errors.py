"""Every error the SDK raises.

OpenHandsError
├── APIConnectionError          no answer: refused, reset, DNS, TLS
│   └── APITimeoutError         no answer in time
├── APIStatusError              an answer that says no
│   ├── BadRequestError         400
│   │   └── InvalidArgumentError   refused by the SDK before anything was sent; also a ValueError
│   ├── AuthenticationError     401
│   ├── PermissionDeniedError   403
│   ├── NotFoundError           404, and a 200 ``null`` where an object is due
│   ├── ConflictError           409, 412
│   ├── ValidationError         422
│   ├── RateLimitError          429
│   └── ServerError             5xx
├── ResponseFormatError         an answer of another shape than promised
├── StartTaskError              the conversation could not be started
├── StartTaskTimeout            it was not started in time
├── ClientClosedError           the client was closed; also a RuntimeError
├── OutcomeUnknownError         the server may have acted or not, and nothing was repeated
├── StreamError                 the event stream ended for good
├── UnsupportedOperationError   this server, or this generation, has no such thing
└── UnsafeURLError              a URL that credentials must not be sent to

Errors carry plain fields, survive ``pickle``, and never show a key or a token.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._core.commands import Response
    from .models import AppConversationStartTask

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ConflictError",
    "InvalidArgumentError",
    "NotFoundError",
    "OpenHandsError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimitError",
    "ResponseFormatError",
    "ServerError",
    "StartTaskError",
    "StartTaskTimeout",
    "StreamError",
    "UnsafeURLError",
    "UnsupportedOperationError",
    "ValidationError",
]


class OpenHandsError(Exception):
    """The root of all errors of this package."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword arguments, which the default protocol would lose.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(cls: type[OpenHandsError], args: tuple[Any, ...], fields: dict[str, Any]) -> OpenHandsError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class APIConnectionError(OpenHandsError):
    """The server gave no answer.

    ``request_sent`` is false when the request certainly never left: then repeating it is always safe.
    """

    def __init__(self, message: str, *, request_sent: bool = True) -> None:
        super().__init__(message)
        self.request_sent = request_sent


class APITimeoutError(APIConnectionError):
    """The server gave no answer in time."""


class APIStatusError(OpenHandsError):
    """The server answered with an error status.

    ``status_code``  HTTP status
    ``msg_id``       the server's stable id, such as ``CONVERSATION$NOT_FOUND``, where it sends one
    ``detail``       the server's ``detail``: a sentence, or a list of validation items
    ``request_id``   the ``X-Request-ID`` of the answer, where there is one
    ``response``     the whole answer; None when the request was never sent
    """

    default_status: ClassVar[int] = 0

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        msg_id: str | None = None,
        detail: Any = None,
        request_id: str | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = self.default_status if status_code is None else status_code
        self.msg_id = msg_id
        self.detail = detail
        self.request_id = request_id
        self.response = response

    @classmethod
    def from_response(cls, asked: str, response: Response) -> APIStatusError:
        """Make the error of the right class. ``asked`` names the request, as in ``GET /alive``."""
        body = _json_object(response.content)
        kind = _class_for(response.status_code)
        text = _human_text(body) or _plain_text(response)
        return kind(
            f"{asked} → {response.status_code}" + (f": {text}" if text else ""),
            status_code=response.status_code,
            msg_id=_string(body.get("msg_id")),
            detail=body.get("detail"),
            request_id=response.headers.get("x-request-id"),
            response=response,
        )

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait before the next try, if it did."""
        return None if self.response is None else self.response.retry_after


class BadRequestError(APIStatusError):
    """400: the request makes no sense to the server."""

    default_status = 400


class InvalidArgumentError(BadRequestError, ValueError):
    """An argument that no server would accept; nothing was sent."""


class AuthenticationError(APIStatusError):
    """401: the key or token is missing or wrong."""

    default_status = 401


class PermissionDeniedError(APIStatusError):
    """403: not yours."""

    default_status = 403


class NotFoundError(APIStatusError):
    """404, or a 200 ``null`` where an object is due."""

    default_status = 404


class ConflictError(APIStatusError):
    """409 or 412: not possible in the present state."""

    default_status = 409


class ValidationError(APIStatusError):
    """422: ``detail`` lists what is wrong where."""

    default_status = 422


class RateLimitError(APIStatusError):
    """429: too many requests; see ``retry_after`` (seconds)."""

    default_status = 429


class ServerError(APIStatusError):
    """5xx: the server failed."""

    default_status = 500


class ResponseFormatError(OpenHandsError):
    """The answer is not JSON, is a web page, or lacks the promised shape."""

    def __init__(self, message: str, *, response: Response | None = None, is_html: bool = False) -> None:
        super().__init__(message)
        self.response = response
        self.is_html = is_html


class StartTaskError(OpenHandsError):
    """The conversation could not be started, or not be set up as it was asked for.

    ``task``             the start task, where there is one; its ``detail`` says why
    ``conversation_id``  of the conversation, where there is one or may be one: ``conversations.get()`` tells
    """

    def __init__(
        self,
        message: str,
        *,
        task: AppConversationStartTask | None = None,
        conversation_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.conversation_id = conversation_id


class StartTaskTimeout(OpenHandsError):
    """The conversation was not ready in time. It may still come up.

    ``task``             what was last seen of it
    ``conversation_id``  what it is or will be called, where that is known: ``conversations.get()`` tells
    """

    def __init__(
        self,
        message: str,
        *,
        task: AppConversationStartTask | None = None,
        conversation_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.conversation_id = conversation_id


class OutcomeUnknownError(OpenHandsError):
    """No answer came, and nothing shows whether the server acted. Nothing was repeated; ``__cause__`` is why.

    ``conversation_id``  the conversation it was about; of a start in V1, the id that it was to have
    ``candidates``       the ids of conversations that may have come of a start in V0
    """

    def __init__(
        self,
        message: str,
        *,
        conversation_id: str | None = None,
        candidates: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.conversation_id = conversation_id
        self.candidates = tuple(candidates)


class StreamError(OpenHandsError):
    """The event stream cannot go on. ``last_event_id`` is what to pass as ``after`` to resume it."""

    def __init__(self, message: str, *, last_event_id: str | int | None = None) -> None:
        super().__init__(message)
        self.last_event_id = last_event_id


class ClientClosedError(OpenHandsError, RuntimeError):
    """The client was closed, before the call or while it ran."""


class UnsupportedOperationError(OpenHandsError):
    """The server, or this generation of conversation, has no such operation."""


class UnsafeURLError(OpenHandsError):
    """A URL that requests, and with them credentials, must not go to."""

    @classmethod
    def because(cls, name: str, reason: str) -> Self:
        return cls(f"{name} is refused: {reason}.")


_BY_STATUS: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    422: ValidationError,
    429: RateLimitError,
}


def _class_for(status: int) -> type[APIStatusError]:
    return _BY_STATUS.get(status, ServerError if status >= 500 else APIStatusError)


def _json_object(content: bytes) -> dict[str, Any]:
    """The body of an error. Some servers send the bare sentence that others put under ``detail``."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    if isinstance(body, str):
        return {"detail": body}
    return body if isinstance(body, dict) else {}


def _human_text(body: dict[str, Any]) -> str:
    """The servers put the sentence under four different keys."""
    detail = body.get("detail")
    if isinstance(detail, list):
        return "; ".join(_validation_text(item) for item in detail[:5])
    parts = [_string(body.get(key)) for key in ("message", "detail", "error", "exception")]
    return ": ".join(dict.fromkeys(part for part in parts if part))


def _validation_text(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    place = item.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else _string(place)
    said = _string(item.get("msg")) or "invalid"
    return f"{where}: {said}" if where else said


def _plain_text(response: Response) -> str:
    if response.is_html:
        return "a web page instead of JSON"
    return response.content[:200].decode(errors="replace").strip() if not response.is_json else ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
