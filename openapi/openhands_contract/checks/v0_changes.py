"""Renaming and deleting V0 conversations."""

from __future__ import annotations

from openhands_contract.checks import checks
from openhands_contract.checks.v0_creation import refused
from openhands_contract.lab.bench import Bench
from openhands_contract.lab.v0 import CONVERSATIONS, path, unknown_id


def _rename(bench: Bench, identifier: str, title: str, shown: str | None = None) -> None:
    answer = bench.app.patch(path(identifier), {"title": title}).must(200)
    answer.expect(answer.json is True, "the answer is `true`", answer.text)
    bench.v0.status(identifier).must(200).has(title=title if shown is None else shown)


@checks("V0-UPDATE-01")
def renaming(bench: Bench) -> None:
    """Renames a conversation, reads it, and looks for it in the list."""
    identifier = bench.v0.new()
    _rename(bench, identifier, "A better title")
    listed = {entry["conversation_id"]: entry for entry in bench.v0.listed()}
    bench.expect(identifier in listed, "the conversation is in the list")
    title = listed[identifier]["title"]
    bench.expect(title == "A better title", "the list has the new title", title)


@checks("V0-UPDATE-01")
def renaming_what_is_stopped(bench: Bench) -> None:
    """Renames a stopped conversation, and reads it."""
    _rename(bench, bench.v0.stopped(), "A better title")


@checks("V0-UPDATE-09")
def titles_stay(bench: Bench) -> None:
    """Renames a conversation, lets its agent work on a message, and reads it."""
    identifier = bench.v0.running()
    _rename(bench, identifier, "Chosen by hand")
    with bench.arranging("a message and its answer"):
        last = bench.v0.events(identifier)[-1]["id"]
        bench.app.post(path(identifier, "/message"), {"message": "Say hello and finish."}).needs(200)
        bench.v0.await_rest(identifier, after=last)
    bench.v0.status(identifier).must(200).has(title="Chosen by hand")


@checks("V0-UPDATE-02")
def bounds_of_titles(bench: Bench) -> None:
    """Renames a conversation to titles of 0, 1, 200 and 201 characters, some of which take several bytes."""
    identifier = bench.v0.new()
    for title in ("t", "t" * 200, "会🚀" * 100):
        _rename(bench, identifier, title)
    for length in (0, 201):
        refused(bench.app.patch(path(identifier), {"title": "t" * length}), "title")
    bench.v0.status(identifier).must(200).has(title="会🚀" * 100)


@checks("V0-UPDATE-03")
def unknown_fields(bench: Bench) -> None:
    """Sends a title together with a field that cannot be changed."""
    identifier = bench.v0.new()
    before = bench.v0.status(identifier).needs(200).pick("title")
    body = {"title": "Changed all the same", "selected_repository": "acme/app"}
    refused(bench.app.patch(path(identifier), body), "selected_repository")
    bench.v0.status(identifier).must(200).has(title=before)


@checks("V0-UPDATE-04")
def no_title(bench: Bench) -> None:
    """Sends no title, null and a number."""
    identifier = bench.v0.new()
    for body in ({}, {"title": None}, {"title": 7}):
        refused(bench.app.patch(path(identifier), body), "title")


@checks("V0-UPDATE-05")
def white_space(bench: Bench) -> None:
    """Renames a conversation to a title with blanks and line ends around it."""
    _rename(bench, bench.v0.new(), "  \tTrimmed\n ", "Trimmed")


@checks("V0-UPDATE-06")
def blank_titles(bench: Bench) -> None:
    """Renames a conversation, and then to blanks."""
    identifier = bench.v0.new()
    _rename(bench, identifier, "Not for long")
    _rename(bench, identifier, "   ", f"Conversation {identifier[:5]}")


@checks("V0-UPDATE-07")
def any_script(bench: Bench) -> None:
    """Renames a conversation to a title in several scripts."""
    _rename(bench, bench.v0.new(), 'Größe "42" \\ 会话 🚀')


