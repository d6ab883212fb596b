"""What one answer says, held against what others have said: a conversation's history as a client sees it.

Nothing here sends anything. Answers come in the order in which they were complete, so two of them contradict each
other only when the one was asked for after the other had come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from openhands_contract.contract_document import Operation, document
from openhands_contract.documents import Dialect
from openhands_contract.traffic import Direction, Exchange, Fact, Frame, Server, SocketOpened

_STAGES = (
    "WORKING",
    "WAITING_FOR_SANDBOX",
    "PREPARING_REPOSITORY",
    "RUNNING_SETUP_SCRIPT",
    "SETTING_UP_GIT_HOOKS",
    "SETTING_UP_SKILLS",
    "STARTING_CONVERSATION",
    "READY",
)
_TERMINAL = ("READY", "ERROR")
# What a V0 event says; its `source` may be told differently live.
_TOLD = ("action", "observation", "message")


class Rule(StrEnum):
    """What a history can break."""

    IDS_RISE = "ids rise"
    EVENTS_STAY = "events stay as they are"
    V1_EVENTS_STAY = "V1 events stay as they are"
    STAGES_FORWARD = "stages go forward only"
    READY_HAS_IDS = "READY has ids"
    ERROR_HAS_DETAIL = "ERROR has a detail"
    DELETED_STAYS = "deleted stays deleted"
    DELETED_NOT_LISTED = "deleted is in no list"
    TITLE_STAYS = "a new title is kept"
    IDS_ARE_NEW = "every creation has an id of its own"
    PAGES_DISJOINT = "pages repeat nothing"
    V1_PAGES_DISJOINT = "V1 pages repeat nothing"
    LIVE_ONCE = "every V0 event is heard once"
    LIVE_ORDER = "V0 events are heard in their order"
    LIVE_STORED = "what V0 says live is what it stores"
    V1_LIVE_ONCE = "every V1 event is heard once"
    V1_LIVE_STORED = "what V1 says live is what it stores"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Something that does not agree with what was said before.

    Attributes:
        exchange: the answer that says it; None when a frame did.
    """

    rule: Rule
    complaint: str
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """An event as it was first told, and whether that was live."""

    event: Mapping[str, Any]
    live: bool


@dataclass(slots=True)
class _Ear:
    """What was heard over one connection."""

    number: int
    conversation_id: str
    heard: set[Any] = field(default_factory=set)
    newest: int = -1


