"""The contract kit finds what is wrong with a broken server, and says so without giving keys away."""

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

from openhands_contract.cli import main
from openhands_contract.drive import Settings, Target, drive
from openhands_contract.report import (
    Failure,
    Operation,
    OperationResult,
    Redactor,
    Report,
    Verdict,
    as_text,
    write_junit,
)
from openhands_contract.runner import Profile, judge
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


def judged(fault: Fault) -> Report:
    with broken_server(fault) as url:
        return drive(Target("app-server", url, tags=("meta",)), Settings(examples=1, seed=1))


def titles(report: Report) -> set[str]:
    return {failure.title for result in report.results for failure in result.failures.values()}


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


def test_a_healthy_server_conforms() -> None:
    report = judged(healthy)
    assert report.verdict is Verdict.CONFORMS, "\n".join(as_text(report))
    assert {result.operation.id for result in report.results} == {"alive", "health", "serverInfo"}


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
def test_a_broken_server_fails(fault: Fault, title: str) -> None:
    report = judged(fault)
    assert report.verdict is Verdict.FAILED
    assert title in titles(report)
    text = "\n".join(as_text(report))
    assert "$ curl " in text
    assert "Repeat with --seed 1." in text


def judged_agent_server(distort: Callable[[dict[str, Any]], None]) -> Report:
    """Judge the reference server's agent server, which sees distorted requests."""
    with ReferenceServer() as server:
        application = create_agent_server(server.world)

        def distorted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            distort(environ)
            return application(environ, start_response)

        with serving(distorted) as agent_url:
            settings = Settings(examples=3, seed=1)
            ((report, _),) = judge(server.url, settings, profile=Profile.AGENT, agent_url=agent_url)
            return report


def test_an_agent_server_that_checks_no_keys_fails() -> None:
    keys: list[str] = []

    def bring_the_key(environ: dict[str, Any]) -> None:
        if key := environ.get("HTTP_X_SESSION_API_KEY"):
            keys.append(key)
        if keys:
            environ["HTTP_X_SESSION_API_KEY"] = keys[0]

    report = judged_agent_server(bring_the_key)
    assert report.verdict is Verdict.FAILED
    assert "API accepts requests without authentication" in titles(report)


def test_an_agent_server_that_checks_no_parameters_fails() -> None:
    def drop_the_query(environ: dict[str, Any]) -> None:
        environ["QUERY_STRING"] = ""

    report = judged_agent_server(drop_the_query)
    assert report.verdict is Verdict.FAILED
    failing = {result.operation.id for result in report.results if result.failures}
    assert failing >= {"searchEvents", "countEvents", "searchConversations", "countConversations"}
    assert "Schema-violating request accepted" in titles(report)


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
            arguments = ["--api-key", "the-key", "--profile", "agent", "--examples", "1", "--seed", "7"]
            result = invoke([server.url, *arguments, "--junit", str(junit)])
        assert result.exit_code == Verdict.CONFORMS, result.output
        assert "Seed 7" in result.output
        assert "agent-server: 38 operations" in result.output
        suite = ElementTree.parse(junit).getroot().find("testsuite")  # noqa: S314  # our own file
        assert suite is not None
        assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("agent-server", "38", "0")

    def test_a_failing_server_is_said_to_fail(self) -> None:
        with broken_server(answering_html) as url:
            result = invoke([url, "--profile", "v0", "--examples", "1"])
        assert result.exit_code == Verdict.FAILED
        assert "FAIL alive: Undocumented Content-Type" in result.output

    def test_what_could_not_run_is_in_the_junit_file_too(self, tmp_path: Path) -> None:
        junit = tmp_path / "junit.xml"
        invoke(["http://127.0.0.1:9", "--junit", str(junit)])
        error = ElementTree.parse(junit).getroot().find("testsuite/testcase/error")  # noqa: S314
        assert error is not None
        assert "no answer from http://127.0.0.1:9" in error.attrib["message"]


class TestReport:
    @staticmethod
    def failing(message: str) -> Report:
        result = OperationResult(Operation("alive", "GET", "/alive"), requests=1)
        result.add(Failure("Broken", message, "Answered 500", ["curl http://host/alive"]), "fuzzing")
        return Report("app-server", "http://host", 1, 50, [result])

    def test_keys_are_redacted(self) -> None:
        text = Redactor(["s3cret"])(
            's3cret {"session_api_key": "abc", "api_key":"def"} {\\"api_key\\": \\"ghi\\"}'
        )
        assert text == (
            '[redacted] {"session_api_key": "[redacted]", "api_key":"[redacted]"} '
            '{\\"api_key\\": \\"[redacted]\\"}'
        )

    def test_junit_holds_any_text_and_no_key(self, tmp_path: Path) -> None:
        path = tmp_path / "junit.xml"
        write_junit([self.failing("a\0b <s3cret>")], path, Redactor(["s3cret"]))
        failure = ElementTree.parse(path).getroot().find("testsuite/testcase/failure")  # noqa: S314
        assert failure is not None
        assert "a\\x00b <[redacted]>" in (failure.text or "")

    def test_failures_of_one_kind_are_told_once(self) -> None:
        report = self.failing("first")
        (result,) = report.results
        result.add(Failure("Broken", "second", "", []), "coverage")
        text = "\n".join(as_text(report))
        assert "FAIL alive: Broken (coverage, fuzzing; 2 times)" in text
        assert "first" in text
        assert "second" not in text

    def test_nothing_judged_is_not_conformance(self) -> None:
        assert Report("app-server", "http://host", 1, 50, []).verdict is Verdict.COULD_NOT_RUN

    def test_a_failure_outweighs_an_error(self) -> None:
        report = self.failing("x")
        report.errors.append("something else could not be judged")
        assert report.verdict is Verdict.FAILED
