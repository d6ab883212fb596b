"""Tag `conversations` of the agent server: find and start conversations, and ask something of their agents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from flask import Blueprint, Response

from openhands_reference_server.domain import v1
from openhands_reference_server.domain.v1 import V1Conversation
from openhands_reference_server.http.answers import SUCCESS, asked, caller_waits, json_answer
from openhands_reference_server.http.session import conversation_of_key, running_sandbox
from openhands_reference_server.http.views import agent_conversation
from openhands_reference_server.world import World

Shown: TypeAlias = Callable[[V1Conversation], dict[str, Any]]
"""Renders a conversation as the agent server shows it."""

_ALL = "/api/conversations"
_ONE = f"{_ALL}/<not_search:conversation_id>"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("conversations", __name__)
    shown = partial(agent_conversation, dialect=world.dialect)
    _add_finding(routes, world, shown)
    _add_changing(routes, world, shown)
    _add_asking(routes, world)
    _add_goals(routes, world)
    return routes


def _add_finding(routes: Blueprint, world: World, shown: Shown) -> None:
    @routes.get(f"{_ALL}/search", endpoint="searchConversations")
    def search() -> Response:
        query = asked().query
        page, next_page_id = world.agents.search(
            running_sandbox(world),
            status=query["status"],
            sort_order=query["sort_order"],
            page_id=query["page_id"],
            limit=query["limit"],
        )
        return json_answer({"items": [shown(one) for one in page], "next_page_id": next_page_id})

    @routes.get(f"{_ALL}/count", endpoint="countConversations")
    def count() -> Response:
        return json_answer(world.agents.count(running_sandbox(world), status=asked().query["status"]))

    @routes.get(_ALL, endpoint="batchGetConversations")
    def batch_get() -> Response:
        found = world.agents.batch_get(running_sandbox(world), asked().query["ids"])
        return json_answer([one and shown(one) for one in found])

    @routes.get(_ONE, endpoint="getConversation")
    def get(conversation_id: str) -> Response:
        return json_answer(shown(conversation_of_key(world, conversation_id)))


def _add_changing(routes: Blueprint, world: World, shown: Shown) -> None:
    @routes.post(_ALL, endpoint="startConversation")
    def start() -> Response:
        conversation, new = world.agents.start_conversation(running_sandbox(world), asked().body)
        return json_answer(shown(conversation), 201 if new else 200)

    @routes.patch(_ONE, endpoint="updateConversation")
    def update(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        world.app_side.update(conversation.id, _known(asked().body))
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/fork", endpoint="forkConversation")
    def fork(conversation_id: str) -> Response:
        source = conversation_of_key(world, conversation_id)
        return json_answer(shown(world.agents.fork(source.id, asked().body or {})), 201)

    @routes.delete(_ONE, endpoint="deleteConversation")
    def delete(conversation_id: str) -> Response:
        world.agents.delete(conversation_of_key(world, conversation_id).id)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/confirmation_policy", endpoint="setConfirmationPolicy")
    def set_confirmation_policy(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        policy = asked().body["policy"]
        world.agents.change(conversation.id, partial(v1.set_confirmation_policy, policy=policy))
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/security_analyzer", endpoint="setSecurityAnalyzer")
    def set_security_analyzer(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        analyzer = asked().body["security_analyzer"]
        world.agents.change(conversation.id, partial(v1.set_security_analyzer, analyzer=analyzer))
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/secrets", endpoint="updateSecrets")
    def update_secrets(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        secrets = asked().body["secrets"]
        world.agents.change(conversation.id, partial(v1.update_secrets, secrets=secrets))
        return json_answer(SUCCESS)


def _add_asking(routes: Blueprint, world: World) -> None:
    @routes.post(f"{_ONE}/run", endpoint="runConversation")
    def run(conversation_id: str) -> Response:
        world.agents.run(conversation_of_key(world, conversation_id).id, caller_waits())
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/pause", endpoint="pauseConversation")
    def pause(conversation_id: str) -> Response:
        world.agents.pause(conversation_of_key(world, conversation_id).id)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/interrupt", endpoint="interrupt")
    def interrupt(conversation_id: str) -> Response:
        world.agents.cut_short(conversation_of_key(world, conversation_id).id)
        return json_answer(SUCCESS)

    @routes.get(f"{_ONE}/agent_final_response", endpoint="getFinalResponse")
    def final_response(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        return json_answer({"response": world.agents.final_response(conversation.id)})

    @routes.post(f"{_ONE}/generate_title", endpoint="generateTitle")
    def generate_title(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        longest = (asked().body or {}).get("max_length", 50)
        return json_answer({"title": world.agents.suggested_title(conversation.id, longest)})

    @routes.post(f"{_ONE}/ask_agent", endpoint="askAgent")
    def ask(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        return json_answer({"response": v1.answer(conversation, asked().body["question"])})

    @routes.post(f"{_ONE}/condense", endpoint="condense")
    def condense(conversation_id: str) -> Response:
        world.agents.condense(conversation_of_key(world, conversation_id).id)
        return json_answer(SUCCESS)


def _add_goals(routes: Blueprint, world: World) -> None:
    @routes.post(f"{_ONE}/goal", endpoint="startGoal")
    def start(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        goal = asked().body
        begin = partial(
            v1.start_goal, objective=goal["objective"], max_iterations=goal.get("max_iterations", 10)
        )
        world.agents.change(conversation.id, begin)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/goal/stop", endpoint="stopGoal")
    def stop(conversation_id: str) -> Response:
        world.agents.change(conversation_of_key(world, conversation_id).id, v1.stop_goal)
        return json_answer(SUCCESS)

    @routes.post(f"{_ONE}/goal/resume", endpoint="resumeGoal")
    def resume(conversation_id: str) -> Response:
        world.agents.change(conversation_of_key(world, conversation_id).id, v1.resume_goal)
        return json_answer(SUCCESS)


def _known(body: dict[str, Any]) -> dict[str, Any]:
    """What a client says about a conversation; more fields are ignored."""
    return {name: body[name] for name in ("title", "tags") if body.get(name) is not None}
