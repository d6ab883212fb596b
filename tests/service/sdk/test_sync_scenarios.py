# Generated from tests/service/sdk/test_async_scenarios.py by scripts/unasync.py. Do not edit.
"""The ready-made scenarios, each played through the client against both generations."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from openhands_client import OpenHands, StartTaskError, StartTaskTimeout
from openhands_reference_server import ManualClock, ReferenceServer

Api = Literal["v0", "v1"]
SCENARIOS = Path(__file__).parents[3] / "examples" / "scenarios"
PATIENCE = 60.0
both = pytest.mark.parametrize("api", ["v1", "v0"])


def playing(name: str) -> ReferenceServer:
    return ReferenceServer(scenario=SCENARIOS / f"{name}.yaml")


@both
def test_happy(api: Api) -> None:
    with playing("happy") as server:
        with OpenHands(server.url) as client:
            conversation = client.conversations.create("Add a changelog", api=api)
            assert conversation.wait(timeout=PATIENCE) == "finished"
            conversation.send("Thank you")
            rest = "finished" if api == "v1" else "awaiting_user_input"
            assert conversation.wait(timeout=PATIENCE) == rest
            texts = [event.to_json() for event in conversation.history()]
            assert any("Done: Add a changelog" in text for text in texts)
            assert "This is turn 2. You said: Thank you" in texts[-2] + texts[-3] + texts[-1]
            if api == "v0":
                content = conversation.files.read("CHANGELOG.md")
                assert content == "# Changelog\n\n- Add a changelog\n"


@both
def test_slow_start(api: Api) -> None:
    clock = ManualClock()
    with ReferenceServer(scenario=SCENARIOS / "slow-start.yaml", clock=clock) as server:
        with OpenHands(server.url) as client:
            created = client.conversations.create("Hurry up", api=api, wait=False)
            clock.advance(0.9)
            server.world.core.scheduler.settle()
            with pytest.raises(StartTaskTimeout):
                created.wait(timeout=0.1)
            for _ in range(20):
                clock.advance(0.5)
                server.world.core.scheduler.settle()
            conversation = created.wait(timeout=PATIENCE)
            assert conversation.wait(timeout=PATIENCE) == "finished"


@both
def test_fails_cloning(api: Api) -> None:
    with playing("fails-cloning") as server:
        with OpenHands(server.url) as client:
            reason = "Cloning acme/secret failed" if api == "v1" else "is ERROR instead of RUNNING"
            with pytest.raises(StartTaskError, match=reason):
                client.conversations.create("Look", repository="acme/secret", api=api)
            conversation = client.conversations.create("Look", repository="acme/app", api=api)
            assert conversation.wait(timeout=PATIENCE) == "finished"


@both
@pytest.mark.parametrize("accept", [True, False])
def test_asks_for_confirmation(api: Api, accept: bool) -> None:
    with playing("asks-for-confirmation") as server:
        with OpenHands(server.url) as client:
            conversation = client.conversations.create("Delete build", api=api)
            assert "confirmation" in str(conversation.wait(timeout=PATIENCE))
            conversation.confirm(accept)
            assert conversation.wait(timeout=PATIENCE) == (
                "finished" if accept else "idle" if api == "v1" else "awaiting_user_input"
            )
            if not accept:
                conversation.send("Go on, then")
                conversation.wait(timeout=PATIENCE)
            texts = "\n".join([event.to_json() for event in conversation.history()])
            assert ("build is gone." in texts) is accept
            assert ("All right, build stays." in texts) is not accept


@both
def test_long_run(api: Api) -> None:
    with playing("long-run") as server:
        with OpenHands(server.url) as client:
            conversation = client.conversations.create("Build it all", api=api)
            seen = [event for event in conversation.events()]
            assert len(seen) > 5000
            assert len({event.id for event in seen}) == len(seen)
            last = "\n".join(event.to_json() for event in seen[-5:])
            assert "All 2500 steps are done." in last


@both
def test_flaky_sandbox(api: Api) -> None:
    with playing("flaky-sandbox") as server:
        with OpenHands(server.url) as client:
            for attempt in (1, 2):
                reason = f"attempt {attempt}" if api == "v1" else "is ERROR instead of RUNNING"
                with pytest.raises(StartTaskError, match=reason):
                    client.conversations.create("Try", api=api)
            conversation = client.conversations.create("Try", api=api)
            rests = [conversation.wait(timeout=PATIENCE)]
            for _ in range(2):
                conversation.send("Again")
                rests.append(conversation.wait(timeout=PATIENCE))
            assert rests == ["rate_limited" if api == "v0" else "error", "error", "finished"]
