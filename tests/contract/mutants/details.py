"""Wrong servers in details: one status, one filter, one word is other than it has to be."""

from __future__ import annotations

import uuid
from typing import Any

from tests.contract.mutants.machinery import AGENT, CONVERSATION, Reply, before, items_of, on, set_query

_EVENTS = f"{CONVERSATION}/events"
_V1 = "/api/v1"
_APPS = f"{_V1}/app-conversations"
_BOXES = f"{_V1}/sandboxes"


def _instead(reply: Reply, status: int, other: int, body: Any = None) -> None:
    """Answer with another status."""
    if reply.status == status:
        reply.answer(other, reply.json if body is None else body)


# -- conversations of agent servers -----------------------------------------------------------------


@on(f"GET {CONVERSATION}", "The id of a conversation has no dashes.", "AGENT-CONV-01", server=AGENT)
def ids_without_dashes(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["id"] = reply.json["id"].replace("-", "")


@on(f"POST {CONVERSATION}/ask_agent", "Asking nobody is refused with 400.", "AGENT-CONV-02", server=AGENT)
def asking_nobody(reply: Reply) -> None:
    _instead(reply, 404, 400)


@on(f"GET {CONVERSATION}(/events/.*)?", "What is no UUID is not found.", "AGENT-CONV-03", server=AGENT)
def strange_ids_are_missing(reply: Reply) -> None:
    if "not-a-uuid" in reply.request.path:
        reply.answer(404, {"detail": "Not Found"})


@on(f"PATCH {CONVERSATION}", "A title of 201 characters is taken.", "AGENT-CONV-04", server=AGENT)
def long_titles(reply: Reply) -> None:
    _instead(reply, 422, 200, {"success": True})


@on("GET /api/conversations", "Conversations come in an order of their own.", "AGENT-CONV-05", server=AGENT)
def batch_in_other_order_of_agents(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.reverse()


@before("GET /api/conversations/search", "The state is not looked at.", "AGENT-CONV-06", server=AGENT)
def every_state_is_found(environ: dict[str, Any]) -> None:
    if "DREAMING" not in environ["QUERY_STRING"]:
        set_query(environ, status=None)


@on(f"POST {CONVERSATION}/pause", "Pausing what rests is an error.", "AGENT-CONV-07", server=AGENT)
def pausing_at_rest(reply: Reply) -> None:
    reply.answer(409, {"detail": "It rests"})


@on(
    f"POST {CONVERSATION}/confirmation_policy",
    "A policy that nobody knows is taken.",
    "AGENT-CONV-10",
    server=AGENT,
)
def any_policy(reply: Reply) -> None:
    _instead(reply, 422, 200, {"success": True})


@on(f"POST {CONVERSATION}/secrets", "Secrets are repeated.", "AGENT-CONV-11", server=AGENT)
def secrets_are_repeated(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["stored"] = reply.sent.decode()


@on(f"POST {CONVERSATION}/ask_agent", "The agent's answer is empty.", "AGENT-CONV-12", server=AGENT)
def agent_says_nothing(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["response"] = None


@on(
    f"POST {CONVERSATION}/generate_title",
    "A generated title is as long as it likes.",
    "AGENT-CONV-13",
    server=AGENT,
)
def endless_titles(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["title"] = "A title that is longer than was asked for"


@on("POST /api/conversations", "A conversation that is there is new.", "AGENT-CONV-15", server=AGENT)
def always_new(reply: Reply) -> None:
    _instead(reply, 200, 201)


@on(f"DELETE {CONVERSATION}", "Deleting again is no error.", "AGENT-CONV-16", server=AGENT)
def deleting_again(reply: Reply) -> None:
    _instead(reply, 404, 200, {"success": True})


@on(
    f"POST {_EVENTS}/respond_to_confirmation",
    "Answering what was not asked is an error.",
    "AGENT-CONV-18",
    server=AGENT,
)
def nobody_asked(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(409, {"detail": "Nothing waits for confirmation"})


@on("GET /api/conversations/search", "The second page is the first again.", "AGENT-CONV-19", server=AGENT)
def agents_pages_repeat(reply: Reply) -> None:
    if reply.is_ok and reply.json["items"]:
        first = reply.memory.setdefault("first", reply.json["items"][0])
        reply.json["items"][0] = first


# -- events of agent servers ------------------------------------------------------------------------


@before(f"GET {_EVENTS}/search", "The source is not looked at.", "AGENT-EVENTS-04", server=AGENT)
def every_source_of_agents(environ: dict[str, Any]) -> None:
    set_query(environ, source=None)


@before(f"GET {_EVENTS}/search", "The text is not looked at.", "AGENT-EVENTS-05", server=AGENT)
def every_text(environ: dict[str, Any]) -> None:
    set_query(environ, body=None)


@before(f"GET {_EVENTS}/search", "The upper bound of a time is not held.", "AGENT-EVENTS-06", server=AGENT)
def no_upper_bound(environ: dict[str, Any]) -> None:
    set_query(environ, timestamp__lt=None)


@on(f"GET {_EVENTS}/[0-9a-f-]+", "An event by itself has another source.", "AGENT-EVENTS-08", server=AGENT)
def event_by_itself_differs(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["source"] = "hook"


@on(f"POST {_EVENTS}", "A message that is none is taken.", "AGENT-EVENTS-13", server=AGENT)
def any_message(reply: Reply) -> None:
    _instead(reply, 422, 200, {"success": True})


@before(f"GET {_EVENTS}/search", "A limit that is too high is cut.", "AGENT-EVENTS-14", server=AGENT)
def high_limits_are_cut(environ: dict[str, Any]) -> None:
    if "limit=101" in environ["QUERY_STRING"]:
        set_query(environ, limit="100")


@on(
    f"GET {_EVENTS}/search",
    "Ids of events are the same for each second one.",
    "AGENT-EVENTS-16",
    server=AGENT,
)
def ids_are_shared(reply: Reply) -> None:
    for one, other in zip(items_of(reply.json)[::2], items_of(reply.json)[1::2], strict=False):
        other["id"] = one["id"]


@on(f"GET {_EVENTS}/search", "Observations name no action there is.", "AGENT-EVENTS-17", server=AGENT)
def actions_unknown(reply: Reply) -> None:
    for event in items_of(reply.json):
        if "action_id" in event:
            event["action_id"] = str(uuid.uuid4())


@before(f"GET {_EVENTS}/search", "A limit of 0 is one of 1.", "AGENT-EVENTS-19", server=AGENT)
def low_limits_are_raised(environ: dict[str, Any]) -> None:
    if "limit=0" in environ["QUERY_STRING"]:
        set_query(environ, limit="1")


# -- HTTP -------------------------------------------------------------------------------------------


@on("* /api/nonsense.*", "What is not there is gone.", "HTTP-ERRORS-06")
def gone_instead_of_missing(reply: Reply) -> None:
    _instead(reply, 404, 410)


@on("GET /health", "Health is found at another host.", "HTTP-REDIRECTS-01")
def health_is_elsewhere(reply: Reply) -> None:
    reply.headers["Location"] = "http://elsewhere.example/health"


@on("GET /alive", "An unknown parameter is refused.", "HTTP-BODIES-05")
def strict_parameters(reply: Reply) -> None:
    if "colour" in reply.request.args:
        reply.answer(422, {"detail": [{"type": "extra", "loc": ["query", "colour"], "msg": "Unknown"}]})


@on("GET /alive", "`/alive` says that the server is busy.", "META-01")
def alive_says_it_is_busy(reply: Reply) -> None:
    reply.answer(503, {"detail": "Busy"})


# -- secrets, settings, feedback --------------------------------------------------------------------


@on("GET /api/secrets", "Descriptions of secrets are not kept.", "SECRETS-01")
def descriptions_are_lost(reply: Reply) -> None:
    for secret in reply.json.get("custom_secrets", []) if reply.is_ok else []:
        secret["description"] = None


@on("POST /api/secrets", "A name that is taken is taken over.", "SECRETS-02")
def names_are_taken_over(reply: Reply) -> None:
    _instead(reply, 409, 201, {"message": "Secret created"})


@on("DELETE /api/secrets/.*", "Deleting no secret is no error.", "SECRETS-03")
def deleting_no_secret(reply: Reply) -> None:
    _instead(reply, 404, 200, {"message": "Secret deleted"})


@on("PUT /api/secrets/.*", "Renaming no secret is no error.", "SECRETS-04")
def renaming_no_secret(reply: Reply) -> None:
    _instead(reply, 404, 200, {"message": "Secret updated"})


@on("POST /api/settings", "Settings of wrong types are ignored.", "SETTINGS-02")
def strange_settings(reply: Reply) -> None:
    _instead(reply, 422, 200, {"message": "Settings stored"})


@on("GET /api/options/models", "Models are objects.", "SETTINGS-03")
def models_are_objects(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [{"name": name} for name in reply.json])


@on("GET /feedback/conversation/[^/]+/[0-9]+", "Every event has the newest rating.", "FEEDBACK-01")
def one_rating_for_all(reply: Reply) -> None:
    if reply.is_ok and reply.json.get("exists"):
        reply.memory["rating"] = reply.json
    elif reply.is_ok and "rating" in reply.memory:
        reply.answer(200, reply.memory["rating"])


@on("POST /feedback/conversation", "Six stars are possible.", "FEEDBACK-02")
def six_stars(reply: Reply) -> None:
    _instead(reply, 422, 200, {"status": "success", "message": "Thanks"})


@on(f"POST {CONVERSATION}/submit-feedback", "All feedback has one id.", "FEEDBACK-03")
def one_feedback(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["body"]["feedback_id"] = "feedback"


# -- V0 ---------------------------------------------------------------------------------------------


@on(f"PATCH {CONVERSATION}", "No title is the old title.", "V0-UPDATE-04")
def no_title_will_do(reply: Reply) -> None:
    if reply.status == 422 and b"title" not in reply.sent:
        reply.answer(200, True)


@on(f"GET {CONVERSATION}", "White space stays around titles.", "V0-UPDATE-05")
def blanks_stay(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["title"] = f" {reply.json['title']} "


@on("POST /api/conversations", "The same request makes the same conversation.", "V0-CREATE-02")
def same_request_same_conversation(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.memory.setdefault(reply.sent, reply.json))


@on(f"GET {CONVERSATION}", "All conversations were started by hand.", "V0-CREATE-07")
def always_by_hand(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["trigger"] = "gui"


@on(f"GET {_EVENTS}", "Ids of events have gaps.", "V0-EVENTS-02")
def gaps_between_ids(reply: Reply) -> None:
    for event in items_of(reply.json) if reply.is_ok else []:
        event["id"] *= 2


@on(f"GET {_EVENTS}", "A limit of 0 has no events.", "V0-EVENTS-07")
def limit_of_nothing(reply: Reply) -> None:
    if reply.status == 400 and reply.request.args.get("limit") == "0":
        reply.answer(200, {"events": [], "has_more": False})


@on(f"POST {CONVERSATION}/message", "A message that is no text is a text.", "V0-EVENTS-13")
def any_text(reply: Reply) -> None:
    _instead(reply, 422, 200, {"success": True})


@on(f"GET {_EVENTS}", "A filter that is none is ignored.", "V0-EVENTS-18")
def strange_filters(reply: Reply) -> None:
    _instead(reply, 422, 200, {"events": [], "has_more": False})


@on(f"GET {CONVERSATION}/microagents", "Without a loop there are no microagents.", "V0-EVENTS-24")
def no_microagents(reply: Reply) -> None:
    _instead(reply, 404, 200, {"microagents": []})


@on(f"POST {CONVERSATION}/(start|stop|pause)", "Stopping nobody succeeds.", "V0-ID-02")
def stopping_nobody(reply: Reply) -> None:
    _instead(reply, 404, 200, {"status": "ok", "conversation_status": "STOPPED"})


@on(f"GET {CONVERSATION}", "Impossible ids are not found.", "V0-ID-05", "V0-ID-06", "V0-ID-07")
def impossible_is_missing(reply: Reply) -> None:
    _instead(reply, 400, 404)


@on(f"PATCH|DELETE {CONVERSATION}", "Impossible ids are not found when they are changed.", "V0-ID-08")
def impossible_is_missing_in_changes(reply: Reply) -> None:
    _instead(reply, 400, 404)


@on(f"POST {CONVERSATION}/start", "A start says that it is done.", "V0-LIFECYCLE-06")
def started_at_once(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_status"] = "RUNNING"


@on(f"POST {CONVERSATION}/stop", "A stop names no conversation there is.", "V0-LIFECYCLE-14")
def stops_another(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_id"] = "0" * 32


@on(f"POST {_EVENTS}", "An event for what is stopped is taken.", "V0-LIFECYCLE-13")
def events_for_the_stopped(reply: Reply) -> None:
    _instead(reply, 409, 200, {"success": True})


# -- V1 ---------------------------------------------------------------------------------------------


@before(f"GET {_APPS}/search", "A limit that is too high is cut in V1.", "V1-SEARCH-06")
def high_limits_are_cut_in_v1(environ: dict[str, Any]) -> None:
    if "limit=101" in environ["QUERY_STRING"]:
        set_query(environ, limit="100")


@on(f"GET {_APPS}/search", "The oldest conversation comes first.", "V1-SEARCH-01")
def oldest_first_in_v1(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["items"].reverse()


@before(f"GET {_APPS}/(search|count)", "The time of updates is not looked at.", "V1-SEARCH-10")
def every_update(environ: dict[str, Any]) -> None:
    set_query(environ, updated_at__gte=None, updated_at__lt=None)


@before(f"GET {_APPS}/(search|count)", "The sandbox is not looked at.", "V1-SEARCH-11")
def every_sandbox(environ: dict[str, Any]) -> None:
    set_query(environ, sandbox_id__eq=None)


@before(f"GET {_APPS}/(search|count)", "Sub-conversations are always found.", "V1-SEARCH-13")
def sub_conversations_are_found(environ: dict[str, Any]) -> None:
    set_query(environ, include_sub_conversations="true")


@before(f"GET {_APPS}/start-tasks/search", "Start tasks have one order.", "V1-TASKS-02")
def one_order_of_tasks(environ: dict[str, Any]) -> None:
    if "CREATED_AT" in environ["QUERY_STRING"]:
        set_query(environ, sort_order=None)


@on(f"GET {_APPS}/start-tasks", "Start tasks come in an order of their own.", "V1-BATCH-02")
def tasks_in_other_order(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.reverse()


@on(f"POST {_APPS}", "A start is answered when it is done.", "V1-START-01")
def start_takes_its_time(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["status"] = "READY"


@on(f"POST {_APPS}", "An unknown parent is refused with 422.", "V1-START-09")
def parents_are_invalid(reply: Reply) -> None:
    _instead(reply, 404, 422)


@on(f"GET {_V1}/users/me", "The user's key is shown.", "V1-USER-01")
def keys_of_users(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["llm_api_key"] = "sk-0123456789abcdef0123456789abcdef"


@on(f"* {_BOXES}/.*", "Sandboxes that are unknown are refused with 400.", "V1-SANDBOX-06")
def unknown_sandboxes(reply: Reply) -> None:
    _instead(reply, 404, 400)


@on(f"GET {_BOXES}/search", "The oldest sandbox comes first.", "V1-SANDBOX-11")
def oldest_sandbox_first(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["items"].reverse()


@before(f"GET {_V1}/events/(search|count)", "The times of events are not looked at.", "V1-EVENTS-05")
def every_time(environ: dict[str, Any]) -> None:
    set_query(environ, timestamp__gte=None, timestamp__lt=None)


@on(f"GET {_V1}/events", "Events come in an order of their own.", "V1-EVENTS-07")
def events_in_other_order(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.reverse()


@on(f"POST {_V1}/webhooks/events/.*", "Reports need no key.", "V1-EVENTS-10")
def reports_need_no_key(reply: Reply) -> None:
    if reply.status in (401, 403, 404):
        reply.answer(200, {"success": True})
