"""Tools of agents, editors beside them, and commands."""

from __future__ import annotations

from http import HTTPStatus

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Bench


@checks("AGENT-TOOLS-01")
def tools(bench: Bench) -> None:
    """Lists the tools."""
    answer = bench.v1.agent(bench.v1.shared()).get("/api/tools/").must(200)
    names = answer.json
    answer.expect(
        isinstance(names, list) and names and all(isinstance(n, str) for n in names), "a list of names", names
    )


@checks("AGENT-TOOLS-02")
def editors(bench: Bench) -> None:
    """Compares the editor's status with the answer to the question where it is."""
    agent = bench.v1.agent(bench.v1.shared())
    enabled = agent.get("/api/vscode/status").must(200).pick("enabled")
    agent.get("/api/vscode/url").must(200 if enabled else 503)
    agent.get("/api/desktop/url").must(200, 503)


@checks("AGENT-BASH-01")
def commands(bench: Bench) -> None:
    """Runs a command that prints something and fails."""
    agent = bench.v1.agent(bench.v1.workshop())
    answer = agent.post("/api/bash/execute_bash_command", {"command": "echo hello; exit 3"}).must(200, 403)
    if answer.status == HTTPStatus.FORBIDDEN:
        answer.expect(answer.pick("detail"), "`detail` says why")
        return
    answer.has(exit_code=3)
    answer.expect(answer.pick("stdout").strip() == "hello", "it has printed hello", answer.pick("stdout"))
