"""Wrong servers for several users: what belongs to one is shown to another, or can be changed by him."""

from __future__ import annotations

from typing import Any

from tests.contract.mutants.machinery import CONVERSATION, before

ONE, OTHER = "the-key-of-one-user", "the-key-of-another"
USERS = {"users": [{"id": "one", "api_keys": [ONE]}, {"id": "other", "api_keys": [OTHER]}]}


def _as_the_first(environ: dict[str, Any]) -> None:
    """Serve a request of the other user as if the first had sent it."""
    if environ.get("HTTP_AUTHORIZATION") == f"Bearer {OTHER}":
        environ["HTTP_AUTHORIZATION"] = f"Bearer {ONE}"


@before(f"GET {CONVERSATION}", "A conversation is shown to other users.", "USERS-01", two_users=True)
def shows_conversations_to_others(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before("GET /api/conversations", "The list has the conversations of all users.", "USERS-02", two_users=True)
def lists_conversations_of_others(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before(
    f"PATCH|DELETE {CONVERSATION}", "Others may rename and delete.", "USERS-03", "USERS-05", two_users=True
)
def lets_others_change(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before(
    "GET /api/v1/app-conversations(/search|/count)?",
    "V1 conversations of others are found.",
    "USERS-04",
    two_users=True,
)
def finds_v1_of_others(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before(
    "GET /api/v1/sandboxes(/search)?",
    "Sandboxes of others are shown, with their keys.",
    "USERS-06",
    two_users=True,
)
def shows_sandboxes_of_others(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before("GET /api/secrets", "The names of all users' secrets are listed.", "USERS-07", two_users=True)
def lists_secrets_of_others(environ: dict[str, Any]) -> None:
    _as_the_first(environ)


@before("GET /socket.io/", "Others may listen to a conversation.", "USERS-08", two_users=True)
def lets_others_listen(environ: dict[str, Any]) -> None:
    _as_the_first(environ)
    environ["QUERY_STRING"] = environ["QUERY_STRING"].replace(OTHER, ONE)


@before(
    "POST /api/v1/app-conversations",
    "Who knows the id of another's conversation may start it.",
    "USERS-09",
    two_users=True,
)
def lets_others_start(environ: dict[str, Any]) -> None:
    _as_the_first(environ)