@dataclass
class History:
    """Everything that was said so far.

    Attributes:
        looks: how often each rule was tried.
    """

    dialect: Dialect
    looks: dict[Rule, int] = field(default_factory=dict)
    _v0_events: dict[tuple[str, int], _Known] = field(default_factory=dict)
    _v1_events: dict[str, _Known] = field(default_factory=dict)
    _tasks: dict[str, tuple[str, float]] = field(default_factory=dict)
    _deleted: dict[str, float] = field(default_factory=dict)
    _titles: dict[str, str] = field(default_factory=dict)
    _renamed: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    _created: set[str] = field(default_factory=set)
    _pages: dict[tuple[Any, ...], set[str]] = field(default_factory=dict)
    _sockets: dict[int, SocketOpened] = field(default_factory=dict)
    _ears: dict[str, _Ear] = field(default_factory=dict)

    def take(self, fact: Fact) -> list[Contradiction]:
        """Hold something that was said against the rest; returns what does not agree."""
        match fact:
            case Exchange():
                return list(self._exchange(fact))
            case SocketOpened():
                self._sockets[fact.number] = fact
                return []
            case Frame():
                return list(self._frame(fact))

    # -- answers ------------------------------------------------------------------------------------

    def _exchange(self, exchange: Exchange) -> Iterator[Contradiction]:
        answer, request = exchange.answer, exchange.request
        if answer is None or answer.broken or not answer.body.is_whole or not 200 <= answer.status < 300:
            return
        if request.path.startswith("/socket.io") and exchange.server is Server.APP:
            yield from self._polled(exchange, answer.body.data)
            return
        operation = document(exchange.server.value, self.dialect).operation(request.method, request.path)
        body = _json(answer.body.data)
        if operation is None or body is None:
            return
        for found in self._said(exchange, operation, body):
            yield Contradiction(found.rule, found.complaint, exchange)

    def _said(self, exchange: Exchange, operation: Operation, body: Any) -> Iterator[Contradiction]:
        identifier = _bare(operation.path_parameters.get("conversation_id", ""))
        match exchange.server, operation.id:
            case Server.APP, "createConversation":
                yield from self._new(body)
            case Server.APP, "searchConversationEvents":
                yield from self._events(exchange, identifier, body)
            case Server.APP, ("deleteConversation" | "deleteAppConversation"):
                if body is True or body == {"success": True}:
                    self._deleted[identifier] = _ended(exchange)
            case Server.APP, "updateConversation":
                self._rename(exchange, identifier)
            case Server.APP, "getConversation":
                yield from self._shown(exchange, identifier, body)
            case Server.APP, ("listConversations" | "searchAppConversations"):
                yield from self._listed(exchange, operation.id, body)
            case Server.APP, ("startAppConversation" | "streamStartAppConversation"):
                self._revive(exchange)
                stages = body if isinstance(body, list) else [body]
                yield from self._progress(exchange, stages, streamed=True)
            case Server.APP, ("batchGetStartTasks" | "searchStartTasks"):
                tasks = body if isinstance(body, list) else _items_of(body)
                yield from self._progress(exchange, tasks, streamed=False)
            case Server.AGENT, "updateConversation":
                self._renamed.pop(identifier, None)
            case Server.AGENT, ("searchEvents" | "batchGetEvents" | "getEvent"):
                for event in _events_in(body):
                    yield from self._v1_event(event, live=False)
            case _:
                return

    def _new(self, body: Any) -> Iterator[Contradiction]:
        identifier = body.get("conversation_id") if isinstance(body, dict) else None
        if isinstance(identifier, str):
            if not self._try(Rule.IDS_ARE_NEW, identifier not in self._created):
                yield Contradiction(Rule.IDS_ARE_NEW, f"the id {identifier} was given out before")
            self._created.add(identifier)

    def _events(self, exchange: Exchange, conversation_id: str, body: Any) -> Iterator[Contradiction]:
        events = [event for event in _events_in(body) if isinstance(event.get("id"), int)]
        ids = [event["id"] for event in events]
        backwards = dict(exchange.request.query).get("reverse", "").lower() in ("true", "1")
        ordered = sorted(set(ids), reverse=backwards)
        if not self._try(Rule.IDS_RISE, ids == ordered):
            yield Contradiction(Rule.IDS_RISE, f"the ids of the events are {ids}")
        for event in events:
            yield from self._v0_event(conversation_id, event, live=False)

    def _rename(self, exchange: Exchange, identifier: str) -> None:
        sent = _json(exchange.request.body.data)
        title = sent.get("title") if isinstance(sent, dict) else None
        before = self._titles.get(identifier)
        if isinstance(title, str) and title.strip() and before is not None:
            self._renamed[identifier] = (before, title.strip(), _ended(exchange))

    def _shown(self, exchange: Exchange, identifier: str, body: Any) -> Iterator[Contradiction]:
        if not self._try(Rule.DELETED_STAYS, not self._was_deleted(identifier, exchange) or body is None):
            yield Contradiction(Rule.DELETED_STAYS, f"{identifier} was deleted, and is found again")
        if not isinstance(body, dict) or not isinstance(body.get("title"), str):
            return
        before, after, since = self._renamed.get(identifier, ("", "", exchange.at))
        was_renamed = exchange.at > since and before != after
        if was_renamed and not self._try(Rule.TITLE_STAYS, body["title"] != before):
            yield Contradiction(
                Rule.TITLE_STAYS, f"the title is {before!r} again after it was changed to {after!r}"
            )
        self._titles[identifier] = body["title"]

    def _listed(self, exchange: Exchange, operation: str, body: Any) -> Iterator[Contradiction]:
        items = _items_of(body)
        ids = [_bare(str(item.get("conversation_id", item.get("id", "")))) for item in items]
        again = [identifier for identifier in ids if self._was_deleted(identifier, exchange)]
        if self._deleted and not self._try(Rule.DELETED_NOT_LISTED, not again):
            yield Contradiction(Rule.DELETED_NOT_LISTED, f"{', '.join(again)} was deleted, and is listed")
        rule = Rule.PAGES_DISJOINT if operation == "listConversations" else Rule.V1_PAGES_DISJOINT
        query = dict(exchange.request.query)
        page_id = query.pop("page_id", None)
        query.pop("limit", None)
        asked = (operation, *sorted(query.items()))
        seen = self._pages.get((page_id, *asked), set()) if page_id else set()
        repeated = [identifier for identifier in ids if identifier in seen]
        if page_id and not self._try(rule, not repeated):
            yield Contradiction(rule, f"{', '.join(repeated)} was on an earlier page already")
        following = body.get("next_page_id") if isinstance(body, dict) else None
        if isinstance(following, str):
            self._pages[(following, *asked)] = seen | set(ids)

    def _revive(self, exchange: Exchange) -> None:
        """A start may ask for an id that was in use before."""
        sent = _json(exchange.request.body.data)
        if isinstance(sent, dict) and isinstance(sent.get("conversation_id"), str):
            self._deleted.pop(_bare(sent["conversation_id"]), None)

    def _progress(
        self, exchange: Exchange, tasks: Iterable[Any], *, streamed: bool
    ) -> Iterator[Contradiction]:
        for task in tasks:
            if isinstance(task, dict) and isinstance(task.get("id"), str):
                yield from self._task(exchange, task, streamed=streamed)

    def _task(
        self, exchange: Exchange, task: Mapping[str, Any], *, streamed: bool
    ) -> Iterator[Contradiction]:
        status, identifier = str(task.get("status")), task["id"]
        if status == "READY":
            ids = [task.get(name) for name in ("app_conversation_id", "sandbox_id")]
            if not self._try(Rule.READY_HAS_IDS, all(ids)):
                yield Contradiction(Rule.READY_HAS_IDS, f"the task {identifier} is READY with the ids {ids}")
        if status == "ERROR" and not self._try(Rule.ERROR_HAS_DETAIL, bool(task.get("detail"))):
            yield Contradiction(Rule.ERROR_HAS_DETAIL, f"the task {identifier} has failed without saying why")
        before, since = self._tasks.get(identifier, (status, exchange.at))
        comes_later = exchange.at >= since or streamed
        if comes_later and not self._try(Rule.STAGES_FORWARD, _may_follow(status, before)):
            yield Contradiction(Rule.STAGES_FORWARD, f"the task {identifier} went from {before} to {status}")
        if _may_follow(status, before):
            self._tasks[identifier] = (status, _ended(exchange))

    # -- frames -------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> Iterator[Contradiction]:
        opened = self._sockets.get(frame.socket)
        if opened is None or frame.direction is Direction.TO_SERVER or frame.kind != "text":
            return
        query = dict(opened.request.query)
        path = opened.request.path
        if "/socket.io" in path:
            ear = self._ear(query.get("sid") or f"socket {frame.socket}", query)
            yield from self._packet(ear, frame.data)
        elif "/sockets/events/" in path:
            event = _json(frame.data)
            if isinstance(event, dict) and event.get("key") != "full_state":
                ear = self._ear(f"socket {frame.socket}", query)
                yield from self._v1_heard(ear, event)

    def _polled(self, exchange: Exchange, body: bytes) -> Iterator[Contradiction]:
        query = dict(exchange.request.query)
        if exchange.request.method == "GET" and "sid" in query:
            ear = self._ear(query["sid"], query)
            for packet in body.split(b"\x1e"):
                yield from self._packet(ear, packet)

    def _ear(self, name: str, query: Mapping[str, str]) -> _Ear:
        return self._ears.setdefault(name, _Ear(len(self._ears), _bare(query.get("conversation_id", ""))))

    def _packet(self, ear: _Ear, packet: bytes) -> Iterator[Contradiction]:
        """A packet of Socket.IO; `42` is an event of the default namespace."""
        said = _json(packet[2:]) if packet.startswith(b"42") else None
        if isinstance(said, list) and len(said) == 2 and said[0] == "oh_event" and isinstance(said[1], dict):
            yield from self._v0_heard(ear, said[1])

    def _v0_heard(self, ear: _Ear, event: Mapping[str, Any]) -> Iterator[Contradiction]:
        number = event.get("id")
        if not isinstance(number, int):
            return
        if not self._try(Rule.LIVE_ONCE, number not in ear.heard):
            yield Contradiction(Rule.LIVE_ONCE, f"event {number} was heard twice over one connection")
            return
        ear.heard.add(number)
        # On connecting, the last state of the agent comes at the end, whatever its id.
        if event.get("observation") != "agent_state_changed":
            if not self._try(Rule.LIVE_ORDER, number > ear.newest):
                yield Contradiction(Rule.LIVE_ORDER, f"event {number} was heard after event {ear.newest}")
            ear.newest = max(ear.newest, number)
        if ear.conversation_id:
            yield from self._v0_event(ear.conversation_id, event, live=True)

    def _v0_event(
        self, conversation_id: str, event: Mapping[str, Any], *, live: bool
    ) -> Iterator[Contradiction]:
        told = _Known(event, live)
        known = self._v0_events.setdefault((conversation_id, event["id"]), told)
        rule = Rule.LIVE_STORED if known.live or live else Rule.EVENTS_STAY
        if known is not told and not self._try(rule, _told(known.event) == _told(event)):
            yield Contradiction(rule, f"event {event['id']} says something else than before")

    def _v1_heard(self, ear: _Ear, event: Mapping[str, Any]) -> Iterator[Contradiction]:
        identifier = event.get("id")
        if not isinstance(identifier, str):
            return
        if not self._try(Rule.V1_LIVE_ONCE, identifier not in ear.heard):
            yield Contradiction(Rule.V1_LIVE_ONCE, f"event {identifier} was heard twice over one connection")
        ear.heard.add(identifier)
        yield from self._v1_event(event, live=True)

    def _v1_event(self, event: Mapping[str, Any], *, live: bool) -> Iterator[Contradiction]:
        identifier = event.get("id")
        if isinstance(identifier, str):
            told = _Known(event, live)
            known = self._v1_events.setdefault(identifier, told)
            rule = Rule.V1_LIVE_STORED if known.live or live else Rule.V1_EVENTS_STAY
            if known is not told and not self._try(rule, known.event == event):
                yield Contradiction(rule, f"event {identifier} says something else than before")

    # -- helpers ------------------------------------------------------------------------------------

    def _try(self, rule: Rule, agrees: bool) -> bool:
        self.looks[rule] = self.looks.get(rule, 0) + 1
        return agrees

    def _was_deleted(self, identifier: str, exchange: Exchange) -> bool:
        return exchange.at > self._deleted.get(identifier, exchange.at)


def _ended(exchange: Exchange) -> float:
    return exchange.at + exchange.seconds


def _may_follow(status: str, before: str) -> bool:
    if before in _TERMINAL or before not in _STAGES:
        return status == before or before not in (*_STAGES, "ERROR")
    return status == "ERROR" or status not in _STAGES or _STAGES.index(status) >= _STAGES.index(before)


def _told(event: Mapping[str, Any]) -> list[Any]:
    return [event.get(name) for name in _TOLD]


def _events_in(body: Any) -> list[Mapping[str, Any]]:
    """The events in an answer, whatever it is."""
    if isinstance(body, dict):
        body = body.get("events", body.get("items", [body]))
    return [event for event in body if isinstance(event, dict)] if isinstance(body, list) else []


def _items_of(page: Any) -> list[Mapping[str, Any]]:
    """What is on a page."""
    found = page.get("results", page.get("items")) if isinstance(page, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _bare(identifier: str) -> str:
    return identifier.replace("-", "").lower()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
