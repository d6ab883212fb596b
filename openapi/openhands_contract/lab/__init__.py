"""What all checks of a run share: connections, what was observed, what was made, and things that are dear to make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from openhands_contract.contract_document import document
from openhands_contract.exchange import Exchange
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.ledger import Ledger
from openhands_contract.lab.site import KEY_HEADER, Access, Site, enter
from openhands_contract.lab.wire import Interrupted, Traffic, Wire
from openhands_contract.observing import Observations, undocumented
from openhands_contract.outcome import CannotRun, NotReached, Stopped
from openhands_contract.redaction import Redactor

T = TypeVar("T")

UNREADABLE = (KeyError, IndexError, TypeError, AttributeError, ValueError)
"""What code raises that is given data of a shape it was not promised."""

_MUCH = 12  # each may be a container, or a process with hundreds of megabytes
_TIDY_DEADLINE = 60.0
_SILENCE_TOLERATED = 2
_ATTEMPTS = 3


class Lab:
    """One run's equipment.

    Attributes:
        patience: seconds until a condition that was waited for is given up.
        start_patience: the same for the start of a V1 conversation, which may have to fetch a container.
    """

    patience = 20.0
    start_patience = 180.0

    def __init__(self, site: Site) -> None:
        """Connect.

        Raises:
            CannotRun: there is no server, or it does not let us in.
        """
        self.site = site
        self.patience = max(self.patience, site.timeout)
        self.redact: Redactor = site.redactor()
        self.observations = Observations(site.dialect)
        self.ledger = Ledger()
        self.remarks: list[str] = []
        self._undoings: list[Callable[[], object]] = []
        self.app_document = document("app-server", site.dialect)
        self.agent_document = document("agent-server", site.dialect)
        self.traffic = Traffic(self.seen, self.observe, site.timeout)
        self._lock = threading.RLock()
        self._wires: dict[tuple[str, str, str | None], Wire] = {}
        self._shared: dict[str, Any] = {}
        self._making: dict[str, threading.Lock] = {}
        self._silence = 0
        self.gone: str | None = None
        self.interrupted = False
        self.access: Access = enter(site, self.traffic)

    # ---- connections ---------------------------------------------------------------------------------------

    def wire(self, key: str | None = "") -> Wire:
        """A connection to the app server: as the first user, or with another key, or with none."""
        used = self.access.key if key == "" else key
        self.redact.learn_wrong(used)
        return self._wire("app-server", self.site.url, used)

    def agent_wire(self, origin: str, key: str | None) -> Wire:
        """A connection to an agent server, whose address has been checked."""
        self.redact.learn_wrong(key)
        return self._wire("agent-server", origin, key)

    def _wire(self, server: Any, url: str, key: str | None) -> Wire:
        with self._lock:
            wire = self._wires.get((server, url, key))
            if wire is None:
                own = self.access.headers_with(key) if server == "app-server" else {KEY_HEADER: key or ""}
                headers = own if key else {}
                wire = self._wires[server, url, key] = Wire(server, url, headers, self.traffic)
            return wire

    def seen(self, exchange: Exchange) -> None:
        self.observe(exchange)
        self._watch_for_the_end(exchange)

    def observe(self, exchange: Exchange) -> None:
        """Judge an exchange by itself, and note what it made."""
        self.observations.see(exchange)
        described = document(exchange.server, self.site.dialect)
        operation = described.operation(exchange.method, exchange.path)
        self.ledger.notice(operation, exchange, self._owner(exchange))

    def _owner(self, exchange: Exchange) -> str:
        second = self.site.second_api_key
        return "second" if second and second in "".join(exchange.request_headers.values()) else "first"

    # ---- is it still there? --------------------------------------------------------------------------------

    def _watch_for_the_end(self, exchange: Exchange) -> None:
        """Notice that the server has died or hangs, so that no check waits for it in vain."""
        if exchange.answered or exchange.server != "app-server":
            self._silence = 0
            return
        self._silence += 1
        if self._silence >= _SILENCE_TOLERATED and self.gone is None:
            self.gone = f"the server stopped answering ({exchange.failure})"

    def ensure_alive(self) -> None:
        """Go on only while there is a server.

        Raises:
            NotReached: it has stopped answering.
        """
        if self.gone is not None:
            raise NotReached(self.gone)

    def interrupt(self) -> None:
        """Send nothing more, except to tidy up."""
        self.interrupted = True
        self.traffic.cancelled.set()

    def is_still_there(self) -> bool:
        """Ask once more, after a request that got no answer."""
        if self.gone is None:
            try:
                self.wire(None).send("GET", "/alive")
            except Interrupted:
                return False
        return self.gone is None

    def pause(self, seconds: float) -> None:
        """Wait, unless the run is being ended.

        Raises:
            Interrupted: it is.
            NotReached: the server has stopped answering.
        """
        if self.traffic.cancelled.wait(seconds):
            raise Interrupted
        self.ensure_alive()

    # ---- things that are made once -------------------------------------------------------------------------

    def shared(self, name: str, make: Callable[[Bench], T]) -> T:
        """Make something the first time it is asked for.

        Raises:
            Stopped: it could not be made, now or the first time.
        """
        with self._lock:
            lock = self._making.setdefault(name, threading.Lock())
        with lock:
            if name not in self._shared:
                self._shared[name] = self._made(make)
        made = self._shared[name]
        if isinstance(made, Stopped):
            raise NotReached(str(made)) if not isinstance(made, NotReached) else made
        return cast("T", made)

    def _made(self, make: Callable[[Bench], T]) -> T | Stopped:
        """Try again after a mishap, because so much hangs on it; not after waiting in vain."""
        for _ in range(_ATTEMPTS - 1):
            started = time.monotonic()
            try:
                return self._make_once(make)
            except NotReached as reason:
                if self.gone is not None or time.monotonic() - started > self.patience / 2:
                    return reason
            except Stopped as reason:
                return reason
        try:
            return self._make_once(make)
        except Stopped as reason:
            return reason

    def _make_once(self, make: Callable[[Bench], T]) -> T:
        """Make it; what stumbles over data has been given such as no document describes, or is at fault itself."""
        bench = Bench(self)
        try:
            return make(bench)
        except UNREADABLE as error:
            complaint = undocumented(bench.trail.exchanges, self.site.dialect)
            if complaint is None:
                raise
            raise NotReached(f"prerequisite: an answer could not be read: {complaint}") from error

    # ---- the end -------------------------------------------------------------------------------------------

    def at_the_end(self, undo: Callable[[], object]) -> None:
        """Have something undone that is no thing to delete."""
        self._undoings.append(undo)

    @property
    def conversation_path(self) -> str:
        """The path that deletes a conversation of either generation, with `{id}` in it."""
        newer = "/api/v1/app-conversations/{conversation_id}"
        if "delete" in self.app_document.content["paths"].get(newer, {}):
            return "/api/v1/app-conversations/{id}"
        return "/api/conversations/{id}"

    def tidy(self) -> int:
        """Undo and delete what the run has done and made; return how many things could not be deleted."""
        if self.gone is not None:
            return self.ledger.left()
        self.traffic.cancelled.clear()
        try:
            while self._undoings:
                self._undoings.pop()()
            return self._delete_all_but(())
        except CannotRun:
            return self.ledger.left()

    def make_room(self, needed: Collection[str]) -> None:
        """Delete what the run has made, but for what is needed, when it has become much.

        Raises:
            Interrupted: the run is being ended.
        """
        if len(self.ledger.things().difference(needed)) >= _MUCH:
            self._delete_all_but(needed)

    def _delete_all_but(self, needed: Collection[str]) -> int:
        senders = {"first": self.wire().send}
        if self.site.second_api_key:
            senders["second"] = self.wire(self.site.second_api_key).send
        deadline = time.monotonic() + _TIDY_DEADLINE
        return self.ledger.tidy(senders, self.conversation_path, deadline, needed)

    def close(self) -> None:
        """Close all connections."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()
