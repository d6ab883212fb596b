# Generated from sdk/openhands_client/_async/conversations.py by scripts/unasync.py. Do not edit.
"""``client.conversations``: the version-independent API, and the handles it gives out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, overload

from openhands_client._core import unified, workspace
from openhands_client._core.many import AT_ONCE, CreationProgress, CreationResult, ManyCreations, requests_of
from openhands_client._core.ordering import ConversationRequest, CreateOptions, NewConversation
from openhands_client._core.places import Snapshot, get_v0
from openhands_client._core.session import Generation, Session
from openhands_client._core.starting import Patience, Progress, get_start_task
from openhands_client._core.streaming import Until
from openhands_client._core.timing import Deadline
from openhands_client.journal import opened

from .compat import Stream, in_background
from .driver import Driver
from .workspace import Files, Git

if TYPE_CHECKING:
    from openhands_client import models as m

    from .client import OpenHands

    AnyEvent: TypeAlias = m.AnyEvent | m.V0Event

OnProgress: TypeAlias = Callable[[Any], Any]

STAGE_OF_V0 = {"STARTING": "WORKING", "RUNNING": "READY"}
START_TIMEOUT = 600.0  # seconds; a first sandbox may have to fetch its image
RESUME_TIMEOUT = 120.0


class Conversation:
    """A conversation of either generation. Properties are what the server last said; ``refresh()`` asks.

    Methods raise the errors of ``openhands_client.errors``. A handle can be pickled.
    """

    def __init__(self, client: OpenHands, snapshot: Snapshot) -> None:
        self._client = client
        self._snapshot = snapshot

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.version} {self.status} {self.title!r}>"

    @property
    def id(self) -> str:
        return self._snapshot.id

    @property
    def version(self) -> Generation:
        """``"v0"`` or ``"v1"``."""
        return self._snapshot.version

    @property
    def title(self) -> str | None:
        return self._snapshot.title

    @property
    def status(self) -> m.ConversationStatus:
        """STARTING, RUNNING, STOPPED, ARCHIVED or ERROR: whether the conversation is up. For V1, its sandbox."""
        return self._snapshot.status

    @property
    def agent_state(self) -> str | None:
        """What the agent is doing, in the words of the generation; None where that is not known."""
        return self._snapshot.agent_state

    @property
    def info(self) -> m.ConversationInfo | m.AppConversation:
        """All that the server said of the conversation."""
        return self._snapshot.info

    def refresh(self) -> Conversation:
        """Ask the server again; returns this handle."""
        self._snapshot = self._client.driver.run(unified.refresh(self._session, self._snapshot))
        return self

    def send(self, text: str, image_urls: Sequence[str] | None = None, *, run: bool = True) -> None:
        """Send a message as the user. With ``run=False`` (V1) it is stored without waking the agent.

        A V0 conversation that is not running is started first. Raises ConflictError for a V1 conversation
        whose sandbox is not running, and OutcomeUnknownError when no answer came and the message may yet be
        taken: it is never sent twice.
        """
        flow = unified.send(self._session, self._snapshot, text, image_urls, run=run)
        self._client.driver.run(flow)

    def events(self, *, after: str | int | None = None, until: Until = "rest") -> Stream[AnyEvent]:
        """Iterate over events: stored ones, then live ones, each once, in order; survives disconnects.

        Ends when the agent comes to rest, or with ``until="forever"`` never. ``after`` is the id of the last
        event already seen. Raises StreamError when the stream cannot go on.
        """
        flow = unified.events(self._session, self._snapshot, after=after, until=until)
        return self._client.driver.iterate(flow, at_end=self._came_to_rest)

    def history(self) -> Stream[AnyEvent]:
        """Iterate over the events stored so far."""
        return self._client.driver.iterate(unified.history(self._session, self._snapshot))

    def wait(self, timeout: float | None = None) -> str:
        """Wait until the agent comes to rest; returns its state. Raises APITimeoutError after ``timeout`` s."""
        state = self._client.driver.run(unified.wait(self._session, self._snapshot, timeout))
        self._came_to_rest(state)
        return state

    def start(self, *, timeout: float | None = RESUME_TIMEOUT) -> Conversation:
        """Bring a stopped conversation back and wait until it is up. Raises StartTaskTimeout."""
        flow = unified.start(self._session, self._snapshot, self._patience(timeout))
        self._snapshot = self._client.driver.run(flow)
        return self

    def stop(self) -> Conversation:
        """Stop the agent loop (V0) or pause the sandbox (V1). The history stays; ``start()`` brings it back."""
        self._snapshot = self._client.driver.run(unified.stop(self._session, self._snapshot))
        return self

    def pause(self) -> Conversation:
        """Pause the agent after the step it is at; ``resume()`` lets it go on."""
        self._snapshot = self._client.driver.run(unified.pause(self._session, self._snapshot))
        return self

    def resume(self, *, timeout: float | None = RESUME_TIMEOUT) -> Conversation:
        """Undo ``pause()`` and ``stop()``. Raises StartTaskTimeout."""
        flow = unified.resume(self._session, self._snapshot, self._patience(timeout))
        self._snapshot = self._client.driver.run(flow)
        return self

    def rename(self, title: str) -> Conversation:
        """Give it another title, of 1 to 200 characters."""
        self._client.driver.run(unified.rename(self._session, self._snapshot, title))
        return self.refresh()

    def delete(self) -> bool:
        """Delete it with its sandbox; false when it was gone already."""
        return self._client.driver.run(unified.delete(self._session, self.id))

    def confirm(self, accept: bool, reason: str | None = None) -> None:
        """Accept or reject the action that the agent wants confirmed; ``reason`` tells it why not (V1)."""
        flow = unified.confirm(self._session, self._snapshot, accept, reason)
        self._client.driver.run(flow)

    @cached_property
    def files(self) -> Files:
        """The files in its workspace."""
        return Files(self)

    @cached_property
    def git(self) -> Git:
        """The repository in its workspace."""
        return Git(self)

    def trajectory(self) -> list[m.V0Event] | list[m.AnyEvent]:
        """All its events that are meant to be seen, at once."""
        return self.driver.run(workspace.trajectory(self._session, self._snapshot))

    def microagents(self) -> list[m.Microagent]:
        """The microagents it has loaded."""
        return self.driver.run(workspace.microagents(self._session, self._snapshot))

    def vscode_url(self) -> str | None:
        """Where an editor for its workspace listens, if one does."""
        return self.driver.run(workspace.vscode_url(self._session, self._snapshot))

    def web_hosts(self) -> list[str]:
        """Addresses of what its agent serves."""
        return self.driver.run(workspace.web_hosts(self._session, self._snapshot))

    @property
    def driver(self) -> Driver:
        """What performs its requests."""
        return self._client.driver

    @property
    def place(self) -> tuple[Session, Snapshot]:
        """Where it lives, for those who build on it."""
        return self._session, self._snapshot

    @property
    def _session(self) -> Session:
        return self._client.driver.session

    def _patience(self, timeout: float | None) -> Patience:
        return Patience(Deadline.after(self._session.clock, timeout))

    def _came_to_rest(self, state: str) -> None:
        self._snapshot = self._snapshot.with_agent_state(state)


class StartTask:
    """A conversation that is being started: what ``create(wait=False)`` returns."""

    def __init__(
        self,
        client: OpenHands,
        order: NewConversation,
        started: m.AppConversationStartTask | str,
    ) -> None:
        self._client = client
        self._order = order
        self._started = started
        self._v0_status = "STARTING"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def id(self) -> str:
        """The id of the task (V1), or of the conversation itself (V0, which has no tasks)."""
        return self._started if isinstance(self._started, str) else self._started.id

    @property
    def task(self) -> m.AppConversationStartTask | None:
        """What the server last said of it; None for V0."""
        return None if isinstance(self._started, str) else self._started

    @property
    def status(self) -> str:
        """How far it had come at the last ``refresh()``: of a V0 start, WORKING, READY or ERROR."""
        if isinstance(self._started, str):
            return STAGE_OF_V0.get(self._v0_status, self._v0_status)
        return str(self._started.status)

    def refresh(self) -> StartTask:
        """Ask the server again; returns this handle."""
        driver = self._client.driver
        if isinstance(self._started, str):
            self._v0_status = str((driver.run(get_v0(driver.session, self._started))).status)
        else:
            self._started = driver.run(get_start_task(driver.session, self.id)) or self._started
        return self

    def wait(
        self,
        timeout: float | None = START_TIMEOUT,
        *,
        poll_interval: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Conversation:
        """Wait until the conversation can be talked to. Raises StartTaskError, StartTaskTimeout."""
        driver = self._client.driver
        deadline = Deadline.after(driver.session.clock, timeout)
        patience = Patience(deadline, poll_interval, Progress(on_progress))
        flow = unified.finish(driver.session, self._order, self._started, patience)
        return Conversation(self._client, driver.run(flow))


class Conversations:
    """Conversations of either generation, routed as the web frontend does."""

    def __init__(self, client: OpenHands) -> None:
        self._client = client

    @overload
    def create(
        self,
        message: str | None = None,
        *,
        wait: Literal[True] = True,
        **options: Unpack[CreateOptions],
    ) -> Conversation: ...

    @overload
    def create(
        self, message: str | None = None, *, wait: Literal[False], **options: Unpack[CreateOptions]
    ) -> StartTask: ...

    def create(
        self,
        message: str | None = None,
        *,
        repository: str | None = None,
        git_provider: str | None = None,
        branch: str | None = None,
        instructions: str | None = None,
        title: str | None = None,
        image_urls: Sequence[str] | None = None,
        suggested_task: Mapping[str, Any] | None = None,
        create_microagent: Mapping[str, Any] | None = None,
        replay_json: str | None = None,
        mcp_config: Mapping[str, Any] | None = None,
        parent: str | None = None,
        agent_type: str | None = None,
        llm_model: str | None = None,
        run: bool = True,
        api: Literal["auto", "v1", "v0"] | None = None,
        wait: bool = True,
        timeout: float | None = START_TIMEOUT,
        poll_interval: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Conversation | StartTask:
        """Start a conversation: V1 where the server has it, else V0; microagents and replays always V0.

        message         the first message; with ``run=False`` (V1) it is stored without waking the agent
        repository      ``owner/name`` or a clone URL, which also tells the ``git_provider``
        instructions    what the agent should keep in mind, beside the message
        parent          the id of a V1 conversation to be a sub-conversation of
        timeout         seconds until it must be ready; None waits for ever
        poll_interval   seconds between looks; None: fast at first, then slower
        on_progress     called with the start task (V0: with the conversation) at every new stage
        wait            false: return a StartTask at once, to ``wait()`` on later

        One call makes one conversation, whatever happens to the answers; see docs/reliability.md. Raises
        StartTaskError, StartTaskTimeout, OutcomeUnknownError, UnsupportedOperationError, InvalidArgumentError.
        """
        order = NewConversation.of(
            message=message,
            repository=repository,
            git_provider=git_provider,
            branch=branch,
            instructions=instructions,
            title=title,
            image_urls=image_urls,
            suggested_task=suggested_task,
            create_microagent=create_microagent,
            replay_json=replay_json,
            mcp_config=mcp_config,
            parent=parent,
            agent_type=agent_type,
            llm_model=llm_model,
            run=run,
        )
        driver = self._client.driver
        if not wait:
            started = driver.run(unified.begin(driver.session, order, api))
            return StartTask(self._client, order, started)
        deadline = Deadline.after(driver.session.clock, timeout)
        patience = Patience(deadline, poll_interval, Progress(on_progress))
        return self._handle(driver.run(unified.create(driver.session, order, api, patience)))

    def create_many(
        self,
        requests: Iterable[ConversationRequest | Mapping[str, Any] | str],
        *,
        concurrency: int = AT_ONCE,
        timeout: float | None = START_TIMEOUT,
        poll_interval: float | None = None,
        on_progress: Callable[[CreationProgress], Any] | None = None,
        journal: str | PathLike[str] | None = None,
    ) -> list[CreationResult[Conversation]]:
        """Start many conversations; the results are in the order of the requests, failures among them as values.

        requests        each a ConversationRequest, a mapping with arguments of ``create()``, or a message
        concurrency     how many are being started at a time
        timeout         seconds until each must be ready; None waits for ever
        poll_interval   seconds between looks; None: fast at first, then slower
        on_progress     called with a CreationProgress whenever one has come to an end, one call at a time
        journal         a file to note in, before anything is sent, what is going to be. A later run with the same
                        requests and the same file takes up what was begun, and creates nothing twice

        Raises InvalidArgumentError, OSError for a journal that cannot be read or written, ClientClosedError.
        """
        driver = self._client.driver
        many = ManyCreations(
            driver.session, requests_of(requests), self._handle, timeout, poll_interval, on_progress
        )
        if journal is None:
            return driver.run(many.run(concurrency))
        with opened(journal) as file:
            many.records, many.note = file.records, in_background(file.append)
            return driver.run(many.run(concurrency))

    def get(self, conversation_id: str) -> Conversation:
        """Find a conversation of either generation. Raises NotFoundError."""
        driver = self._client.driver
        return self._handle(driver.run(unified.get(driver.session, conversation_id)))

    def list(
        self, *, limit: int | None = None, repository: str | None = None, trigger: str | None = None
    ) -> Stream[Conversation]:
        """Iterate over your conversations, newest first, over all pages; at most ``limit`` of them."""
        driver = self._client.driver
        flow = unified.listing(driver.session, limit=limit, repository=repository, trigger=trigger)
        return driver.iterate(flow, each=self._handle)

    def start(self, conversation_id: str) -> Conversation:
        """Bring a stopped conversation back and wait until it is up."""
        return (self.get(conversation_id)).start()

    def stop(self, conversation_id: str) -> Conversation:
        """Stop the agent loop (V0) or pause the sandbox (V1)."""
        return (self.get(conversation_id)).stop()

    def pause(self, conversation_id: str) -> Conversation:
        """Pause the agent after the step it is at."""
        return (self.get(conversation_id)).pause()

    def resume(self, conversation_id: str) -> Conversation:
        """Undo ``pause`` and ``stop``."""
        return (self.get(conversation_id)).resume()

    def rename(self, conversation_id: str, title: str) -> Conversation:
        """Give a conversation another title, of 1 to 200 characters."""
        return (self.get(conversation_id)).rename(title)

    def delete(self, conversation_id: str) -> bool:
        """Delete a conversation with its sandbox; false when there was none."""
        driver = self._client.driver
        return driver.run(unified.delete(driver.session, conversation_id))

    def _handle(self, snapshot: Snapshot) -> Conversation:
        return Conversation(self._client, snapshot)
