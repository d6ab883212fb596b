"""Users: each has a world of their own, behind the same two addresses.

A request to the app server belongs to who has sent it: to the user of its bearer token or API key. One to the
agent server belongs to whom the sandbox belongs whose key it has; a WebSocket that brings its key only in its
first frame, to whom the conversation belongs in its path. What belongs to nobody comes to a server
without conversations that lets nobody in, and so gets the answers that need no user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.http import oauth
from openhands_reference_server.http.access import USER
from openhands_reference_server.http.ownership import IsForeign
from openhands_reference_server.users.accounts import Accounts
from openhands_reference_server.users.tokens import TokenDesk
from openhands_reference_server.world import World

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]

_SOCKETIO = "/socket.io"
_STREAMS = "/sockets/events"


class Realm(Protocol):
    """One world with its two applications."""

    world: World
    app_server: Wsgi
    agent_server: Wsgi

    def close(self) -> None:
        """End it."""
        ...

    def operation_on_app_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the app server is about to reach."""
        ...

    def operation_on_agent_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the agent server is about to reach."""
        ...


MakeRealm = Callable[[str | None, IsForeign], Realm]
"""Makes the realm of a user, or of nobody, told what belongs to others."""


class Realms:
    """The realms of all users.

    Args:
        accounts: who they are.
        make: makes a realm.
        desk: gives out tokens; None: users have API keys only.

    Attributes:
        world: that of nobody; it is always empty.
    """

    def __init__(self, accounts: Accounts, make: MakeRealm, desk: TokenDesk | None = None) -> None:
        self._accounts = accounts
        self._desk = desk
        self._tokens = None if desk is None else oauth.TokenEndpoint(desk)
        self._realms: dict[str, Realm] = {}
        self._nobody = make(None, lambda _: False)
        self.world = self._nobody.world
        for user in accounts.users:
            self._realms[user] = make(user, self._foreign_to(user))

    def close(self) -> None:
        """End all of them."""
        for realm in (*self._realms.values(), self._nobody):
            realm.close()

    def world_of(self, user: str) -> World:
        """What a user has.

        Raises:
            KeyError: there is no such user.
        """
        return self._realms[user].world

    def worlds(self) -> list[World]:
        """Those of all users, and that of nobody."""
        return [realm.world for realm in (*self._realms.values(), self._nobody)]

    def operation_on_app_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the app server is about to reach; the same for all users."""
        return self._nobody.operation_on_app_server(environ)

    def operation_on_agent_server(self, environ: Mapping[str, Any]) -> str | None:
        """The operation that a request to the agent server is about to reach."""
        return self._on_agent_server(environ).operation_on_agent_server(environ)

    def expire_tokens(self) -> int:
        """Let all access tokens expire now; returns how many were still good."""
        return 0 if self._desk is None else self._desk.expire()

    def app_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request to the app server."""
        if self._tokens is not None and environ["PATH_INFO"] == oauth.PATH:
            return self._tokens(environ, start_response)
        token = _token(environ)
        user = None if token is None else self._user_of(token)
        if user is not None:
            environ[USER] = user
            return self._realms[user].app_server(environ, start_response)
        reporting = self._of_sandbox(environ)  # agent servers show the key of their sandbox
        realm = self._nobody if reporting is None else reporting
        return realm.app_server(environ, _challenging(start_response, shown=token is not None))

    def agent_server(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request to the agent server."""
        return self._on_agent_server(environ).agent_server(environ, start_response)

    def _user_of(self, token: str) -> str | None:
        by_key = self._accounts.user_of_key(token)
        return by_key if by_key is not None or self._desk is None else self._desk.user_of(token)

    def _on_agent_server(self, environ: Mapping[str, Any]) -> Realm:
        return self._of_sandbox(environ) or self._of_stream(environ["PATH_INFO"]) or self._nobody

    def _of_stream(self, path: str) -> Realm | None:
        """Whose conversation the path of a WebSocket names."""
        before, _, conversation_id = path.rpartition("/")
        if before != _STREAMS:
            return None
        return next((realm for realm in self._realms.values() if _has(realm.world, conversation_id)), None)

    def _of_sandbox(self, environ: Mapping[str, Any]) -> Realm | None:
        """Whose sandbox or runtime opens to the key of this request."""
        key = environ.get("HTTP_X_SESSION_API_KEY") or _query_key(environ)
        opened = (realm for realm in self._realms.values() if key and realm.world.keys.sandbox_of(key))
        return next(opened, None)

    def _foreign_to(self, user: str) -> IsForeign:
        def is_foreign(thing_id: str) -> bool:
            return any(_has(world, thing_id) for world in self._worlds_beside(user))

        return is_foreign

    def _worlds_beside(self, user: str) -> Iterator[World]:
        return (realm.world for name, realm in self._realms.items() if name != user)


def _has(world: World, thing_id: str) -> bool:
    core = world.core
    return core.conversations.get(canonical(thing_id)) is not None or core.sandboxes.get(thing_id) is not None


def _token(environ: Environ) -> str | None:
    """The token of a request. Clients of Socket.IO may show it as their session key: browsers send no headers."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return str(token.strip())
    return _query_key(environ) if environ["PATH_INFO"].startswith(_SOCKETIO) else None


def _query_key(environ: Mapping[str, Any]) -> str | None:
    keys = parse_qs(environ.get("QUERY_STRING", "")).get("session_api_key")
    return keys[-1] if keys else None


def _challenging(start_response: StartResponse, *, shown: bool) -> StartResponse:
    """Say with each 401 what would help (RFC 6750, 3)."""
    challenge = 'Bearer realm="openhands"' + (', error="invalid_token"' if shown else "")

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        if status.startswith("401"):
            headers = [*headers, ("WWW-Authenticate", challenge)]
        return start_response(status, headers, *more)

    return start
