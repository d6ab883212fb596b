"""The sandboxes of one world: found, started, paused, resumed, deleted; and whose a session key is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openhands_reference_server.domain import paging, sandbox
from openhands_reference_server.domain.errors import SandboxNotFound, SandboxPaused, SandboxSpecNotFound
from openhands_reference_server.domain.identifiers import sandbox_id as written
from openhands_reference_server.domain.paging import Key
from openhands_reference_server.domain.sandbox import Sandbox
from openhands_reference_server.domain.times import zoned
from openhands_reference_server.world.bash import Bash
from openhands_reference_server.world.core import Core, conversation_topic
from openhands_reference_server.world.keys import SessionKeys

SUSPENDED = "the sandbox was paused"


class Sandboxes:
    """All sandboxes of one world.

    Args:
        core: the world's state.
        keys: makes and checks their session keys.
        bash: the shells in them.
    """

    def __init__(self, core: Core, keys: SessionKeys, bash: Bash) -> None:
        self._core = core
        self._bash = bash
        self._keys = keys
        self._spec = sandbox.spec(zoned(core.clock.now()))

    # -- finding ------------------------------------------------------------------------------------

    def batch_get(self, ids: Iterable[str]) -> list[Sandbox | None]:
        """Sandboxes by id, None where there is none."""
        with self._core.lock:
            return [self._core.sandboxes.get(one) for one in ids]

    def search(self, *, page_id: str | None, limit: int) -> tuple[list[Sandbox], str | None]:
        """A page of sandboxes, newest first, and the id of the next page.

        Raises:
            UnknownPage: the page id is not from here.
        """
        cursor = None if page_id is None else paging.decode(page_id)
        with self._core.lock:
            page, last = paging.take(self._core.sandboxes.newest_first(cursor), limit, _key)
        return page, last and paging.encode(last)

    def specs(self) -> list[dict[str, Any]]:
        """What sandboxes can be made from: there is one kind of them."""
        return [dict(self._spec)]

    def of_key(self, key: str) -> str:
        """Whose session key this is.

        Raises:
            SandboxNotFound: nobody's.
        """
        sandbox_id = self._keys.sandbox_of(key)
        if sandbox_id is None or self._core.sandboxes.get(sandbox_id) is None:
            raise SandboxNotFound("")
        return sandbox_id

    def check_running(self, sandbox_id: str) -> None:
        """Make sure that the agent server of a sandbox can answer.

        Raises:
            SandboxNotFound: there is none.
            SandboxPaused: it cannot.
        """
        if not self._core.sandbox(sandbox_id).running:
            raise SandboxPaused(sandbox_id)

    # -- changing -----------------------------------------------------------------------------------

    def start(self, spec_id: str | None = None) -> Sandbox:
        """Make a sandbox.

        Raises:
            SandboxSpecNotFound: there is no such kind of sandbox.
        """
        if spec_id is not None and spec_id != sandbox.SPEC_ID:
            raise SandboxSpecNotFound(spec_id)
        with self._core.lock, self._core.changing_sandbox(None) as changes:
            sandbox.create(changes, written(self._core.new_id()))
            return changes.state

    def pause(self, sandbox_id: str) -> None:
        """Freeze a sandbox with its agents; who listens to them is let go.

        Raises:
            SandboxNotFound: there is none.
        """
        with self._core.lock:
            with self._core.changing_sandbox(self._core.sandbox(sandbox_id)) as changes:
                sandbox.pause(changes)
            self._bash.suspend(sandbox_id, SUSPENDED)
            self._changed(sandbox_id, closing=SUSPENDED)

    def resume(self, sandbox_id: str) -> None:
        """Thaw a sandbox; its agents go on where they were.

        Raises:
            SandboxNotFound: there is none.
        """
        with self._core.lock:
            with self._core.changing_sandbox(self._core.sandbox(sandbox_id)) as changes:
                sandbox.resume(changes)
            self._bash.resume(sandbox_id)
            self._changed(sandbox_id)

    def delete(self, sandbox_id: str) -> None:
        """Delete a sandbox; its conversations stay, without a place to run in.

        Raises:
            SandboxNotFound: there is none.
        """
        with self._core.lock:
            self._core.sandbox(sandbox_id)
            self._core.sandboxes.remove(sandbox_id)
            self._bash.end(sandbox_id, SUSPENDED)
            self._changed(sandbox_id, closing=SUSPENDED)

    def _changed(self, sandbox_id: str, closing: str | None = None) -> None:
        for conversation in self._core.conversations_in(sandbox_id):
            if closing is not None:
                self._core.broadcast.close_topic(conversation_topic(conversation.id), closing)
            self._core.attend(conversation.id)
        self._core.changed.notify_all()


def _key(one: Sandbox) -> Key:
    return (one.created_at, one.id)
