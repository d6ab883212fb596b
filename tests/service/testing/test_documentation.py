"""The examples of docs/test-double.md work: the files in it are put in a directory, and pytest runs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from openhands_reference_server.cli import main

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[3] / "docs" / "test-double.md"
FILES = re.findall(r"^```(?:python|yaml)\n# ([\w-]+\.(?:py|yaml))\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def test_there_are_files_on_the_page() -> None:
    names = [name for name, _ in FILES]
    assert len(names) == len(set(names)) >= 6


def test_they_work(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    for name, content in FILES:
        pytester.path.joinpath(name).write_text(content)
    tests = sum(content.count("def test_") for _, content in FILES)
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis")
    result.assert_outcomes(passed=tests)


def test_the_users_of_the_page_can_be_served(tmp_path: Path) -> None:
    from openhands_reference_server.users.users_file import read_accounts

    (tmp_path / "users.yaml").write_text(dict(FILES)["users.yaml"])
    assert read_accounts(tmp_path / "users.yaml").users == ("alice", "bob")


def test_every_option_the_page_names_exists() -> None:
    known = CliRunner().invoke(main, ["serve", "--help"]).output
    named = set(re.findall(r"`(?:serve )?(--[a-z-]+)", PAGE.read_text()))
    assert named
    assert [option for option in sorted(named) if option not in known] == []
