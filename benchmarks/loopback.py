"""The smallest server that can answer `get_start_task`: one canned body, keep-alive, in a process of its own.

It does next to nothing, so what is left to measure is the client; and being another process, it does
not share the client's interpreter lock. `python -m benchmarks.loopback` prints its port and serves
until its standard input is closed, so that it cannot outlive the benchmark.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

TASK_ID = "a80ffa428449497d8158e4794f52d1a8"

_BODY = json.dumps(
    [
        {
            "id": TASK_ID,
            "created_by_user_id": None,
            "status": "PREPARING_REPOSITORY",
            "detail": None,
            "app_conversation_id": None,
            "sandbox_id": "3tKptRzsOCltkSCWZNMEvQ",
            "agent_server_url": None,
            "request": {
                "sandbox_id": None,
                "conversation_id": None,
                "initial_message": {
                    "role": "user",
                    "content": [{"cache_prompt": False, "type": "text", "text": "Say hello and finish."}],
                    "run": True,
                },
                "system_message_suffix": None,
                "processors": None,
                "llm_model": None,
                "selected_repository": "acme/app",
                "selected_branch": "main",
                "git_provider": "github",
                "title": None,
                "trigger": None,
                "pr_number": [],
                "parent_conversation_id": None,
                "agent_type": "default",
            },
            "created_at": "2026-11-20T23:14:53.064767Z",
            "updated_at": "2026-11-20T23:15:05.133888Z",
        }
    ]
).encode()

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
_RESPONSE = _HEAD + _BODY
_END_OF_REQUEST = b"\r\n\r\n"


class _Responder(asyncio.Protocol):
    """Answers each request on a connection with the same words. Requests are GETs: they have no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(_END_OF_REQUEST)
        self._transport.write(_RESPONSE * len(requests))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Responder, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def loopback_server() -> Iterator[str]:
    """Run the server; its base URL."""
    command = [sys.executable, "-m", "benchmarks.loopback"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
