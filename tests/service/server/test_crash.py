"""kill -9 between acknowledged appends loses nothing."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from .commands import api_of, served

ROUNDS = 3


class Writer(threading.Thread):
    """Writes as fast as it can, and remembers what was acknowledged."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.conversations: list[str] = []
        self.titles: dict[str, str] = {}
        self.commands: dict[str, list[str]] = {}
        self.acknowledged = 0
        self.progress = threading.Condition()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10) as client:
            try:
                while True:
                    self._write(client)
            except httpx.TransportError:
                return

    def _write(self, client: httpx.Client) -> None:
        created = client.post("/api/conversations", json={})
        conversation_id = created.raise_for_status().json()["conversation_id"]
        self._note(self.conversations.append, conversation_id)
        for number in range(3):
            title = f"Title {number}"
            client.patch(f"/api/conversations/{conversation_id}", json={"title": title}).raise_for_status()
            self._note(self.titles.__setitem__, conversation_id, title)
            command = f"echo {number}"
            action = {"action": "run", "args": {"command": command}}
            client.post(f"/api/conversations/{conversation_id}/events", json=action).raise_for_status()
            self._note(self.commands.setdefault(conversation_id, []).append, command)

    def _note(self, remember: Any, *what: str) -> None:
        remember(*what)
        with self.progress:
            self.acknowledged += 1
            self.progress.notify_all()

    def wait_for(self, count: int) -> None:
        with self.progress:
            assert self.progress.wait_for(lambda: self.acknowledged >= count, 30)


@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_a_killed_server_has_everything_it_acknowledged(backend: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("OPENHANDS_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed}: set OPENHANDS_TEST_SEED to repeat this run")
    moments = random.Random(seed)
    arguments = ("--backend", backend, "--data-dir", str(tmp_path))
    writers: list[Writer] = []
    for _ in range(ROUNDS):
        with served(*arguments) as server, api_of(server) as api:
            check(api, writers)
            writer = Writer(server.url)
            writers.append(writer)
            writer.start()
            writer.wait_for(moments.randint(1, 60))
            server.kill()
            writer.join(20)
            assert not writer.is_alive()
    with served(*arguments) as server, api_of(server) as api:
        check(api, writers)


def check(api: Any, writers: list[Writer]) -> None:
    """Everything acknowledged so far is there."""
    for writer in writers:
        for conversation_id in writer.conversations:
            info = api.ok("GET", f"/api/conversations/{conversation_id}")
            assert info["status"] == "STOPPED", "its loop ended with the server"
            title = writer.titles.get(conversation_id)
            assert title is None or info["title"] >= title
            stored = [
                event["args"]["command"]
                for event in api.v0_events(conversation_id)
                if event.get("action") == "run"
            ]
            expected = writer.commands.get(conversation_id, [])
            assert stored[: len(expected)] == expected
            ids = [event["id"] for event in api.v0_events(conversation_id)]
            assert ids == list(range(len(ids)))
