"""The reference server as a plain HTTP client sees it: httpx and websockets, never our own SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from openhands_reference_server import ReferenceServer

T = TypeVar("T")
MISSING = "0" * 31 + "1"


def eventually(look: Callable[[], T], *, timeout: float = 10.0) -> T:
    """Look until there is something to see; each look is a request, so this is no idle loop."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, "it did not happen in time"


@dataclass
class Api:
    """One server, with the steps that tests take often."""

    server: ReferenceServer
    app: httpx.Client

    # -- V0 -----------------------------------------------------------------------------------------

    def create_v0(self, **body: Any) -> str:
        """A V0 conversation that runs."""
        conversation_id = self.ok("POST", "/api/conversations", json=body)["conversation_id"]
        self.wait_v0(conversation_id, "RUNNING")
        return str(conversation_id)

    def wait_v0(self, conversation_id: str, status: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            one: dict[str, Any] = self.ok("GET", f"/api/conversations/{conversation_id}")
            return one if one["status"] == status else None

        return eventually(look)

    def v0_events(self, conversation_id: str, **query: Any) -> list[dict[str, Any]]:
        page = self.ok("GET", f"/api/conversations/{conversation_id}/events", params={"limit": 100, **query})
        events: list[dict[str, Any]] = page["events"]
        return events

    def wait_agent_state(self, conversation_id: str, state: str) -> list[dict[str, Any]]:
        def look() -> list[dict[str, Any]] | None:
            events = self.v0_events(conversation_id)
            changes = [event for event in events if event.get("observation") == "agent_state_changed"]
            return events if changes and changes[-1]["extras"]["agent_state"] == state else None

        return eventually(look)

    # -- V1 -----------------------------------------------------------------------------------------

    def start_v1(self, text: str | None = None, **request: Any) -> V1:
        """A V1 conversation that is READY; a text is run."""
        if text is not None:
            request["initial_message"] = {"content": [{"type": "text", "text": text}]}
        task = self.ok("POST", "/api/v1/app-conversations", json=request)
        ready = self.wait_task(task["id"])
        assert ready["status"] == "READY", ready
        return self.v1(ready["app_conversation_id"])

    def wait_task(self, task_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            [task] = self.ok("GET", "/api/v1/app-conversations/start-tasks", params={"ids": task_id})
            return task if task["status"] in ("READY", "ERROR") else None

        return eventually(look)

    def v1(self, conversation_id: str) -> V1:
        info = self.info(conversation_id)
        return V1(self, conversation_id, info["sandbox_id"], info["session_api_key"])

    def info(self, conversation_id: str) -> dict[str, Any]:
        [one] = self.ok("GET", "/api/v1/app-conversations", params={"ids": conversation_id})
        assert one is not None
        found: dict[str, Any] = one
        return found

    def ok(self, method: str, path: str, **kwargs: Any) -> Any:
        answer = self.app.request(method, path, **kwargs)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class V1:
    """A V1 conversation as its agent server shows it."""

    api: Api
    id: str
    sandbox_id: str
    key: str

    def request(self, method: str, path: str = "", **kwargs: Any) -> httpx.Response:
        url = f"{self.api.server.agent_url}/api/conversations/{self.id}{path}"
        return httpx.request(method, url, headers={"X-Session-API-Key": self.key}, timeout=10, **kwargs)

    def ok(self, method: str, path: str = "", **kwargs: Any) -> Any:
        answer = self.request(method, path, **kwargs)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def say(self, text: str, *, run: bool = True) -> None:
        message = {"role": "user", "content": [{"type": "text", "text": text}], "run": run}
        assert self.ok("POST", "/events", json=message) == {"success": True}

    def events(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.ok("GET", "/events/search", params=query)["items"]
        return items

    @property
    def status(self) -> str:
        return str(self.ok("GET")["execution_status"])

    def wait(self, status: str) -> None:
        eventually(lambda: self.status == status)

    def rest(self) -> list[dict[str, Any]]:
        """Let the agent come to rest; returns all events."""
        assert self.ok("POST", "/run") == {"success": True}
        return self.events()

    @contextmanager
    def stream(
        self, *, resend_all: bool = False, key: str | None = None, path: str | None = None
    ) -> Iterator[Stream]:
        query = f"session_api_key={self.key if key is None else key}&resend_all={str(resend_all).lower()}"
        url = self.api.server.agent_url.replace("http", "ws", 1)
        with connect(f"{url}{path or f'/sockets/events/{self.id}'}?{query}") as socket:
            yield Stream(socket)


@dataclass
class Stream:
    """A WebSocket that speaks events."""

    socket: ClientConnection

    def next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.socket.recv(timeout=10))
        return event

    def until(self, word: str) -> list[dict[str, Any]]:
        """Events up to and including the one with this word."""
        events = [self.next()]
        while story([events[-1]]) != [word]:
            events.append(self.next())
        return events

    def ending(self) -> tuple[int, str]:
        """Read on until the server closes; its code and reason."""
        with pytest.raises(ConnectionClosed) as closed:
            self._read_on()
        assert closed.value.rcvd is not None, "the connection ended without a close frame"
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def _read_on(self) -> None:
        while True:
            self.next()

    def say(self, text: str) -> None:
        self.socket.send(json.dumps({"role": "user", "content": [{"type": "text", "text": text}]}))


def story(events: list[dict[str, Any]]) -> list[str]:
    """One word per V1 event."""
    return [_word(event) for event in events]


def _word(event: dict[str, Any]) -> str:
    match event["kind"]:
        case "ConversationStateUpdateEvent":
            return str(event["value"]) if event["key"] == "execution_status" else str(event["key"])
        case "ActionEvent":
            return str(event["action"]["kind"])
        case "ObservationEvent":
            return str(event["observation"]["kind"])
        case "MessageEvent":
            return f"{event['source']} says"
        case kind:
            return str(kind)


@contextmanager
def serving(**options: Any) -> Iterator[Api]:
    """A server of one's own."""
    options.setdefault("max_concurrent_conversations", 1000)
    with ReferenceServer(**options) as server, httpx.Client(base_url=server.url, timeout=10) as app:
        yield Api(server, app)


@pytest.fixture
def api() -> Iterator[Api]:
    """A fresh server with the default script."""
    with serving() as made:
        yield made
