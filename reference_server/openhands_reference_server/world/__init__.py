"""The world of a tenant: everything that can be asked of it, as plain methods.

The world knows no HTTP. It finds things, lets the domain decide, and makes the decision true through
`core.Core`; agents and starts in progress live in `agents.py` and `starting.py`. What fails is raised
as a `domain.errors` exception. The lock policy stands in `core.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openhands_reference_server.dialects import DOCS, Dialect
from openhands_reference_server.domain import paging, sandbox, start_task, v0, v1
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.conversations import Conversation
from openhands_reference_server.domain.errors import (
    ConversationNotFound,
    DomainError,
    IllegalTransition,
    ParentNotFound,
)
from openhands_reference_server.domain.identifiers import canonical
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.domain.sandbox import Sandbox
from openhands_reference_server.domain.script import AgentScript, Script
from openhands_reference_server.domain.start_task import StartTask
from openhands_reference_server.domain.times import parse, zoned
from openhands_reference_server.domain.v0 import V0Conversation
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.storage import Store
from openhands_reference_server.workspace.files import decoded
from openhands_reference_server.workspace.sandbox_files import SandboxFiles, absolute_in_workspace
from openhands_reference_server.workspace.workspaces import Workspaces
from openhands_reference_server.world.agent_side import DELETED, AgentSide, StillThere
from openhands_reference_server.world.agents import Agents
from openhands_reference_server.world.app_events import AppEvents
from openhands_reference_server.world.app_side import AppSide
from openhands_reference_server.world.bash import Bash
from openhands_reference_server.world.broadcast import Broadcast, Subscription
from openhands_reference_server.world.core import Core, start_task_topic
from openhands_reference_server.world.keys import SessionKeys
from openhands_reference_server.world.live import Live, Room, V0Options
from openhands_reference_server.world.notes import NoteBook
from openhands_reference_server.world.pending import PendingMessages
from openhands_reference_server.world.sandboxes import Sandboxes
from openhands_reference_server.world.scheduler import Clock, SystemClock
from openhands_reference_server.world.settings import Settings
from openhands_reference_server.world.starting import Starts
from openhands_reference_server.world.vault import Vault

_logger = logging.getLogger(__name__)

_RESTARTED = "The server was restarted before the conversation was ready"
_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A V1 conversation with what stands elsewhere: its sandbox (None: deleted) and its children."""

    conversation: V1Conversation
    sandbox: Sandbox | None
    children: tuple[str, ...]

    @property
    def sandbox_status(self) -> str:
        """MISSING when the sandbox was deleted."""
        return sandbox.MISSING if self.sandbox is None else self.sandbox.status

    @property
    def reachable(self) -> bool:
        """The agent server answers for this conversation."""
        return self.sandbox is not None and self.sandbox.running


@dataclass(frozen=True, slots=True)
class AppConversationFilter:
    """What a search for V1 conversations keeps; times are ISO 8601, `since` inclusive, `until` exclusive."""

    title_contains: str | None = None
    created_since: str | None = None
    created_until: str | None = None
    updated_since: str | None = None
    updated_until: str | None = None
    sandbox_id: str | None = None
    include_sub_conversations: bool = True

    def __call__(self, one: V1Conversation) -> bool:
        """Does it keep this conversation?"""
        return (
            (self.title_contains is None or self.title_contains in one.shown_title)
            and _within(one.created_at, self.created_since, self.created_until)
            and _within(one.updated_at, self.updated_since, self.updated_until)
            and (self.sandbox_id is None or one.sandbox_id == self.sandbox_id)
            and (self.include_sub_conversations or not _is_sub_conversation(one))
        )


def _key(state: Any) -> Key:
    return (state.created_at, state.id)


