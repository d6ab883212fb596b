"""What all dialects have in common: how one is chosen, and that a server shows which one it speaks."""

from __future__ import annotations

import httpx
import pytest

from openhands_contract import documents
from openhands_contract.documents import Dialect
from openhands_reference_server import ReferenceServer

from .commands import run, served
from .conftest import serving

each_dialect = pytest.mark.parametrize("dialect", documents.DIALECTS)


@each_dialect
def test_both_servers_show_the_document_of_the_dialect(dialect: Dialect) -> None:
    with ReferenceServer(dialect=dialect) as server:
        app, agent = server.url, server.agent_url
        assert httpx.get(f"{app}/openapi.json").json() == documents.load("app-server", dialect)
        assert httpx.get(f"{agent}/openapi.json").json() == documents.load("agent-server", dialect)
        assert documents.load("app-server", dialect)["info"]["title"] in httpx.get(f"{app}/docs").text


@each_dialect
def test_an_operation_that_the_document_lacks_is_no_route(dialect: Dialect) -> None:
    described = documents.load("app-server", dialect)["paths"]
    with serving(dialect=dialect) as api:
        for path in documents.load("app-server")["paths"].keys() - described.keys():
            answer = api.app.request("GET", path.replace("{", "").replace("}", ""))
            assert answer.status_code in (404, 405), path


def test_serve_takes_a_dialect() -> None:
    with served("--dialect", "openhands-1.11") as server:
        assert any(line.split() == ["dialect", "openhands-1.11"] for line in server.banner)
        assert httpx.get(f"{server.url}/api/conversations").json() == {"detail": "Not Found"}


def test_an_unknown_dialect_is_refused() -> None:
    refused = run("--dialect", "klingon")
    assert refused.returncode == 2
    assert "'docs', 'openhands-1.0', 'openhands-1.11'" in refused.stderr
    with pytest.raises(ValueError, match="choose one of docs"):
        ReferenceServer(dialect="klingon")  # type: ignore[arg-type]  # that is the point
