"""Credentials: how a request proves who sends it, one origin at a time."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlencode, urlsplit

from openhands_client.errors import (
    APIConnectionError,
    AuthenticationError,
    InvalidArgumentError,
    OpenHandsError,
    UnsafeURLError,
)

from .commands import Flow, Request, Response, alone, call_back, send

SESSION_KEY_HEADER = "X-Session-API-Key"
TOKEN_TIMEOUT = 30.0  # seconds
LATEST = 4  # so many credentials that have served are remembered
_HOST_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # what HTTP libraries send as it is


class Credentials(dict[str, str]):
    """Headers that do not show themselves, not even in a traceback with local variables."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


@runtime_checkable
class Auth(Protocol):
    """Something that authenticates requests to the app server, as flows (see ``BearerAuth``)."""

    def headers(self) -> Flow[Mapping[str, str]]:
        """The headers of the next request."""
        ...

    def renew(self, refused: Mapping[str, str]) -> Flow[bool]:
        """The server refused these headers. True: there are others now, the request is worth one more try."""
        ...


class BearerAuth:
    """``Authorization: Bearer``, with a fixed token or with a function that fetches one.

    A function (or coroutine function, with the async client) is called before the first request, and again
    when the server refuses the token; however many requests run at the same time, they share one call.
    """

    def __init__(self, token: str | Callable[[], str | Awaitable[str]]) -> None:
        self._provider = token if callable(token) else None
        self._token = None if callable(token) else sendable("the token", token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def headers(self) -> Flow[Mapping[str, str]]:
        if self._is_stale():
            yield from alone(self, self._fetch_unless_done(self._token))
        return self._as_headers()

    def renew(self, refused: Mapping[str, str]) -> Flow[bool]:
        if not self._can_fetch():
            return False
        if refused == self._as_headers():  # else somebody else has renewed it meanwhile
            yield from alone(self, self._fetch_unless_done(self._token))
        return True

    def _fetch_unless_done(self, old: str | None) -> Flow[None]:
        """Fetch a token, unless another request did so while this one waited for its turn."""
        if self._token == old:
            self._token = yield from self._fetch()

    def _is_stale(self) -> bool:
        """Whether a new token is due even though nobody has refused the old one."""
        return self._token is None

    def _can_fetch(self) -> bool:
        return self._provider is not None

    def _fetch(self) -> Flow[str]:
        token = yield from call_back(self._provider or _no_provider)
        if not isinstance(token, str) or not token:
            raise OpenHandsError(f"the token provider returned {type(token).__name__}, not a token")
        return sendable("the provider's token", token)

    def _as_headers(self) -> Credentials:
        return Credentials({"Authorization": f"Bearer {self._token}"})


class OAuth2Auth(BearerAuth):
    """A bearer token from an OAuth 2.0 token endpoint (RFC 6749): refresh token, or client credentials.

    With a ``refresh_token`` that grant is used, and a rotated refresh token replaces the old one; without,
    the client credentials are. The token is renewed ``leeway`` seconds before it expires, and when the server
    refuses it. The credentials go to the token endpoint only. Raises AuthenticationError when it refuses, and
    APIConnectionError when it does not answer or fails, which is tried again like any failed connection.
    """

    def __init__(
        self,
        token_url: str,
        *,
        client_id: str,
        client_secret: str | None = None,
        refresh_token: str | None = None,
        scope: str | None = None,
        leeway: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(_no_provider)
        if client_secret is None and refresh_token is None:
            raise ValueError("give a client_secret, a refresh_token, or both")
        origin_of(token_url, "token_url")
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._refresh_token = refresh_token
        self._scope = scope
        self._leeway = leeway
        self._clock = clock
        self._renew_at = float("inf")

    def __getstate__(self) -> dict[str, Any]:
        """Another process has another clock; it fetches a token of its own."""
        return {**vars(self), "_token": None, "_renew_at": float("inf")}

    def _is_stale(self) -> bool:
        return self._token is None or self._clock() >= self._renew_at

    def _fetch(self) -> Flow[str]:
        asked_at = self._clock()
        answer = yield from self._ask()
        grant = _json_object(answer.content)
        token, lifetime = grant.get("access_token"), grant.get("expires_in")
        if answer.status_code != 200 or not isinstance(token, str):
            reason = grant.get("error_description") or grant.get("error") or f"HTTP {answer.status_code}"
            raise AuthenticationError(f"the token endpoint gave no token: {reason}")
        if isinstance(rotated := grant.get("refresh_token"), str):
            self._refresh_token = rotated
        seconds = float(lifetime) if isinstance(lifetime, int | float) else float("inf")
        self._renew_at = asked_at + max(
            seconds - self._leeway, seconds / 2
        )  # short-lived ones serve some time too
        return sendable("the endpoint's token", token)

    def _ask(self) -> Flow[Response]:
        """The endpoint's answer. Where it has none to give now, the request that wants a token was not sent."""
        try:
            answer = yield from send(self._token_request())
        except APIConnectionError as failure:
            raise type(failure)(f"no token: {failure}", request_sent=False) from failure
        if answer.status_code == 429 or answer.status_code >= 500:
            problem = f"no token: the token endpoint answered HTTP {answer.status_code}"
            raise APIConnectionError(problem, request_sent=False)
        return answer

    def _token_request(self) -> Request:
        form = {"grant_type": "client_credentials", "client_id": self._client_id}
        if self._refresh_token is not None:
            form |= {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        if self._client_secret is not None:
            form["client_secret"] = self._client_secret
        if self._scope is not None:
            form["scope"] = self._scope
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        return Request("POST", self._token_url, headers, urlencode(form).encode(), TOKEN_TIMEOUT)


def _no_provider() -> str:
    raise OpenHandsError("there is no token provider")


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


_CONVERSATION_ROUTE = "/api/conversations/"


@dataclass(frozen=True)
class Endpoint:
    """A server to talk to: its base URL (no trailing slash) and what proves our identity to it, and only it."""

    base_url: str
    static_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Auth | None = None
    _served: deque[Credentials] = field(
        default_factory=lambda: deque(maxlen=LATEST), init=False, repr=False, compare=False
    )

    @classmethod
    def app(
        cls,
        base_url: str,
        *,
        api_key: str | None = None,
        session_api_key: str | None = None,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """The app server. Raises UnsafeURLError for a base URL that is not plain http(s), and
        InvalidArgumentError for what cannot be sent in a header."""
        static = {name: sendable(f"the header {name!r}", value) for name, value in (headers or {}).items()}
        if session_api_key:
            static[SESSION_KEY_HEADER] = sendable("session_api_key", session_api_key)
        return cls(
            origin_and_path(base_url, "base_url"), static, auth or (BearerAuth(api_key) if api_key else None)
        )

    def agent(self, conversation_url: str, session_api_key: str | None) -> Endpoint:
        """The server that a conversation lives on, of which its URL is a route: an agent server, or the
        runtime that a V0 conversation has to itself. Its own address, its own key, nothing of ours.

        Raises UnsafeURLError when the URL is not plain http(s), or gives up https although we came by it.
        """
        origin = origin_of(conversation_url, "conversation_url")
        if self.base_url.startswith("https:") and not origin.startswith("https:"):
            raise UnsafeURLError.because("conversation_url", "it leaves https for http")
        base_url = origin + urlsplit(conversation_url).path.partition(_CONVERSATION_ROUTE)[0].rstrip("/")
        if not session_api_key:
            return Endpoint(base_url)
        return Endpoint(base_url, {SESSION_KEY_HEADER: sendable("the agent server's key", session_api_key)})

    @property
    def session_api_key(self) -> str | None:
        return self.static_headers.get(SESSION_KEY_HEADER)

    def headers(self) -> Flow[Credentials]:
        """Everything this endpoint's requests carry."""
        if self.auth is None:
            return Credentials(self.static_headers)
        return Credentials({**self.static_headers, **(yield from self.auth.headers())})

    def renew(self, refused: Mapping[str, str]) -> Flow[bool]:
        """The server refused these headers. True: there are others now."""
        if self.auth is None:
            return False
        ours = Credentials(
            {name: value for name, value in refused.items() if name not in self.static_headers}
        )
        return (yield from self.auth.renew(ours))

    def note_served(self, headers: Credentials) -> None:
        """The server took these headers."""
        if self.auth is not None and headers not in self._served:
            self._served.append(headers)

    def has_served(self, headers: Credentials) -> bool:
        """Whether the server took them before; of the latest ones."""
        return headers in self._served

    def socket_url(self, path: str) -> str:
        return "ws" + self.base_url.removeprefix("http") + path


def sendable(name: str, value: str) -> str:
    """The value, if a header can carry it. Raises InvalidArgumentError, which does not show it.

    HTTP libraries refuse such values as well, but quote them in their errors: a key that was read from a
    file with its line end would stand in every log.
    """
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise InvalidArgumentError(
            f"{name} cannot be sent: it must be printable ASCII without spaces or line ends around it"
        )
    return value


def origin_of(url: str, name: str) -> str:
    """Scheme and authority of an http(s) URL without credentials. Raises UnsafeURLError for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnsafeURLError.because(name, "it is no URL, or its port is not a number") from None
    if parts.scheme not in ("http", "https"):
        raise UnsafeURLError.because(name, f"its scheme is {parts.scheme or 'missing'!r}, not http or https")
    if parts.username is not None or parts.password is not None:
        raise UnsafeURLError.because(name, "it contains credentials")
    if not parts.hostname:
        raise UnsafeURLError.because(name, "it names no host")
    default = {"http": 80, "https": 443}[parts.scheme]
    where = "" if port is None or port == default else f":{port}"
    return f"{parts.scheme}://{_host(parts.hostname, name)}{where}"


def _host(host: str, name: str) -> str:
    """The host as it stands in a URL. Raises UnsafeURLError for what no resolver takes."""
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise UnsafeURLError.because(name, "its host is not an address") from None
    if not _HOST_NAME.fullmatch(host):
        raise UnsafeURLError.because(name, "its host is not a name")
    return host


def origin_and_path(url: str, name: str) -> str:
    """An http(s) URL without credentials, query and trailing slash. Raises UnsafeURLError for any other."""
    return origin_of(url, name) + urlsplit(url).path.rstrip("/")
