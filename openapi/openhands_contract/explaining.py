"""Says what a requirement means and how it is tested: for people who have to make a server keep it."""

from __future__ import annotations

from collections.abc import Iterator

from openhands_contract.catalogue import Requirement
from openhands_contract.checks import load_all
from openhands_contract.documents import DIALECTS
from openhands_contract.generating.generated import REQUIREMENTS, failures_of
from openhands_contract.observing import OBSERVERS


def explain(requirement: Requirement) -> str:
    """The explanation, as plain text."""
    return "\n".join(_lines(requirement))


def how_it_is_tested(requirement: Requirement) -> list[str]:
    """What the kit does to test it, a sentence or two for each way."""
    stories = [check.story for check in load_all().get(requirement.id, [])]
    if any(observer.requirement == requirement.id for observer in OBSERVERS):
        watched = next(one for one in OBSERVERS if one.requirement == requirement.id)
        told = " ".join((watched.judge.__doc__ or "").split())
        stories.append(
            f"{told} It looks at every answer that the other checks and the generated requests get."
        )
    if requirement.id in REQUIREMENTS:
        kinds = ", ".join(failures_of(requirement.id))
        stories.append(
            "Schemathesis generates requests from the documents (examples, systematic coverage, fuzzing, sequences "
            f"along the links) and judges the answers; its findings {kinds} count here."
        )
    return stories


def _lines(requirement: Requirement) -> Iterator[str]:
    yield f"{requirement.id} ({requirement.level})"
    yield ""
    yield f"  {requirement.sentence}"
    yield ""
    yield f"Area      {requirement.area.title} ({requirement.area.name})"
    yield f"Source    {requirement.source}"
    yield f"Profiles  {', '.join(sorted(requirement.profiles))}"
    yield f"Dialects  {', '.join(dialect for dialect in DIALECTS if dialect in requirement.dialects)}"
    yield ""
    yield "How it is tested"
    for story in how_it_is_tested(requirement):
        yield f"  {story}"
    yield ""
    yield "Reproduce"
    yield f"  openhands-contract run URL --only {requirement.id}"
    yield "  A failure comes with the requests that show it, as curl lines, and with the seed that repeats the run."
