"""Takes secrets out of what is recorded, and puts the same placeholder wherever the same secret stood.

So a recording can still be played: a key that an answer gives and a request uses is the same word in both.
What a secret is follows from the name of its header, query parameter or field; once known, it is taken out of
everything that is written later.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit, urlunsplit

from openhands_contract.traffic import Answer, Body, Exchange, Fact, Frame, Headers, Request, SocketOpened

_NAME = r"[\w$-]*(?:api[_-]?key|token|secret|password|passwd|authorization|private[_-]key|access[_-]key)"
_SECRET_NAME = re.compile(_NAME, re.I)
# In any text: also in JSON that is torn, or that stands inside a string of other JSON.
_FIELD = re.compile(
    rf'(?P<head>(?P<quote>\\*")(?:{_NAME})(?P=quote)\s*:\s*(?P=quote))(?P<value>[^"\\]*(?:\\[^"][^"\\]*)*?)(?P=quote)',
    re.I,
)
_HEADERS = frozenset({"cookie", "set-cookie", "x-session-api-key", "x-api-key", "authorization"})
_SCHEMES = re.compile(r"(?i)(bearer|basic|token)\s+")
# Objects whose values are secrets, whatever they are called.
_CONTAINERS = frozenset({"secrets", "secret_registry", "provider_tokens", "env", "headers", "initial_env"})
_NO_SECRETS = frozenset({"", "null", "none", "true", "false"})
_MASK = re.compile(r"[*•.]+|<[^>]*>")
_PLACEHOLDER = re.compile(r"redacted-\d+")
# Shorter ones could be parts of words; they are taken out only where they stand alone between quotes.
_LONG = 6


@dataclass(slots=True)
class Redaction:
    """The secrets that were seen, and their placeholders."""

    _placeholders: dict[str, str] = field(default_factory=dict)
    _pattern: re.Pattern[str] | None = None
    _forms: dict[str, str] = field(default_factory=dict)

    def learn(self, secret: str) -> None:
        """Take this out from now on."""
        if (
            secret.lower() in _NO_SECRETS
            or secret in self._placeholders
            or _MASK.fullmatch(secret)
            or _PLACEHOLDER.fullmatch(secret)
        ):
            return
        placeholder = self._placeholders[secret] = f"redacted-{len(self._placeholders) + 1}"
        for form in _forms(secret):
            self._forms[form if len(secret) >= _LONG else f'"{form}"'] = (
                placeholder if len(secret) >= _LONG else f'"{placeholder}"'
            )
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    @property
    def secrets(self) -> list[str]:
        """Those that were seen so far."""
        return list(self._placeholders)

    def text(self, text: str) -> str:
        """A text without its secrets."""
        for found in _FIELD.finditer(text):
            self.learn(_unescaped(found["value"]))
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._forms[found.group()], text)

    def fact(self, fact: Fact) -> Fact:
        """What may be written of something that passed."""
        match fact:
            case Exchange():
                self._learn_request(fact.request)
                if fact.answer is not None:
                    self._learn_answer(fact.answer)
                answer = None if fact.answer is None else self._answer(fact.answer)
                error = self.text(fact.error)
                return replace(fact, request=self._request(fact.request), answer=answer, error=error)
            case SocketOpened():
                self._learn_request(fact.request)
                return replace(fact, request=self._request(fact.request), answer=self._answer(fact.answer))
            case Frame():
                self._learn_body(fact.data, "")
                return replace(fact, data=self._data(fact.data))

    def request(self, request: Request) -> Request:
        """A request without its secrets."""
        self._learn_request(request)
        return self._request(request)

    # -- learning -----------------------------------------------------------------------------------

    def _learn_request(self, request: Request) -> None:
        self._learn_headers(request.headers)
        for name, value in request.query:
            if _is_secret(name):
                self.learn(value)
        if request.decoded_path.startswith("/api/secrets"):
            self._learn_fields(request.body.data, "value")
        self._learn_body(request.body.data, request.header("Content-Type"))

    def _learn_answer(self, answer: Answer) -> None:
        self._learn_headers(answer.headers)
        self._learn_body(answer.body.data, answer.header("Content-Type"))

    def _learn_headers(self, headers: Headers) -> None:
        for name, value in headers:
            if name.lower() in _HEADERS or _is_secret(name):
                for secret in _secrets_in_header(name.lower(), value):
                    self.learn(secret)

    def _learn_body(self, data: bytes, content_type: str) -> None:
        if content_type.startswith("application/x-www-form-urlencoded"):
            for name, value in parse_qsl(data.decode("utf-8", "replace")):
                if _is_secret(name):
                    self.learn(value)
            return
        document = _json(data)
        for value in _secret_values(document):
            self.learn(value)

    def _learn_fields(self, data: bytes, name: str) -> None:
        document = _json(data)
        if isinstance(document, dict) and isinstance(document.get(name), str):
            self.learn(document[name])

    # -- taking out ---------------------------------------------------------------------------------

    def _request(self, request: Request) -> Request:
        return replace(
            request,
            target=self.text(request.target),
            headers=self._headers(request.headers),
            body=self._body(request.body),
        )

    def _answer(self, answer: Answer) -> Answer:
        return replace(answer, headers=self._headers(answer.headers), body=self._body(answer.body))

    def _headers(self, headers: Headers) -> Headers:
        return tuple((name, self.text(value)) for name, value in headers)

    def _body(self, body: Body) -> Body:
        data = self._data(body.data)
        return Body(data, body.size - len(body.data) + len(data))

    def _data(self, data: bytes) -> bytes:
        """Texts without their secrets; what is no text, byte for byte, without those that are known."""
        try:
            return self.text(data.decode()).encode()
        except UnicodeDecodeError:
            pattern = self._pattern
            return data if pattern is None else self._in_bytes(data, pattern)

    def _in_bytes(self, data: bytes, pattern: re.Pattern[str]) -> bytes:
        def replaced(found: re.Match[bytes]) -> bytes:
            return self._forms[found.group().decode()].encode()

        return re.sub(pattern.pattern.encode(), replaced, data)


def without_user(url: str) -> str:
    """An address without the name and password it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def levelled(text: str) -> str:
    """A redacted text with the same placeholder for every secret, so that texts of two runs can be compared."""
    return _PLACEHOLDER.sub("redacted", text)


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None


