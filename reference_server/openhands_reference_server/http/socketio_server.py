"""Socket.IO at `/socket.io`: the live stream of V0 conversations.

A client names a conversation in the query of its connection, hears what it has missed and then what
happens (`oh_event`), and may act (`oh_user_action`, formerly `oh_action`). Which frames these are is
decided in `domain/v0_live.py`; this module lets clients in, and carries frames to and fro.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from wsproto.utilities import RemoteProtocolError

from openhands_reference_server.dialects import Dialect
from openhands_reference_server.domain import v0_live
from openhands_reference_server.domain.errors import ConversationNotFound, DomainError
from openhands_reference_server.http.application import validator
from openhands_reference_server.http.plain_answers import problem
from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.world import World
from openhands_reference_server.world.live import Follower

if TYPE_CHECKING:
    from openhands_reference_server.http.socketio_engine import Engine

_logger = logging.getLogger(__name__)
_PREFIX = "/socket.io/"
_EVENT = "oh_event"
_ACTIONS = ("oh_user_action", "oh_action")
_PROVIDERS = frozenset({"github", "gitlab", "bitbucket", "azure_devops", "enterprise_sso"})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_CONVERSATION = "No conversation_id in query params"
INVALID_KEY = "invalid_session_api_key"
NOT_FOUND = "Conversation not found"
NOT_JOINED = "Failed to join conversation"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Gate = Callable[[str, str], str | None]
"""Says for a session API key and a conversation id why not to let a client in; None lets it in."""


class Refused(Exception):
    """A client is not let in; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for in the query of its connection."""

    conversation_id: str
    latest_event_id: int
    session_api_key: str

    @classmethod
    def of_query(cls, query_string: str) -> Wish:
        """Read the query.

        Raises:
            Refused: it names no conversation, or a provider that does not exist.
        """
        query = parse_qs(query_string, keep_blank_values=True)
        conversation_id = query.get("conversation_id", [""])[-1]
        if not conversation_id:
            raise Refused(NO_CONVERSATION)
        # Clients written in JavaScript send a missing key as the text `null`.
        key = query.get("session_api_key", [""])[-1]
        return cls(conversation_id, _event_id(query), "" if key == "null" else key)


class SocketIO:
    """Socket.IO in front of a WSGI application.

    python-socketio is loaded when the first client comes.

    Args:
        app: gets everything else.
        world: what it is about.
        gate: who is let in.
    """

    def __init__(self, app: Wsgi, world: World, gate: Gate) -> None:
        self._app = app
        self._world = world
        self._gate = gate
        self._followers: dict[str, Follower] = {}
        self._engine: Engine | None = None
        self._making = threading.Lock()
        self._closed = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request."""
        if not environ["PATH_INFO"].startswith(_PREFIX):
            return self._app(environ, start_response)
        engine = self._ready_engine()
        if engine is None:
            return problem(start_response, "503 Service Unavailable", "The server is shutting down")
        try:
            answer: Iterable[bytes] = engine.handle_request(environ, start_response)
        except RemoteProtocolError:
            return problem(start_response, "400 Bad Request", "Bad Request")
        return answer

    def close(self) -> None:
        """Say goodbye to all clients; returns when none is left."""
        with self._making:
            self._closed = True
        if self._engine is not None:
            self._engine.close()

    def _ready_engine(self) -> Engine | None:
        """The engine, made at the first call; None when there will be none any more."""
        with self._making:
            if self._closed:
                return None
            if self._engine is None:
                self._engine = self._new_engine()
            return self._engine

    def _new_engine(self) -> Engine:
        from openhands_reference_server.http.socketio_engine import Engine

        engine = Engine(allows_origin=_allows_origin, confirmed=self._begin)
        engine.on("connect", self._connect)
        engine.on("disconnect", self._disconnect)
        for name in _ACTIONS:
            engine.on(name, self._act)
        return engine

    # -- what clients do ----------------------------------------------------------------------------

    def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        from socketio.exceptions import ConnectionRefusedError

        try:
            follower = self._admitted(environ.get("QUERY_STRING", ""))
        except Refused as refusal:
            raise ConnectionRefusedError(str(refusal)) from refusal
        if self._world.dialect.replays_before_connect and self._engine is not None:
            for frame in follower.first:  # what is sent from here is through before the client is connected
                self._engine.emit(_EVENT, frame, to=sid)
            follower = replace(follower, first=[])
        self._followers[sid] = follower

    def _admitted(self, query_string: str) -> Follower:
        wish = Wish.of_query(query_string)
        reason = self._gate(wish.session_api_key, wish.conversation_id)
        if reason is not None:
            raise Refused(reason)
        _check_providers(query_string)
        try:
            return self._world.live.join(wish.conversation_id, wish.latest_event_id)
        except ConversationNotFound as error:
            raise Refused(NOT_FOUND) from error
        except DomainError as error:
            raise Refused(NOT_JOINED) from error

    def _begin(self, sid: str) -> None:
        """The client knows that it is connected: from here on it gets its frames."""
        follower = self._followers.get(sid)
        if follower is not None and self._engine is not None:
            self._engine.start_background_task(self._feed, self._engine, sid, follower)

    def _feed(self, engine: Engine, sid: str, follower: Follower) -> None:
        for frame in engine.carried(sid, follower.frames()):
            engine.emit(_EVENT, frame, to=sid)
        engine.disconnect(sid)

    def _disconnect(self, sid: str, reason: str | None = None) -> None:
        follower = self._followers.pop(sid, None)
        if follower is not None:
            self._world.live.leave(follower)

    def _act(self, sid: str, action: Any = None, *more: Any) -> None:
        """An action of the user; one that cannot be taken is answered, and nothing else happens."""
        follower = self._followers.get(sid)
        if follower is None or self._engine is None:
            return
        try:
            valid = _valid_action(self._world.dialect, follower.conversation_id, action)
            self._world.send_v0_action(follower.conversation_id, valid)
        except RequestInvalid as error:
            self._engine.emit(
                _EVENT, v0_live.refusal(_explanation((error.body or {}).get("detail", "the action"))), to=sid
            )
        except DomainError as error:
            self._engine.emit(_EVENT, v0_live.refusal(str(error)), to=sid)


