"""The one way a request takes: build → authenticate → send → retry → map errors → decode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from openhands_client.errors import APIStatusError, OpenHandsError, ResponseFormatError, UnsafeURLError

from .auth import Endpoint, origin_of
from .commands import Body, FilePart, Flow, Request, Response, close, open_body, read, send
from .operation import JsonBody, Operation, Query
from .retry import leaves_open
from .session import Session
from .timing import Deadline

T = TypeVar("T")
Answer = TypeVar("Answer", Response, Body)

logger = logging.getLogger("openhands_client")

MAX_REDIRECTS = 5
RENEWALS = 4  # for one request; tokens that serve so few requests are no use


# What finds out what became of a request after a failure that leaves it open: the result where the server
# performed it, None where it certainly did not; where that cannot be found out, it raises.
Settle: TypeAlias = Callable[[OpenHandsError], Flow[T | None]]


def call(
    session: Session,
    operation: Operation[T],
    *,
    endpoint: Endpoint | None = None,
    path: Mapping[str, str] | None = None,
    query: Query | None = None,
    body: JsonBody | None = None,
    files: Sequence[FilePart] = (),
    timeout: float | None = None,
    settle: Settle[T] | None = None,
) -> Flow[T]:
    """Perform one operation. ``timeout`` (seconds) replaces the session's for this call."""
    endpoint = endpoint or session.endpoint
    request = operation.request(endpoint.base_url, path, query, body, timeout or session.timeout)
    request.files = files

    def attempt() -> Flow[T]:
        response = yield from exchange(endpoint, limited(request, session.deadline), str(operation))
        return operation.decode(response)

    return (yield from repeated(session, operation, attempt, settle))


def repeated(
    session: Session,
    operation: Operation[Any],
    attempt: Callable[[], Flow[T]],
    settle: Settle[T] | None = None,
) -> Flow[T]:
    """Play ``attempt`` until it succeeds, may not be repeated, or the tries or the time are used up."""
    from .attempts import play  # with tenacity, at the first request: imports should stay cheap

    verdicts: list[BaseException] = []  # what was raised instead of an outcome is final

    def settled() -> Flow[T]:
        try:
            return (yield from attempt())
        except OpenHandsError as failure:
            if settle is None or not leaves_open(failure):
                raise
            try:
                result = yield from settle(failure)
            except OpenHandsError as verdict:
                verdicts.append(verdict)
                raise
            if result is None:
                raise
            logger.info("%s was performed, although it failed with: %s", operation, failure)
            return result

    def may_repeat(failure: BaseException) -> bool:
        if failure in verdicts:
            return False
        return session.retry.may_repeat(operation, failure, verified=settle is not None)

    return (yield from play(session.retry, operation, settled, session.deadlines(), may_repeat))


def limited(request: Request, deadline: Deadline | None) -> Request:
    """The same request, which nobody waits for beyond the deadline."""
    if deadline is None:
        return request
    return replace(request, timeout=deadline.timeout(request.timeout), limit=deadline.timeout(None))


def exchange(endpoint: Endpoint, request: Request, asked: str) -> Flow[Response]:
    """One try: fails with APIStatusError unless the answer is a 2xx. Expired credentials are renewed once."""
    response = yield from _reach(endpoint, request, send)
    if not 200 <= response.status_code < 300:
        failure = APIStatusError.from_response(asked, response)
        logger.debug("%s", failure)
        raise failure
    return response


def open_stream(endpoint: Endpoint, request: Request, asked: str) -> Flow[Body]:
    """One try to get an answer that is read piece by piece. Fails like ``exchange``, and for a web page."""
    body = yield from _reach(endpoint, request, open_body)
    if not 200 <= body.head.status_code < 300:
        raise APIStatusError.from_response(asked, (yield from read_all(body)))
    if body.head.is_html:
        raise ResponseFormatError(
            f"{asked} answered with a web page instead of JSON", response=body.head, is_html=True
        )
    return body


