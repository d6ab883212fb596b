"""A client that is not ours talks to our agent server: `RemoteConversation` of the published `openhands-sdk`.

It runs under a Python of its own, which has that package in the version of the line our agent server speaks.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from openhands_reference_server import ReferenceServer

pytestmark = pytest.mark.interop

SCRIPT = Path(__file__).with_name("play_remote_conversation.py")
PYTHON = "OPENHANDS_SDK_PYTHON"
HOW = (
    f"{PYTHON} names no Python with openhands-sdk. Get one (Python 3.12): python3.12 -m venv .interop/sdk && "
    ".interop/sdk/bin/pip install openhands-sdk==1.5.2 openhands-tools==1.5.2, "
    f"and set {PYTHON}=.interop/sdk/bin/python"
)


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has the package."""
    named = os.environ.get(PYTHON)
    if not named:
        pytest.skip(HOW)
    return named


@pytest.fixture(scope="module")
def seen(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the other client saw of a whole conversation."""
    folder = tmp_path_factory.mktemp("remote")
    source = folder / "hello.txt"
    source.write_text("hello\n")
    with ReferenceServer(enable_bash=True) as server:
        box = httpx.post(f"{server.url}/api/v1/sandboxes").raise_for_status().json()
        command = [python, str(SCRIPT), server.agent_url, box["session_api_key"], str(source), str(folder)]
        env = {**os.environ, "OPENHANDS_SUPPRESS_BANNER": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=env)
        assert run.returncode == 0, run.stderr
        found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        [shown] = httpx.get(f"{server.url}/api/v1/app-conversations", params={"ids": found["id"]}).json()
        yield {**found, "shown": shown, "said": run.stderr}


def test_a_message_is_answered(seen: dict[str, Any]) -> None:
    assert seen["first"] == "finished"
    assert seen["model"] == "openai/gpt-4o"
    assert seen["cost"] > 0


def test_an_action_is_asked_about_rejected_and_left_out(seen: dict[str, Any]) -> None:
    assert seen["policy"] == "AlwaysConfirm"
    assert [seen["asked"], seen["rejected"], seen["second"]] == [
        "waiting_for_confirmation",
        "idle",
        "finished",
    ]


def test_every_event_is_understood(seen: dict[str, Any]) -> None:
    expected = {
        "SystemPromptEvent",
        "MessageEvent",
        "ActionEvent",
        "ObservationEvent",
        "UserRejectObservation",
        "ConversationStateUpdateEvent",
        "Condensation",
    }
    assert expected <= set(seen["listed"])
    assert expected - {"SystemPromptEvent"} <= set(seen["heard"])
    assert "ws_event_processing_error" not in seen["said"]


def test_questions_and_titles(seen: dict[str, Any]) -> None:
    assert "Why?" in seen["answer"]
    assert seen["title"] == "Say hello"


def test_files_and_commands(seen: dict[str, Any]) -> None:
    assert seen["files"] == [True, True, "hello\n"]
    assert seen["command"] == [3, "hello\n", "oh\n"]


def test_the_app_server_shows_the_conversation(seen: dict[str, Any]) -> None:
    assert (seen["shown"]["title"], seen["shown"]["execution_status"]) == ("Say hello", "finished")
