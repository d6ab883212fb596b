"""The command `openhands-contract`."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import click
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from openhands_contract.catalogue import (
        Level,
        Profile,
        Requirement,
        UnknownRequirement,
        catalogue,
        select,
        unknown,
    )
    from openhands_contract.documents import DIALECTS, Dialect
    from openhands_contract.executor import told_briefly
    from openhands_contract.explaining import explain as explained
    from openhands_contract.generating.drive import Settings
    from openhands_contract.judging import judge
    from openhands_contract.lab.site import Site
    from openhands_contract.outcome import CannotRun, Outcome, Result, Verdict
    from openhands_contract.proxy.command import command as proxy_command
    from openhands_contract.reports import Report, junit, machine, page, terminal
except ModuleNotFoundError as missing:
    sys.exit(f"openhands-contract needs {missing.name}: pip install 'openhands-client[contract]'")

# Enough to find what an odd request breaks, and little enough for a run of two minutes.
DEFAULT_EXAMPLES = 20
DEFAULT_WORKERS = 4
_WIDTH = 140
_FILE = click.Path(dir_okay=False, writable=True, path_type=Path)
_PROFILE = click.Choice([profile.value for profile in Profile])


@click.group()
@click.version_option(package_name="openhands-client")
def main() -> None:
    """Judge whether a server speaks the OpenHands conversation API."""


main.add_command(proxy_command)


@main.command()
@click.argument("url")
@click.option("--agent-url", metavar="URL", help="The agent server, if it is not where the app server says.")
@click.option(
    "--profile", type=_PROFILE, default=Profile.ALL.value, show_default=True, help="The part of the API."
)
@click.option(
    "--dialect",
    type=click.Choice(DIALECTS),
    default="docs",
    show_default=True,
    help="In whose words: those of the documents, or those of a real server's line.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar=["OPENHANDS_API_KEY", "OPENHANDS_SESSION_API_KEY"],
    show_envvar=True,
    help="The key the app server wants; sent as X-Session-API-Key, or as a bearer token where that is wanted.",
)
@click.option(
    "--second-api-key",
    metavar="KEY",
    envvar="OPENHANDS_SECOND_API_KEY",
    show_envvar=True,
    help="The key of another user, to see that users are kept apart.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=DEFAULT_EXAMPLES,
    show_default=True,
    help="Generated requests per operation.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Repeat the random choices of an earlier run.")
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=64),
    default=DEFAULT_WORKERS,
    show_default=True,
    help="Areas that are checked at the same time.",
)
@click.option(
    "--only", metavar="ID", multiple=True, help="Only this requirement, or those like V0-*; repeatable."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="Seconds an answer may take.",
)
@click.option("--junit", "junit_file", type=_FILE, metavar="FILE", help="Also write JUnit XML.")
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Also write one HTML page.")
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Also write JSON.")
def run(
    url: str,
    agent_url: str | None,
    profile: str,
    dialect: Dialect,
    api_key: str | None,
    second_api_key: str | None,
    examples: int,
    seed: int | None,
    workers: int,
    only: Sequence[str],
    timeout: float,
    junit_file: Path | None,
    html_file: Path | None,
    json_file: Path | None,
) -> None:
    """Judge the app server at URL, and the agent servers behind it.

    Conversations are created on the server and deleted at the end; nothing else is changed. Requests go to the
    given hosts only.

    Exit code 0: conforms. 1: a MUST failed. 2: could not run, or not everything that counts could be judged.

    Ctrl-C ends a run early; what it has made is deleted, and what was judged until then is reported.
    """
    chosen_seed = secrets.randbits(32) if seed is None else seed
    settings = Settings(examples=examples, seed=chosen_seed, workers=workers)
    try:
        requirements = select(Profile(profile), only)
        site = Site(url, agent_url, Profile(profile), dialect, api_key, second_api_key, timeout)
    except UnknownRequirement as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    except CannotRun as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    console = _console()
    console.print(f"Seed {chosen_seed}, {len(requirements)} requirements, dialect {dialect}")
    try:
        report = judge(site, requirements, settings, told=_progress(len(requirements)), partial=bool(only))
    except (
        KeyboardInterrupt
    ):  # again, while the first one was being heeded; click would say 1, as of a failure
        console.print("Interrupted again: nothing is reported, and things may be left on the server.")
        sys.exit(Verdict.COULD_NOT_RUN)
    except Exception as error:  # noqa: BLE001  # whatever it is, the kit is at fault and has no verdict
        console.print(f"The kit itself broke, which says nothing about the server: {told_briefly(error)}")
        sys.exit(Verdict.COULD_NOT_RUN)
    terminal.show(report, console)
    for writer, file in ((junit, junit_file), (page, html_file), (machine, json_file)):
        if file is not None:
            writer.write(report, file)
    sys.exit(report.verdict)


@main.command(name="list")
@click.option("--profile", type=_PROFILE, default=Profile.ALL.value, help="Only those of a part of the API.")
@click.option(
    "--level", type=click.Choice([level.value for level in Level], case_sensitive=False), help="Only these."
)
@click.option("--area", help="Only those of an area.")
@click.option("--dialect", type=click.Choice(DIALECTS), help="Only those that hold in a dialect.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_requirements(
    profile: str, level: str | None, area: str | None, dialect: Dialect | None, as_json: bool
) -> None:
    """List the requirements."""
    areas = {requirement.area.name for requirement in catalogue().values()}
    if area is not None and area not in areas:
        raise click.BadParameter(f"choose one of {', '.join(sorted(areas))}", param_hint="--area")
    chosen = [
        requirement
        for requirement in select(Profile(profile))
        if (level is None or requirement.level == level)
        and (area is None or requirement.area.name == area)
        and (dialect is None or dialect in requirement.dialects)
    ]
    if as_json:
        click.echo(json.dumps([_as_data(requirement) for requirement in chosen], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Requirement", "Level", "Area", "Profiles"):
        table.add_column(name, no_wrap=True)
    table.add_column("Sentence", overflow="fold")
    for requirement in chosen:
        profiles = ",".join(sorted(requirement.profiles))
        table.add_row(
            requirement.id, requirement.level, requirement.area.name, profiles, Text(requirement.sentence)
        )
    console = _console()
    console.print(table)
    console.print(f"{len(chosen)} requirements")


@main.command()
@click.argument("requirement_id", metavar="ID")
def explain(requirement_id: str) -> None:
    """Explain a requirement: what it says, where that is written, and how it is tested."""
    requirement = catalogue().get(requirement_id.upper())
    if requirement is None:
        raise click.BadParameter(unknown(requirement_id), param_hint="ID")
    click.echo(explained(requirement))


def _as_data(requirement: Requirement) -> dict[str, object]:
    return {
        "id": requirement.id,
        "area": requirement.area.name,
        "level": requirement.level,
        "sentence": requirement.sentence,
        "source": requirement.source,
        "profiles": sorted(requirement.profiles),
        "dialects": [dialect for dialect in DIALECTS if dialect in requirement.dialects],
    }


def _console() -> Console:
    """Standard output; wide enough for sentences where it is no terminal."""
    width = None if sys.stdout.isatty() else _WIDTH
    return Console(highlight=False, markup=False, width=width)


class _Progress:
    """A line on the terminal that says how far the run is; silent where nobody watches."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._failed = 0
        self._console = Console(stderr=True, highlight=False)

    def __call__(self, result: Result) -> None:
        self._done += 1
        self._failed += result.outcome is Outcome.FAILED
        if self._console.is_terminal:
            line = f"{self._done} of {self._total} judged, {self._failed} failed: {result.requirement.id}"
            self._console.print(line.ljust(78)[:78], end="\r")


def _progress(total: int) -> _Progress:
    return _Progress(total)


__all__ = ["Report", "Verdict", "main"]
