"""What all services have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TypeVar

from openhands_client._core.auth import SESSION_KEY_HEADER, Endpoint
from openhands_client._core.commands import FilePart, Flow
from openhands_client._core.compat import ask
from openhands_client._core.downloads import Download, download
from openhands_client._core.operation import JsonBody, Operation, Query
from openhands_client._core.pipeline import call
from openhands_client.local_files import atomic

from .driver import AsyncDriver

T = TypeVar("T")


class AsyncService:
    """A group of operations. All methods raise the errors of ``openhands_client.errors``."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    async def _call(
        self,
        operation: Operation[T],
        *,
        path: Mapping[str, str] | None = None,
        query: Query | None = None,
        body: JsonBody | None = None,
        files: Sequence[FilePart] = (),
        endpoint: Endpoint | None = None,
    ) -> T:
        session = self._driver.session
        place = endpoint or session.endpoint

        def flow() -> Flow[T]:
            return call(session, operation, endpoint=place, path=path, query=query, body=body, files=files)

        return await self._driver.run(ask(session, operation, place, flow))

    async def _download(
        self,
        variants: Sequence[Download],
        target: str | PathLike[str],
        endpoint: Endpoint | None = None,
    ) -> Path:
        """Save what the first route that the server has answers, whole or not at all."""
        session = self._driver.session
        with atomic(target) as file:
            flow = download(session, endpoint or session.endpoint, file.write, *variants)
            await self._driver.run(flow)
        return Path(target)

    def _agent(self, conversation_url: str, session_api_key: str | None) -> Endpoint:
        """The agent server that a conversation lives on. Raises UnsafeURLError."""
        return self._driver.session.endpoint.agent(conversation_url, session_api_key)

    def _reporting(self, session_api_key: str) -> Endpoint:
        """The app server, for an agent server that reports: with the key of its sandbox."""
        return Endpoint(self._driver.session.endpoint.base_url, {SESSION_KEY_HEADER: session_api_key})
