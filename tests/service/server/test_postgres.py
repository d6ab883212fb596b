"""`serve --database-url`: what was acknowledged outlives the server.

Where it needs a database, OPENHANDS_TEST_DATABASE_URL has to name one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .commands import api_of, run, served

URL = os.environ.get("OPENHANDS_TEST_DATABASE_URL", "")


@pytest.mark.skipif(not URL, reason="OPENHANDS_TEST_DATABASE_URL names no database")
def test_conversations_outlive_a_killed_server(tmp_path: Path) -> None:
    arguments = ("--data-dir", str(tmp_path))
    with served(*arguments, OPENHANDS_DATABASE_URL=URL) as server, api_of(server) as api:
        conversation = api.start_v1("Say hello")
        conversation.wait("finished")
        before = conversation.events()
        server.kill()
    with served(*arguments, OPENHANDS_DATABASE_URL=URL) as server, api_of(server) as api:
        assert not any("@" in line for line in server.banner)
        assert api.v1(conversation.id).events() == before
        assert api.ok("DELETE", f"/api/conversations/{conversation.id}") is True


def test_a_database_that_is_not_there_is_said_before_anything_is_served() -> None:
    ended = run("--port", "0", "--agent-port", "0", "--database-url", "postgresql://u:hidden@127.0.0.1:9/db")
    assert ended.returncode == 2
    assert "cannot use the database" in ended.stderr
    assert "hidden" not in ended.stderr


def test_memory_and_a_database_exclude_each_other() -> None:
    ended = run("--memory", "--database-url", "postgresql://localhost/db")
    assert ended.returncode == 2
    assert "--memory excludes" in ended.stderr