@checks("V0-UPDATE-08")
def leaves_others(bench: Bench) -> None:
    """Renames one of two conversations and reads the other."""
    renamed, other = bench.v0.new(), bench.v0.new()
    before = bench.v0.status(other).needs(200).pick("title")
    _rename(bench, renamed, "Only this one")
    bench.v0.status(other).must(200).has(title=before)


def _delete(bench: Bench, identifier: str, wanted: bool) -> None:
    answer = bench.app.delete(path(identifier)).must(200)
    answer.expect(answer.json is wanted, f"the answer is `{str(wanted).lower()}`", answer.text)


@checks("V0-DELETE-01")
def deleting(bench: Bench) -> None:
    """Deletes a conversation twice, and one that never was."""
    identifier = bench.v0.running()
    _delete(bench, identifier, True)
    _delete(bench, identifier, False)
    _delete(bench, unknown_id(), False)


@checks("V0-DELETE-02")
def is_gone(bench: Bench) -> None:
    """Deletes a conversation with a history and asks for all there was of it."""
    identifier = bench.v0.finished("Leave no trace.")
    _delete(bench, identifier, True)
    for rest in ("", "/events", "/trajectory", "/config", "/list-files", "/git/changes", "/zip-directory"):
        bench.app.get(path(identifier, rest)).must(404)
    bench.app.post(path(identifier, "/start"), {}).must(404)
    bench.app.post(path(identifier, "/message"), {"message": "Anybody there?"}).must(404)
    bench.app.patch(path(identifier), {"title": "Back again"}).must(404)
    bench.app.get(path(identifier)).must(404)


@checks("V0-DELETE-03")
def is_listed_no_more(bench: Bench) -> None:
    """Deletes one of two conversations and reads the list."""
    deleted, kept = bench.v0.new(), bench.v0.new()
    _delete(bench, deleted, True)
    listed = {entry["conversation_id"] for entry in bench.v0.listed()}
    bench.expect(deleted not in listed, "the deleted conversation is not in the list")
    bench.expect(kept in listed, "the other one is")


@checks("V0-DELETE-04")
def leaves_the_rest(bench: Bench) -> None:
    """Deletes one of two conversations and reads the history of the other."""
    deleted, kept = bench.v0.new(), bench.v0.finished("Stay.")
    before = bench.v0.events(kept)
    _delete(bench, deleted, True)
    bench.v0.status(kept).must(200).has(conversation_id=kept)
    after = bench.v0.events(kept)[: len(before)]
    bench.expect(after == before, "its events are unchanged")


@checks("V0-DELETE-06")
def stays_gone(bench: Bench) -> None:
    """Deletes a conversation that is still starting, waits until a later one has worked, and reads the first."""
    identifier = bench.v0.new()
    _delete(bench, identifier, True)
    bench.v0.finished("Say hello and finish.")
    bench.app.get(path(identifier)).must(404)
    listed = {entry["conversation_id"] for entry in bench.v0.listed()}
    bench.expect(identifier not in listed, "the deleted conversation is not in the list")


@checks("V0-DELETE-05")
def reads_nothing(bench: Bench) -> None:
    """Deletes a conversation and reads it."""
    identifier = bench.v0.new()
    _delete(bench, identifier, True)
    answer = bench.app.get(path(identifier)).must(404, 200)
    answer.expect(
        answer.status == 404 or answer.json is None, "there is no conversation in the answer", answer.text
    )


@checks("V0-DELETE-03")
def is_not_found_by_its_repository(bench: Bench) -> None:
    """Deletes a conversation on a repository and lists those on it."""
    if bench.lab.site.dialect != "docs":
        return
    repository = f"acme/{unknown_id()}"
    identifier = bench.v0.new(repository=repository)
    _delete(bench, identifier, True)
    listed = bench.app.get(CONVERSATIONS, {"selected_repository": repository}).must(200)
    listed.expect(listed.pick("results") == [], "the list is empty")
