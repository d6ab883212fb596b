"""The generating part of the kit, and its command, find what is wrong with a broken server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from openhands_contract.catalogue import Profile, select
from openhands_contract.cli import main
from openhands_contract.exchange import Exchange
from openhands_contract.generating.drive import (
    Driven,
    Failure,
    Operation,
    OperationResult,
    Settings,
    Target,
    drive,
)
from openhands_contract.judging import judge
from openhands_contract.lab.site import Site
from openhands_contract.outcome import Outcome, Verdict
from openhands_contract.reports import Report
from openhands_reference_server import ReferenceServer
from openhands_reference_server.http.agent_server import create_agent_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Fault = Callable[[Request, Response], Response]

HEALTHY: dict[str, Any] = {
    "/alive": {"status": "ok"},
    "/health": "OK",
    "/server_info": {"uptime": 1.0, "idle_time": 0.5, "resources": {}},
}


@contextmanager
def serving(application: WSGIApplication) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def broken_server(fault: Fault) -> AbstractContextManager[str]:
    """The meta operations of an app server, answered correctly but for the fault."""

    @Request.application
    def application(request: Request) -> Response:
        if request.path not in HEALTHY:
            answer = Response('{"detail":"Not Found"}', 404, content_type="application/json")
        elif request.method != "GET":
            answer = Response('{"detail":"Method Not Allowed"}', 405, content_type="application/json")
            answer.headers["Allow"] = "GET"
        else:
            answer = Response(json.dumps(HEALTHY[request.path]), content_type="application/json")
        return fault(request, answer)

    return serving(application)


class Uninterested:
    """A watcher that lets everything pass."""

    def before(self) -> None:
        return

    def between(self) -> None:
        return

    def spare(self, identifier: str) -> str | None:
        return None

    def after(self, exchange: Exchange) -> None:
        return

    def should_stop(self) -> bool:
        return False


def judged(fault: Fault) -> Driven:
    with broken_server(fault) as url:
        target = Target("app-server", url, tags=("meta",))
        return drive(target, Settings(examples=1, seed=1), Uninterested())


def titles(driven: Driven) -> set[str]:
    return {failure.title for result in driven.results for failure in result.failures.values()}


def healthy(request: Request, answer: Response) -> Response:
    return answer


def crashing(request: Request, answer: Response) -> Response:
    return Response('{"detail":"Internal Server Error"}', 500, content_type="application/json")


def answering_with_other_status(request: Request, answer: Response) -> Response:
    answer.status_code = 203
    return answer


def answering_html(request: Request, answer: Response) -> Response:
    answer.content_type = "text/html"
    return answer


def answering_other_fields(request: Request, answer: Response) -> Response:
    if request.path == "/alive" and request.method == "GET":
        answer.set_data('{"status":"maybe"}')
    return answer


def hiding_its_methods(request: Request, answer: Response) -> Response:
    answer.headers.pop("Allow", None)
    return answer


def taking_any_method(request: Request, answer: Response) -> Response:
    return Response(json.dumps(HEALTHY.get(request.path)), content_type="application/json")


def test_nothing_is_found_in_a_healthy_server() -> None:
    driven = judged(healthy)
    assert not driven.found_something, titles(driven)
    assert not driven.errors
    assert {result.operation.id for result in driven.results} == {"alive", "health", "serverInfo"}


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        (crashing, "Server error"),
        (answering_with_other_status, "Undocumented status code"),
        (answering_html, "Undocumented Content-Type"),
        (answering_other_fields, "Response violates schema"),
        (hiding_its_methods, "Wrong response to undeclared method"),
        (taking_any_method, "Wrong response to undeclared method"),
    ],
)
def test_what_is_broken_is_found(fault: Fault, title: str) -> None:
    driven = judged(fault)
    assert title in titles(driven)
    commands = [
        command
        for result in driven.results
        for failure in result.failures.values()
        for command in failure.commands
    ]
    assert all(command.startswith("curl ") for command in commands)


def judged_agent_server(distort: Callable[[dict[str, Any]], None]) -> Report:
    """Judge the reference server's agent server, which sees distorted requests, by what is generated."""
    with ReferenceServer() as server:
        application = create_agent_server(server.world)

        def distorted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            distort(environ)
            return application(environ, start_response)

        with serving(distorted) as agent_url:
            site = Site(server.url, agent_url, Profile.AGENT)
            return judge(site, select(Profile.AGENT, ["GEN-*"]), Settings(examples=2, seed=1))


