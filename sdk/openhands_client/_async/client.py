"""The client. Services are loaded when they are first used: few programs need all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from openhands_client._core import operations as ops
from openhands_client._core.auth import Auth
from openhands_client._core.options import DEFAULT_RETRIES, DEFAULT_TIMEOUT, Api, Options
from openhands_client._core.pipeline import call
from openhands_client._core.retry import RetryPolicy

from .driver import AsyncDriver
from .transport import AsyncTransport

if TYPE_CHECKING:
    import httpx

    from openhands_client import models as m

    from .conversation_service import AsyncConversationService
    from .conversations import AsyncConversations
    from .event_service import AsyncEventService
    from .git_service import AsyncV1GitService
    from .sandbox_service import AsyncSandboxService
    from .settings_service import AsyncSettingsService
    from .v1_conversation_service import AsyncV1ConversationService


class AsyncOpenHands:
    """An asynchronous client of one OpenHands app server, and of the agent servers its conversations live on.

    base_url          of the app server; else OPENHANDS_BASE_URL, else http://localhost:3000
    api_key           sent as a bearer token; else OPENHANDS_API_KEY or OPENHANDS_CLOUD_API_KEY
    session_api_key   sent as X-Session-API-Key; else OPENHANDS_SESSION_API_KEY
    auth              instead of api_key: something like ``BearerAuth``
    timeout           longest silence of a server in seconds (60); None waits for ever
    max_retries       further tries for requests that are safe to repeat (2)
    retry             instead of max_retries: a ``RetryPolicy``, which says which ones, how often and when
    api               "auto" finds out what the server offers; "v1" and "v0" insist
    http_client       an ``httpx.AsyncClient`` of yours, which stays yours to close
    headers           sent with every request to the app server

    Use it as a context manager, or call ``aclose()``; a client that was used and not closed is a ResourceWarning.
    Raises ValueError and UnsafeURLError for arguments that cannot be meant. Calls after it was closed, and
    streams that it was closed under, raise ClientClosedError.

    It can be used from many threads, in one event loop after another, and in a forked child: each process and
    each event loop gets connections of its own. A client can be pickled, unless it has an http_client of yours.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        session_api_key: str | None = None,
        auth: Auth | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_RETRIES,
        retry: RetryPolicy | None = None,
        api: Api = "auto",
        http_client: httpx.AsyncClient | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        options = Options.resolve(
            base_url=base_url,
            api_key=api_key,
            session_api_key=session_api_key,
            auth=auth,
            timeout=timeout,
            max_retries=max_retries,
            retry=retry,
            api=api,
            headers=headers,
        )
        self._set_up(options, AsyncDriver(options.session(), AsyncTransport(http_client)))

    def _set_up(self, options: Options, driver: AsyncDriver, *, owns_transport: bool = True) -> None:
        self._options = options
        self._owns_transport = owns_transport
        self.driver = driver

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    @property
    def base_url(self) -> str:
        return self.driver.session.endpoint.base_url

    @cached_property
    def conversations(self) -> AsyncConversations:
        """Conversations of either generation: start here."""
        from .conversations import AsyncConversations

        return AsyncConversations(self)

    @cached_property
    def v0(self) -> AsyncConversationService:
        """The V0 routes, one method each."""
        from .conversation_service import AsyncConversationService

        return AsyncConversationService(self.driver)

    @cached_property
    def v1(self) -> AsyncV1ConversationService:
        """The V1 conversation routes, one method each."""
        from .v1_conversation_service import AsyncV1ConversationService

        return AsyncV1ConversationService(self.driver)

    @cached_property
    def sandboxes(self) -> AsyncSandboxService:
        """The sandbox routes, one method each."""
        from .sandbox_service import AsyncSandboxService

        return AsyncSandboxService(self.driver)

    @cached_property
    def event_service(self) -> AsyncEventService:
        """The routes to V1 events, one method each."""
        from .event_service import AsyncEventService

        return AsyncEventService(self.driver)

    @cached_property
    def git(self) -> AsyncV1GitService:
        """The routes to repositories in sandboxes, one method each."""
        from .git_service import AsyncV1GitService

        return AsyncV1GitService(self.driver)

    @cached_property
    def settings(self) -> AsyncSettingsService:
        """Options, settings, secrets and the user."""
        from .settings_service import AsyncSettingsService

        return AsyncSettingsService(self.driver)

    async def server_info(self) -> m.ServerInfo:
        """Version and uptime (seconds) of the app server. ``GET /server_info``"""
        return await self.driver.run(call(self.driver.session, ops.SERVER_INFO))

    async def alive(self) -> bool:
        """Whether the app server answers. ``GET /alive``; raises APIConnectionError when it does not."""
        await self.driver.run(call(self.driver.session, ops.ALIVE))
        return True

    async def health(self) -> bool:
        """Whether the app server is healthy. ``GET /health``; raises ServerError when it is not."""
        await self.driver.run(call(self.driver.session, ops.HEALTH))
        return True

    def with_options(self, **overrides: Any) -> Self:
        """A client with other options and the same connections, which stay this client's to close.

        Takes the constructor's arguments but ``http_client``. Raises TypeError for others.
        """
        if "http_client" in overrides:
            raise TypeError(
                "with_options() shares the connections; make a new client for another http_client"
            )
        if "retry" in overrides:
            overrides.setdefault("max_retries", DEFAULT_RETRIES)
        elif "max_retries" in overrides and self._options.retry is not None:
            overrides["retry"] = replace(self._options.retry, max_retries=overrides.pop("max_retries"))
        if "auth" in overrides and "api_key" not in overrides:
            overrides["api_key"] = None
        if "api_key" in overrides and "auth" not in overrides:
            overrides["auth"] = None
        copy = type(self).__new__(type(self))
        options = replace(self._options, **overrides)
        copy._set_up(options, self.driver.sharing(options.session()), owns_transport=False)
        return copy

    async def aclose(self) -> None:
        """Close the connections, unless they belong to another client or to an http_client of yours."""
        if self._owns_transport:
            await self.driver.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __getstate__(self) -> Options:
        if not self.driver.transport.owns_client:
            raise TypeError("a client with an http_client of your own cannot be pickled")
        return self._options

    def __setstate__(self, options: Options) -> None:
        self._set_up(options, AsyncDriver(options.session(), AsyncTransport()))
