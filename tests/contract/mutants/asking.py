"""Wrong servers that do something else than they were asked for: what they ignore, guess, or say differently."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import unquote_plus

from tests.contract.mutants.machinery import (
    AGENT,
    CONVERSATION,
    Reply,
    before,
    items_of,
    on,
    send_with,
    sent_with,
    set_query,
)

_EVENTS = f"{CONVERSATION}/events"
_APPS = "/api/v1/app-conversations"
_TASKS = f"{_APPS}/start-tasks"
_BOXES = "/api/v1/sandboxes"
_V1_EVENTS = "/api/v1/events"


def _without(environ: dict[str, Any], *names: str) -> None:
    """Take fields out of the body of a request, if it is an object."""
    try:
        body = json.loads(sent_with(environ))
    except ValueError:
        return
    if isinstance(body, dict):
        send_with(environ, json.dumps({key: body[key] for key in body if key not in names}).encode())


def _without_condition(environ: dict[str, Any], *names: str) -> None:
    """Take conditions out of the filter of a search for events."""
    for part in environ["QUERY_STRING"].split("&"):
        if part.startswith("filter=%7B"):
            wanted = json.loads(unquote_plus(part.removeprefix("filter=")))
            kept = {name: value for name, value in wanted.items() if name not in names}
            set_query(environ, filter=json.dumps(kept))


def _times(reply: Reply) -> int:
    """How often this was answered, with this one."""
    reply.memory["times"] = reply.memory.get("times", 0) + 1
    return int(reply.memory["times"])


# -- V0 ---------------------------------------------------------------------------------------------


@before("POST /api/conversations", "Providers may be in capitals.", "V0-CREATE-09")
def providers_in_capitals(environ: dict[str, Any]) -> None:
    send_with(environ, sent_with(environ).replace(b"GITHUB", b"github").replace(b"GITLAB", b"gitlab"))


@before(f"PATCH {CONVERSATION}", "A blank title is called `Untitled`.", "V0-UPDATE-06")
def blank_is_untitled(environ: dict[str, Any]) -> None:
    try:
        blank = not json.loads(sent_with(environ))["title"].strip()
    except (ValueError, LookupError, TypeError, AttributeError):
        return
    if blank:
        send_with(environ, b'{"title": "Untitled"}')


@on(f"GET {_EVENTS}", "There is more in a range that holds nothing.", "V0-EVENTS-08")
def more_of_nothing(reply: Reply) -> None:
    if reply.is_ok and not reply.json["events"]:
        reply.json["has_more"] = True


@before(f"POST {_EVENTS}", "What is said as an action is not what is stored.", "V0-EVENTS-10")
def actions_say_something_else(environ: dict[str, Any]) -> None:
    send_with(environ, sent_with(environ).replace(b"Say ", b"Do not say "))


@before(f"GET {_EVENTS}", "A filter by text is ignored.", "V0-EVENTS-15")
def any_text_is_found(environ: dict[str, Any]) -> None:
    _without_condition(environ, "query")


@before(f"GET {_EVENTS}", "What is to be left out is told.", "V0-EVENTS-16")
def nothing_is_left_out(environ: dict[str, Any]) -> None:
    _without_condition(environ, "exclude_types")


@before(f"GET {_EVENTS}", "A filter by time has no end.", "V0-EVENTS-17")
def time_has_no_end(environ: dict[str, Any]) -> None:
    _without_condition(environ, "end_date")


@on(f"GET {_EVENTS}", "An agent that works says that it loads.", "V0-EVENTS-21")
def working_is_loading(reply: Reply) -> None:
    for event in items_of(reply.json) if reply.is_ok else []:
        if event.get("extras", {}).get("agent_state") == "running":
            event["extras"]["agent_state"] = "loading"


@on(f"GET {_EVENTS}", "Events say something else each time.", "V0-EVENTS-22")
def events_change(reply: Reply) -> None:
    times = _times(reply)
    for event in items_of(reply.json) if reply.is_ok else []:
        event["message"] = f"{event.get('message')} ({times})"


@on(f"GET {CONVERSATION}/remember-prompt", "Prompts are never the same.", "V0-EVENTS-23")
def prompts_differ(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["prompt"] += str(_times(reply))


@on(f"POST {CONVERSATION}/exp-config", "Noting an experiment is told to be true.", "V0-EVENTS-26")
def experiments_are_true(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, True)


@on(f"GET {_EVENTS}", "Events are caused by what comes later.", "V0-EVENTS-27")
def causes_come_later(reply: Reply) -> None:
    for event in items_of(reply.json) if reply.is_ok else []:
        if event.get("cause") is not None:
            event["cause"] += 1000


@on(f"POST {CONVERSATION}/start", "A start needs a body.", "V0-LIFECYCLE-16")
def start_needs_a_body(reply: Reply) -> None:
    if not reply.sent:
        reply.answer(422, {"detail": [{"type": "missing", "loc": ["body"], "msg": "Field required"}]})


@before("GET /api/conversations", "Without a limit a page has all there is.", "V0-LIST-10")
def pages_without_a_limit(environ: dict[str, Any]) -> None:
    if "limit=" not in environ["QUERY_STRING"]:
        set_query(environ, limit="100")


@on("POST /api/secrets", "A refusal repeats what was sent.", "SECRETS-05", "SECRETS-02")
def refusals_repeat(reply: Reply) -> None:
    if reply.status == 422:
        reply.json["input"] = reply.sent.decode()


# -- starts -----------------------------------------------------------------------------------------


@before(f"POST {_APPS}", "An id of one's own is ignored.", "V1-START-10")
def own_ids_are_ignored(environ: dict[str, Any]) -> None:
    _without(environ, "conversation_id")


@before(f"POST {_APPS}", "The sandbox that was asked for is ignored.", "V1-START-12")
def sandboxes_are_ignored(environ: dict[str, Any]) -> None:
    _without(environ, "sandbox_id")


@before(f"POST {_APPS}", "The parent is ignored.", "V1-START-13")
def parents_are_ignored(environ: dict[str, Any]) -> None:
    _without(environ, "parent_conversation_id")


@on(f"POST {_APPS}", "Unknown fields are refused.", "V1-START-15")
def unknown_fields_are_refused(reply: Reply) -> None:
    if b"favourite_colour" in reply.sent:
        detail = [{"type": "extra_forbidden", "loc": ["body", "favourite_colour"], "msg": "Unknown"}]
        reply.answer(422, {"detail": detail})


@before(f"POST {_APPS}(/stream-start)?", "No body is an empty object.", "V1-START-16")
def no_body_will_do(environ: dict[str, Any]) -> None:
    if not sent_with(environ):
        send_with(environ, b"{}")


@before(f"POST {_APPS}", "Line ends around a message are lost.", "V1-START-18")
def messages_are_trimmed(environ: dict[str, Any]) -> None:
    send_with(environ, sent_with(environ).replace(b'"\\n  ', b'"').replace(b' \\n"', b'"'))


@before(f"POST {_APPS}", "The agent works on a message that is not to run.", "V1-START-19")
def always_runs(environ: dict[str, Any]) -> None:
    data = sent_with(environ)
    send_with(environ, data.replace(b'"run":false', b'"run":true').replace(b'"run": false', b'"run": true'))


@on(f"POST {_APPS}/stream-start", "A streamed start is not known as a task.", "V1-START-07")
def streamed_starts_are_unknown(reply: Reply) -> None:
    name = str(uuid.uuid4())
    for task in reply.json if reply.is_ok else []:
        task["id"] = name


# -- lists and batches of V1 ------------------------------------------------------------------------


@before(f"GET {_APPS}/search", "A limit of 0 is one of 1 in V1.", "V1-SEARCH-05")
def low_limits_are_raised_in_v1(environ: dict[str, Any]) -> None:
    if "limit=0" in environ["QUERY_STRING"]:
        set_query(environ, limit="1")


@on(f"GET {_APPS}/search", "A time that is none finds nothing.", "V1-SEARCH-14")
def strange_times(reply: Reply) -> None:
    if reply.status == 422:
        reply.answer(200, {"items": [], "next_page_id": None})


@on(f"GET {_APPS}/count", "What was deleted is still counted.", "V1-DELETE-01")
def deleted_are_counted(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, max(reply.json, 1))


@on(f"GET {_TASKS}/search", "The second page of tasks is the first again.", "V1-TASKS-04")
def pages_of_tasks_repeat(reply: Reply) -> None:
    if reply.is_ok and reply.json["items"] and "page_id" in reply.request.args:
        reply.json["items"][0] = reply.memory.get("last", reply.json["items"][0])
    elif reply.is_ok and reply.json["items"]:
        reply.memory["last"] = reply.json["items"][-1]


@on(f"GET {_APPS}", "Ids with dashes are not known.", "V1-BATCH-03")
def dashes_are_not_known(reply: Reply) -> None:
    if reply.is_ok and b"-" in reply.request.query_string:
        reply.answer(200, [None] * len(reply.json))


@on(f"GET {_APPS}", "Asking for nothing is answered with nothing.", "V1-BATCH-05")
def nothing_for_nothing(reply: Reply) -> None:
    if reply.status == 422 and not reply.request.query_string:
        reply.__dict__["json"] = []
        reply.status = 200


@on(f"GET {_APPS}", "A batch has at most fifty items.", "V1-BATCH-06")
def half_a_batch(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.json[:50])


@on(f"GET {_V1_EVENTS}/search", "Nobody's events are not found.", "V1-EVENTS-08")
def no_events_are_missing(reply: Reply) -> None:
    if reply.is_ok and not reply.json["items"]:
        reply.answer(404, {"detail": "Not Found"})


@on(f"GET {_V1_EVENTS}(/search)?", "What is refused is refused with 400.", "V1-EVENTS-09")
def strange_events_are_400(reply: Reply) -> None:
    if reply.status == 422:
        reply.status = 400


@on(f"GET {_V1_EVENTS}/search", "Events come from elsewhere on the app server.", "V1-EVENTS-01")
def events_come_from_elsewhere(reply: Reply) -> None:
    for event in items_of(reply.json) if reply.is_ok else []:
        event["source"] = "hook"


@on(f"POST {_BOXES}/[^/]+/resume", "A sandbox that is resumed says that it is not.", "V1-SANDBOX-04")
def resuming_fails(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["success"] = False


@before(f"DELETE {_BOXES}/.*", "Of two names the first is deleted.", "V1-SANDBOX-09")
def first_name_counts(environ: dict[str, Any]) -> None:
    set_query(environ, sandbox_id=environ["PATH_INFO"].rpartition("/")[2])


@on(f"POST {_BOXES}", "A sandbox runs later.", "V1-SANDBOX-12")
def sandbox_runs_later(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["status"] = "STARTING"


@on(f"POST {_BOXES}", "A kind of sandbox that is unknown is refused with 422.", "V1-SANDBOX-13")
def kinds_are_invalid(reply: Reply) -> None:
    if reply.status == 404:
        reply.status = 422


# -- agent servers ----------------------------------------------------------------------------------


@on("GET /(alive|health|server_info)", "Health of an agent server needs a key.", "ACCESS-09", server=AGENT)
def health_of_agents_needs_a_key(reply: Reply) -> None:
    if "X-Session-API-Key" not in reply.request.headers:
        reply.answer(401, {"detail": "Unauthorized"})


@on("GET /server_info", "The version needs a key.", "ACCESS-05", protected=True)
def version_needs_a_key(reply: Reply) -> None:
    if "X-Session-API-Key" not in reply.request.headers:
        reply.answer(401, {"detail": "Unauthorized"})


@on(f"GET {_EVENTS}/search", "Condensations are not among the events.", "AGENT-CONV-14", server=AGENT)
def condensations_are_hidden(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["items"] = [event for event in reply.json["items"] if event["kind"] != "Condensation"]


@on(f"GET {_EVENTS}/search", "Messages come newest first.", "AGENT-EVENTS-15", server=AGENT)
def newest_messages_first(reply: Reply) -> None:
    events = items_of(reply.json) if reply.is_ok else []
    places = [place for place, event in enumerate(events) if event["kind"] == "MessageEvent"]
    said = [events[place] for place in places]
    for place, event in zip(places, reversed(said), strict=True):
        events[place] = event


@on("GET /api/tools/", "Tools are objects.", "AGENT-TOOLS-01", server=AGENT)
def tools_are_objects(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [{"name": name} for name in reply.json])


@on("GET /api/vscode/url", "An editor that is disabled is nowhere.", "AGENT-TOOLS-02", server=AGENT)
def disabled_editors_are_nowhere(reply: Reply) -> None:
    if reply.status == 503:
        reply.answer(200, {"url": None})


@on(
    "POST /api/bash/execute_bash_command",
    "Every command succeeds.",
    "AGENT-BASH-01",
    server=AGENT,
    options={"enable_bash": True},
)
def every_command_succeeds(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["exit_code"] = 0


# -- HTTP -------------------------------------------------------------------------------------------


@on("HEAD .*", "HEAD is a server error.", "HTTP-METHODS-03")
def head_fails(reply: Reply) -> None:
    reply.status = 500


@on("GET /alive", "Every 20th is too many, without saying until when.", "HTTP-LIMITS-01")
def no_time_to_wait(reply: Reply) -> None:
    if _times(reply) % 20 == 0:
        reply.answer(429, {"message": "Too many requests"})


@on("GET /alive", "Who was refused once is refused for ever.", "HTTP-LIMITS-02")
def refused_for_ever(reply: Reply) -> None:
    if _times(reply) > 20:
        reply.answer(429, {"message": "Too many requests"})
        reply.headers["Retry-After"] = "1"


@on("GET /api/v1/sandbox-specs/search", "A limit that is documented is refused.", "GEN-INPUT-02")
def limits_are_refused(reply: Reply) -> None:
    if reply.is_ok and reply.request.args.get("limit", default=0, type=int) > 10:
        reply.answer(
            422, {"detail": [{"type": "less_than_equal", "loc": ["query", "limit"], "msg": "Too many"}]}
        )
