"""Sandboxes: paused and resumed, with what that does to the conversations in them."""

from __future__ import annotations

import math

import httpx

from openhands_reference_server import AgentScript, ManualClock, Run

from .conftest import Api, eventually, serving, story


def test_a_running_sandbox_shows_its_key_and_its_address(api: Api) -> None:
    one = api.start_v1()
    [box, nothing] = api.ok("GET", "/api/v1/sandboxes", params={"id": [one.sandbox_id, "nope"]})
    port = int(api.server.agent_url.rpartition(":")[2])
    assert nothing is None
    assert box["exposed_urls"] == [{"name": "AGENT_SERVER", "url": api.server.agent_url, "port": port}]
    assert (box["status"], box["session_api_key"]) == ("RUNNING", one.key)


def test_pausing_hides_what_cannot_be_used_and_resuming_brings_it_back(api: Api) -> None:
    one = api.start_v1("hello")
    history = one.rest()
    before = api.info(one.id)
    for _ in range(2):
        assert api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause") == {"success": True}
    [box] = api.ok("GET", "/api/v1/sandboxes", params={"id": one.sandbox_id})
    assert (box["status"], box["session_api_key"], box["exposed_urls"]) == ("PAUSED", None, None)
    info = api.info(one.id)
    assert info["sandbox_status"] == "PAUSED"
    assert (info["execution_status"], info["conversation_url"], info["session_api_key"]) == (None, None, None)
    refused = one.request("GET")
    assert refused.status_code == 503
    assert "paused" in refused.json()["detail"]
    for _ in range(2):
        assert api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/resume") == {"success": True}
    assert api.info(one.id) == before
    assert one.events() == history


def test_an_agent_in_a_paused_sandbox_waits_and_goes_on() -> None:
    clock = ManualClock()
    script = AgentScript(acts=lambda *_: [Run("work", seconds=60)], stage_delay=0, step_delay=0)
    with serving(script=script, clock=clock) as api:
        one = api.start_v1("go")
        eventually(lambda: story(one.events())[-1] == "TerminalAction")
        api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
        clock.advance(120)
        assert api.server.world.core.scheduler.settle()
        api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/resume")
        assert (one.status, story(one.events())[-1]) == ("running", "TerminalAction")
        clock.advance(60)
        one.wait("finished")


def test_pausing_ends_the_wait_for_a_run() -> None:
    with serving(script=AgentScript(acts=lambda *_: [Run("work", seconds=math.inf)])) as api:
        one = api.start_v1("go")
        with httpx.Client(timeout=10) as client, one.stream() as stream:
            assert stream.next()["key"] == "full_state"
            api.ok("POST", f"/api/v1/sandboxes/{one.sandbox_id}/pause")
            url = f"{api.server.agent_url}/api/conversations/{one.id}/run"
            assert client.post(url, headers={"X-Session-API-Key": one.key}).status_code == 503


def test_listing_sandboxes(api: Api) -> None:
    boxes = [api.start_v1().sandbox_id for _ in range(5)]
    found, query = list[str](), {"limit": 2}
    while True:
        page = api.ok("GET", "/api/v1/sandboxes/search", params=query)
        found += [box["id"] for box in page["items"]]
        if page["next_page_id"] is None:
            break
        query["page_id"] = page["next_page_id"]
    assert found == boxes[::-1]
