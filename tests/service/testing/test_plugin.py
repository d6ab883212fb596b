"""The pytest plugin as its users have it: installed, in pytest runs of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SCENARIOS = Path(__file__).parents[3] / "examples" / "scenarios"
CLEAN = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-W", "error")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory for a suite; its settings are its own, and so are its workers."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    return pytester


def test_a_test_has_a_server_and_clients(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENHANDS_API_KEY", "somebody's key, which no test may send anywhere")
    suite.makepyfile("""
        import os
        from openhands_client import OpenHands

        def test_sync(openhands_client, openhands_server):
            conversation = openhands_client.conversations.create("hello")
            assert conversation.wait(timeout=30) == "finished"
            assert os.environ["OPENHANDS_BASE_URL"] == openhands_server.url
            assert "OPENHANDS_API_KEY" not in os.environ

        def test_code_that_makes_its_own_client(openhands_server):
            with OpenHands() as client:
                assert list(client.conversations.list()) == []

        async def test_async(async_openhands_client):
            conversation = await async_openhands_client.conversations.create("hello", api="v0")
            assert await conversation.wait(timeout=30) == "finished"

        class TestInAClass:
            async def test_async(self, async_openhands_client, tmp_path):
                assert await async_openhands_client.alive()
    """)
    suite.runpytest_subprocess(*CLEAN).assert_outcomes(passed=4)


def test_tests_see_nothing_of_each_other_on_several_workers(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import pytest

        @pytest.mark.parametrize("number", range(12))
        def test_alone(openhands_client, number):
            openhands_client.conversations.create(f"number {number}")
            [only] = openhands_client.conversations.list()
            assert only.title == f"number {number}"
    """)
    suite.runpytest_subprocess(*CLEAN, "-n", "2").assert_outcomes(passed=12)


def test_a_test_chooses_its_scenario(suite: pytest.Pytester) -> None:
    suite.path.joinpath("mine.yaml").write_text("turns:\n  - steps: [finish: from the file]\n")
    suite.makepyfile(f"""
        import pytest

        def last_words(client):
            conversation = client.conversations.create("hello", api="v1")
            conversation.wait(timeout=30)
            return "".join(event.to_json() for event in conversation.history())

        @pytest.mark.openhands_scenario("mine.yaml")
        def test_a_file_beside_the_test(openhands_client):
            assert "from the file" in last_words(openhands_client)

        @pytest.mark.openhands_scenario(\"\"\"
        turns:
          - steps: [finish: from the text]
        \"\"\")
        def test_text(openhands_client):
            assert "from the text" in last_words(openhands_client)

        @pytest.mark.parametrize("openhands_scenario", [{{"turns": [{{"steps": [{{"finish": "from data"}}]}}]}}])
        def test_a_parameter(openhands_client):
            assert "from data" in last_words(openhands_client)

        @pytest.mark.openhands_scenario({str(SCENARIOS / "fails-cloning.yaml")!r})
        def test_a_full_path(openhands_client):
            assert "The repository is here" in last_words(openhands_client)

        class TestWithAFixture:
            @pytest.fixture
            def openhands_scenario(self):
                return {{"turns": [{{"steps": [{{"finish": "from the fixture"}}]}}]}}

            def test_it(self, openhands_client):
                assert "from the fixture" in last_words(openhands_client)
    """)
    suite.runpytest_subprocess(*CLEAN).assert_outcomes(passed=5)


def test_a_bad_scenario_is_an_error_that_says_why(suite: pytest.Pytester) -> None:
    suite.path.joinpath("bad.yaml").write_text("turns:\n  - steps: [finsh: x]\n")
    suite.makepyfile("""
        import pytest

        @pytest.mark.openhands_scenario("bad.yaml")
        def test_it(openhands_client):
            pass
    """)
    result = suite.runpytest_subprocess(*CLEAN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*bad.yaml, line 2: *finsh: unknown kind of step; did you mean 'finish'?*"])


def test_a_test_chooses_what_its_server_is(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import httpx
        import pytest

        pytestmark = pytest.mark.openhands_server(session_api_key="outer")

        @pytest.mark.openhands_server(session_api_key="inner")
        def test_it(openhands_server, openhands_client):
            assert httpx.get(openhands_server.url + "/api/conversations").status_code == 401
            headers = {"X-Session-API-Key": "inner"}
            assert httpx.get(openhands_server.url + "/api/conversations", headers=headers).status_code == 200
            assert list(openhands_client.conversations.list()) == []
    """)
    suite.runpytest_subprocess(*CLEAN).assert_outcomes(passed=1)


def test_a_marker_that_makes_no_sense_is_an_error(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import pytest

        @pytest.mark.openhands_scenario()
        def test_nothing(openhands_client):
            pass

        @pytest.mark.openhands_scenario("a", "b")
        def test_too_much(openhands_client):
            pass

        @pytest.mark.openhands_server("a")
        def test_no_name(openhands_client):
            pass
    """)
    result = suite.runpytest_subprocess(*CLEAN)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        ["*@pytest.mark.openhands_scenario takes one*", "*@pytest.mark.openhands_server*"]
    )


def test_anyio_runs_async_tests_where_it_is_asked_to(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_async(async_openhands_client):
            assert await async_openhands_client.alive()
    """)
    suite.runpytest_subprocess(*CLEAN).assert_outcomes(passed=1)


def test_who_uses_no_fixture_pays_nothing(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import sys

        def test_it():
            of_ours = {name for name in sys.modules if name.startswith("openhands")}
            assert of_ours == {
                "openhands_testing", "openhands_testing.plugin",  # names the fixtures
                "openhands_contract", "openhands_contract.pytest_options",  # names the options
            }
            assert not {"flask", "yaml"} & set(sys.modules)
    """)
    suite.runpytest_subprocess(*CLEAN).assert_outcomes(passed=1)


def test_the_plugin_can_be_left_out(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        def test_it(request):
            assert not request.config.pluginmanager.has_plugin("openhands")

        def test_no_such_fixture(openhands_client):
            pass
    """)
    suite.runpytest_subprocess(*CLEAN, "-p", "no:openhands").assert_outcomes(passed=1, errors=1)


def test_importing_the_client_imports_no_plugin() -> None:
    code = (
        "import sys, openhands_client; assert not {'pytest', 'openhands_testing', 'respx'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
