"""The command `openhands-contract`."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

try:
    import click

    from openhands_contract.drive import Settings
    from openhands_contract.preparation import CannotRun
    from openhands_contract.report import Redactor, Report, Verdict, as_text, write_junit
    from openhands_contract.runner import Profile, judge
except ModuleNotFoundError as missing:
    sys.exit(f"openhands-contract needs {missing.name}: pip install 'openhands-client[contract]'")


@click.group()
@click.version_option(package_name="openhands-client")
def main() -> None:
    """Judge whether a server speaks the OpenHands conversation API."""


@main.command()
@click.argument("url")
@click.option("--agent-url", metavar="URL", help="The agent server, if it is not where the app server says.")
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    default=Profile.ALL.value,
    show_default=True,
    help="The part of the API to judge.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="OPENHANDS_SESSION_API_KEY",
    show_envvar=True,
    help="The key the app server wants.",
)
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Random requests per operation.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Repeat the random choices of an earlier run.")
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=64),
    default=1,
    show_default=True,
    help="Requests at the same time.",
)
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the result as JUnit XML to this file.",
)
def run(
    url: str,
    agent_url: str | None,
    profile: str,
    api_key: str | None,
    examples: int,
    seed: int | None,
    workers: int,
    junit: Path | None,
) -> None:
    """Judge the app server at URL, and the agent server behind it.

    Conversations are created on the server, and the run does not tidy up all of them: use one that may be
    filled with rubbish.

    Exit code 0: conforms. 1: does not. 2: could not run.
    """
    chosen_seed = secrets.randbits(32) if seed is None else seed
    settings = Settings(examples=examples, seed=chosen_seed, workers=workers)
    reports: list[Report] = []
    all_secrets: list[str] = []
    click.echo(f"Seed {chosen_seed}")
    try:
        for report, known_secrets in judge(
            url, settings, profile=Profile(profile), api_key=api_key, agent_url=agent_url
        ):
            reports.append(report)
            all_secrets += known_secrets
            _print(report, Redactor(all_secrets))
    except CannotRun as reason:
        click.echo(f"Could not run: {Redactor(all_secrets)(str(reason))}", err=True)
        reports.append(Report("openhands-contract", url, chosen_seed, examples, [], [str(reason)]))
    if junit is not None:
        write_junit(reports, junit, Redactor(all_secrets))
    sys.exit(_overall([report.verdict for report in reports]))


def _print(report: Report, redact: Redactor) -> None:
    for line in as_text(report):
        click.echo(redact(line))


def _overall(verdicts: list[Verdict]) -> Verdict:
    """A failure found is a failure, whatever else could not be judged."""
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return max(verdicts)
