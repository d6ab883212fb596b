"""Which addresses a proxy has and stands for, and what that means for headers and bodies that name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from multidict import CIMultiDict

from openhands_contract.proxy.origins import AgentServers, announces, origin_of
from openhands_contract.proxy.rewriting import Rewriter
from openhands_contract.traffic import Headers, Request, Server, header

# RFC 9110, 7.6.1: they are about one connection, not about the message.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_A_HANDSHAKE = frozenset(
    {
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "sec-websocket-accept",
    }
)
_NAMING_AN_ORIGIN = frozenset({"location", "access-control-allow-origin"})


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a request goes.

    Attributes:
        base: the address the path is appended to.
    """

    server: Server
    base: str

    @property
    def origin(self) -> str:
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}"

    def url(self, target: str) -> str:
        """The address of a request, encoded as it came."""
        return f"{self.base}{target}"


@dataclass(slots=True)
class Addresses:
    """The app server, the agent servers it announces, and the two ports that stand for them.

    Attributes:
        app_server: the address of the app server, without a slash at the end.
        agent_port: where the proxy takes requests for agent servers.
    """

    app_server: str
    agent_port: int = 0
    agents: AgentServers = field(default_factory=AgentServers)

    def upstream(self, server: Server, request: Request) -> Upstream | None:
        """Where a request goes; None when it is for an agent server and none is known."""
        if server is Server.APP:
            return Upstream(server, self.app_server)
        origin = self.agents.asked(request.target, request.headers)
        return None if origin is None else Upstream(server, origin)

    def rewriter(self, server: Server, request: Request) -> Rewriter:
        """What changes the addresses in an answer to this request."""
        learns = server is Server.APP and announces(request.decoded_path)
        return Rewriter(lambda name, url, is_agent: self._public(name, url, is_agent, learns, request))

    def for_upstream(self, request: Request, upstream: Upstream) -> CIMultiDict[str]:
        """The headers of a request as the upstream shall see them."""
        kept = CIMultiDict(end_to_end(request.headers, _OF_A_HANDSHAKE | {"host", "accept-encoding"}))
        kept["Host"] = urlsplit(upstream.base).netloc
        # Compression is between two ends of a connection; here both are read.
        kept["Accept-Encoding"] = "identity"
        if kept.get("Origin") == self._own_origin(request):
            kept["Origin"] = upstream.origin
        return kept

    def for_client(self, answer: Headers, request: Request, upstream: Upstream) -> list[tuple[str, str]]:
        """The headers of an answer as the client shall see them."""
        return [
            (name, self._seen_from_outside(value, request, upstream) if _names_origin(name) else value)
            for name, value in end_to_end(answer)
        ]

    def _public(self, name: str, url: str, is_agent: bool, learns: bool, request: Request) -> str | None:
        origin = origin_of(url)
        if origin is None or origin in (self._own_origin(request), self._agent_origin(request)):
            return None
        parts = urlsplit(url)
        is_agent = is_agent or name != "url" or "/api/conversations/" in parts.path
        if learns and is_agent:
            self.agents.announce(url)
        if not (is_agent or parts.path in ("", "/")) or not self.agents.is_known(url):
            return None
        return self._agent_origin(request) + url[len(origin) :]

    def _seen_from_outside(self, value: str, request: Request, upstream: Upstream) -> str:
        if origin_of(value) != upstream.origin:
            return value
        return self._own_origin(request) + value[len(upstream.origin) :]

    @staticmethod
    def _own_origin(request: Request) -> str:
        return f"http://{request.header('Host')}"

    def _agent_origin(self, request: Request) -> str:
        """The agent port under the name by which the client has just called the proxy."""
        host = urlsplit(self._own_origin(request)).hostname or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.agent_port}"


def end_to_end(headers: Headers, without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """The headers that are not about one connection only."""
    named = {name.strip().lower() for name in header(headers, "Connection").split(",")}
    left_out = _HOP_BY_HOP | named | set(without)
    return [(name, value) for name, value in headers if name.lower() not in left_out]


def _names_origin(name: str) -> bool:
    return name.lower() in _NAMING_AN_ORIGIN
