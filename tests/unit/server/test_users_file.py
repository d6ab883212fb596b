"""The file of users: what is read, and what is refused without telling a key."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from openhands_reference_server.users.users_file import AccountsError, read_accounts

HASHED = "sha256:" + hashlib.sha256(b"bobs-key").hexdigest()


def users(*given: dict[str, Any]) -> dict[str, Any]:
    return {"users": list(given)}


def test_keys_show_who_somebody_is_hashed_or_not() -> None:
    accounts = read_accounts(
        users({"id": "alice", "api_keys": ["alices-key", "another"]}, {"id": "bob", "api_keys": [HASHED]})
    )
    assert accounts.users == ("alice", "bob")
    owners = [
        accounts.user_of_key(key) for key in ("alices-key", "another", "bobs-key", "nobodys", HASHED, "")
    ]
    assert owners == ["alice", "alice", "bob", None, None, None]


def test_clients_belong_to_users() -> None:
    client = {"client_id": "ci", "client_secret": "s3cret", "refresh_tokens": ["first"]}
    accounts = read_accounts(users({"id": "alice", "oauth_clients": [client]}))
    assert accounts.clients["ci"].user == "alice"
    assert "s3cret" not in repr(accounts) + repr(accounts.clients)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("users: []\n", 1, "users: must not be empty"),
        ("user:\n  - id: a\n", 1, "user: unknown key; did you mean 'users'?"),
        (
            "users:\n  - id: a\n    apikeys: [top-secret]\n",
            3,
            "apikeys: unknown key; did you mean 'api_keys'?",
        ),
        ("users:\n  - id: a\n    api_keys: [7123987]\n", 3, "api_keys[0]: expected text"),
        ("users:\n  - id: a\n    api_keys: ['']\n", 3, "api_keys[0]: must not be empty"),
        ("users:\n  - id: a\n    api_keys: ['sha256:top-secret']\n", 3, "64 hexadecimal digits"),
        ("users:\n  - id: ../a\n", 2, "users[0].id: string should match pattern"),
        ("users:\n  - id: a\n  - id: a\n", 3, "users[1].id: another user has this id"),
        (
            "users:\n  - id: a\n    api_keys: [top-secret]\n  - id: b\n    api_keys: [top-secret]\n",
            5,
            "this key is",
        ),
        ("users:\n  - id: a\n    oauth_clients:\n      - client_id: c\n", 4, "needs a client_secret"),
        (
            "users:\n  - id: a\n    oauth_clients:\n"
            "      - {client_id: c, client_secret: top-secret}\n      - {client_id: c, client_secret: x}\n",
            5,
            "another client has this id",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_keys(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = tmp_path / "users.yaml"
    path.write_text(text)
    with pytest.raises(AccountsError) as refused:
        read_accounts(path)
    assert f"{path}, line {line}: " in str(refused.value)
    assert said in str(refused.value)
    assert "top-secret" not in str(refused.value)
    assert "7123987" not in str(refused.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match="file of users cannot be read"):
        read_accounts(tmp_path / "none.yaml")
