"""Tag `conversations` of the agent server: find and start conversations, and ask something of their agents."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response

from openhands_reference_server.domain import v1
from openhands_reference_server.http.answers import SUCCESS, asked, caller_waits, json_answer
from openhands_reference_server.http.session import conversation_of_key, running_sandbox
from openhands_reference_server.http.views import agent_conversation
from openhands_reference_server.world import World

_ALL = "/api/conversations"
_ONE = f"{_ALL}/<not_search:conversation_id>"


def blueprint(world: World) -> Blueprint:
    """The routes."""
    routes = Blueprint("conversations", __name__)
    _add_finding(routes, world)
    _add_changing(routes, world)
    _add_asking(routes, world)
    return routes


def _add_finding(routes: Blueprint, world: World) -> None:
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
        return json_answer({"items": [agent_conversation(one) for one in page], "next_page_id": next_page_id})

    @routes.get(f"{_ALL}/count", endpoint="countConversations")
    def count() -> Response:
        return json_answer(world.agents.count(running_sandbox(world), status=asked().query["status"]))

    @routes.get(_ALL, endpoint="batchGetConversations")
    def batch_get() -> Response:
        found = world.agents.batch_get(running_sandbox(world), asked().query["ids"])
        return json_answer([one and agent_conversation(one) for one in found])

    @routes.get(_ONE, endpoint="getConversation")
    def get(conversation_id: str) -> Response:
        return json_answer(agent_conversation(conversation_of_key(world, conversation_id)))


def _add_changing(routes: Blueprint, world: World) -> None:
    @routes.post(_ALL, endpoint="startConversation")
    def start() -> Response:
        conversation, new = world.agents.start_conversation(running_sandbox(world), asked().body)
        return json_answer(agent_conversation(conversation), 201 if new else 200)

    @routes.patch(_ONE, endpoint="updateConversation")
    def update(conversation_id: str) -> Response:
        conversation = conversation_of_key(world, conversation_id)
        world.rename(conversation.id, asked().body["title"])
        return json_answer(SUCCESS)

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
