"""Which agent server a request is for; and that there is no way to anything that was not announced."""

from __future__ import annotations

import json

import pytest

from openhands_contract.proxy.addresses import Addresses
from openhands_contract.proxy.origins import AgentServers, announces, origin_of
from openhands_contract.traffic import Request, Server

ONE, TWO = "0" * 31 + "1", "0" * 31 + "2"
DASHED = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def agents() -> AgentServers:
    known = AgentServers()
    known.announce(f"http://one:8001/api/conversations/{ONE}", "key-one")
    known.announce(f"http://two:8002/api/conversations/{TWO}", "key-two")
    return known


@pytest.mark.parametrize(
    ("target", "headers", "origin"),
    [
        ("/api/file/download//a", (("X-Session-API-Key", "key-one"),), "http://one:8001"),
        ("/api/file/download//a", (("x-session-api-key", "key-two"),), "http://two:8002"),
        ("/sockets/bash-events?session_api_key=key-one", (), "http://one:8001"),
        (f"/api/conversations/{DASHED}/run", (), "http://one:8001"),
        (f"/sockets/events/{ONE}?session_api_key=wrong", (), "http://one:8001"),
        (f"/socket.io/?EIO=4&conversation_id={ONE}", (), "http://one:8001"),
        ("/alive", (), "http://two:8002"),
    ],
)
def test_a_request_finds_its_agent_server(
    agents: AgentServers, target: str, headers: tuple[tuple[str, str], ...], origin: str
) -> None:
    assert agents.asked(target, headers) == origin


def test_without_an_announcement_there_is_none() -> None:
    assert AgentServers().asked("/alive", ()) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a:1/b?c", "http://a:1"),
        ("https://a", "https://a"),
        ("/api/conversations/1", None),
        ("ftp://a/b", None),
        ("http://user:password@a/b", None),
        ("http://[broken/", None),
        ("", None),
    ],
)
def test_only_plain_addresses_are_origins(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("path", "yes"),
    [
        ("/api/conversations", True),
        (f"/api/conversations/{ONE}", True),
        ("/api/v1/app-conversations", True),
        ("/api/v1/app-conversations/stream-start", True),
        ("/api/v1/sandboxes/search", True),
        (f"/api/conversations/{ONE}/events", False),
        (f"/api/conversations/{ONE}/trajectory", False),
        ("/api/v1/events/search", False),
        ("/api/settings", False),
    ],
)
def test_answers_that_quote_announce_nothing(path: str, yes: bool) -> None:
    assert announces(path) is yes


def rewritten(addresses: Addresses, path: str, body: object, server: Server = Server.APP) -> object:
    request = Request("GET", path, (("Host", "127.0.0.1:4000"),))
    return json.loads(addresses.rewriter(server, request).whole(json.dumps(body).encode()))


def test_an_announced_address_becomes_that_of_the_proxy() -> None:
    addresses = Addresses("http://app:3000", 4001)
    [answer] = rewritten(  # type: ignore[misc]  # it is what JSON is
        addresses,
        f"/api/v1/app-conversations?ids={ONE}",
        [{"conversation_url": f"http://agent:8001/ns/a/api/conversations/{ONE}"}],
    )
    assert answer == {"conversation_url": f"http://127.0.0.1:4001/ns/a/api/conversations/{ONE}"}
    assert addresses.agents.asked("/alive", ()) == "http://agent:8001"


def test_what_an_agent_says_opens_no_way() -> None:
    addresses = Addresses("http://app:3000", 4001)
    said = {"events": [{"args": {"conversation_url": "http://169.254.169.254/latest"}}]}
    assert rewritten(addresses, f"/api/conversations/{ONE}/events", said) == said
    assert rewritten(addresses, "/api/v1/app-conversations", said, Server.AGENT) == said
    assert not addresses.agents


def test_the_url_of_a_v0_conversation_is_one_only_when_it_is_absolute() -> None:
    addresses = Addresses("http://app:3000", 4001)
    relative = {"url": f"/api/conversations/{ONE}"}
    assert rewritten(addresses, f"/api/conversations/{ONE}", relative) == relative
    absolute = {"url": f"http://runtime:9/api/conversations/{ONE}"}
    assert rewritten(addresses, f"/api/conversations/{ONE}", absolute) == {
        "url": f"http://127.0.0.1:4001/api/conversations/{ONE}"
    }


def test_other_urls_of_a_sandbox_stay_as_they_are() -> None:
    addresses = Addresses("http://app:3000", 4001)
    urls = [{"name": "AGENT_SERVER", "url": "http://a:8001"}, {"name": "VSCODE", "url": "http://a:8002"}]
    assert rewritten(addresses, "/api/v1/sandboxes/search", urls) == [
        {"name": "AGENT_SERVER", "url": "http://127.0.0.1:4001"},
        {"name": "VSCODE", "url": "http://a:8002"},
    ]


def test_keys_lead_to_their_agent_server() -> None:
    addresses = Addresses("http://app:3000", 4001)
    for number, identifier in enumerate((ONE, TWO), start=1):
        url = f"http://agent:800{number}/api/conversations/{identifier}"
        addresses.agents.announce(url)
        told = [{"conversation_url": url, "session_api_key": f"key-{number}"}, None]
        addresses.agents.learn_keys(json.dumps(told).encode())
    assert (
        addresses.agents.asked("/api/git/changes/x", (("X-Session-API-Key", "key-1"),)) == "http://agent:8001"
    )
