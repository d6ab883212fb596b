"""Wrong servers for V1: start tasks, app conversations, sandboxes, events of the app server, the V0 view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from openhands_reference_server.domain import start_task
from openhands_reference_server.http.views import Views
from openhands_reference_server.world import World
from openhands_reference_server.world.sandboxes import Sandboxes
from tests.contract.mutants.machinery import CONVERSATION, Reply, before, inside, items_of, on, set_query

APPS = "/api/v1/app-conversations"
TASKS = f"{APPS}/start-tasks"
BOXES = "/api/v1/sandboxes"
EVENTS = "/api/v1/events"

# -- start tasks ------------------------------------------------------------------------------------


def _tasks(reply: Reply) -> list[dict[str, Any]]:
    body = reply.json
    if isinstance(body, dict) and "status" in body:
        return [body]
    return [task for task in items_of(body) if task]


@on(f"GET {TASKS}", "READY without the id of the conversation.", "V1-START-02", "V1-START-05")
def ready_without_id(reply: Reply) -> None:
    for task in _tasks(reply):
        task["app_conversation_id"] = None


@on(f"GET {TASKS}(/search)?", "A task that ended in ERROR has no detail.", "V1-START-04", "V1-START-08")
def error_without_detail(reply: Reply) -> None:
    for task in _tasks(reply):
        task["detail"] = None


@on(f"GET {TASKS}", "A task goes back to WORKING after it was READY.", "V1-START-03", "V1-START-05")
def stages_go_backwards(reply: Reply) -> None:
    for task in _tasks(reply):
        if task["status"] == "READY" and reply.memory.setdefault(task["id"], 0) in (1, 3):
            task["status"] = "WORKING"
        if task["status"] in ("READY", "WORKING"):
            reply.memory[task["id"]] = reply.memory.get(task["id"], 0) + 1


@on(f"POST {APPS}/stream-start", "The streamed stages are out of order.", "V1-START-06")
def stream_out_of_order(reply: Reply) -> None:
    if isinstance(reply.json, list) and len(reply.json) > 3:
        reply.json[1], reply.json[2] = reply.json[2], reply.json[1]


@on(f"POST {APPS}/stream-start", "The stream ends before READY.", "V1-START-06")
def stream_ends_early(reply: Reply) -> None:
    if isinstance(reply.json, list):
        del reply.json[-1:]


@on(f"POST {APPS}/stream-start", "The stream is no JSON array but lines.", "V1-START-06", "V1-DOCUMENT-01")
def stream_of_lines(reply: Reply) -> None:
    if isinstance(reply.json, list):
        import json

        reply.text(200, "\n".join(map(json.dumps, reply.json)), "application/json")


@inside("A start in an unknown sandbox never ends.", "V1-START-08", "V1-START-04", "V1-START-03")
def failed_starts_hang() -> Iterator[object]:
    def ignore(changes: start_task.Writing, detail: str) -> None:
        """The task stays where it is."""

    with patch.object(start_task, "fail", ignore):
        yield


@before(f"GET {TASKS}/search", "Start tasks of other conversations are found too.", "V1-TASKS-01")
def task_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, conversation_id__eq=None)


@on(f"GET {TASKS}/count", "The count of start tasks is one too high.", "V1-TASKS-01", "V1-TASKS-03")
def tasks_miscounted(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.json + 1)


# -- conversations ----------------------------------------------------------------------------------


@on(f"GET {APPS}", "Missing conversations are left out of a batch.", "V1-BATCH-01")
def missing_are_left_out(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [one for one in reply.json if one])


@on(f"GET {APPS}", "A batch comes in another order than asked for.", "V1-BATCH-01")
def batch_in_other_order(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.reverse()


@before(f"GET {APPS}", "A batch of more than 100 ids is answered.", "V1-BATCH-04", "GEN-INPUT-01")
def batch_without_limit(environ: dict[str, Any]) -> None:
    environ["QUERY_STRING"] = "&".join(environ["QUERY_STRING"].split("&")[:100])


@on(f"GET {APPS}/count", "The count is not that of the search.", "V1-SEARCH-12")
def count_is_not_search(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, reply.json + 1)


@before(f"GET {APPS}/(search|count)", "The filter by title is ignored.", "V1-SEARCH-08")
def title_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, title__contains=None)


@before(f"GET {APPS}/(search|count)", "The filter by creation time is ignored.", "V1-SEARCH-09")
def time_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, created_at__gte=None, created_at__lt=None)


@on(f"GET {APPS}/search", "Each page of V1 begins with the end of the one before.", "V1-SEARCH-03")
def v1_pages_overlap(reply: Reply) -> None:
    if reply.is_ok and reply.json["items"]:
        last = reply.memory.get("last")
        reply.memory["last"] = reply.json["items"][-1]
        if last and "page_id" in reply.request.args:
            reply.json["items"] = [last, *reply.json["items"][:-1]]


@on(f"GET {APPS}/search", "The last page of V1 names another one.", "V1-SEARCH-02")
def v1_pages_never_end(reply: Reply) -> None:
    if reply.is_ok and reply.json["items"] and reply.json["next_page_id"] is None:
        last = reply.json["items"][-1]
        import base64

        key = f"{last['created_at']}|{last['id']}"
        reply.json["next_page_id"] = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


@before(f"GET {APPS}/search", "A page id that is none gives the first page.", "V1-SEARCH-07")
def v1_any_page_id_will_do(environ: dict[str, Any]) -> None:
    if "page_id=MjA" not in environ["QUERY_STRING"]:
        set_query(environ, page_id=None)


@on(f"GET {APPS}/search", "Sub-conversations are in every search.", "V1-SEARCH-15")
def title_of_another(reply: Reply) -> None:
    if reply.is_ok:
        for one in reply.json["items"]:
            one["title"] = "Untitled"


@inside("The title of a start request is ignored.", "V1-START-14", "V1-START-20", "V1-SEARCH-08")
def start_title_ignored() -> Iterator[object]:
    start = World.start_conversation
    watch = World.start_and_watch

    with (
        patch.object(World, "start_conversation", lambda self, body: start(self, {**body, "title": None})),
        patch.object(
            World, "start_and_watch", lambda self, body, *more: watch(self, {**body, "title": None}, *more)
        ),
    ):
        yield


# -- the V0 view ------------------------------------------------------------------------------------


@inside("V1 conversations are not found by the V0 routes.", "V1-VIEW-01", "V1-VIEW-0*")
def v0_view_lacks_v1() -> Iterator[object]:
    from openhands_reference_server.domain.errors import ConversationNotFound
    from openhands_reference_server.domain.v0 import V0Conversation

    find = World.conversation

    def blind(self: World, conversation_id: str) -> Any:
        found = find(self, conversation_id)
        if isinstance(found, V0Conversation):
            return found
        raise ConversationNotFound(conversation_id)

    with patch.object(World, "conversation", blind):
        yield


@on(f"GET {CONVERSATION}", "A V1 conversation is shown as one of V0.", "V1-VIEW-01")
def v1_shown_as_v0(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_version"] = "V0"


@on(f"GET {CONVERSATION}", "A paused V1 conversation is shown as RUNNING.", "V1-VIEW-04", "V1-VIEW-05")
def v1_paused_shown_running(reply: Reply) -> None:
    if reply.is_ok and reply.json["conversation_version"] == "V1":
        reply.json["status"] = "RUNNING"


# -- sandboxes --------------------------------------------------------------------------------------


@inside(
    "Pausing a sandbox is answered, and nothing happens.", "V1-SANDBOX-02", "V1-SANDBOX-03", "V1-SANDBOX-07"
)
def sandbox_pause_ignored() -> Iterator[object]:
    def pause(self: Sandboxes, sandbox_id: str) -> None:
        """Nothing is paused."""

    with patch.object(Sandboxes, "pause", pause):
        yield


@on(
    f"POST {BOXES}/[^/]+/(pause|resume)", "Resuming what runs is an error.", "V1-SANDBOX-05", "V1-DOCUMENT-04"
)
def resuming_twice_is_an_error(reply: Reply) -> None:
    sandbox, _, action = reply.request.path.rpartition("/")
    if reply.is_ok and action == "resume" and not reply.memory.get(sandbox):
        reply.answer(409, {"detail": "Sandbox is running"})
    reply.memory[sandbox] = action == "pause"


@on(f"GET {BOXES}(/search)?", "A paused sandbox still shows its key.", "V1-SANDBOX-02")
def paused_sandbox_shows_its_key(reply: Reply) -> None:
    for box in items_of(reply.json):
        if box and box["status"] == "PAUSED":
            box["session_api_key"] = "still-the-key"


@on(f"GET {BOXES}", "Missing sandboxes are left out of a batch.", "V1-SANDBOX-10")
def missing_sandboxes_are_left_out(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, [one for one in reply.json if one])


@inside("Deleting a sandbox is answered, and it stays.", "V1-SANDBOX-08", "V1-DELETE-02")
def sandbox_delete_ignored() -> Iterator[object]:
    def delete(self: Sandboxes, sandbox_id: str) -> None:
        """Nothing is deleted."""

    with patch.object(Sandboxes, "delete", delete):
        yield


@inside("The app server names an agent server without a conversation.", "V1-START-21", "V1-SANDBOX-01")
def conversation_url_of_nothing() -> Iterator[object]:
    render = Views.app_conversation

    def wrong(self: Views, view: Any) -> dict[str, Any]:
        shown = render(self, view)
        if shown["conversation_url"]:
            shown["conversation_url"] = shown["conversation_url"][:-4] + "0000"
        return shown

    with patch.object(Views, "app_conversation", wrong):
        yield


# -- events of the app server -----------------------------------------------------------------------


@before(f"GET {EVENTS}/(search|count)", "The filter by kind is ignored.", "V1-EVENTS-04")
def kind_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, kind__eq=None)


@before(f"GET {EVENTS}/search", "The order asked for is ignored.", "V1-EVENTS-02")
def event_order_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, sort_order=None)


@on(f"GET {EVENTS}/search", "One event is lost at every page border.", "V1-EVENTS-03")
def event_pages_lose_one(reply: Reply) -> None:
    if reply.is_ok and "page_id" in reply.request.args:
        del reply.json["items"][:1]


@on(f"GET {EVENTS}/count", "The count of events is one too low.", "V1-EVENTS-06")
def events_miscounted(reply: Reply) -> None:
    if reply.is_ok and reply.json:
        reply.answer(200, reply.json - 1)
