"""What `/metrics` tells, in a text that Prometheus reads."""

from __future__ import annotations

import httpx

from openhands_reference_server import ReferenceServer


def test_requests_are_counted_by_operation_and_status() -> None:
    with ReferenceServer(session_api_key="key") as server:
        httpx.get(f"{server.url}/alive")
        httpx.get(f"{server.url}/alive")
        httpx.get(f"{server.url}/api/conversations")
        httpx.get(f"{server.url}/no/such/route")
        answer = httpx.get(f"{server.url}/metrics")
        agents = httpx.get(f"{server.agent_url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'openhands_requests_total{operation="alive",method="GET",status="200"} 2' in lines
    assert 'openhands_requests_total{operation="listConversations",method="GET",status="401"} 1' in lines
    assert any('operation="none"' in line and line.endswith(" 1") for line in lines)
    assert any(line.startswith('openhands_request_seconds_total{operation="alive"}') for line in lines)
    assert "key" not in answer.text
    assert "openhands_requests_total" in agents.text
