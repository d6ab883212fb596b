"""Credentials: how a request proves who sends it, one origin at a time."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from openhands_client.errors import InvalidArgumentError, OpenHandsError, UnsafeURLError

from .commands import Flow, call_back

SESSION_KEY_HEADER = "X-Session-API-Key"
_HOST_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")  # what HTTP libraries send as it is


@runtime_checkable
class Auth(Protocol):
    """Something that authenticates requests to the app server, as a flow (see ``BearerAuth``)."""

    def headers(self) -> Flow[Mapping[str, str]]:
        """The headers of the next request."""
        ...

    def refresh(self) -> Flow[bool]:
        """The server answered 401. True: there are new credentials, the request is worth one more try."""
        ...


class BearerAuth:
    """``Authorization: Bearer``, with a fixed token or with a function that fetches one.

    A function (or coroutine function, with the async client) is called before the first request and again,
    once, when the server answers 401.
    """

    def __init__(self, token: str | Callable[[], str | Awaitable[str]]) -> None:
        self._provider = token if callable(token) else None
        self._token = None if callable(token) else sendable("the token", token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def headers(self) -> Flow[Mapping[str, str]]:
        if self._token is None:
            yield from self.refresh()
        return {"Authorization": f"Bearer {self._token}"}

    def refresh(self) -> Flow[bool]:
        if self._provider is None:
            return False
        token = yield from call_back(self._provider)
        if not isinstance(token, str) or not token:
            raise OpenHandsError(f"the token provider returned {type(token).__name__}, not a token")
        self._token = sendable("the provider's token", token)
        return True


@dataclass(frozen=True)
class Endpoint:
    """A server to talk to: its base URL (no trailing slash) and what proves our identity to it, and only it."""

    base_url: str
    static_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth: Auth | None = None

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
        """The agent server that a conversation lives on: its own origin, its own key, nothing of ours.

        Raises UnsafeURLError when the URL is not plain http(s), or gives up https although we came by it.
        """
        origin = origin_of(conversation_url, "conversation_url")
        if self.base_url.startswith("https:") and not origin.startswith("https:"):
            raise UnsafeURLError.because("conversation_url", "it leaves https for http")
        if not session_api_key:
            return Endpoint(origin)
        return Endpoint(origin, {SESSION_KEY_HEADER: sendable("the agent server's key", session_api_key)})

    def nested(self, conversation_url: str, conversation_id: str, session_api_key: str | None) -> Endpoint:
        """The runtime that a V0 conversation has to itself: the server that its URL is a route of.

        Raises UnsafeURLError as ``agent`` does.
        """
        origin = self.agent(conversation_url, session_api_key)
        path = (
            urlsplit(conversation_url).path.rstrip("/").removesuffix(f"/api/conversations/{conversation_id}")
        )
        return replace(origin, base_url=origin.base_url + path)

    @property
    def session_api_key(self) -> str | None:
        return self.static_headers.get(SESSION_KEY_HEADER)

    def headers(self) -> Flow[dict[str, str]]:
        """Everything this endpoint's requests carry."""
        if self.auth is None:
            return dict(self.static_headers)
        return {**self.static_headers, **(yield from self.auth.headers())}

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
