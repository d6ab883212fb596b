"""What the kit says of servers that are broken, hang, die or speak something else: a verdict, never a traceback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import jsonschema_rs
import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from openhands_contract.catalogue import Profile, catalogue, select
from openhands_contract.exchange import Exchange
from openhands_contract.generating.drive import Settings
from openhands_contract.judging import judge
from openhands_contract.lab.site import Site
from openhands_contract.outcome import CannotRun, Evidence, Outcome, Result, Skipped, Verdict, overall
from openhands_contract.redaction import Redactor
from openhands_contract.reports import Report, junit, machine, page
from openhands_reference_server import ReferenceServer

SETTINGS = Settings(examples=1, seed=1, workers=4)
LIFECYCLE = select(only=["V0-LIFECYCLE-*"])
Change = Callable[[Request, Response], Response]


@contextmanager
def in_front_of(server: ReferenceServer, change: Change) -> Iterator[str]:
    """A server that asks the reference server and changes what it answers."""
    with httpx.Client(base_url=server.url, trust_env=False) as upstream:

        @Request.application
        def passing(request: Request) -> Response:
            answer = upstream.request(
                request.method,
                request.full_path,
                content=request.get_data(),
                headers=[(n, v) for n, v in request.headers if n.lower() not in ("host", "content-length")],
            )
            kept = [
                (n, v)
                for n, v in answer.headers.items()
                if n.lower() in ("content-type", "allow", "retry-after")
            ]
            return change(request, Response(answer.content, answer.status_code, kept))

        http = make_server("127.0.0.1", 0, passing, threaded=True)
        thread = threading.Thread(target=lambda: http.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()
            http.server_close()


def failed(report: Report) -> set[str]:
    return {result.requirement.id for result in report.failures}


def judged(change: Change, only: list[str]) -> Report:
    with ReferenceServer() as server, in_front_of(server, change) as url:
        return judge(Site(url), select(only=only), SETTINGS)


def test_a_wrong_status_of_stop_is_found_and_named() -> None:
    def still_running(request: Request, answer: Response) -> Response:
        if request.path.endswith("/stop") and answer.status_code == 200:
            answer.set_data(answer.get_data().replace(b'"STOPPED"', b'"RUNNING"'))
        return answer

    report = judged(still_running, ["V0-LIFECYCLE-*"])
    assert report.verdict is Verdict.FAILED
    assert "V0-LIFECYCLE-03" in failed(report)
    assert not {"V0-LIFECYCLE-01", "V0-LIFECYCLE-07"} & failed(report)
    (result,) = [one for one in report.failures if one.requirement.id == "V0-LIFECYCLE-03"]
    (evidence,) = result.evidence
    assert evidence.request.startswith("curl ")
    assert evidence.request.endswith("/stop")
    assert "RUNNING" in evidence.answer


def test_a_missing_field_is_found_by_who_watches() -> None:
    def forgetful(request: Request, answer: Response) -> Response:
        if request.path.startswith("/api/conversations/") and b'"num_connections"' in answer.get_data():
            body = json.loads(answer.get_data())
            del body["num_connections"]
            answer.set_data(json.dumps(body))
        return answer

    report = judged(forgetful, ["V0-LIFECYCLE-01", "V0-DOCUMENT-01"])
    assert failed(report) == {"V0-DOCUMENT-01"}
    (result,) = report.failures
    assert {evidence.operation for evidence in result.evidence} == {"getConversation"}
    assert "num_connections" in result.evidence[0].found


def test_what_cannot_be_arranged_accuses_only_what_is_to_blame() -> None:
    def creates_nothing(request: Request, answer: Response) -> Response:
        if request.method == "POST" and request.path == "/api/conversations":
            return Response('{"detail":"Not today"}', 400, content_type="application/json")
        return answer

    report = judged(creates_nothing, ["V0-LIFECYCLE-*", "V0-CREATE-01"])
    assert failed(report) == {"V0-CREATE-01"}
    reasons = {result.reason for result in report.results if result.outcome is Outcome.NOT_REACHED}
    assert len(reasons) == 1
    assert "POST /api/conversations answered 400" in reasons.pop()


@contextmanager
def answering(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that listens, and treats each connection in its own way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()
        listener.settimeout(0.05)
        connections: list[socket.socket] = []

        def serve() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                connections.append(connection)
                behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join()
            for connection in connections:
                connection.close()


def hang(connection: socket.socket) -> None:
    """Say nothing."""


def talk_nonsense(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example.org ESMTP\r\n" * 100)
    connection.close()


def hang_up(connection: socket.socket) -> None:
    connection.close()


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")


@pytest.mark.parametrize("behave", [hang, talk_nonsense, hang_up, drip])
def test_what_is_no_server_cannot_be_judged(behave: Callable[[socket.socket], None]) -> None:
    with answering(behave) as url:
        report = judge(Site(url, timeout=0.5), LIFECYCLE, SETTINGS)
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert report.could_not_run
    assert url in report.could_not_run


def test_a_server_that_dies_stops_the_run_without_accusing_it() -> None:
    answers = 0

    def dying(request: Request, answer: Response) -> Response:
        nonlocal answers
        answers += 1
        if answers > 25:
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        return answer

    report = judged(dying, ["V0-LIFECYCLE-*"])
    outcomes = {result.outcome for result in report.results}
    assert Outcome.NOT_REACHED in outcomes
    assert Outcome.ENGINE_ERROR not in outcomes
    assert not report.failures
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert any("stopped answering" in note for note in report.notes)


def test_a_server_that_refuses_for_a_while_is_given_time() -> None:
    refused = 0

    def limiting(request: Request, answer: Response) -> Response:
        nonlocal refused
        if refused < 3:
            refused += 1
            body = '{"message":"Too many requests"}'
            return Response(body, 429, {"Retry-After": "0"}, content_type="application/json")
        return answer

    report = judged(limiting, ["V0-LIFECYCLE-01"])
    assert report.verdict is Verdict.CONFORMS
    assert any("429" in note for note in report.notes)


def test_a_server_that_wants_too_much_patience_cannot_be_judged() -> None:
    def refusing(request: Request, answer: Response) -> Response:
        return Response("{}", 429, {"Retry-After": "3600"}, content_type="application/json")

    report = judged(refusing, ["V0-LIFECYCLE-01"])
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert "3600" in str(report.could_not_run)


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "null", "[" * 100_000, '{"id": "\\ud800"}'])
def test_what_answers_everything_alike_is_some_other_server(body: str) -> None:
    def other(request: Request, answer: Response) -> Response:
        return Response(body, content_type="application/json")

    report = judged(other, ["V0-LIFECYCLE-01"])
    assert report.verdict is Verdict.COULD_NOT_RUN
    assert "whatever is asked" in str(report.could_not_run)


def test_data_that_cannot_be_used_is_not_the_fault_of_the_kit() -> None:
    def without_ids(request: Request, answer: Response) -> Response:
        if request.path == "/api/v1/app-conversations" and request.method == "GET":
            found = [one and {**one, "id": None, "session_api_key": 5} for one in answer.json or []]
            return Response(json.dumps(found), content_type="application/json")
        return answer

    report = judged(without_ids, ["V1-START-21", "AGENT-EVENTS-01"])
    assert {result.outcome for result in report.results} == {Outcome.NOT_REACHED}


def test_agent_servers_elsewhere_are_not_asked() -> None:
    site = Site("http://localhost:3000")
    assert site.agent_origin("http://127.0.0.1:8000/api/conversations/x") == "http://127.0.0.1:8000"
    assert site.agent_origin("http://localhost:8000/ns/a/api/conversations/x") == "http://localhost:8000/ns/a"
    for elsewhere in ("http://example.org/api/conversations/x", "ftp://localhost/api/conversations/x"):
        with pytest.raises(Skipped, match="--agent-url"):
            site.agent_origin(elsewhere)
    given = Site("http://localhost:3000", "http://agents.example.org/")
    assert (
        given.agent_origin("http://elsewhere.example.org/api/conversations/x") == "http://agents.example.org"
    )
    with pytest.raises(CannotRun, match="http://"):
        Site("localhost:3000")


def test_nothing_is_left_behind() -> None:
    with ReferenceServer() as server:
        requirements = select(only=["V1-START-0*", "V0-CREATE-*", "SECRETS-*", "AGENT-CONV-15"])
        report = judge(Site(server.url), requirements, SETTINGS)
        assert report.verdict is Verdict.CONFORMS
        assert not report.notes
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            assert client.get("/api/conversations").json()["results"] == []
            assert client.get("/api/v1/app-conversations/count").json() == 0
            assert client.get("/api/v1/sandboxes/search").json()["items"] == []
            assert client.get("/api/secrets").json()["custom_secrets"] == []


def test_what_was_there_before_is_left_alone() -> None:
    with ReferenceServer() as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        ours = client.post("/api/conversations", json={"initial_user_msg": "Keep me"}).json()[
            "conversation_id"
        ]
        judge(Site(server.url, profile=Profile.V0), select(only=["GEN-RESOURCES-*"]), SETTINGS)
        found = client.get(f"/api/conversations/{ours}").json()
    assert found["conversation_id"] == ours
    assert found["title"] != ""


KEY = "sk-0123456789abcdef"


def a_report() -> Report:
    redact = Redactor()
    redact.learn(KEY, "$OPENHANDS_API_KEY")
    requirement = catalogue()["V0-LIFECYCLE-03"]
    exchange = Exchange(
        "app-server",
        "POST",
        "http://host/api/conversations/x/stop",
        request_headers={"x-session-api-key": KEY},
        request_body=b'{"a": "<b>\\u0000"}',
        status=200,
        headers={"content-type": "application/json"},
        body=b'{"session_api_key": "another-secret", "x": "\0</script>"}',
    )
    evidence = Evidence(f"STOPPED, not {KEY}", "RUNNING", exchange.as_curl(), exchange.answer_text())
    results = [
        Result(requirement, Outcome.FAILED, evidence=(evidence,), seconds=0.1, judged=1),
        Result(catalogue()["V0-LIFECYCLE-04"], Outcome.PASSED, judged=1),
        Result(catalogue()["V0-LIFECYCLE-05"], Outcome.SKIPPED, f"because of {KEY}"),
        Result(catalogue()["V0-LIFECYCLE-06"], Outcome.NOT_REACHED, "it died"),
        Result(catalogue()["V0-LIFECYCLE-07"], Outcome.ENGINE_ERROR, "ours"),
    ]
    started = "2026-11-21T00:00:00+00:00"
    return Report("http://host", "docs", Profile.ALL, 7, 20, started, 1.5, results, redact=redact)


class TestReports:
    def test_json_keeps_to_its_schema(self, tmp_path: Path) -> None:
        machine.write(a_report(), tmp_path / "report.json")
        data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        schema = json.loads(machine.SCHEMA_PATH.read_text(encoding="utf-8"))
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(data)
        assert data["exit_code"] == 1
        assert [result["outcome"] for result in data["results"]][:2] == ["failed", "passed"]

    def test_a_run_that_could_not_be_is_described_by_the_schema_too(self) -> None:
        empty = Report(
            "http://host", "docs", Profile.ALL, 1, 1, "2026-11-21T00:00:00Z", 0.0, could_not_run="gone"
        )
        schema = json.loads(machine.SCHEMA_PATH.read_text(encoding="utf-8"))
        jsonschema_rs.Draft202012Validator(schema).validate(machine.as_data(empty))

    def test_junit_has_a_case_per_requirement(self, tmp_path: Path) -> None:
        junit.write(a_report(), tmp_path / "junit.xml")
        suite = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testsuite")  # noqa: S314  # our own file
        assert suite is not None
        counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
        assert counts == {"tests": "5", "failures": "1", "errors": "2", "skipped": "1"}

    def test_the_page_needs_nothing_else(self, tmp_path: Path) -> None:
        text = page.render(a_report())
        for resource in ("<script", "<link", "<img", "src=", "@import", "url("):
            assert resource not in text.replace("&lt;", "")
        assert "V0-LIFECYCLE-03" in text
        assert "&lt;/script&gt;" in text

    @pytest.mark.parametrize("writer", [junit, machine, page])
    def test_no_key_is_told(self, writer: Any, tmp_path: Path) -> None:
        writer.write(a_report(), tmp_path / "report")
        text = (tmp_path / "report").read_text(encoding="utf-8")
        assert KEY not in text
        assert "another-secret" not in text
        assert "$OPENHANDS_API_KEY" in text

    def test_only_what_binds_decides(self) -> None:
        must, should = catalogue()["V0-LIFECYCLE-01"], catalogue()["HTTP-METHODS-03"]
        passed = Result(must, Outcome.PASSED)
        assert overall([passed, Result(should, Outcome.FAILED)]) is Verdict.CONFORMS
        assert overall([passed, Result(must, Outcome.NOT_REACHED)]) is Verdict.COULD_NOT_RUN
        assert overall([Result(must, Outcome.FAILED), Result(must, Outcome.NOT_REACHED)]) is Verdict.FAILED
        assert overall([Result(must, Outcome.SKIPPED)]) is Verdict.COULD_NOT_RUN
        assert overall([]) is Verdict.COULD_NOT_RUN