class World:
    """Conversations, start tasks and sandboxes over one store.

    Args:
        store: where everything is kept; the world closes it.
        script: what starts and agents do.
        clock: time for everything that happens later.
        broadcast: brings events to those who listen.
        v0_options: how V0 conversations are treated.
        enable_bash: let those who have the key of a sandbox run commands in its workspace.
        dialect: which server line it plays; by default none, it does what is right.

    Attributes:
        dialect: which server line it plays.
        sandboxes: where V1 conversations live.
        agents: what the agent servers of the sandboxes do.
        events: the events of V1 conversations, as the app server knows them.
        app_side: what the app server does for those who do not go to the agent server.
        pending: messages for conversations that are still being started.
        live: those who follow V0 conversations.
        bash: the shells of sandboxes.
        sandbox_files: what the conversations of a sandbox share.
        workspaces: the files and repositories of V0 conversations.
        notes: what people say about conversations.
        settings: the user's settings and secrets.
    """

    def __init__(
        self,
        store: Store,
        *,
        script: Script | None = None,
        clock: Clock | None = None,
        broadcast: Broadcast | None = None,
        v0_options: V0Options | None = None,
        enable_bash: bool = False,
        dialect: Dialect = DOCS,
    ) -> None:
        self.dialect = dialect
        self.clock = clock or SystemClock()
        self.core = Core(store, self.clock, broadcast, script, dialect)
        self.keys = SessionKeys(store.secret())
        v0_options = v0_options or V0Options()
        self.workspaces = Workspaces(self.core, store, v0_options.uploads)
        self.sandbox_files = SandboxFiles(self.core, store, v0_options.uploads)
        Agents(self.core, self.workspaces, self.sandbox_files)
        self.bash = Bash(self.core, self.sandbox_files, enabled=enable_bash)
        self.sandboxes = Sandboxes(self.core, self.keys, self.bash)
        self.agents = AgentSide(self.core, self.sandboxes)
        self.events = AppEvents(self.core)
        self.notes = NoteBook(self.core)
        self.vault = Vault(store.secret())
        self.settings = Settings(self.core, store)
        self.pending = PendingMessages(self.core)
        self.app_side = AppSide(self.core, self.sandboxes, self.agents, self.sandbox_files)
        self._starts = Starts(self.core, self.workspaces, self.sandbox_files, self.pending.deliver)
        self._room = Room(self.core, v0_options.max_concurrent_conversations)
        self.live = Live(self.core, self.start, close_delay=v0_options.close_delay)
        self._started_at = self.clock.seconds()
        self.core.load()
        self._recover()
        self.core.scheduler.start()

    def close(self) -> None:
        """Stop everything that goes on; who waits is let go."""
        self.workspaces.close()
        self.sandbox_files.close()
        self.bash.close()
        self.core.close()

    def play(self, script: Script | None) -> None:
        """Let starts and agents follow another script (None: the default one) from now on."""
        with self.core.lock:
            self.core.script = script or AgentScript()
            self._starts.forget()

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self.clock.seconds() - self._started_at

    def _recover(self) -> None:
        """Bring what was in progress when the last process ended into an honest state."""
        with self.core.lock:
            for task in [task for task in self.core.start_tasks if not task.ended]:
                with self.core.changing_task(task) as changes:
                    start_task.fail(changes, _RESTARTED)
            for conversation in list(self.core.conversations):
                if isinstance(conversation, V0Conversation):
                    with self.core.changing_v0(conversation) as stopping:
                        v0.stop(stopping)
                else:
                    with self.core.changing_v1(conversation) as pausing:
                        v1.interrupt(pausing)

    # -- both generations ---------------------------------------------------------------------------

    def conversation(self, conversation_id: str) -> V0Conversation | ConversationView:
        """A conversation of either generation, for the V0 routes.

        Raises:
            ConversationNotFound: there is none.
        """
        with self.core.lock:
            return self._shown(self.core.conversation(conversation_id))

    def list_conversations(
        self,
        *,
        page_id: str | None,
        limit: int,
        repository: str | None = None,
        trigger: str | None = None,
        include_sub_conversations: bool = False,
    ) -> tuple[list[V0Conversation | ConversationView], str | None]:
        """A page of both generations, newest first, and the id of the next page.

        Raises:
            UnknownPage: the page id is not from here.
        """
        if self.dialect.v0_pages_lose_items:
            return self._list_by_offset(page_id, limit, repository, trigger, include_sub_conversations)
        cursors: dict[str, Key | None] = {"v0": None, "v1": None}
        if page_id is not None:
            cursors = paging.decode_merged(page_id)
        newest = None if None in cursors.values() else max(key for key in cursors.values() if key)

        def wanted(one: Conversation) -> bool:
            cursor = cursors[one.version.lower()]
            return (
                (cursor is None or _key(one) < cursor)
                and (repository is None or one.selected_repository == repository)
                and (trigger is None or one.trigger == trigger)
                and (include_sub_conversations or not _is_sub_conversation(one))
            )

        with self.core.lock:
            page, last = paging.take(
                filter(wanted, self.core.conversations.newest_first(newest)), limit, _key
            )
            shown = [self._shown(one) for one in page]
        if last is None:
            return shown, None
        for one in page:
            cursors[one.version.lower()] = _key(one)
        return shown, paging.encode_merged(cursors)

    def _list_by_offset(
        self, page_id: str | None, limit: int, repository: str | None, trigger: str | None, include_subs: bool
    ) -> tuple[list[V0Conversation | ConversationView], str | None]:
        """A page as the real server makes it: see `paging.lossy_page`, and filtered only afterwards."""
        with self.core.lock:
            newest = list(self.core.conversations.newest_first(None))
            sources: dict[str, list[Conversation]] = {
                "v0": [one for one in newest if isinstance(one, V0Conversation)],
                "v1": [one for one in _v1_only(newest) if include_subs or not _is_sub_conversation(one)],
            }
            page, next_page_id = paging.lossy_page(sources, page_id, limit, _key)
            return [
                self._shown(one)
                for one in page
                if (repository is None or one.selected_repository == repository)
                and (trigger is None or one.trigger == trigger)
            ], next_page_id

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation a title.

        Raises:
            ConversationNotFound: there is none.
        """
        with self.core.lock:
            conversation = self.core.conversation(conversation_id)
            if isinstance(conversation, V0Conversation):
                with self.core.changing_v0(conversation) as changes:
                    v0.rename(changes, title)
            else:
                with self.core.changing_v1(conversation) as renaming:
                    v1.rename(renaming, title)

    def delete(self, conversation_id: str) -> bool:
        """Delete a conversation; one of V1 takes its sandbox and its sub-conversations along."""
        with self.core.lock:
            conversation = self.core.conversations.get(canonical(conversation_id))
            if conversation is None:
                return False
            self.core.remove_tree(conversation, DELETED)
            if isinstance(conversation, V1Conversation) and self._may_go(conversation.sandbox_id):
                self.sandboxes.delete(conversation.sandbox_id)
            return True

    def _may_go(self, sandbox_id: str) -> bool:
        """Is there such a sandbox, and nobody in it who keeps it?"""
        keeps = self.dialect.keeps_shared_sandboxes and self.core.conversations_in(sandbox_id)
        return self.core.sandboxes.get(sandbox_id) is not None and not keeps

    def start(self, conversation_id: str) -> V0Conversation | ConversationView:
        """Start or resume; returns the conversation as it was found.

        Raises:
            ConversationNotFound: there is none.
            IllegalTransition: it has ended for good.
        """
        with self.core.lock:
            before = self._reached_by_v0(conversation_id)
            if isinstance(before, ConversationView):
                self._need_sandbox(before, "start")
                self.sandboxes.resume(before.conversation.sandbox_id)
            elif not before.has_loop:
                with self.core.changing_v0(before) as changes:
                    v0.start(changes)
                self._begin_v0(changes.state)
            return before

    def stop(self, conversation_id: str) -> bool:
        """Stop; says whether there was something to stop.

        Raises:
            ConversationNotFound: there is none.
        """
        with self.core.lock:
            before = self._reached_by_v0(conversation_id)
            if isinstance(before, ConversationView):
                if before.reachable:
                    self.sandboxes.pause(before.conversation.sandbox_id)
                return before.reachable
            with self.core.changing_v0(before) as changes:
                v0.stop(changes)
            return before.has_loop

    def pause(self, conversation_id: str) -> None:
        """Suspend the agent.

        Raises:
            ConversationNotFound: there is none.
            IllegalTransition: it does not run.
        """
        with self.core.lock:
            before = self.conversation(conversation_id)
            if isinstance(before, ConversationView):
                if not before.reachable:
                    raise IllegalTransition(
                        f"Cannot pause a conversation whose sandbox is {before.sandbox_status}; it must be RUNNING"
                    )
                self.agents.pause(before.conversation.id)
            else:
                with self.core.changing_v0(before) as changes:
                    v0.pause(changes)

    def _reached_by_v0(self, conversation_id: str) -> V0Conversation | ConversationView:
        """A conversation that V0 start and stop reach.

        Raises:
            ConversationNotFound: there is none.
        """
        one = self.conversation(conversation_id)
        if isinstance(one, ConversationView) and not self.dialect.v0_reaches_v1:
            raise ConversationNotFound(conversation_id)
        return one

    def _shown(self, conversation: Conversation) -> V0Conversation | ConversationView:
        return conversation if isinstance(conversation, V0Conversation) else self._view(conversation)

    def _need_sandbox(self, view: ConversationView, verb: str) -> None:
        if view.sandbox is None:
            raise IllegalTransition(f"Cannot {verb} a conversation that is ARCHIVED: its sandbox was deleted")

    # -- V0 -----------------------------------------------------------------------------------------

    def create_v0(self, details: Mapping[str, Any], history: Iterable[Event] = ()) -> V0Conversation:
        """Create a V0 conversation, with a history if there is one, and bring up its agent loop."""
        if details.get("mcp_config") is not None:  # tool servers come with keys
            details = {**details, "mcp_config": self.vault.seal(details["mcp_config"])}
        with self.core.lock:
            with self.core.changing_v0(None) as changes:
                v0.create(changes, {**details, "id": self.core.new_conversation_id()}, history)
            self._begin_v0(changes.state)
            return changes.state

    def _begin_v0(self, conversation: V0Conversation) -> None:
        self._room.make_for(conversation.id)
        self._starts.begin_v0(conversation)

    def send_v0_message(self, conversation_id: str, text: str) -> None:
        """A message of the user.

        Raises:
            ConversationNotFound: there is none of this generation.
            NotRunning: its agent loop does not run.
        """
        with self.core.lock, self.core.changing_v0(self.core.v0(conversation_id)) as changes:
            v0.send_message(changes, text)

    def send_v0_action(self, conversation_id: str, action: Mapping[str, Any]) -> None:
        """Any action of the user.

        Raises:
            ConversationNotFound: there is none of this generation.
            NotRunning: its agent loop does not run.
        """
        with self.core.lock, self.core.changing_v0(self.core.v0(conversation_id)) as changes:
            v0.send_action(changes, action)

    def v0_events(
        self,
        conversation_id: str,
        *,
        start: int,
        end: int | None,
        reverse: bool,
        limit: int,
        keep: Callable[[Event], bool],
    ) -> tuple[list[Event], bool]:
        """Events of a V0 conversation, and whether there are more.

        Raises:
            ConversationNotFound: there is none of this generation.
        """
        with self.core.lock:
            log = self.core.log(self.core.v0(conversation_id).id)
            return log.numbered(keep, start=start, end=end, reverse=reverse, limit=limit)

    # -- V1: starting -------------------------------------------------------------------------------

    def start_conversation(self, body: Mapping[str, Any]) -> StartTask:
        """Begin to start a V1 conversation.

        Raises:
            ParentNotFound: the request names a parent that does not exist.
        """
        with self.core.lock:
            request = start_task.complete_request(body)
            parent = request["parent_conversation_id"]
            if parent is not None and not isinstance(self.core.conversations.get(parent), V1Conversation):
                raise ParentNotFound(parent)
            with self.core.changing_task(None) as changes:
                start_task.create(changes, uuid4().hex, request)
            self._starts.begin_task(changes.state)
            return changes.state

    def start_and_watch(
        self, body: Mapping[str, Any], still_there: StillThere = lambda: True
    ) -> Iterator[StartTask]:
        """Begin to start a V1 conversation; yields the task at every stage, until it has ended.

        Raises:
            ParentNotFound: the request names a parent that does not exist.
        """
        with self.core.lock:
            task = self.start_conversation(body)
            topic = start_task_topic(task.id)
            subscription = self.core.broadcast.subscribe(topic)
        return self._stages(task, topic, subscription, still_there)

    def _stages(
        self, task: StartTask, topic: str, subscription: Subscription, still_there: StillThere
    ) -> Iterator[StartTask]:
        try:
            yield task
            while not task.ended and subscription.closed is None and still_there():
                for task in subscription.get(_PATIENCE):
                    yield task
        finally:
            self.core.broadcast.unsubscribe(topic, subscription)

    def start_tasks(self, ids: Iterable[str]) -> list[StartTask | None]:
        """Start tasks by id, None where there is none."""
        with self.core.lock:
            return [self.core.start_tasks.get(canonical(one)) for one in ids]

    def search_start_tasks(
        self,
        *,
        conversation_id: str | None = None,
        created_since: str | None = None,
        sort_order: str = "CREATED_AT_DESC",
        page_id: str | None = None,
        limit: int = 100,
    ) -> tuple[list[StartTask], str | None]:
        """A page of start tasks, and the id of the next one.

        Raises:
            UnknownPage: the page id is not from here.
        """
        by_update = sort_order.startswith("UPDATED_AT")
        newest_first = sort_order.endswith("_DESC")

        def key(task: StartTask) -> Key:
            return (task.updated_at if by_update else task.created_at, task.id)

        cursor = None if page_id is None else paging.decode(page_id)
        with self.core.lock:
            found = self._matching_tasks(conversation_id, created_since)
        found.sort(key=key, reverse=newest_first)
        page, last = paging.take(paging.after(found, cursor, key, newest_first=newest_first), limit, key)
        return page, last and paging.encode(last)

    def count_start_tasks(
        self, *, conversation_id: str | None = None, created_since: str | None = None
    ) -> int:
        """How many start tasks a search would find."""
        with self.core.lock:
            return len(self._matching_tasks(conversation_id, created_since))

    def _matching_tasks(self, conversation_id: str | None, created_since: str | None) -> list[StartTask]:
        wanted = None if conversation_id is None else canonical(conversation_id)
        since = _bound(created_since)
        return [
            task
            for task in self.core.start_tasks
            if (wanted is None or task.app_conversation_id == wanted)
            and (since is None or task.created_at >= since)
        ]

    # -- V1: app server -----------------------------------------------------------------------------

    def app_conversations(self, ids: Iterable[str]) -> list[ConversationView | None]:
        """V1 conversations by id, None where there is none."""
        with self.core.lock:
            found = (self.core.conversations.get(canonical(one)) for one in ids)
            return [self._view(one) if isinstance(one, V1Conversation) else None for one in found]

    def search_app_conversations(
        self, keep: AppConversationFilter, *, page_id: str | None, limit: int
    ) -> tuple[list[ConversationView], str | None]:
        """A page of V1 conversations, newest first, and the id of the next page.

        Raises:
            UnknownPage: the page id is not from here.
        """
        cursor = None if page_id is None else paging.decode(page_id)
        with self.core.lock:
            found = filter(keep, _v1_only(self.core.conversations.newest_first(cursor)))
            page, last = paging.take(found, limit, _key)
            return [self._view(one) for one in page], last and paging.encode(last)

    def count_app_conversations(self, keep: AppConversationFilter) -> int:
        """How many V1 conversations a search would find."""
        with self.core.lock:
            return sum(map(keep, _v1_only(self.core.conversations)))

    def read_conversation_file(self, conversation_id: str, path: str) -> Iterator[str]:
        """The text of a file in the sandbox of a V1 conversation; nothing when it cannot be read."""
        try:
            with self.core.lock:
                sandbox_id = self.core.v1(conversation_id).sandbox_id
                self.sandboxes.check_running(sandbox_id)
            file = self.sandbox_files.of(sandbox_id).open_text(absolute_in_workspace(path))
        except DomainError as error:
            _logger.debug("no file to show: %s", error)
            return
        with file:
            yield from decoded(file)

    def _view(self, conversation: V1Conversation) -> ConversationView:
        return ConversationView(
            conversation,
            self.core.sandboxes.get(conversation.sandbox_id),
            tuple(self.core.children_of(conversation.id)),
        )


def _within(at: str, since: str | None, until: str | None) -> bool:
    lower, upper = _bound(since), _bound(until)
    return (lower is None or at >= lower) and (upper is None or at < upper)


def _bound(text: str | None) -> str | None:
    return None if text is None else zoned(parse(text))


def _is_sub_conversation(one: Conversation) -> bool:
    return isinstance(one, V1Conversation) and one.parent_conversation_id is not None


def _v1_only(conversations: Iterable[Conversation]) -> Iterator[V1Conversation]:
    return (one for one in conversations if isinstance(one, V1Conversation))
