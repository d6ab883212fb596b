"""Wrong servers that lose things where few look: in long histories, at a restart, in odd texts, at the same moment."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any
from unittest.mock import patch

from openhands_reference_server.domain import event_log, paging, v0, v0_live
from openhands_reference_server.domain.changes import Event
from openhands_reference_server.domain.errors import UnknownPage
from openhands_reference_server.domain.event_log import EventFilter, EventLog
from openhands_reference_server.http import sockets
from openhands_reference_server.workspace import paths, sandbox_files
from openhands_reference_server.workspace.files import Workspace
from openhands_reference_server.workspace.git import Change as GitChange
from openhands_reference_server.workspace.git import Git
from openhands_reference_server.workspace.sandbox_files import SandboxFiles
from openhands_reference_server.world import AppConversationFilter, World
from openhands_reference_server.world.agent_side import AgentSide
from openhands_reference_server.world.core import Core, conversation_topic
from openhands_reference_server.world.live import Live
from openhands_reference_server.world.scheduler import SystemClock
from tests.contract.mutants.machinery import (
    CONVERSATION,
    Reply,
    before,
    inside,
    on,
    send_with,
    sent_with,
    set_query,
)

_EVENTS = f"{CONVERSATION}/events"
_FEW = 20
_OFFSET = re.compile(r"[+-]\d\d:\d\d$")


def _edited(environ: dict[str, Any], name: str, change: Any) -> None:
    """Change a text in the body of a request."""
    try:
        body = json.loads(sent_with(environ))
    except (ValueError, RecursionError):
        return
    if isinstance(body, dict) and isinstance(body.get(name), str):
        send_with(environ, json.dumps({**body, name: change(body[name])}).encode())


# -- texts ------------------------------------------------------------------------------------------


@before("POST /api/conversations", "White space around the first message is lost.", "V0-CREATE-21")
def first_message_is_stripped(environ: dict[str, Any]) -> None:
    _edited(environ, "initial_user_msg", str.strip)


@before("POST /api/conversations", "A branch is named by its last part only.", "V0-CREATE-06")
def branch_without_its_beginning(environ: dict[str, Any]) -> None:
    _edited(environ, "selected_branch", lambda name: name.rpartition("/")[2])


@before(f"POST {CONVERSATION}/message", "The line end of a message is lost.", "V0-EVENTS-09")
def message_without_line_end(environ: dict[str, Any]) -> None:
    _edited(environ, "message", lambda text: text.rstrip("\n"))


@inside("Of several contents of a message only the first is kept.", "AGENT-EVENTS-20")
def one_content_per_message() -> Iterator[object]:
    send = AgentSide.send_message

    def sparing(self: AgentSide, conversation_id: str, items: list[dict[str, Any]], **how: Any) -> None:
        send(self, conversation_id, items[:1], **how)

    with patch.object(AgentSide, "send_message", sparing):
        yield


@inside("A part of a title may have wildcards in it.", "V1-SEARCH-17")
def titles_with_wildcards() -> Iterator[object]:
    keeps = AppConversationFilter.__call__

    def like(self: AppConversationFilter, one: Any) -> bool:
        pattern = re.escape(self.title_contains or "").replace("%", ".*").replace("_", ".")
        return re.search(pattern, one.shown_title) is not None and keeps(
            replace(self, title_contains=None), one
        )

    with patch.object(AppConversationFilter, "__call__", like):
        yield


@inside("Letters beyond ASCII are compared by case.", "AGENT-EVENTS-22")
def ascii_ignores_case_only() -> Iterator[object]:
    keeps = EventFilter.__call__

    def lower(text: str) -> str:
        return re.sub("[A-Z]", lambda letter: letter[0].lower(), text)

    def compares(self: EventFilter, event: Event) -> bool:
        said = event_log._message_text(event)
        found = self.body is None or lower(self.body) in lower(said)
        return found and keeps(replace(self, body=None), event)

    with patch.object(EventFilter, "__call__", compares):
        yield


# -- times ------------------------------------------------------------------------------------------


@inside("The offset of a time is overlooked.", "AGENT-EVENTS-23", "V1-EVENTS-05", "V0-EVENTS-17")
def offsets_are_overlooked() -> Iterator[object]:
    parse = event_log.parse
    with patch.object(event_log, "parse", lambda text: parse(_OFFSET.sub("", text))):
        yield


@inside("Local times are passed off as UTC.", "V0-CREATE-22", "V1-START-23")
def local_times_as_utc() -> Iterator[object]:
    now = SystemClock.now

    def local(self: SystemClock) -> datetime:
        return now(self) - timedelta(hours=5)

    with patch.object(SystemClock, "now", local):
        yield


# -- pages and long histories -------------------------------------------------------------------------


@inside("A page id is unknown when its conversation was deleted.", "V1-SEARCH-16", "V0-LIST-14")
def pages_of_deleted_conversations() -> Iterator[object]:
    search = World.search_app_conversations

    def forgetful(self: World, keep: Any, *, page_id: str | None, limit: int) -> Any:
        if page_id is not None and self.core.conversations.get(paging.decode(page_id)[1]) is None:
            raise UnknownPage(page_id)
        return search(self, keep, page_id=page_id, limit=limit)

    with patch.object(World, "search_app_conversations", forgetful):
        yield


@inside("More than fifty events never come at once.", "V0-EVENTS-28", "AGENT-EVENTS-24")
def fifty_events_at_most() -> Iterator[object]:
    search, numbered = EventLog.search, EventLog.numbered

    def short(self: EventLog, keep: Any, *, limit: int, **how: Any) -> Any:
        return search(self, keep, limit=min(limit, 50), **how)

    def short_too(self: EventLog, keep: Any, *, limit: int, **how: Any) -> Any:
        return numbered(self, keep, limit=limit if limit > 100 else min(limit, 50), **how)

    with patch.object(EventLog, "search", short), patch.object(EventLog, "numbered", short_too):
        yield


@before(f"GET {_EVENTS}", "Ten events are enough for who asks for no number.", "V0-EVENTS-28")
def ten_events_by_default(environ: dict[str, Any]) -> None:
    if "limit=" not in environ["QUERY_STRING"]:
        set_query(environ, limit="10")


@on(f"GET {CONVERSATION}/trajectory", "Long trajectories are cut.", "V0-EVENTS-19")
def trajectories_are_cut(reply: Reply) -> None:
    if reply.is_ok:
        del reply.json["trajectory"][_FEW:]


@inside("Only the last events are sent again.", "V0-LIVE-02", "V0-LIVE-05")
def replay_of_the_last_only() -> Iterator[object]:
    replay = v0_live.replay
    with patch.object(v0_live, "replay", lambda events, latest=-1: replay(events, latest)[-_FEW:]):
        yield


# -- restarts -----------------------------------------------------------------------------------------


@inside("The title is forgotten at a second start.", "V0-LIFECYCLE-17")
def titles_end_with_a_run() -> Iterator[object]:
    start = v0.start

    def forgetful(changes: v0.Writing) -> None:
        ran = changes.state.has_loop
        start(changes)
        if not ran:
            changes.record("renamed", title=None)

    with patch.object(v0, "start", forgetful):
        yield


@inside("Pausing takes the agent's work away.", "V0-LIFECYCLE-21")
def pausing_drops_work() -> Iterator[object]:
    pause = v0.pause

    def dropping(changes: v0.Writing) -> None:
        pause(changes)
        changes.record("turn", turn=changes.state.turn.dropped().to_json())

    with patch.object(v0, "pause", dropping):
        yield


@inside("Messages change a title that was given.", "V0-UPDATE-09")
def titles_follow_messages() -> Iterator[object]:
    def follow(changes: v0.Writing, text: Any) -> None:
        if isinstance(text, str) and text.strip():
            changes.record("renamed", title=text.strip().splitlines()[0][:50])

    with patch.object(v0, "_entitle", follow):
        yield


@inside("Who leaves takes the other listeners along.", "V0-LIVE-28")
def leaving_for_all() -> Iterator[object]:
    leave = Live.leave

    def for_all(self: Live, follower: Any) -> None:
        self._core.broadcast._topics.pop(conversation_topic(follower.conversation_id), None)
        leave(self, follower)

    with patch.object(Live, "leave", for_all):
        yield


@inside("Connections are counted, but not those that end.", "V0-LIVE-27")
def connections_only_grow() -> Iterator[object]:
    join, ever = Live.join, Counter[str]()

    def counting(self: Live, conversation_id: str, latest_event_id: int) -> Any:
        follower = join(self, conversation_id, latest_event_id)
        ever[follower.conversation_id] += 1
        return follower

    with (
        patch.object(Live, "join", counting),
        patch.object(Live, "connections", lambda self, conversation_id: ever[conversation_id]),
    ):
        yield


@inside("The text `false` counts as true.", "AGENT-LIVE-06")
def any_text_is_true() -> Iterator[object]:
    with patch.object(sockets, "_resend_all", lambda: bool(sockets.request.args.get("resend_all"))):
        yield


# -- the same moment ------------------------------------------------------------------------------------


@inside("Of messages that come at once only one is kept.", "V0-EVENTS-30")
def one_message_at_once() -> Iterator[object]:
    send, lock, under_way = World.send_v0_message, Lock(), Counter[str]()

    def racing(self: World, conversation_id: str, text: str) -> None:
        with lock:
            under_way[conversation_id] += 1
            first = under_way[conversation_id] == 1
        time.sleep(0.03)
        if first:
            send(self, conversation_id, text)
        with lock:
            under_way[conversation_id] -= 1

    with patch.object(World, "send_v0_message", racing):
        yield


@inside("What is said twice in a row is kept once.", "AGENT-EVENTS-15")
def nothing_twice_in_a_row() -> Iterator[object]:
    send, last = AgentSide.send_message, dict[str, Any]()

    def once(self: AgentSide, conversation_id: str, items: list[dict[str, Any]], **how: Any) -> None:
        if last.get(conversation_id) != items:
            send(self, conversation_id, items, **how)
        last[conversation_id] = items

    with patch.object(AgentSide, "send_message", once):
        yield


@inside("A deleted sub-conversation stays in its parent's list.", "V1-DELETE-16")
def parts_stay_listed() -> Iterator[object]:
    remove = Core.remove_conversation

    def keeping(self: Core, conversation: Any, reason: str) -> None:
        parent = getattr(conversation, "parent_conversation_id", None)
        children = self.children_of(parent) if parent else []
        remove(self, conversation, reason)
        if parent and self.conversations.get(parent):
            self._children[parent] = children

    with patch.object(Core, "remove_conversation", keeping):
        yield


# -- files --------------------------------------------------------------------------------------------


@inside("Two dots anywhere in a name are refused.", "V0-FILES-25")
def no_two_dots_in_names() -> Iterator[object]:
    relative = paths._relative

    def careful(text: str) -> Any:
        if ".." in text:
            raise paths.UnsafeName("The name leads out of the workspace")
        return relative(text)

    with patch.object(paths, "_relative", careful):
        yield


@inside("Paths are decoded twice.", "AGENT-GIT-04")
def paths_decoded_twice() -> Iterator[object]:
    inside_workspace = sandbox_files._inside

    def twice(path: str) -> Any:
        return inside_workspace(path.replace("%41", "A"))

    with patch.object(sandbox_files, "_inside", twice):
        yield


@inside("All sandboxes have the same files.", "AGENT-FILES-17")
def one_workspace_for_all_sandboxes() -> Iterator[object]:
    of, first = SandboxFiles.of, list[Workspace]()

    def shared(self: SandboxFiles, sandbox_id: str) -> Workspace:
        own = of(self, sandbox_id)
        if not first or not first[0].root.exists():
            first[:] = [own]
        return first[0]

    with patch.object(SandboxFiles, "of", shared):
        yield


@inside("Changes are named as git quotes them.", "V0-GIT-05", "AGENT-GIT-04")
def changes_are_quoted() -> Iterator[object]:
    changes = Git.changes

    def quoted(name: str) -> str:
        return name if name.isascii() else json.dumps(name)

    def quoting(self: Git, directory: Any) -> list[GitChange]:
        return [replace(one, path=quoted(one.path)) for one in changes(self, directory)]

    with patch.object(Git, "changes", quoting):
        yield


# -- settings -----------------------------------------------------------------------------------------


@before("POST /api/settings", "What is not sent is set back.", "SETTINGS-04")
def settings_start_anew(environ: dict[str, Any]) -> None:
    try:
        body = json.loads(sent_with(environ))
    except (ValueError, RecursionError):
        return
    if isinstance(body, dict):
        send_with(environ, json.dumps({"language": "en", **body}).encode())


@on("GET /api/secrets", "The newest secrets come first.", "SECRETS-06")
def secrets_in_another_order(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["custom_secrets"].reverse()
