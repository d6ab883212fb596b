"""The catalogue says what it means: every requirement is tested, has a source that exists, and is documented."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from openhands_contract.catalogue import (
    Level,
    Profile,
    Requirement,
    UnknownRequirement,
    catalogue,
    select,
    withdrawn,
)
from openhands_contract.checks import load_all
from openhands_contract.cli import main
from openhands_contract.documents import DIALECTS, DocumentName, load
from openhands_contract.explaining import how_it_is_tested
from openhands_contract.generating.generated import REQUIREMENTS
from openhands_contract.observing import OBSERVERS
from scripts.requirements import TARGET, page

ALL = list(catalogue().values())
NAMES: dict[str, DocumentName] = {"app-server.yaml": "app-server", "agent-server.yaml": "agent-server"}


def named(requirement: Requirement) -> str:
    return requirement.id


def test_there_are_many() -> None:
    assert len(ALL) >= 120
    assert {requirement.level for requirement in ALL} == set(Level)


@pytest.mark.parametrize("requirement", ALL, ids=named)
def test_each_is_tested_and_says_how(requirement: Requirement) -> None:
    stories = how_it_is_tested(requirement)
    assert stories
    assert all(story.endswith(".") for story in stories), stories
    assert requirement.sentence.endswith(".")
    assert Profile.ALL not in requirement.profiles


@pytest.mark.parametrize("requirement", ALL, ids=named)
def test_each_has_a_source_that_exists(requirement: Requirement) -> None:
    file, _, place = requirement.source.partition("#")
    document = load(NAMES[file])
    if place == "info":
        assert document["info"]["description"]
    elif place.startswith("tag/"):
        assert place.removeprefix("tag/") in {tag["name"] for tag in document["tags"]}
    elif place.startswith("/"):
        node: Any = document
        for part in place.strip("/").split("/"):
            node = node[part]
    else:
        assert place in {
            operation["operationId"]
            for item in document["paths"].values()
            for name, operation in item.items()
            if name != "parameters"
        }


def test_nothing_is_tested_that_is_not_in_it() -> None:
    tested = {*load_all(), *REQUIREMENTS, *(observer.requirement for observer in OBSERVERS)}
    assert tested <= catalogue().keys()


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run python scripts/requirements.py"


def test_selections() -> None:
    assert len(select()) == len(ALL)
    assert {requirement.id for requirement in select(only=["v0-lifecycle-01,V0-ID-0*"])} >= {
        "V0-LIFECYCLE-01",
        "V0-ID-01",
    }
    assert all(Profile.AGENT in requirement.profiles for requirement in select(Profile.AGENT))
    with pytest.raises(UnknownRequirement, match="V9-NOTHING-01"):
        select(only=["V9-NOTHING-01"])


class TestCommands:
    def test_list_shows_those_of_an_area(self) -> None:
        result = CliRunner().invoke(main, ["list", "--area", "v0-lifecycle"])
        assert result.exit_code == 0
        assert "V0-LIFECYCLE-03" in result.output
        assert "V0-CREATE-01" not in result.output

    def test_list_for_programs(self) -> None:
        result = CliRunner().invoke(
            main, ["list", "--json", "--level", "SHOULD", "--dialect", "openhands-1.0"]
        )
        entries = json.loads(result.output)
        assert entries
        for entry in entries:
            assert entry["level"] == "SHOULD"
            assert "openhands-1.0" in entry["dialects"]
            assert set(entry["dialects"]) <= set(DIALECTS)

    def test_list_knows_its_areas(self) -> None:
        result = CliRunner().invoke(main, ["list", "--area", "weather"])
        assert result.exit_code == 2
        assert "v0-lifecycle" in result.output

    @pytest.mark.parametrize("identifier", ["V0-LIFECYCLE-03", "v0-document-01", "GEN-INPUT-01"])
    def test_explain_tells_all(self, identifier: str) -> None:
        result = CliRunner().invoke(main, ["explain", identifier])
        assert result.exit_code == 0
        requirement = catalogue()[identifier.upper()]
        for text in (
            requirement.sentence,
            requirement.source,
            "How it is tested",
            f"--only {requirement.id}",
        ):
            assert text in result.output

    @pytest.mark.parametrize("arguments", [["explain"], ["run", "http://localhost", "--only"]])
    def test_what_became_part_of_another_is_named(self, arguments: list[str]) -> None:
        for old, new in withdrawn().items():
            result = CliRunner().invoke(main, [*arguments, old.lower()])
            assert result.exit_code == 2
            assert f"{old} has become part of {new}" in " ".join(result.output.replace("│", " ").split())
            assert new in catalogue()

    def test_explain_refuses_what_there_is_not(self) -> None:
        result = CliRunner().invoke(main, ["explain", "V9-NOTHING-01"])
        assert result.exit_code == 2
        assert re.search(r"openhands-contract\s+list", result.output)
