"""A simulated agent server: a stored log, and a socket that may lose, repeat, delay or drop what it sends.

Nothing happens by itself: whenever a command is performed, everything that is due by then has happened.
A request takes ``LATENCY`` seconds, so the world goes on between any two of them.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openhands_client._core.commands import Command, Connect, Receive, Send, SocketClosed, SocketRefused
from tests.unit.sdk.playing import Clock, answer, line_of, query_of

LATENCY = 0.01
PAGE = 3  # events on a page, so that a few already make several pages
ID = "c" * 32
AGENT_URL = f"http://agent.test:8001/api/conversations/{ID}"
KEY = "agent-key"
EVENTS = f"GET /api/conversations/{ID}/events/search"
AGENT_INFO = f"GET /api/conversations/{ID}"
APP_INFO = "GET /api/v1/app-conversations"

Event = dict[str, Any]


def _event(kind: str, source: str, **fields: Any) -> Event:
    return {"kind": kind, "timestamp": "2026-11-20T23:23:55", "source": source, **fields}


def message() -> Event:
    content = [{"type": "text", "text": "hello"}]
    return _event("MessageEvent", "user", llm_message={"role": "user", "content": content})


def status(state: str) -> Event:
    return _event("ConversationStateUpdateEvent", "environment", key="execution_status", value=state)


def stats() -> Event:
    return _event("ConversationStateUpdateEvent", "environment", key="stats", value={})


def action() -> Event:
    return _event("ActionEvent", "agent", tool_name="terminal")


@dataclass(frozen=True)
class Fate:
    """What becomes of the frames of one event: when each copy arrives, in seconds from now."""

    copies: tuple[float, ...] = (0.0,)


GOOD = Fate()
LOST = Fate(())


@dataclass(order=True)
class _Due:
    at: float
    turn: int
    what: Any = field(compare=False)


class Socket:
    """The client's end of one connection."""

    def __init__(self, server: AgentServer) -> None:
        self._server = server
        self._arriving: list[_Due] = []
        self.open = True

    def carry(self, what: str | SocketClosed, delay: float = 0.0) -> None:
        """Let a frame, or the end of the connection, arrive after ``delay`` seconds."""
        heapq.heappush(self._arriving, _Due(self._server.clock.now + delay, next(self._server.turns), what))

    def receive(self, timeout: float) -> Any:
        until = self._server.clock.now + timeout
        while True:
            self._server.settle()
            if self._arriving and self._arriving[0].at <= self._server.clock.now:
                arrived = heapq.heappop(self._arriving).what
                if isinstance(arrived, SocketClosed):
                    self.open = False
                return arrived
            moments = [due.at for due in (*self._arriving[:1], *self._server.plan[:1]) if due.at <= until]
            if not moments:
                self._server.clock.now = max(self._server.clock.now, until)
                return None
            self._server.clock.now = max(self._server.clock.now, min(moments))


class AgentServer:
    """One conversation on its agent server, and the app server's answer to where that is."""

    def __init__(self, clock: Clock, stored: Iterable[Event] = (), *, state: str = "idle") -> None:
        self.clock = clock
        self.turns = itertools.count()
        self.plan: list[_Due] = []
        self.log: list[Event] = []
        self.sockets: list[Socket] = []
        self.state = state
        self.connects: list[Any] = []  # what becomes of the next handshakes; None: they succeed
        self.requests_fail: list[Any] = []  # what becomes of the next REST requests to the agent server
        self.first_frame = True
        self.app_conversation: Any = {
            "id": ID,
            "sandbox_id": "s",
            "sandbox_status": "RUNNING",
            "conversation_url": AGENT_URL,
            "session_api_key": KEY,
        }
        self.urls: list[str] = []
        for event in stored:
            self.store(event, LOST)

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.log]

    def at(self, seconds: float, happens: Callable[[], Any]) -> None:
        """Let something happen, so many seconds from now."""
        heapq.heappush(self.plan, _Due(self.clock.now + seconds, next(self.turns), happens))

    def settle(self) -> None:
        """Let everything happen that is due."""
        while self.plan and self.plan[0].at <= self.clock.now:
            heapq.heappop(self.plan).what()

    def store(self, event: Event, fate: Fate = GOOD) -> None:
        """Append to the log, then tell the subscribers, in the order of a real server."""
        event = {"id": f"e{len(self.log):04}", **event}
        self.log.append(event)
        if event.get("key") == "execution_status":
            self.state = event["value"]
        for socket in self.sockets:
            for delay in fate.copies if socket.open else ():
                socket.carry(json.dumps(event), delay)

    def close(self, code: int = 1006) -> None:
        """Close all connections."""
        for socket in self.sockets:
            socket.carry(SocketClosed(code))
        self.sockets.clear()

    def say(self, frame: str) -> None:
        """Send a frame that is not stored."""
        for socket in self.sockets:
            socket.carry(frame)

    def __call__(self, command: Command) -> Any:
        match command:
            case Send(request):
                self.clock.advance(LATENCY)
                self.settle()
                return self._answer(request)
            case Connect(url):
                self.clock.advance(LATENCY)
                self.settle()
                return self._connect(url)
            case Receive(Socket() as socket, timeout):
                return socket.receive(timeout)
        raise AssertionError(f"an agent server cannot {command}")

    def _connect(self, url: str) -> Any:
        self.urls.append(url)
        fate = self.connects.pop(0) if self.connects else None
        if isinstance(fate, int):
            return SocketRefused(fate)
        if isinstance(fate, Exception) and not isinstance(fate, SocketClosed):
            return fate
        socket = Socket(self)
        self.sockets.append(socket)
        if fate is not None:
            socket.carry(fate)
            self.sockets.remove(socket)
        elif self.first_frame:
            socket.carry(self._full_state())
        return socket

    def _full_state(self) -> str:
        full = _event("ConversationStateUpdateEvent", "environment", key="full_state")
        return json.dumps(
            full | {"id": f"full-{next(self.turns)}", "value": {"execution_status": self.state}}
        )

    def say_everything(self) -> None:
        """Send the whole state, as real servers do after a pause, a run, a confirmation."""
        self.say(self._full_state())

    def _answer(self, request: Any) -> Any:
        line = line_of(request)
        if line == APP_INFO:
            return (
                self.app_conversation
                if isinstance(self.app_conversation, Exception)
                else answer([self.app_conversation])
            )
        if self.requests_fail and (failure := self.requests_fail.pop(0)) is not None:
            return failure
        if line == AGENT_INFO:
            return answer({"id": ID, "execution_status": self.state})
        assert line == EVENTS, line
        [page_id] = query_of(request).get("page_id", [""])
        start = self.ids.index(page_id) if page_id in self.ids else 0
        items = self.log[start : start + PAGE]
        following = self.ids[start + PAGE : start + PAGE + 1]
        return answer({"items": items, "next_page_id": following[0] if following else None})


def key_of(url: str) -> str | None:
    """The key that a WebSocket URL carries."""
    keys = parse_qs(urlsplit(url).query).get("session_api_key", [])
    return keys[0] if keys else None
