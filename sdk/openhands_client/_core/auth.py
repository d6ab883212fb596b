"""Credentials: how a request proves who sends it, one origin at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from openhands_client.errors import OpenHandsError, UnsafeURLError

from .commands import Flow, call_back

SESSION_KEY_HEADER = "X-Session-API-Key"


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
        self._provider = None if isinstance(token, str) else token
        self._token = token if isinstance(token, str) else None

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
        self._token = token
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
        """The app server. Raises UnsafeURLError for a base URL that is not plain http(s)."""
        static = dict(headers or {})
        if session_api_key:
            static[SESSION_KEY_HEADER] = session_api_key
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
        return Endpoint(origin, {SESSION_KEY_HEADER: session_api_key} if session_api_key else {})

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


def origin_of(url: str, name: str) -> str:
    """Scheme and authority of an http(s) URL without credentials. Raises UnsafeURLError for any other."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise UnsafeURLError.because(name, "its port is not a number") from None
    if parts.scheme not in ("http", "https"):
        raise UnsafeURLError.because(name, f"its scheme is {parts.scheme or 'missing'!r}, not http or https")
    if parts.username is not None or parts.password is not None:
        raise UnsafeURLError.because(name, "it contains credentials")
    if not parts.hostname:
        raise UnsafeURLError.because(name, "it names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != default else "")


def origin_and_path(url: str, name: str) -> str:
    """An http(s) URL without credentials, query and trailing slash. Raises UnsafeURLError for any other."""
    return origin_of(url, name) + urlsplit(url).path.rstrip("/")