def _secrets_in_header(name: str, value: str) -> Iterator[str]:
    if name in ("cookie", "set-cookie"):
        for part in value.split(";"):
            yield part.partition("=")[2].strip()
        return
    scheme = _SCHEMES.match(value)
    secret = value[scheme.end() :] if scheme else value
    yield secret
    if scheme and scheme.group(1).lower() == "basic":
        try:
            yield base64.b64decode(secret, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return


def _secret_values(document: Any, everything: bool = False) -> Iterator[str]:
    """The secrets in a JSON document; with `everything`, all its texts are."""
    if isinstance(document, str):
        if everything:
            yield document
    elif isinstance(document, list):
        for item in document:
            yield from _secret_values(item, everything)
    elif isinstance(document, dict):
        for name, value in document.items():
            holds = everything and name not in ("kind", "description")
            if name in _CONTAINERS and isinstance(value, dict):
                holds = True
            if isinstance(value, str) and _is_secret(name):
                yield value
            else:
                yield from _secret_values(value, holds)


def _json(data: bytes) -> Any:
    """What a body says; a Socket.IO frame is JSON after its type."""
    text = data.lstrip(b"0123456789")
    if not text.startswith((b"{", b"[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _forms(secret: str) -> set[str]:
    """How a text may stand in JSON and in addresses."""
    ways: tuple[Callable[[str], str], ...] = (
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: quote(text, safe=""),
        quote,
        quote_plus,
    )
    return {way(secret) for way in ways}


def _unescaped(value: str) -> str:
    try:
        return str(json.loads(f'"{value}"'))
    except ValueError:
        return value
