"""One endpoint as a value: where it is, what it takes, what it answers, and whether it may be repeated."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import pydantic

from openhands_client.errors import InvalidArgumentError, NotFoundError, ResponseFormatError

from .commands import Request, Response

T = TypeVar("T")

Query: TypeAlias = Mapping[str, Any]
JsonBody: TypeAlias = "pydantic.BaseModel | Mapping[str, Any] | list[Any]"


class Repeat(enum.Enum):
    """What may happen after a failure that leaves open whether the server acted."""

    SAFE = "safe"  # reads, and writes that end in the same state
    VERIFY = "verify-first"  # repeated when it was seen that the server did nothing
    NEVER = "never"  # repeated only when the server certainly did nothing


# Two lines of servers run in the world: app server 1.0 with agent server 1.5, and 1.11 with 1.34.
OLDER, NEWER = frozenset({"1.0"}), frozenset({"1.11"})
EVERY_LINE = OLDER | NEWER
NO_LINE: frozenset[str] = frozenset()  # described or called by the web frontend, but in no published server


@dataclass(frozen=True, eq=False)
class Operation(Generic[T]):
    """``name`` is the operationId of the OpenAPI document of ``server``, in snake_case.

    ``evidence`` says what shows whether an operation that is verified before it is repeated was performed.
    """

    server: Literal["app", "agent"]
    name: str
    method: str
    path: str
    promised: Callable[[], type[T]]  # named at first use: models are slow to set up
    repeat: Repeat = Repeat.SAFE
    null_is_missing: bool = False  # a 200 ``null`` means: not found
    lines: frozenset[str] = EVERY_LINE  # the server lines that have it
    evidence: str = ""

    @cached_property
    def result(self) -> pydantic.TypeAdapter[T]:
        """Decodes the body of a success."""
        return pydantic.TypeAdapter(self.promised())

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def request(
        self,
        base_url: str,
        path: Mapping[str, str] | None,
        query: Query | None,
        body: JsonBody | None,
        timeout: float | None,
    ) -> Request:
        """Build the request. Raises InvalidArgumentError for ids that would leave their path segment."""
        target = self.path
        if path:
            target = target.format_map({name: _segment(name, value) for name, value in path.items()})
        if query:
            encoded = urlencode(_query_items(query))
            if encoded:
                target = f"{target}?{encoded}"
        if body is None:
            return Request(self.method, base_url + target, {}, None, timeout)
        headers = {"content-type": "application/json"}
        return Request(self.method, base_url + target, headers, to_json(body), timeout)

    def decode(self, response: Response) -> T:
        """Turn the answer into the promised type, straight from its bytes.

        Raises ResponseFormatError when it is something else, NotFoundError for a ``null`` in place of an object.
        """
        if response.is_html:
            raise ResponseFormatError(
                f"{self} answered with a web page instead of JSON. Does the base URL point at the API server, "
                "and does this server have this route?",
                response=response,
                is_html=True,
            )
        if self.null_is_missing and response.content.strip() == b"null":
            raise NotFoundError(
                f"{self} → nothing found (null)", status_code=response.status_code, response=response
            )
        try:
            return self.result.validate_json(response.content)
        except pydantic.ValidationError as error:
            raise ResponseFormatError(
                f"{self} answered with something of another shape: {_summary(error)}", response=response
            ) from None


def check_id(name: str, value: str) -> str:
    """Refuse, before sending, an id that no server accepts. Raises InvalidArgumentError."""
    problem = None
    if not isinstance(value, str):
        problem = f"must be a string, not {type(value).__name__}"
    elif not value:
        problem = "must not be empty"
    elif len(value) > 100:
        problem = f"is too long: {len(value)} characters, 100 at most"
    elif ".." in value or "/" in value or "\\" in value or value == ".":
        problem = "contains path characters"
    elif any(ord(character) < 32 or ord(character) == 127 for character in value):
        problem = "contains control characters"
    elif not _is_text(value):
        problem = "is broken text: half of a surrogate pair"
    if problem:
        raise InvalidArgumentError(f"{name} {problem}; nothing was sent")
    return value


def to_json(body: JsonBody) -> bytes:
    """Serialize a body; what is None is left out of models, and kept in plain mappings.

    Raises InvalidArgumentError for what JSON cannot say: NaN, an object, half of a surrogate pair.
    """
    try:
        if isinstance(body, pydantic.BaseModel):
            return body.model_dump_json(exclude_none=True).encode()
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as problem:
        raise InvalidArgumentError(f"this cannot be said in JSON text: {problem}; nothing was sent") from None


def wire_time(moment: datetime) -> str:
    """UTC without a zone: one server line answers zoned times with 500, all understand this form."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def _segment(name: str, value: str) -> str:
    """An id must stay in its segment; a ``path`` is one escaped segment, whatever is in it."""
    return quote(value if name == "path" else check_id(name, value), safe="")


def _query_items(query: Query) -> list[tuple[str, str]]:
    items: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        values = value if isinstance(value, (list, tuple)) else (value,)
        items.extend((name, _query_text(name, one)) for one in values)
    return items


def _query_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return wire_time(value)
    text = str(value)
    if not _is_text(text):
        raise InvalidArgumentError(f"{name} is broken text: half of a surrogate pair; nothing was sent")
    return text


def _is_text(value: str) -> bool:
    """Whether it can be sent at all. Undecodable file names and terminal input come as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _summary(error: pydantic.ValidationError) -> str:
    """The first problems without the offending input, which may hold a secret."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:3]
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
        for problem in problems
    )
