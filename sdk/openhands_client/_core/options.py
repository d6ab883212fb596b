"""What a client is made with, checked and completed from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .auth import SESSION_KEY_HEADER, Auth, Endpoint
from .retry import RetryPolicy
from .session import Session

Api: TypeAlias = Literal["auto", "v1", "v0"]

DEFAULT_BASE_URL = "http://localhost:3000"
DEFAULT_TIMEOUT = 60.0
DEFAULT_RETRIES = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """The arguments of a client, without its connections. Raises ValueError for values that cannot be meant."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    session_api_key: str | None = field(default=None, repr=False)
    auth: Auth | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_RETRIES
    retry: RetryPolicy | None = None
    api: Api = "auto"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.api not in ("auto", "v1", "v0"):
            raise ValueError(f"api must be 'auto', 'v1' or 'v0', not {self.api!r}")
        if self.retry is not None and self.max_retries != DEFAULT_RETRIES:
            raise ValueError("give either max_retries or retry, not both; RetryPolicy has max_retries too")
        self.retry_policy()
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(
                f"timeout must be more than 0 seconds, not {self.timeout!r}; None waits for ever"
            )
        if self.auth is not None and self.api_key is not None:
            raise ValueError("give either api_key or auth, not both")
        named = {name.lower() for name in self.headers}
        if "authorization" in named and (self.auth is not None or self.api_key is not None):
            raise ValueError("give either the header Authorization, or api_key or auth, not both")
        if SESSION_KEY_HEADER.lower() in named and self.session_api_key is not None:
            raise ValueError(f"give either the header {SESSION_KEY_HEADER} or session_api_key, not both")

    @classmethod
    def resolve(
        cls,
        *,
        base_url: str | None,
        api_key: str | None,
        session_api_key: str | None,
        auth: Auth | None,
        timeout: float | None,
        max_retries: int,
        api: Api,
        headers: Mapping[str, str] | None,
        retry: RetryPolicy | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Options:
        """Fill in what was not given from OPENHANDS_BASE_URL, OPENHANDS_API_KEY (or OPENHANDS_CLOUD_API_KEY)
        and OPENHANDS_SESSION_API_KEY. A header that was given counts as its key."""
        known = environment.get
        named = {name.lower() for name in headers or ()}
        if auth is None and "authorization" not in named:
            api_key = api_key or known("OPENHANDS_API_KEY") or known("OPENHANDS_CLOUD_API_KEY") or None
        if SESSION_KEY_HEADER.lower() not in named:
            session_api_key = session_api_key or known("OPENHANDS_SESSION_API_KEY") or None
        return cls(
            base_url=base_url or environment.get("OPENHANDS_BASE_URL") or DEFAULT_BASE_URL,
            api_key=api_key,
            session_api_key=session_api_key,
            auth=auth,
            timeout=timeout,
            max_retries=max_retries,
            retry=retry,
            api=api,
            headers=dict(headers or {}),
        )

    def session(self) -> Session:
        """A session with nothing learnt yet. Raises UnsafeURLError for a base URL that is not plain http(s)."""
        endpoint = Endpoint.app(
            self.base_url,
            api_key=self.api_key,
            session_api_key=self.session_api_key,
            auth=self.auth,
            headers=self.headers,
        )
        return Session(endpoint, self.timeout, self.retry_policy(), self.api)

    def retry_policy(self) -> RetryPolicy:
        """The policy that was given, or the usual one. Raises ValueError for ``max_retries`` that cannot be."""
        return self.retry or RetryPolicy(max_retries=self.max_retries)
