"""Everything that goes wrong, as it looks on the wire: always JSON, in the documented shapes.

V0 has an envelope with a `msg_id`; everything else says `detail`. Nothing here ever shows a trace.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from wsproto.utilities import RemoteProtocolError

from openhands_reference_server.dialects.answers import Answer, Rule, refusal
from openhands_reference_server.domain.errors import (
    AgentServerRefused,
    AgentSessionNotFound,
    AlreadyRunning,
    BashDisabled,
    BashEventNotFound,
    BinaryFile,
    ConversationIdTaken,
    ConversationNotFound,
    DomainError,
    EventHidden,
    EventNotFound,
    FileMissing,
    FileTooLarge,
    ForkSourceEvent,
    GoalRunning,
    IllegalTransition,
    NoGoal,
    NotAGitRepository,
    NotForeseen,
    NotRunning,
    ParentNotFound,
    PathNotAbsolute,
    PathOutside,
    SandboxGone,
    SandboxNotFound,
    SandboxPaused,
    SandboxSpecNotFound,
    SecretExists,
    SecretNotFound,
    ServerClosing,
    SettingsNotFound,
    ToolDisabled,
    TooManyPending,
    UnknownPage,
    UnknownRevision,
)
from openhands_reference_server.domain.identifiers import InvalidIdentifier, canonical, dashed
from openhands_reference_server.http.answers import dumps, json_answer
from openhands_reference_server.http.connections import reset_behind
from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.http.validation_items import item

_logger = logging.getLogger(__name__)


def detail(status: int, text: str) -> Response:
    """The plain form."""
    return json_answer({"detail": text}, status)


def error_text(status: int, text: str) -> Response:
    """The form of what files, git, settings and secrets refuse."""
    return json_answer({"error": text}, status)


def envelope(status: int, message: str, msg_id: str) -> Response:
    """The V0 form."""
    return json_answer({"status": "error", "message": message, "msg_id": msg_id}, status)


def invalid(place: str, name: str, reason: str, given: Any) -> RequestInvalid:
    """A value that is as described, and makes no sense all the same."""
    problem = item("value_error", (place, name), f"Value error, {reason}", given)
    return RequestInvalid(422, {"detail": [problem]})


def _hidden_event(error: EventHidden) -> Response:
    return refused(invalid("query", "event_id", "the event is hidden", str(error.event_id)))


def _too_large(text: str) -> Response:
    answer = detail(413, text)
    answer.headers["Connection"] = "close"
    return answer


def app_server_problem(error: DomainError) -> Response:
    """What the domain refuses, as the app server says it."""
    match error:
        case ConversationNotFound():
            return envelope(404, "Conversation not found", "CONVERSATION$NOT_FOUND")
        case IllegalTransition():
            return envelope(409, str(error), "CONVERSATION$ILLEGAL_TRANSITION")
        case NotRunning():
            return envelope(409, str(error), "CONVERSATION$NOT_RUNNING")
        case (
            FileMissing()
            | NotAGitRepository()
            | AgentSessionNotFound()
            | SettingsNotFound()
            | SecretNotFound()
        ):
            return error_text(404, str(error))
        case PathOutside():
            return error_text(400, str(error))
        case SecretExists():
            return error_text(409, str(error))
        case BinaryFile():
            return error_text(415, str(error))
        case FileTooLarge():
            return _too_large(str(error))
        case EventHidden():
            return _hidden_event(error)
        case TooManyPending():
            return detail(429, str(error))
        case SandboxGone():
            return detail(404, str(error))
        case SandboxPaused():
            return detail(409, str(error))
        case AgentServerRefused():
            return detail(502, str(error))
        case _:
            return _common_problem(error)


def agent_server_problem(error: DomainError) -> Response:
    """What the domain refuses, as the agent server says it."""
    match error:
        case ConversationNotFound(conversation_id=wanted):
            return detail(404, f"Conversation not found: {dashed(canonical(wanted))}")
        case SandboxPaused() | ToolDisabled():
            return detail(503, str(error))
        case PathNotAbsolute():
            return detail(400, str(error))
        case PathOutside() | BashDisabled():
            return detail(403, str(error))
        case FileMissing() | NotAGitRepository() | BashEventNotFound():
            return detail(404, str(error))
        case ConversationIdTaken() | AlreadyRunning() | GoalRunning():
            return detail(409, str(error))
        case NoGoal() | UnknownRevision():
            return detail(400, str(error))
        case ForkSourceEvent():
            return detail(404, str(error))
        case FileTooLarge():
            return _too_large(str(error))
        case _:
            return _common_problem(error)


def _common_problem(error: DomainError) -> Response:
    match error:
        case UnknownPage():
            return refused(invalid("query", "page_id", "unknown page_id", error.page_id))
        case ServerClosing():
            return detail(503, str(error))
        case SandboxNotFound() | SandboxSpecNotFound() | ParentNotFound() | EventNotFound():
            return detail(404, str(error))
        case _:
            raise error


def refused(error: RequestInvalid) -> Response:
    """A request that is not as described."""
    return json_answer(error.body, error.status)


def spoken(answer: Answer) -> Response:
    """The answer of a dialect."""
    text = answer.body if answer.raw else dumps(answer.body)
    response = Response(text, answer.status, mimetype=answer.media_type)
    if answer.resets:
        reset_behind(response)
    return response


def _http_problem(error: HTTPException) -> Response:
    """What Flask and Werkzeug refuse themselves."""
    status = error.code or 500
    answer = detail(status, "Not Found" if status == 404 else error.name)
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
    if isinstance(error, RequestEntityTooLarge):
        answer.headers["Connection"] = "close"
    return answer


def _defect(error: Exception) -> Response:
    _logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return detail(500, "Internal Server Error")


def install(app: Flask, domain_problem: Callable[[DomainError], Response], rules: tuple[Rule, ...]) -> None:
    """Let an application answer all errors this way.

    Args:
        app: the application.
        domain_problem: how it says what the domain refuses.
        rules: what its dialect says otherwise.
    """

    def refuse(error: DomainError) -> Response:
        answer = refusal(rules, (request.endpoint or "").rpartition(".")[2], error)
        return domain_problem(error) if answer is None else spoken(answer)

    def refuse_request(error: RequestInvalid) -> Response:
        return refuse(NotForeseen()) if error.body is None else refused(error)

    def bad_id(error: InvalidIdentifier) -> Response:
        return detail(400, str(error))

    def bad_handshake(error: RemoteProtocolError) -> Response:
        return detail(400, "Bad Request")

    handlers: dict[type[Exception], Callable[[Any], Response]] = {
        DomainError: refuse,
        RequestInvalid: refuse_request,
        InvalidIdentifier: bad_id,
        RemoteProtocolError: bad_handshake,
        HTTPException: _http_problem,
        Exception: _defect,
    }
    for kind, handler in handlers.items():
        app.register_error_handler(kind, handler)
