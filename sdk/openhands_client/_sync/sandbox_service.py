# Generated from sdk/openhands_client/_async/sandbox_service.py by scripts/unasync.py. Do not edit.
"""``client.sandboxes``: the web frontend's SandboxService, and the rest of the sandbox routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from openhands_client._core import operations as ops
from openhands_client._core.batching import batch_get

from .service import Service

if TYPE_CHECKING:
    from openhands_client import models as m


class SandboxService(Service):
    """The sandboxes that V1 conversations run in."""

    def pause_sandbox(self, sandbox_id: str) -> m.SuccessResponse:
        """Pause a sandbox with everything in it. ``POST /api/v1/sandboxes/{sandbox_id}/pause``"""
        return self._call(ops.PAUSE_SANDBOX, path={"sandbox_id": sandbox_id}, body={})

    def resume_sandbox(self, sandbox_id: str) -> m.SuccessResponse:
        """Resume a paused sandbox. ``POST /api/v1/sandboxes/{sandbox_id}/resume``"""
        return self._call(ops.RESUME_SANDBOX, path={"sandbox_id": sandbox_id}, body={})

    def batch_get_sandboxes(self, ids: Sequence[str]) -> list[m.SandboxInfo | None]:
        """Sandboxes in the order of ``ids``, None for missing ones. ``GET /api/v1/sandboxes``"""
        return self._driver.run(batch_get(self._driver.session, ops.BATCH_GET_SANDBOXES, "id", ids))

    def search_sandboxes(self, *, page_id: str | None = None, limit: int = 100) -> m.SandboxPage:
        """One page of sandboxes. ``GET /api/v1/sandboxes/search``"""
        return self._call(ops.SEARCH_SANDBOXES, query={"page_id": page_id, "limit": limit})

    def start_sandbox(self, sandbox_spec_id: str | None = None) -> m.SandboxInfo:
        """Start a sandbox; the answer comes when it is up. ``POST /api/v1/sandboxes``"""
        return self._call(ops.START_SANDBOX, query={"sandbox_spec_id": sandbox_spec_id})

    def delete_sandbox(self, sandbox_id: str) -> m.SuccessResponse:
        """Delete a sandbox; its conversations become MISSING. ``DELETE /api/v1/sandboxes/{sandbox_id}``

        Servers read the id from the query, whatever the path says, so it is sent in both.
        """
        where = {"sandbox_id": sandbox_id}
        return self._call(ops.DELETE_SANDBOX, path=where, query=where)

    def search_sandbox_specs(self, *, page_id: str | None = None, limit: int = 100) -> m.SandboxSpecPage:
        """One page of what sandboxes are made from. ``GET /api/v1/sandbox-specs/search``"""
        return self._call(ops.SEARCH_SANDBOX_SPECS, query={"page_id": page_id, "limit": limit})

    def batch_get_sandbox_specs(self, ids: Sequence[str]) -> list[m.SandboxSpec | None]:
        """Sandbox specs in the order of ``ids``, None for missing ones. ``GET /api/v1/sandbox-specs``"""
        return self._driver.run(batch_get(self._driver.session, ops.BATCH_GET_SANDBOX_SPECS, "id", ids))
