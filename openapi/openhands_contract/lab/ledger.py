"""Remembers what a run has made on the server, and takes it away again.

The answers themselves say what was made, so nothing has to be reported: whatever sent the request, a check or
Schemathesis, the ledger sees the answer. What the run did not make is never changed; `is_foreign` tells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from openhands_contract.contract_document import Operation
from openhands_contract.exchange import Exchange
from openhands_contract.json_text import read_json

_TASK_PATIENCE = 20.0
_POLL = 0.1
_ATTEMPTS = 2

Send = Callable[[str, str], Exchange]
Owner = str


class Ledger:
    """What was made and is still there, by the user who made it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conversations: dict[str, Owner] = {}
        self._tasks: dict[str, Owner] = {}
        self._sandboxes: dict[str, Owner] = {}
        self._secrets: dict[str, Owner] = {}
        self._listed: set[str] = set()
        self._ever: set[str] = set()  # made at some time, and perhaps gone

    def notice(self, operation: Operation | None, exchange: Exchange, owner: Owner) -> None:
        """Look at an answer for what it made or took away."""
        if operation is None or not HTTPStatus.OK <= exchange.status < HTTPStatus.MULTIPLE_CHOICES:
            return
        try:
            body = exchange.json()
        except ValueError:
            return
        with self._lock:
            self._note(operation, body, exchange, owner)

    def _note(self, operation: Operation, body: Any, exchange: Exchange, owner: Owner) -> None:
        conversation = _bare(operation.path_parameters.get("conversation_id", ""))
        match operation.document.name, operation.id, body:
            case "app-server", "createConversation", {"conversation_id": str(identifier)}:
                self._add(self._conversations, _bare(identifier), owner)
            case "agent-server", "startConversation" | "forkConversation", {"id": str(identifier)}:
                self._add(self._conversations, _bare(identifier), owner)
            case _, "startAppConversation", dict(task):
                self._note_task(task, owner)
            case _, "streamStartAppConversation" | "batchGetStartTasks", list(tasks):
                starting = operation.id == "streamStartAppConversation"
                for task in tasks:
                    if isinstance(task, dict) and (starting or task.get("id") in self._tasks):
                        self._note_task(task, owner)
            case _, "startSandbox", {"id": str(identifier)}:
                self._add(self._sandboxes, identifier, owner)
            case _, "deleteSandbox", _:
                self._sandboxes.pop(operation.path_parameters.get("sandbox_id", ""), None)
            case _, "deleteConversation" | "deleteAppConversation", _:
                self._conversations.pop(conversation, None)
            case _, "createSecret" | "updateSecret" | "deleteSecret", _:
                self._secrets.pop(operation.path_parameters.get("secret_name", ""), None)
                name = _named(exchange.request_body)
                if operation.id != "deleteSecret" and name is not None:
                    self._add(self._secrets, name, owner)
            case _:
                for identifier in _ids(body):
                    self._listed |= {identifier, _bare(identifier)}

    def _add(self, things: dict[str, Owner], identifier: str, owner: Owner) -> None:
        things.setdefault(identifier, owner)
        self._ever.add(identifier)

    def _note_task(self, task: Mapping[str, Any], owner: Owner) -> None:
        identifier, conversation = task.get("id"), task.get("app_conversation_id")
        requested = (task.get("request") or {}).get("sandbox_id")
        sandbox = task.get("sandbox_id")
        if isinstance(sandbox, str) and sandbox != requested:
            self._add(self._sandboxes, sandbox, owner)
        if task.get("status") in ("READY", "ERROR"):
            self._tasks.pop(str(identifier), None)
        elif isinstance(identifier, str):
            self._tasks[identifier] = owner
        if isinstance(conversation, str):
            self._add(self._conversations, _bare(conversation), owner)

    def is_foreign(self, identifier: str) -> bool:
        """Whether a conversation or sandbox was there before, or belongs to somebody else."""
        with self._lock:
            names = {identifier, _bare(identifier)}
            return not names & self._ever and bool(names & self._listed)

    def things(self) -> frozenset[str]:
        """The names of all things that are still there, or being started."""
        with self._lock:
            return frozenset().union(self._conversations, self._tasks, self._sandboxes, self._secrets)

    def left(self) -> int:
        """How many things there still are."""
        return len(self.things())

    def tidy(
        self,
        senders: Mapping[Owner, Send],
        delete_conversation: str,
        deadline: float,
        sparing: Collection[str] = (),
    ) -> int:
        """Delete everything; return how much could not be deleted.

        Args:
            senders: how to send a request as each user.
            delete_conversation: the path that deletes a conversation, with `{id}` in it.
            deadline: the monotonic time at which to give up.
            sparing: names of things that are still needed.
        """
        self._await_tasks(senders, min(deadline, time.monotonic() + _TASK_PATIENCE))
        for _ in range(_ATTEMPTS):
            for method, path, owner, forget in list(self._chores(delete_conversation, sparing)):
                if time.monotonic() > deadline:
                    break
                answer = senders[owner](method, path)
                if answer.answered and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    forget()
        return len(self.things().difference(sparing))

    def _chores(
        self, delete_conversation: str, sparing: Collection[str]
    ) -> Iterator[tuple[str, str, Owner, Callable[[], None]]]:
        with self._lock:
            conversations, sandboxes, secrets = (
                {name: owner for name, owner in things.items() if name not in sparing}
                for things in (self._conversations, self._sandboxes, self._secrets)
            )
        for name, owner in conversations.items():
            yield (
                "DELETE",
                delete_conversation.format(id=name),
                owner,
                self._forget(self._conversations, name),
            )
        for name, owner in sandboxes.items():
            path = f"/api/v1/sandboxes/{name}?sandbox_id={name}"
            yield "DELETE", path, owner, self._forget(self._sandboxes, name)
        for name, owner in secrets.items():
            yield "DELETE", f"/api/secrets/{quote(name, safe='')}", owner, self._forget(self._secrets, name)

    def _forget(self, things: dict[str, Owner], name: str) -> Callable[[], None]:
        def forget() -> None:
            with self._lock:
                things.pop(name, None)

        return forget

    def _await_tasks(self, senders: Mapping[Owner, Send], deadline: float) -> None:
        """Conversations that are just being started appear when their tasks end; the answers tell of them."""
        while time.monotonic() < deadline:
            with self._lock:
                open_tasks = dict(self._tasks)
            if not open_tasks:
                return
            for name, owner in open_tasks.items():
                answer = senders[owner]("GET", f"/api/v1/app-conversations/start-tasks?ids={name}")
                with suppress(ValueError):
                    if not answer.answered or answer.json() == [None]:
                        self._forget(self._tasks, name)()
            time.sleep(_POLL)


def _bare(identifier: str) -> str:
    """Ids with and without dashes are the same."""
    return identifier.replace("-", "").lower()


def _named(request_body: bytes) -> str | None:
    """The name in a request that a server has taken, whatever else it took for one."""
    try:
        body = read_json(request_body)
    except ValueError:
        return None
    name = body.get("name") if isinstance(body, dict) else None
    return name if isinstance(name, str) else None


def _ids(body: Any) -> Iterator[str]:
    items = body if isinstance(body, list) else []
    if isinstance(body, dict):
        items = body.get("results") or body.get("items") or body.get("custom_secrets") or []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            for name in ("conversation_id", "id", "sandbox_id", "name"):
                if isinstance(item.get(name), str):
                    yield item[name]