def _event_id(query: Mapping[str, list[str]]) -> int:
    try:
        return int(query.get("latest_event_id", ["-1"])[-1])
    except ValueError:
        return -1


def _check_providers(query_string: str) -> None:
    """The providers are comma-separated, repeated, or both; none is used here.

    Raises:
        Refused: one does not exist.
    """
    given = ",".join(parse_qs(query_string).get("providers_set", []))
    for name in filter(None, (part.strip() for part in given.split(","))):
        if name not in _PROVIDERS:
            raise Refused(f"Unknown provider: {name}")


def _valid_action(dialect: Dialect, conversation_id: str, action: Any) -> dict[str, Any]:
    """The action as a body of `addConversationEvent`, whose schema describes it.

    Raises:
        RequestInvalid: it is none.
    """
    valid = validator("app-server", dialect).validate(
        "addConversationEvent",
        path={"conversation_id": conversation_id},
        query=[],
        headers={},
        content_type="application/json",
        body=json.dumps(action, default=_refuse_binary).encode(),
    )
    body: dict[str, Any] = valid.body
    return body


def _refuse_binary(value: Any) -> None:
    raise RequestInvalid(422, {"detail": f"An action is JSON; it cannot hold {type(value).__name__}"})


def _explanation(detail: Any) -> str:
    """What is wrong with an action, in one line."""
    if isinstance(detail, str):
        return detail
    return "; ".join(f"{'.'.join(map(str, item['loc'][1:])) or 'action'}: {item['msg']}" for item in detail)


def _allows_origin(origin: str, environ: Mapping[str, Any]) -> bool:
    """Pages of this server may connect, and those of servers on the same machine."""
    asked = urlsplit(origin)
    return asked.hostname in _LOOPBACK or asked.netloc == environ.get("HTTP_HOST")
