"""Where the agent server is, as clients have to write it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import request

_WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104  # compared with, not bound to


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """The agent server's address.

    Bound to all interfaces, it is reachable under the name the caller has just used for the app server.

    Attributes:
        host: what it is bound to.
        port: likewise.
        prefix: of all its paths, such as `/ns/worker-1`.
    """

    host: str
    port: int
    prefix: str = ""

    def url(self) -> str:
        """`http://host:port`, and the prefix; without a slash at the end."""
        return self.url_for(_asked_host() if self.host in _WILDCARDS else self.host)

    def url_for(self, asked_host: str) -> str:
        """The same for somebody who has called the app server by this name."""
        host = asked_host if self.host in _WILDCARDS else self.host
        return f"http://{bracketed(host)}:{self.port}{self.prefix}"


def bracketed(host: str) -> str:
    """A host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _asked_host() -> str:
    return urlsplit(request.host_url).hostname or "127.0.0.1"