def read_all(body: Body) -> Flow[Response]:
    """The whole answer of a body that is still arriving."""
    pieces = []
    while piece := (yield from read(body)):
        pieces.append(piece)
    return Response(body.head.status_code, body.head.headers, b"".join(pieces))


def _reach(endpoint: Endpoint, request: Request, perform: Callable[[Request], Flow[Answer]]) -> Flow[Answer]:
    """The answer behind all redirects; after a refusal, that to renewed credentials.

    They are renewed once, and once more only where the renewed ones have served another request: then they were
    good, and have expired in turn.
    """
    headers = yield from endpoint.headers()
    for turn in range(RENEWALS):
        answer = yield from _follow(endpoint, request, headers, perform)
        if not _is_refusal(_head(answer)):
            endpoint.note_served(headers)
            return answer
        worn_out = _head(answer).status_code == 401 and endpoint.has_served(headers)
        if (turn > 0 and not worn_out) or not (yield from endpoint.renew(headers)):
            return answer
        yield from _discard(answer)
        headers = yield from endpoint.headers()
    return (yield from _follow(endpoint, request, headers, perform))


def _is_refusal(response: Response) -> bool:
    """401; and 403 where the server says that the permission is what is missing, which a new token may have."""
    if response.status_code == 403:
        return b"AUTHORIZATION$PERMISSION_DENIED" in response.content
    return response.status_code == 401


def _follow(
    endpoint: Endpoint,
    request: Request,
    headers: Mapping[str, str],
    perform: Callable[[Request], Flow[Answer]],
) -> Flow[Answer]:
    answer = yield from perform(_with(request, headers))
    hops = 0
    while (location := _redirect(request, _head(answer))) is not None:
        hops += 1
        if hops > MAX_REDIRECTS:
            raise ResponseFormatError(f"more than {MAX_REDIRECTS} redirects", response=_head(answer))
        target = _target(request.url, location)
        request = replace(request, url=target)
        yield from _discard(answer)
        if origin_of(target, "redirect") == origin_of(endpoint.base_url, "base_url"):
            answer = yield from perform(_with(request, headers))
        elif request.method == "GET":
            answer = yield from perform(request)  # another origin gets none of our credentials
        else:
            raise ResponseFormatError(
                f"refused to follow a redirect of {request.method} to another origin: {origin_of(target, 'redirect')}",
                response=_head(answer),
            )
    return answer


def _with(request: Request, headers: Mapping[str, str]) -> Request:
    return replace(request, headers={**request.headers, **headers}) if headers else request


def _head(answer: Response | Body) -> Response:
    return answer if isinstance(answer, Response) else answer.head


def _discard(answer: Response | Body) -> Flow[None]:
    if not isinstance(answer, Response):
        yield from close(answer)


def _redirect(request: Request, response: Response) -> str | None:
    """Where to look instead, if there.

    307 and 308 keep the method; the others would turn a POST into a GET, which no operation means. One that
    only adds a slash is how some frameworks say that they have no such route.
    """
    location = response.headers.get("location") if response.status_code in (307, 308) else None
    if location is None or urlsplit(_target(request.url, location)).path == urlsplit(request.url).path + "/":
        return None
    return location


def _target(url: str, location: str) -> str:
    """Where a redirect leads. Raises UnsafeURLError when that is no URL."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise UnsafeURLError.because("redirect", "it is no URL") from None


def route_is_missing(failure: OpenHandsError) -> bool:
    """Whether an answer says «no such route here» rather than «no such thing».

    Then the server has certainly not acted, and another generation of the API may be tried.
    """
    if isinstance(failure, ResponseFormatError):
        return failure.is_html  # a single-page application answers every path with its page
    if isinstance(failure, APIStatusError) and failure.response is not None:
        if failure.status_code in (307, 308, 405, 501):
            return True  # a redirect that was not followed, see _redirect
        if failure.status_code == 404:
            return failure.detail == "Not Found" or not failure.response.is_json
    return False
