"""Conversations of the second generation, for checks that need one to work on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openhands_contract.lab.bench import Answer, Api, Bench
from openhands_contract.outcome import NotReached

CONVERSATIONS = "/api/v1/app-conversations"
TASKS = f"{CONVERSATIONS}/start-tasks"
SANDBOXES = "/api/v1/sandboxes"
STAGES = (
    "WORKING",
    "WAITING_FOR_SANDBOX",
    "PREPARING_REPOSITORY",
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    "STARTING_CONVERSATION",
    "READY",
)
# More than one page can have.
_LONG = 110
RESTING = frozenset({"idle", "paused", "waiting_for_confirmation", "finished", "error", "stuck"})


@dataclass(frozen=True, slots=True)
class Started:
    """A V1 conversation that is ready.

    Attributes:
        id: without dashes.
        origin: of its agent server.
    """

    id: str
    sandbox_id: str
    origin: str
    key: str = field(repr=False)

    @property
    def path(self) -> str:
        """Its path on the agent server."""
        return f"/api/conversations/{self.dashed}"

    @property
    def dashed(self) -> str:
        return str(uuid.UUID(self.id))


def user_message(text: str, *, run: bool | None = None) -> dict[str, Any]:
    """A message of the user, as both servers take it."""
    message: dict[str, Any] = {"role": "user", "content": [{"type": "text", "text": text}]}
    return message if run is None else {**message, "run": run}


class V1:
    """Makes V1 conversations and finds their agent servers."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._app = bench.app

    def shared(self) -> Started:
        """A conversation that all checks share, whose agent has answered one message; nobody may change it."""

        def make(bench: Bench) -> Started:
            started = bench.v1.start(initial_message=user_message("Say hello and finish."))
            with bench.arranging("a V1 conversation whose agent has finished"):
                bench.v1.await_rest(started)
            return started

        return self._bench.shared("v1 conversation", make)

    def workshop(self) -> Started:
        """A conversation whose sandbox may be used for more conversations, and its files for anything."""
        return self._bench.shared("v1 workshop", lambda bench: bench.v1.start())

    def long(self) -> tuple[Started, list[dict[str, Any]]]:
        """A conversation with more events than one page has, which is kept as it is, and its events."""

        def make(bench: Bench) -> Started:
            started = bench.v1.beside()
            with bench.arranging("a long V1 conversation"):
                for number in range(_LONG):
                    message = user_message(f"Line {number}", run=False)
                    bench.v1.agent(started).post(f"{started.path}/events", message).needs(200)
            return started

        started = self._bench.shared("long V1 conversation", make)
        return started, self.events(started, limit=100)

    def beside(self, **request: Any) -> Started:
        """A new conversation in the workshop's sandbox, which is quicker than a new sandbox. It is kept."""
        return self.start(sandbox_id=self.workshop().sandbox_id, **request)

    def new(self, **request: Any) -> Started:
        """A new conversation in a sandbox of its own; both go when the check ends."""
        started = self.start(**request)
        delete = self._bench.lab.conversation_path.format(id=started.id)
        self._bench.later(lambda: self._app.delete(delete))
        return started

    def start(self, **request: Any) -> Started:
        """Start a conversation in order to test something else."""
        with self._bench.arranging("a V1 conversation"):
            task = self._app.post(CONVERSATIONS, request).needs(200)
            ended = self.await_task(task.pick("id"))
            if ended["status"] != "READY":
                raise NotReached(
                    f"prerequisite: a V1 conversation could not be started: {ended.get('detail')}"
                )
            return self.find(ended["app_conversation_id"])

    def await_task(self, task_id: str) -> dict[str, Any]:
        """Wait until a start task has ended, one way or the other."""

        def ended() -> dict[str, Any] | None:
            task: dict[str, Any] = self.task(task_id).must(200).pick(0)
            return task if task["status"] in ("READY", "ERROR") else None

        return self._bench.until(ended, "the start task ends", within=self._bench.lab.start_patience)

    def task(self, task_id: str) -> Answer:
        return self._app.get(TASKS, {"ids": task_id})

    def get(self, identifier: str) -> Answer:
        return self._app.get(CONVERSATIONS, {"ids": identifier})

    def rename(self, identifier: str, title: str) -> Answer:
        """Give a conversation a title, where the dialect does that."""
        return self._app.patch(self._bench.lab.conversation_path.format(id=identifier), {"title": title})

    def delete(self, identifier: str) -> Answer:
        """Delete a conversation, where the dialect does that."""
        return self._app.delete(self._bench.lab.conversation_path.format(id=identifier))

    def find(self, identifier: str) -> Started:
        """A conversation and where its agent server is, as soon as that is known."""

        def reachable() -> Mapping[str, Any] | None:
            found: Mapping[str, Any] | None = self.get(identifier).needs(200).pick(0)
            return found if found and found["conversation_url"] and found["session_api_key"] else None

        info = self._bench.until(reachable, "the conversation names its agent server")
        origin = self._bench.lab.site.agent_origin(info["conversation_url"])
        self._bench.lab.redact.learn(info["session_api_key"], "$SANDBOX_KEY")
        return Started(info["id"].replace("-", ""), info["sandbox_id"], origin, info["session_api_key"])

    def agent(self, started: Started, *, key: str | None = "") -> Api:
        """The agent server of a conversation: with its own key, another one, or none."""
        used = started.key if key == "" else key
        return Api(self._bench.lab.agent_wire(started.origin, used), self._bench.trail)

    def status(self, started: Started) -> str:
        """What the agent of a conversation is doing."""
        status: str = self.agent(started).get(started.path).needs(200).pick("execution_status")
        return status

    def await_status(self, started: Started, *statuses: str) -> str:
        """Wait until the agent does one of these."""
        return self._bench.until(
            lambda: status if (status := self.status(started)) in statuses else None,
            f"the agent becomes {' or '.join(statuses)}",
        )

    def await_rest(self, started: Started) -> str:
        """Wait until the agent has worked on what it was told and waits for the user."""
        return self.await_status(started, *(RESTING - {"idle"}))

    def events(self, started: Started, **query: Any) -> list[dict[str, Any]]:
        """All events of a conversation on its agent server, page by page."""
        return self.all_pages(self.agent(started), f"{started.path}/events/search", query)

    def all_pages(self, api: Api, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All items of a search."""
        found: list[dict[str, Any]] = []
        page_id: str | None = None
        seen: set[str] = set()
        while True:
            asked = {**query, "page_id": page_id} if page_id else query
            answer = api.get(path, asked).needs(200)
            found += answer.pick("items")
            page_id = answer.next_page_id(seen)
            if page_id is None:
                return found
