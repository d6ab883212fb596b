"""The command ``openhands-client``: conversations from a terminal. Needs the extra ``[cli]``."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

from openhands_client import Conversation, OpenHands, OpenHandsError

try:
    import click
    from rich.console import Console
    from rich.table import Column, Table
except ImportError:
    sys.exit("openhands-client needs its extra: pip install 'openhands-client[cli]'")

if TYPE_CHECKING:
    from openhands_client import models as m

P = ParamSpec("P")

out = Console(highlight=False, soft_wrap=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--base-url", metavar="URL", help="App server; else OPENHANDS_BASE_URL, else http://localhost:3000."
)
@click.option(
    "--api", type=click.Choice(["auto", "v1", "v0"]), default="auto", help="Insist on a generation."
)
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Longest silence in seconds.")
@click.version_option(package_name="openhands-client")
@click.pass_context
def main(
    context: click.Context, base_url: str | None, api: Literal["auto", "v1", "v0"], timeout: float
) -> None:
    """Talk to an OpenHands server.

    Keys come from the environment only: OPENHANDS_API_KEY, OPENHANDS_SESSION_API_KEY.
    """
    try:
        client = OpenHands(base_url, api=api, timeout=timeout)
    except (OpenHandsError, ValueError) as failure:
        raise click.UsageError(str(failure)) from failure
    context.obj = context.with_resource(client)


def command(function: Callable[Concatenate[OpenHands, P], None]) -> click.Command:
    """A subcommand whose first argument is the client, and whose failures are one line, not a traceback."""

    @functools.wraps(function)
    def guarded(client: OpenHands, *arguments: P.args, **options: P.kwargs) -> None:
        try:
            function(client, *arguments, **options)
        except OpenHandsError as failure:
            raise click.ClickException(str(failure)) from failure

    return main.command(function.__name__.rstrip("_"))(click.pass_obj(guarded))


as_json = click.option("--json", "raw", is_flag=True, help="One JSON document per line.")
conversation_id = click.argument("conversation_id")


@command
@click.argument("message", required=False)
@click.option("--repository", metavar="OWNER/NAME", help="A repository to work on; a clone URL will do.")
@click.option("--branch", help="Its branch.")
@click.option("--title", help="1 to 200 characters.")
@click.option("--instructions", help="What the agent should keep in mind.")
@click.option(
    "--start-timeout", type=float, default=600.0, show_default=True, help="Seconds until it must be up."
)
@click.option("--watch/--no-watch", default=True, help="Show events until the agent comes to rest.")
@as_json
def create(client: OpenHands, /, start_timeout: float, watch: bool, raw: bool, **order: Any) -> None:
    """Start a conversation, with MESSAGE for the agent."""
    say = Console(stderr=True, highlight=False)
    conversation = client.conversations.create(
        **order, timeout=start_timeout, on_progress=lambda task: say.print(f"  starting: {task.status}")
    )
    click.echo(conversation.id)
    if watch:
        show_events(conversation, raw, until="rest")


@command
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--repository", metavar="OWNER/NAME")
@as_json
def list_(client: OpenHands, limit: int, repository: str | None, raw: bool) -> None:
    """List conversations, newest first."""
    found = client.conversations.list(limit=limit, repository=repository)
    if raw:
        for conversation in found:
            click.echo(json.dumps(public(conversation)))
        return
    table = Table(Column("id", min_width=32), "generation", "status", "agent", "title", box=None)
    for one in found:
        table.add_row(one.id, one.version, one.status, one.agent_state or "", one.title or "")
    out.print(table if table.row_count else "There are no conversations.")


@command
@conversation_id
@as_json
def show(client: OpenHands, conversation_id: str, raw: bool) -> None:
    """Show one conversation."""
    facts = public(client.conversations.get(conversation_id).refresh())
    if raw:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            out.print(f"{name:>12}  {value if value is not None else ''}", markup=False)


@command
@conversation_id
@click.option("--follow", is_flag=True, help="Do not stop when the agent comes to rest.")
@click.option("--after", metavar="EVENT_ID", help="Only events after this one.")
@as_json
def events(client: OpenHands, conversation_id: str, follow: bool, after: str | None, raw: bool) -> None:
    """Show events: stored ones, then live ones."""
    until: Literal["rest", "forever"] = "forever" if follow else "rest"
    show_events(client.conversations.get(conversation_id), raw, until=until, after=after)


@command
@conversation_id
@click.argument("message")
@click.option("--watch/--no-watch", default=True, help="Show events until the agent comes to rest.")
@as_json
def send(client: OpenHands, conversation_id: str, message: str, watch: bool, raw: bool) -> None:
    """Send MESSAGE to the agent."""
    conversation = client.conversations.get(conversation_id)
    last = None
    for event in conversation.history():
        last = event.id
    conversation.send(message)
    if watch:
        show_events(conversation, raw, until="rest", after=last)


@command
@conversation_id
def start(client: OpenHands, conversation_id: str) -> None:
    """Bring a stopped conversation back."""
    click.echo(client.conversations.start(conversation_id).status)


@command
@conversation_id
def stop(client: OpenHands, conversation_id: str) -> None:
    """Stop a conversation; its history stays."""
    click.echo(client.conversations.stop(conversation_id).status)


@command
@conversation_id
def pause(client: OpenHands, conversation_id: str) -> None:
    """Pause the agent after the step it is at."""
    click.echo(client.conversations.pause(conversation_id).agent_state)


@command
@conversation_id
def resume(client: OpenHands, conversation_id: str) -> None:
    """Undo pause and stop."""
    click.echo(client.conversations.resume(conversation_id).status)


@command
@conversation_id
@click.argument("title")
def rename(client: OpenHands, conversation_id: str, title: str) -> None:
    """Give a conversation another title."""
    click.echo(client.conversations.rename(conversation_id, title).title)


@command
@conversation_id
@click.confirmation_option(prompt="Delete the conversation with its sandbox?")
def delete(client: OpenHands, conversation_id: str) -> None:
    """Delete a conversation with its sandbox."""
    if not client.conversations.delete(conversation_id):
        raise click.ClickException(f"there is no conversation {conversation_id}")


def show_events(
    conversation: Conversation,
    raw: bool,
    *,
    until: Literal["rest", "forever"],
    after: str | int | None = None,
) -> None:
    for event in conversation.events(until=until, after=after):
        click.echo(event.to_json() if raw else one_line(event))
    click.echo(f"The agent is at rest: {conversation.agent_state}", err=True)


def one_line(event: m.AnyEvent | m.V0Event) -> str:
    text = " ".join(str(event).split())
    width = max(40, out.width)
    return text if len(text) <= width else text[: width - 1] + "…"


def public(conversation: Conversation) -> dict[str, Any]:
    """What may be shown of a conversation: no keys."""
    info = conversation.info
    return {
        "id": conversation.id,
        "generation": conversation.version,
        "title": conversation.title,
        "status": conversation.status,
        "agent": conversation.agent_state,
        "repository": info.selected_repository,
        "branch": info.selected_branch,
        "created": info.created_at.isoformat() if info.created_at else None,
    }
