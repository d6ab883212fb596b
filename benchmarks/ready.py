"""From READY on the server to `create()` returned; its peer is bare httpx reading the same stream.

The server writes down when a task became READY (`updated_at`); both run on the same clock.
"""

from __future__ import annotations

import json
import statistics
from datetime import UTC, datetime

import httpx

from benchmarks.figures import Figure
from openhands_client import OpenHands
from openhands_client.models import AppConversationStartTask
from openhands_reference_server import ReferenceServer

GOAL_MS = 50.0
MESSAGE = "Say hello"


def measure(rounds: int) -> list[Figure]:
    with ReferenceServer() as server, OpenHands(server.url) as client, httpx.Client(timeout=60) as bare:
        _sdk(client)
        pairs = [(_sdk(client), _bare(bare, server.url)) for _ in range(rounds)]
    ours = statistics.median(pair[0] for pair in pairs)
    peer = statistics.median(pair[1] for pair in pairs)
    return [Figure("READY → create() returned", ours, peer, value=ours, unit="ms", goal=GOAL_MS)]


def _sdk(client: OpenHands) -> float:
    tasks: list[AppConversationStartTask] = []
    client.conversations.create(MESSAGE, api="v1", on_progress=tasks.append)
    return _milliseconds_since(tasks[-1])


def _bare(client: httpx.Client, base_url: str) -> float:
    body = {"initial_message": {"content": [{"type": "text", "text": MESSAGE}], "run": True}}
    answer = client.post(f"{base_url}/api/v1/app-conversations/stream-start", json=body)
    return _milliseconds_since(AppConversationStartTask.model_validate(json.loads(answer.content)[-1]))


def _milliseconds_since(task: AppConversationStartTask) -> float:
    now = datetime.now(UTC)
    assert task.status == "READY"
    assert task.updated_at is not None
    # Some servers leave the zone out; it is UTC all the same.
    return (now - task.updated_at.replace(tzinfo=UTC)).total_seconds() * 1000