def failed(report: Report) -> set[str]:
    return {result.requirement.id for result in report.failures}


def test_an_agent_server_that_checks_no_keys_fails() -> None:
    keys: list[str] = []

    def bring_the_key(environ: dict[str, Any]) -> None:
        if key := environ.get("HTTP_X_SESSION_API_KEY"):
            keys.append(key)
        if keys:
            environ["HTTP_X_SESSION_API_KEY"] = keys[0]

    report = judged_agent_server(bring_the_key)
    assert report.verdict is Verdict.FAILED
    assert "GEN-KEYS-01" in failed(report)


def test_an_agent_server_that_checks_no_parameters_fails() -> None:
    def drop_the_query(environ: dict[str, Any]) -> None:
        environ["QUERY_STRING"] = ""

    report = judged_agent_server(drop_the_query)
    assert report.verdict is Verdict.FAILED
    (result,) = [one for one in report.failures if one.requirement.id == "GEN-INPUT-01"]
    operations = {evidence.operation for evidence in result.evidence}
    assert operations >= {"searchEvents", "countEvents", "searchConversations", "countConversations"}


def invoke(arguments: Iterable[str]) -> Result:
    return CliRunner().invoke(main, ["run", *arguments], env={"OPENHANDS_SESSION_API_KEY": ""})


class TestCommand:
    def test_a_server_that_is_not_there_cannot_be_judged(self) -> None:
        result = invoke(["http://127.0.0.1:9"])
        assert result.exit_code == Verdict.COULD_NOT_RUN
        assert "http://127.0.0.1:9" in result.output
        assert "openhands-reference-server serve" in result.output

    def test_a_missing_key_is_asked_for(self) -> None:
        with ReferenceServer(session_api_key="the-key") as server:
            result = invoke([server.url])
        assert result.exit_code == Verdict.COULD_NOT_RUN
        assert "wants a key; give it with --api-key" in result.output

    def test_a_wrong_key_is_named_as_such_but_not_shown(self) -> None:
        with ReferenceServer(session_api_key="the-key") as server:
            result = invoke([server.url, "--api-key", "wrong-key"])
        assert result.exit_code == Verdict.COULD_NOT_RUN
        assert "wants another key" in result.output
        assert "wrong-key" not in result.output

    def test_a_conforming_server_is_said_to_conform(self, tmp_path: Path) -> None:
        junit = tmp_path / "junit.xml"
        with ReferenceServer(session_api_key="the-key") as server:
            arguments = ["--api-key", "the-key", "--only", "V0-LIFECYCLE-0*", "--seed", "7"]
            result = invoke([server.url, *arguments, "--junit", str(junit)])
        assert result.exit_code == Verdict.CONFORMS, result.output
        assert "Seed 7" in result.output
        assert "Conforms: 9 passed." in result.output
        suite = ElementTree.parse(junit).getroot().find("testsuite")  # noqa: S314  # our own file
        assert suite is not None
        assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("v0-lifecycle", "9", "0")

    def test_what_could_not_run_is_in_the_junit_file_too(self, tmp_path: Path) -> None:
        junit = tmp_path / "junit.xml"
        invoke(["http://127.0.0.1:9", "--junit", str(junit)])
        error = ElementTree.parse(junit).getroot().find("testsuite/testcase/error")  # noqa: S314
        assert error is not None
        assert "no answer from http://127.0.0.1:9" in error.attrib["message"]

    def test_a_requirement_that_does_not_exist_is_refused(self) -> None:
        result = invoke(["http://127.0.0.1:9", "--only", "V9-NOTHING-01"])
        assert result.exit_code == 2
        assert "openhands-contract list" in result.output


def test_failures_of_one_kind_are_told_once() -> None:
    result = OperationResult(Operation("alive", "GET", "/alive"))
    for message in ("first", "second"):
        result.add(Failure("Broken", "Broken", message, "", []), "fuzzing")
    (failure,) = result.failures.values()
    assert (failure.message, failure.times) == ("first", 2)


def test_nothing_judged_is_not_conformance() -> None:
    report = Report("http://host", "docs", Profile.ALL, 1, 1, "", 0.0)
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert report.counts[Outcome.PASSED] == 0
