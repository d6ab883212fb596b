"""Wrong servers for V0: creation, life, lists, updates, events, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from openhands_reference_server.domain import v0
from openhands_reference_server.domain.event_log import NumberedFilter
from openhands_reference_server.domain.v0_requests import details_of
from openhands_reference_server.http import v0_conversations
from openhands_reference_server.workspace import files, paths
from openhands_reference_server.world import World
from tests.contract.mutants.machinery import (
    CONVERSATION,
    Reply,
    before,
    inside,
    on,
    send_with,
    sent_with,
    set_query,
)

LIST = "/api/conversations"

# -- creation ---------------------------------------------------------------------------------------


@on(f"POST {LIST}", "Create answers 201 instead of 200.", "V0-CREATE-01", "V0-DOCUMENT-01", "GEN-ANSWERS-02")
def create_answers_201(reply: Reply) -> None:
    if reply.is_ok:
        reply.status = 201


@on(f"POST {LIST}", "Create says RUNNING before the loop runs.", "V0-CREATE-01")
def create_claims_to_run(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_status"] = "RUNNING"


@on(
    f"POST {LIST}",
    "The id in the answer is not that of the conversation.",
    "V0-CREATE-03",
    "GEN-RESOURCES-02",
)
def create_answers_another_id(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_id"] = reply.json["conversation_id"][::-1]


@before(f"POST {LIST}", "Unknown fields are taken and ignored.", "V0-CREATE-08", "GEN-INPUT-01")
def create_takes_unknown_fields(environ: dict[str, Any]) -> None:
    known = ("repository", "git_provider", "selected_branch", "initial_user_msg", "image_urls", "replay_json")
    rest = ("suggested_task", "create_microagent", "conversation_instructions", "mcp_config")
    body = _sent(environ)
    if isinstance(body, dict):
        _send(environ, {name: value for name, value in body.items() if name in known + rest})


@before(f"POST {LIST}", "The initial message is lost.", "V0-CREATE-04", "V0-CREATE-05")
def initial_message_lost(environ: dict[str, Any]) -> None:
    body = _sent(environ)
    if isinstance(body, dict) and isinstance(body.get("initial_user_msg"), str):
        _send(environ, {name: value for name, value in body.items() if name != "initial_user_msg"})


@before(f"POST {LIST}", "Texts lose what is not ASCII.", "V0-CREATE-20", "V0-CREATE-04")
def ascii_only(environ: dict[str, Any]) -> None:
    body = _sent(environ)
    if isinstance(body, dict) and isinstance(body.get("initial_user_msg"), str):
        text = body["initial_user_msg"].encode("ascii", "replace").decode()
        _send(environ, body | {"initial_user_msg": text})


@inside("The branch of the request is forgotten.", "V0-CREATE-06")
def branch_forgotten() -> Iterator[object]:
    def without(*args: Any, **kwargs: Any) -> Any:
        return {**details_of(*args, **kwargs), "selected_branch": None}

    with patch.object(v0_conversations, "details_of", without):
        yield


# -- reading ----------------------------------------------------------------------------------------


@on(f"GET {CONVERSATION}", "A field is missing from a conversation.", "V0-DOCUMENT-01", "GEN-ANSWERS-04")
def conversation_lacks_a_field(reply: Reply) -> None:
    if reply.is_ok:
        reply.json.pop("trigger")


@on(f"GET {CONVERSATION}", "A list that is empty is told as null.", "V0-DOCUMENT-01", "GEN-ANSWERS-04")
def null_for_an_empty_list(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["pr_number"] = reply.json["pr_number"] or None


@on(f"GET {CONVERSATION}", "An unknown conversation is answered 200 null.", "V0-ID-01", "V0-DOCUMENT-01")
def unknown_is_null(reply: Reply) -> None:
    if reply.status == 404:
        reply.text(200, "null", "application/json")


@on(f"GET {CONVERSATION}", "404 comes without a msg_id.", "V0-ID-01", "V0-DOCUMENT-01")
def not_found_without_msg_id(reply: Reply) -> None:
    if reply.status == 404:
        reply.json.pop("msg_id", None)


@on(f"GET {CONVERSATION}", "While it runs, a conversation has no url.", "V0-LIFECYCLE-02")
def running_without_url(reply: Reply) -> None:
    if reply.is_ok and reply.json["conversation_version"] == "V0":
        reply.json["url"] = None


@on(
    f"GET {CONVERSATION}/events", "Everything below an unknown conversation is empty.", "V0-ID-03", "V0-ID-09"
)
def events_of_nobody(reply: Reply) -> None:
    if reply.status == 404:
        reply.answer(200, {"events": [], "has_more": False})


@on(f"GET {CONVERSATION}", "An id of 101 characters is looked up instead of refused.", "V0-ID-04")
def long_ids_are_fine(reply: Reply) -> None:
    if reply.status == 400 and "too long" in str(reply.json):
        envelope = {"status": "error", "message": "Conversation not found"}
        reply.answer(404, envelope | {"msg_id": "CONVERSATION$NOT_FOUND"})


# -- life -------------------------------------------------------------------------------------------


@on(f"POST {CONVERSATION}/stop", "Stop tells the status before the stop.", "V0-LIFECYCLE-03")
def stop_tells_the_past(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_status"] = "RUNNING"


@inside("Stop is answered, but the conversation goes on.", "V0-LIFECYCLE-04")
def stop_does_nothing() -> Iterator[object]:
    def stop(self: World, conversation_id: str) -> bool:
        self.conversation(conversation_id)
        return True

    with patch.object(World, "stop", stop):
        yield


@on(f"POST {CONVERSATION}/stop", "The second stop is an error.", "V0-LIFECYCLE-05")
def stopping_twice_is_an_error(reply: Reply) -> None:
    if reply.is_ok and "not running" in str(reply.json["message"]):
        reply.answer(
            409,
            {"status": "error", "message": "Not running", "msg_id": "CONVERSATION$ILLEGAL_TRANSITION"},
        )


@on(f"POST {CONVERSATION}/start", "The second start says STARTING.", "V0-LIFECYCLE-07")
def starting_twice_starts_twice(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["conversation_status"] = "STARTING"


@inside("Events are lost when a conversation is stopped.", "V0-LIFECYCLE-08")
def stop_loses_events() -> Iterator[object]:
    stop = World.stop

    def forgetful(self: World, conversation_id: str) -> bool:
        stopped = stop(self, conversation_id)
        del self.core.log(self.core.conversation(conversation_id).id).events[2:]
        return stopped

    with patch.object(World, "stop", forgetful):
        yield


@inside("A conversation that does not run can be paused.", "V0-LIFECYCLE-11")
def pausing_what_does_not_run() -> Iterator[object]:
    pause = v0.pause

    def lenient(changes: v0.Writing) -> None:
        if changes.state.has_loop:
            pause(changes)

    with patch.object(v0, "pause", lenient):
        yield


@on(f"POST {CONVERSATION}/message", "A message to a stopped conversation is swallowed.", "V0-LIFECYCLE-12")
def message_to_nobody(reply: Reply) -> None:
    if reply.status == 409:
        reply.answer(200, {"success": True})


@on(
    f"POST {CONVERSATION}/pause",
    "Pause is answered, but the agent goes on.",
    "V0-LIFECYCLE-09",
    "V0-LIFECYCLE-11",
)
def pause_answers_500(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(500, {"detail": "Internal Server Error"})


# -- lists ------------------------------------------------------------------------------------------


@before(f"GET {LIST}", "A page is one shorter than asked for.", "V0-LIST-02")
def limit_off_by_one(environ: dict[str, Any]) -> None:
    limit = dict(pair.partition("=")[::2] for pair in environ["QUERY_STRING"].split("&")).get("limit", "")
    if limit.isdigit() and int(limit) > 1:
        set_query(environ, limit=str(int(limit) - 1))


@on(f"GET {LIST}", "Each page begins with the last one of the page before.", "V0-LIST-03")
def pages_overlap(reply: Reply) -> None:
    if reply.is_ok and reply.json["results"]:
        last = reply.memory.get("last")
        reply.memory["last"] = reply.json["results"][-1]
        if last and "page_id" in reply.request.args:
            reply.json["results"] = [last, *reply.json["results"][:-1]]


@on(f"GET {LIST}", "The first conversation of every later page is lost.", "V0-LIST-03")
def pages_lose_one(reply: Reply) -> None:
    if reply.is_ok and "page_id" in reply.request.args:
        del reply.json["results"][:1]


@on(f"GET {LIST}", "The last page names another one.", "V0-LIST-04", "V0-LIST-03")
def a_page_after_the_last(reply: Reply) -> None:
    if reply.is_ok and reply.json["next_page_id"] is None and reply.json["results"]:
        reply.json["next_page_id"] = "eyJ2MCI6IG51bGwsICJ2MSI6IG51bGx9"


@on(f"GET {LIST}", "The oldest conversation comes first.", "V0-LIST-01")
def oldest_first(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["results"].reverse()


@before(f"GET {LIST}", "A page id that is none gives the first page.", "V0-LIST-06")
def any_page_id_will_do(environ: dict[str, Any]) -> None:
    if "page_id=" in environ["QUERY_STRING"] and "eyJ" not in environ["QUERY_STRING"]:
        set_query(environ, page_id=None)


@before(f"GET {LIST}", "A limit above 100 is taken as 100.", "V0-LIST-05", "GEN-INPUT-01")
def limit_is_clamped(environ: dict[str, Any]) -> None:
    limit = dict(pair.partition("=")[::2] for pair in environ["QUERY_STRING"].split("&")).get("limit", "")
    if limit.isdigit() and int(limit) > 100:
        set_query(environ, limit="100")


@before(f"GET {LIST}", "The filter by repository is ignored.", "V0-LIST-07", "V0-LIST-13")
def repository_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, selected_repository=None)


@before(f"GET {LIST}", "The filter by trigger is ignored.", "V0-LIST-08", "V0-LIST-13", "GEN-INPUT-01")
def trigger_filter_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, conversation_trigger=None)


@on(f"GET {LIST}", "The list shows another status than the conversation itself.", "V0-LIST-11")
def list_tells_another_status(reply: Reply) -> None:
    if reply.is_ok:
        for one in reply.json["results"]:
            one["status"] = "STOPPED"


@on(f"GET {LIST}", "V1 conversations are not in the V0 list.", "V1-VIEW-02")
def list_lacks_v1(reply: Reply) -> None:
    if reply.is_ok:
        shown = reply.json["results"]
        reply.json["results"] = [one for one in shown if one["conversation_version"] == "V0"]


# -- changes ----------------------------------------------------------------------------------------


@before(f"PATCH {CONVERSATION}", "A title that is too long is cut.", "V0-UPDATE-02", "GEN-INPUT-01")
def long_titles_are_cut(environ: dict[str, Any]) -> None:
    body = _sent(environ)
    if isinstance(body, dict) and isinstance(body.get("title"), str):
        _send(environ, body | {"title": body["title"][:200]})


@before(f"PATCH {CONVERSATION}", "Unknown fields of an update are ignored.", "V0-UPDATE-03", "GEN-INPUT-01")
def update_takes_unknown_fields(environ: dict[str, Any]) -> None:
    body = _sent(environ)
    if isinstance(body, dict) and "title" in body:
        _send(environ, {"title": body["title"]})


@inside("An update is answered, but not stored.", "V0-UPDATE-01", "V0-UPDATE-07")
def update_not_stored() -> Iterator[object]:
    def rename(self: World, conversation_id: str, title: str) -> None:
        self.conversation(conversation_id)

    with patch.object(World, "rename", rename):
        yield


@inside("Renaming one conversation renames all.", "V0-UPDATE-08")
def update_of_all() -> Iterator[object]:
    rename = World.rename

    def generous(self: World, conversation_id: str, title: str) -> None:
        rename(self, conversation_id, title)
        for one in list(self.core.conversations):
            rename(self, one.id, title)

    with patch.object(World, "rename", generous):
        yield


@on(f"DELETE {CONVERSATION}", "Deleting again is answered true.", "V0-DELETE-01")
def delete_is_always_true(reply: Reply) -> None:
    if reply.is_ok:
        reply.answer(200, True)


@inside(
    "A deleted conversation can still be read.",
    "V0-DELETE-02",
    "V0-DELETE-05",
    "GEN-RESOURCES-01",
    "V0-DELETE-01",
)
def delete_is_not_final() -> Iterator[object]:
    def delete(self: World, conversation_id: str) -> bool:
        try:
            self.conversation(conversation_id)
        except LookupError:
            return False
        return True

    with patch.object(World, "delete", delete):
        yield


@on(f"GET {LIST}", "A deleted conversation stays in the list.", "V0-DELETE-03")
def deleted_stays_in_the_list(reply: Reply) -> None:
    if reply.is_ok and not reply.request.args.get("page_id"):
        seen = reply.memory.setdefault("seen", {})
        seen.update({one["conversation_id"]: one for one in reply.json["results"]})
        shown = {one["conversation_id"] for one in reply.json["results"]}
        reply.json["results"] += [one for name, one in list(seen.items())[-5:] if name not in shown]


# -- events -----------------------------------------------------------------------------------------


@on(f"GET {CONVERSATION}/events", "`end_id` is exclusive.", "V0-EVENTS-03")
def end_is_exclusive(reply: Reply) -> None:
    end = reply.request.args.get("end_id", type=int)
    if reply.is_ok and end is not None:
        reply.json["events"] = [event for event in reply.json["events"] if event["id"] != end]


@before(f"GET {CONVERSATION}/events", "`reverse` is ignored.", "V0-EVENTS-04", "V0-EVENTS-25")
def reverse_ignored(environ: dict[str, Any]) -> None:
    set_query(environ, reverse=None)


@on(f"GET {CONVERSATION}/events", "`has_more` is always false.", "V0-EVENTS-05", "V0-EVENTS-25")
def never_more(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["has_more"] = False


@on(f"GET {CONVERSATION}/events", "Two events change places.", "V0-EVENTS-01", "V0-EVENTS-20")
def events_change_places(reply: Reply) -> None:
    if reply.is_ok and len(reply.json["events"]) > 2:
        events = reply.json["events"]
        events[1], events[2] = events[2], events[1]


@on(f"GET {CONVERSATION}/events", "An event is told twice.", "V0-EVENTS-01", "V0-EVENTS-05")
def an_event_twice(reply: Reply) -> None:
    if reply.is_ok and reply.json["events"]:
        reply.json["events"].append(reply.json["events"][-1])


@inside("The filter by source is ignored.", "V0-EVENTS-14")
def source_filter_ignored() -> Iterator[object]:
    keeps = NumberedFilter.__call__

    def lenient(self: NumberedFilter, event: Any) -> bool:
        return keeps(replace(self, source=None), event)

    with patch.object(NumberedFilter, "__call__", lenient):
        yield


@on(f"GET {CONVERSATION}/events", "A limit of 101 is answered 422.", "V0-EVENTS-06")
def limit_is_a_validation_error(reply: Reply) -> None:
    if reply.status == 400:
        reply.status = 422


@on(f"GET {CONVERSATION}/trajectory", "The trajectory lacks the first event.", "V0-EVENTS-19")
def trajectory_lacks_one(reply: Reply) -> None:
    if reply.is_ok:
        del reply.json["trajectory"][:1]


@on(f"POST {CONVERSATION}/events", "An unknown action is a server error.", "V0-EVENTS-12", "GEN-ANSWERS-01")
def unknown_action_crashes(reply: Reply) -> None:
    if reply.status == 422:
        reply.answer(500, {"detail": "Internal Server Error"})


@inside("A message is stored twice.", "V0-EVENTS-09", "V0-EVENTS-11")
def messages_are_stored_twice() -> Iterator[object]:
    send = World.send_v0_message

    def twice(self: World, conversation_id: str, text: str) -> None:
        send(self, conversation_id, text)
        send(self, conversation_id, text)

    with patch.object(World, "send_v0_message", twice):
        yield


# -- files and git ----------------------------------------------------------------------------------


@on(f"GET {CONVERSATION}/select-file", "Line ends of files are changed.", "V0-FILES-01")
def line_ends_change(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["code"] = reply.json["code"].replace("\r\n", "\n").strip()


@inside("A file name may lead out of the workspace.", "V0-FILES-08", "V0-FILES-09", "V0-FILES-16")
def traversal_is_renamed() -> Iterator[object]:
    upload_path = paths.upload_path

    def lenient(name: str) -> Any:
        return upload_path(name.replace("../", "").lstrip("/"))

    with patch.object(files, "upload_path", lenient):
        yield


@on(f"GET {CONVERSATION}/select-file", "What lies outside is told to be missing, with 404.", "V0-FILES-15")
def outside_is_missing(reply: Reply) -> None:
    if reply.status == 400:
        reply.status = 404


@on(f"GET {CONVERSATION}/git/changes", "Git changes have the statuses of V1.", "V0-GIT-01", "V0-DOCUMENT-03")
def git_statuses_of_v1(reply: Reply) -> None:
    if reply.is_ok:
        for change in reply.json:
            change["status"] = "ADDED"


@on(f"GET {CONVERSATION}/git/diff", "The two sides of a difference are exchanged.", "V0-GIT-03")
def diff_is_turned_round(reply: Reply) -> None:
    if reply.is_ok:
        reply.json["modified"], reply.json["original"] = reply.json["original"], reply.json["modified"]


def _sent(environ: dict[str, Any]) -> Any:
    """The JSON body of a request; None when it is none. It can be read again."""
    data = sent_with(environ)
    try:
        return json.loads(data)
    except ValueError:
        return None


def _send(environ: dict[str, Any], body: Any) -> None:
    send_with(environ, json.dumps(body).encode())
