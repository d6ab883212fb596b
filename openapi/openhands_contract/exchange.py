"""One request and what came of it: the evidence all judging rests on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from openhands_contract.documents import DocumentName
from openhands_contract.json_text import read_json
from openhands_contract.shortening import body_for_curl, shortened_body

_UNTOLD_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and its answer as far as it came.

    Attributes:
        server: which of the two servers was asked.
        url: the whole URL, as sent.
        request_headers: names in lower case.
        headers: of the answer, names in lower case; a repeated header is joined with commas.
        status: 0 when no answer came; `failure` then says why.
        body: the answer's, decoded from its content encoding.
        seconds: from the request to the end of the answer.
    """

    server: DocumentName
    method: str
    url: str
    request_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    request_body: bytes = field(default=b"", repr=False)
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    failure: str | None = None

    @property
    def path(self) -> str:
        """The path of the URL, percent-encoded."""
        return urlsplit(self.url).path

    @property
    def query(self) -> str:
        return urlsplit(self.url).query

    @property
    def path_parts(self) -> Sequence[str]:
        """The decoded parts of the path."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def answered(self) -> bool:
        return self.status > 0

    @property
    def content_type(self) -> str:
        """The media type of the answer, without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The answer's body.

        Raises:
            ValueError: it is not JSON.
        """
        return read_json(self.body)

    def as_curl(self) -> str:
        """A command that repeats the request; keys still stand in it, redact it before it is shown."""
        words, remark = ["curl", "-i"], ""
        if self.method == "HEAD":
            words.append("--head")
        elif self.method != "GET" or self.request_body:
            words += ["-X", self.method]
        for name, value in self.request_headers.items():
            if name not in _UNTOLD_HEADERS:
                words += ["-H", f"{name}: {value}"]
        if self.request_body:
            sent, remark = body_for_curl(self.request_body)
            words += sent
        if ".." in self.path or "/./" in self.path:
            words.append("--path-as-is")
        return f"{shlex.join([*words, self.url])}{remark}"

    def answer_text(self) -> str:
        """The answer for people: status, the headers that matter, the beginning of the body."""
        if not self.answered:
            return f"no answer: {self.failure}"
        lines = [f"HTTP {self.status}"]
        for name in ("content-type", "allow", "retry-after", "location", "content-length"):
            if name in self.headers:
                lines.append(f"{name}: {self.headers[name]}")
        if self.body:
            lines += ["", shortened_body(self.body)]
        return "\n".join(lines)
