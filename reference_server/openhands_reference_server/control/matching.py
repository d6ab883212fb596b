"""Which requests a fault hits, and which ones a test waits for: decided without looking at a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

ServerName = Literal["app", "agent"]
Protocol = Literal["http", "websocket", "socketio"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request can be matched.

    Attributes:
        server: the server it came to.
        protocol: `socketio` for everything at `/socket.io/`, polling included; `websocket` for the streams
            of the agent server; `http` for the rest.
        method: in capitals.
        path: decoded, without the query, and without the prefix of a namespace.
        operation: its `operationId` in the OpenAPI document; None where there is none.
        upgrade: it asks for a WebSocket.
        opens: it opens a stream: a WebSocket, or a session of Socket.IO.
    """

    server: ServerName
    protocol: Protocol
    method: str
    path: str
    operation: str | None = None
    upgrade: bool = False
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on requests: all that is given has to hold; without anything it is every request.

    Attributes:
        method: the HTTP method; case does not matter.
        path: a pattern of the whole path. `*` stands for any text without a slash, `**` for any text.
        path_regex: a regular expression that the whole path has to match.
        server: `app` or `agent`; both by default.
        operation: the `operationId`, such as `createConversation`.
        protocol: `http`, `websocket` or `socketio`; all by default.

    Raises:
        ValueError: the regular expression is none.
    """

    method: str | None = None
    path: str | None = None
    path_regex: str | None = None
    server: ServerName | None = None
    operation: str | None = None
    protocol: Protocol | None = None

    def __post_init__(self) -> None:
        if self.path_regex is not None:
            try:
                re.compile(self.path_regex)
            except re.error as error:
                raise ValueError(
                    f"path_regex {self.path_regex!r} is no regular expression: {error}"
                ) from None

    def __call__(self, asked: Asked) -> bool:
        """Does it hold for this request?"""
        return (
            (self.method is None or self.method.upper() == asked.method)
            and (self.server is None or self.server == asked.server)
            and (self.operation is None or self.operation == asked.operation)
            and (self.protocol is None or self.protocol == asked.protocol)
            and (self.path is None or _compiled_glob(self.path).fullmatch(asked.path) is not None)
            and (self.path_regex is None or re.fullmatch(self.path_regex, asked.path) is not None)
        )


@cache
def _compiled_glob(pattern: str) -> re.Pattern[str]:
    wildcards = {"**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in parts), re.DOTALL)
