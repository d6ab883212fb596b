"""Gets a server ready to be judged: is it there, does it want a key, where is an agent server?

Plain HTTP, so that a defect of an SDK cannot hide one of the server.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

KEY_HEADER = "X-Session-API-Key"
_TIMEOUT = httpx.Timeout(30.0)
_START_DEADLINE = 180.0
_POLL_INTERVAL = 0.2


class CannotRun(Exception):
    """The server cannot be judged; the message says why and what to try."""


@dataclass(frozen=True, slots=True)
class AgentServer:
    """The agent server of a conversation that was started for the run.

    Attributes:
        url: its origin.
        key: the key of the conversation's sandbox.
        conversation_id: the conversation.
        event_ids: some of its events.
    """

    url: str
    key: str
    conversation_id: str
    event_ids: list[str]


@contextmanager
def app_server(url: str, api_key: str | None) -> Iterator[httpx.Client]:
    """Connect to an app server.

    Raises:
        CannotRun: it is not there, or wants another key.
    """
    with httpx.Client(base_url=url, headers=key_header(api_key), timeout=_TIMEOUT) as client:
        _get(client, "/alive")
        answer = _get(client, "/api/v1/app-conversations/count")
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            given = "another key than the one given with" if api_key else "a key; give it with"
            raise CannotRun(f"{url} wants {given} --api-key (it answered {answer.status_code})")
        yield client


@contextmanager
def agent_server(client: httpx.Client, agent_url: str | None) -> Iterator[AgentServer]:
    """Start a V1 conversation, yield its agent server, and delete the conversation at the end.

    Args:
        client: a connection to the app server.
        agent_url: where the agent server is, when its own idea of that does not work from here.

    Raises:
        CannotRun: no conversation could be started, or its agent server is not there.
    """
    conversation = _start_conversation(client)
    identifier = conversation["id"]
    try:
        parts = urlsplit(conversation["conversation_url"])
        origin = agent_url or f"{parts.scheme}://{parts.netloc}"
        key = conversation["session_api_key"]
        with httpx.Client(base_url=origin, headers=key_header(key), timeout=_TIMEOUT) as agent:
            events = _json(_get(agent, f"/api/conversations/{identifier}/events/search"))
        yield AgentServer(origin, key, identifier, [event["id"] for event in events["items"]])
    finally:
        with suppress(httpx.TransportError):  # a server that is gone has nothing left to delete
            client.delete(f"/api/conversations/{identifier}")


def key_header(api_key: str | None) -> Mapping[str, str]:
    """The header a key goes into."""
    return {KEY_HEADER: api_key} if api_key else {}


def _start_conversation(client: httpx.Client) -> Mapping[str, Any]:
    message = {"role": "user", "content": [{"type": "text", "text": "Say hello and finish."}], "run": True}
    task = _json(_post(client, "/api/v1/app-conversations", {"initial_message": message}))
    deadline = time.monotonic() + _START_DEADLINE
    while task["status"] != "READY":
        if task["status"] == "ERROR":
            raise CannotRun(f"no conversation could be started: {task['detail']}")
        if time.monotonic() > deadline:
            raise CannotRun(f"no conversation was ready within {_START_DEADLINE:.0f} s: {task['status']}")
        time.sleep(_POLL_INTERVAL)
        (task,) = _json(_get(client, "/api/v1/app-conversations/start-tasks", ids=task["id"]))
    (conversation,) = _json(_get(client, "/api/v1/app-conversations", ids=task["app_conversation_id"]))
    if not conversation["conversation_url"] or not conversation["session_api_key"]:
        raise CannotRun("the conversation that was started names no agent server")
    started: Mapping[str, Any] = conversation
    return started


def _get(client: httpx.Client, path: str, **query: str) -> httpx.Response:
    try:
        return client.get(path, params=query)
    except httpx.TransportError as error:
        raise _unreachable(client, error) from error


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> httpx.Response:
    try:
        return client.post(path, json=body)
    except httpx.TransportError as error:
        raise _unreachable(client, error) from error


def _unreachable(client: httpx.Client, error: httpx.TransportError) -> CannotRun:
    return CannotRun(
        f"no answer from {client.base_url} ({error}). Is the server running, and is this its address? "
        "A reference server is started with: openhands-reference-server serve"
    )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError) as error:
        raise CannotRun(
            f"a conversation is needed to judge the agent server, but {answer.request.method} "
            f"{answer.request.url} answered {answer.status_code} {answer.text[:200]}"
        ) from error
