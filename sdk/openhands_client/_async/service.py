"""What all services have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from openhands_client._core.auth import Endpoint
from openhands_client._core.commands import FilePart
from openhands_client._core.operation import JsonBody, Operation, Query
from openhands_client._core.pipeline import call

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
        flow = call(session, operation, endpoint=endpoint, path=path, query=query, body=body, files=files)
        return await self._driver.run(flow)

    def _agent(self, conversation_url: str, session_api_key: str | None) -> Endpoint:
        """The agent server that a conversation lives on. Raises UnsafeURLError."""
        return self._driver.session.endpoint.agent(conversation_url, session_api_key)
