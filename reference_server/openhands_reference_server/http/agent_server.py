"""The agent server: the conversations of a sandbox, with their events and their live stream.

In the real system every sandbox has its own; here one process plays them all, and the session key
of a request says which one it plays.
"""

from __future__ import annotations

from functools import partial

from flask import Flask, Response, request

from openhands_reference_server.http import (
    agent_bash,
    agent_conversations,
    agent_events,
    agent_files,
    agent_tools,
    meta,
    problems,
    sockets,
)
from openhands_reference_server.http.application import new_application, operation_id
from openhands_reference_server.http.session import KEY_HEADER, accept_key
from openhands_reference_server.world import World


def create_agent_server(world: World) -> Flask:
    """Make the application."""
    activity = meta.Activity()

    def before() -> Response | None:
        if not operation_id() or operation_id() in meta.OPERATIONS:
            return None
        activity.note()
        if request.url_rule is not None and request.url_rule.websocket:
            return sockets.refusal(world)
        if not accept_key(world, request.headers.get(KEY_HEADER, "")):
            return problems.detail(401, "Unauthorized")
        return None

    app = new_application(
        "agent-server",
        world.dialect,
        [
            meta.blueprint(
                world,
                activity,
                partial(meta.agent_server_identity, world.dialect),
                healthy=world.dialect.healthy,
                ready={"status": "ready"},
            ),
            agent_conversations.blueprint(world),
            agent_events.blueprint(world),
            agent_files.blueprint(world),
            agent_tools.blueprint(world),
            agent_bash.blueprint(world),
        ],
        domain_problem=problems.agent_server_problem,
        rules=world.dialect.agent_rules,
        before=before,
    )
    sockets.install(app, world)
    return app
