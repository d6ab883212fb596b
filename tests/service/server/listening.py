"""A plain python-socketio client that writes down what it hears; never our own SDK."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import engineio
import pytest
import requests
import socketio
from socketio.exceptions import ConnectionError as NotConnected

WEBSOCKET, POLLING = ["websocket"], ["polling"]
TIMEOUT = 10.0
# Threads of the library outlive its connections by half a minute, and complain at their end.
_QUIET = logging.Logger("quiet", logging.CRITICAL)


class _Engine(engineio.Client):
    """Handles messages one after another; the library gives each a thread of its own, and loses their order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="ear")
        self._leaving = False

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._leaving = True  # from here on it waits for its other threads; they must not wait for it
        super().disconnect(*args, **kwargs)

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if self._leaving:
            return None if kwargs.get("run_async") else super()._trigger_event(event, *args, **kwargs)
        if kwargs.get("run_async"):
            return self.worker.submit(super()._trigger_event, event, *args, run_async=False)
        if event == "disconnect":
            wait([self.worker.submit(lambda: None)], TIMEOUT)  # what came before it comes first
        return super()._trigger_event(event, *args, **kwargs)


class _Client(socketio.Client):
    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine


class Ear:
    """One connection, and the frames that came over it."""

    def __init__(self, namespace: str = "/") -> None:
        session = requests.Session()
        session.headers["Connection"] = "close"  # the library leaves connections that are kept alive
        self.client = _Client(reconnection=False, logger=_QUIET, engineio_logger=_QUIET, http_session=session)
        self._frames: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.client.on("oh_event", self._frames.put)
        self.refusal = ""
        self.client.on("connect_error", self._refused, namespace=namespace)
        self.client.on("disconnect", lambda *_: self._frames.put(None))

    def _refused(self, reason: Any) -> None:
        self.refusal = reason.get("message", str(reason)) if isinstance(reason, dict) else str(reason)

    def next(self) -> dict[str, Any]:
        frame = self._frames.get(timeout=TIMEOUT)
        assert frame is not None, "the server has disconnected"
        return frame

    def until(self, last: str) -> list[dict[str, Any]]:
        """Frames up to and including the one with this word."""
        frames = [self.next()]
        while word(frames[-1]) != last:
            frames.append(self.next())
        return frames

    def rest(self) -> list[dict[str, Any]]:
        """All frames until the server disconnects."""
        frames = []
        while (frame := self._frames.get(timeout=TIMEOUT)) is not None:
            frames.append(frame)
        return frames

    def act(self, action: Any, *, name: str = "oh_user_action") -> None:
        self.client.emit(name, action)

    def say(self, text: str) -> None:
        self.act({"action": "message", "args": {"content": text}})


@contextmanager
def listening(
    url: str,
    transports: list[str] = WEBSOCKET,
    *,
    ear: Ear | None = None,
    path: str = "/socket.io",
    **query: Any,
) -> Iterator[Ear]:
    """A client that is connected."""
    ear = ear or Ear()
    try:
        ear.client.connect(
            f"{url}?{urlencode(query, doseq=True)}",
            transports=transports,
            socketio_path=path,
            wait_timeout=TIMEOUT,
        )
        yield ear
    finally:
        _let_it_say_all(ear.client.eio)
        ear.client.disconnect()
        ear.client.eio.worker.shutdown(wait=False)
        if ear.client.eio.ws is not None:  # nor does it close the one that the server has closed first
            ear.client.eio.ws.shutdown()


def _let_it_say_all(engine: engineio.Client) -> None:
    """A client that is told to disconnect while it still sends forgets to say goodbye, and polls on."""
    if engine.state == "connected":
        waiting = engine.queue
        with waiting.all_tasks_done:
            waiting.all_tasks_done.wait_for(lambda: not waiting.unfinished_tasks, timeout=1)


def refusal(url: str, transports: list[str] = WEBSOCKET, **query: Any) -> str:
    """Why the server does not let a client in."""
    ear = Ear()
    with pytest.raises(NotConnected), listening(url, transports, ear=ear, **query):
        pass
    return ear.refusal


def word(frame: dict[str, Any]) -> str:
    """What kind of frame it is."""
    if frame.get("status_update"):
        return "title" if "conversation_title" in frame else f"{frame['type']} {frame['id']}"
    if frame.get("error"):
        return "refused"
    match frame:
        case {"observation": "agent_state_changed"}:
            return f"is {frame['extras']['agent_state']}"
        case {"action": "change_agent_state"}:
            return f"to {frame['args']['agent_state']}"
        case {"action": action}:
            return f"{frame['source']} {action}"
        case _:
            return f"got {frame['observation']}"
