"""A proxy that runs: two listening sockets, and an orderly end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from openhands_contract.proxy.addresses import Addresses
from openhands_contract.proxy.gateway import Gateway, Listener
from openhands_contract.traffic import Server

_LONGEST_LINE = 128 * 1024
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a proxy listens; port 0 takes any free one."""

    host: str = "127.0.0.1"
    app: int = 0
    agent: int = 0


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """Where clients find the proxy."""

    url: str
    agent_url: str


@asynccontextmanager
async def proxy(upstream: str, tell: Listener, ports: Ports | None = None) -> AsyncIterator[RunningProxy]:
    """Stand in for an app server and the agent servers behind it.

    Args:
        upstream: the address of the app server.
        tell: is told each exchange and frame.
        ports: where to listen.

    Raises:
        OSError: a port is in use.
    """
    ports = ports or Ports()
    addresses = Addresses(upstream.rstrip("/"))
    gateway = Gateway(addresses, tell)
    await gateway.open()
    runners: list[web.AppRunner] = []
    try:
        agent_port = await _listen(runners, gateway, Server.AGENT, ports.host, ports.agent)
        addresses.agent_port = agent_port
        app_port = await _listen(runners, gateway, Server.APP, ports.host, ports.app)
        host = f"[{ports.host}]" if ":" in ports.host else ports.host
        yield RunningProxy(f"http://{host}:{app_port}", f"http://{host}:{agent_port}")
    finally:
        for runner in runners:
            await runner.cleanup()
        await gateway.close()


async def _listen(
    runners: list[web.AppRunner], gateway: Gateway, server: Server, host: str, port: int
) -> int:
    """Listen for one of the two servers. Returns the port."""
    runner = web.AppRunner(
        gateway.application(server),
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
        shutdown_timeout=_FAREWELL_SECONDS,
    )
    await runner.setup()
    runners.append(runner)
    await web.TCPSite(runner, host, port).start()
    bound: int = runner.addresses[-1][1]
    return bound
