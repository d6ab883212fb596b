# Generated from sdk/openhands_client/_async/git_service.py by scripts/unasync.py. Do not edit.
"""``client.git``: the web frontend's V1GitService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openhands_client._core import operations as ops
from openhands_client._core.agent_files import git_changes, git_diff

from .service import Service

if TYPE_CHECKING:
    from openhands_client import models as m


class V1GitService(Service):
    """Repositories in sandboxes, named by their absolute path."""

    def get_git_changes(
        self, conversation_url: str, session_api_key: str | None, path: str
    ) -> list[m.GitChange]:
        """The files that differ from what the repository is compared with; statuses as V0 spells them.

        ``GET /api/git/changes`` on the agent server
        """
        place = self._agent(conversation_url, session_api_key)
        return self._driver.run(git_changes(self._driver.session, place, path))

    def get_git_change_diff(self, conversation_url: str, session_api_key: str | None, path: str) -> m.GitDiff:
        """A file as it is, and as it was. ``GET /api/git/diff`` on the agent server"""
        place = self._agent(conversation_url, session_api_key)
        return self._driver.run(git_diff(self._driver.session, place, path))

    def get_app_git_changes(self, conversation_id: str, path: str) -> list[m.GitChange]:
        """The same through the app server.

        ``GET /api/v1/app-conversations/{conversation_id}/git/changes``; newer servers only
        """
        where = {"conversation_id": conversation_id}
        return self._call(ops.GET_APP_GIT_CHANGES, path=where, query={"path": path})

    def get_app_git_diff(self, conversation_id: str, path: str) -> m.GitDiff:
        """The same through the app server.

        ``GET /api/v1/app-conversations/{conversation_id}/git/diff``; newer servers only
        """
        where = {"conversation_id": conversation_id}
        return self._call(ops.GET_APP_GIT_DIFF, path=where, query={"path": path})
