"""The app server: conversations of both generations, start tasks, events, sandboxes."""

from __future__ import annotations

from functools import partial
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from openhands_reference_server.dialects import Dialect
from openhands_reference_server.domain.identifiers import check_conversation_id
from openhands_reference_server.http import (
    app_conversation,
    app_conversations,
    events,
    feedback,
    meta,
    ownership,
    pending_messages,
    problems,
    sandboxes,
    settings,
    start_tasks,
    users,
    v0_contents,
    v0_conversations,
    v0_events,
    v0_workspace,
    webhooks,
)
from openhands_reference_server.http.access import Access, OpenAccess
from openhands_reference_server.http.addresses import AgentAddress
from openhands_reference_server.http.application import new_application, operation_id
from openhands_reference_server.http.ownership import IsForeign
from openhands_reference_server.http.runtimes import Runtimes
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World

_V0_PREFIX = "/api/conversations/"


def create_app_server(
    world: World,
    agent_server: AgentAddress,
    access: Access | None = None,
    runtimes: Runtimes | None = None,
    is_foreign: IsForeign | None = None,
) -> Flask:
    """Make the application.

    Args:
        world: what it serves.
        agent_server: where clients find the agent server.
        access: who may call it; everybody by default.
        runtimes: where V0 conversations live, if they have runtimes of their own.
        is_foreign: tells what belongs to other users, if there are any.
    """
    views = Views(
        agent_server,
        world.keys,
        world.live.connections,
        nested=runtimes is not None,
        dialect=world.dialect,
    )
    activity = meta.Activity()
    access = access or OpenAccess()

    def before() -> Response | None:
        operation = operation_id()
        if operation in meta.OPERATIONS:
            return None
        activity.note()
        at_runtime = runtimes is not None and runtimes.is_runtime(request)
        if operation in webhooks.OPERATIONS:
            return webhooks.refusal(world)
        if operation and not at_runtime and not access.allows(request):
            return problems.detail(401, "Unauthorized")
        sent = _conversation_id_sent()
        if sent is not None:
            _check_syntax(sent, operation, world.dialect)
        return None if runtimes is None else runtimes.problem(request, operation)

    app = new_application(
        "app-server",
        world.dialect,
        [
            meta.blueprint(world, activity, meta.resources),
            v0_conversations.blueprint(world, views),
            v0_contents.blueprint(world, views),
            v0_events.blueprint(world),
            v0_workspace.blueprint(world),
            feedback.blueprint(world),
            settings.blueprint(world),
            app_conversations.blueprint(world, views),
            app_conversation.blueprint(world, views),
            pending_messages.blueprint(world),
            start_tasks.blueprint(world, views),
            events.blueprint(world),
            sandboxes.blueprint(world, views),
            users.blueprint(world),
            webhooks.blueprint(world),
        ],
        domain_problem=problems.app_server_problem,
        rules=world.dialect.app_rules,
        before=before,
    )
    if is_foreign is not None:
        app.before_request(partial(ownership.refusal, is_foreign))
    return app


def _check_syntax(sent: str, operation: str, dialect: Dialect) -> None:
    """Look at an id where the dialect does; an encoded slash parts it elsewhere.

    Raises:
        InvalidIdentifier: it has the wrong syntax.
        NotFound: nothing is there.
    """
    if dialect.ids_checked_in is None:
        check_conversation_id(sent)
    elif "/" in sent:
        raise NotFound
    elif operation in dialect.ids_checked_in:
        check_conversation_id(sent)


def _conversation_id_sent() -> str | None:
    """The id in the path as the client wrote it: an encoded slash belongs to the id, not to the path."""
    raw = request.environ.get("RAW_URI") or request.path
    prefix, _, rest = urlsplit(raw).path.partition(_V0_PREFIX)
    return None if prefix or not rest else unquote(rest.partition("/")[0])
