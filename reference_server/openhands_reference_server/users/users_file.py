"""The file behind `--users`: who the users are, and how they show it.

    users:
      - id: alice
        api_keys: [alice-key]
      - id: bob
        api_keys: ["sha256:8d5f8aeeb64e3ce20b537d04c486407eaf489646617cfcf493e76f5b794fa080"]
        oauth_clients:
          - client_id: bob-ci
            client_secret: s3cret
            refresh_tokens: [bobs-first-refresh-token]

A key may be given as its SHA-256, so that the file does not hold it. Keys are compared by their hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from openhands_reference_server.users.accounts import Accounts, OAuthClient, digest
from openhands_reference_server.yaml_files import FileError, FileFormat, Location, Part, Problem

_HASHED = "sha256:"


class AccountsError(FileError):
    """A file of users that cannot be used."""


def _usable(secret: str) -> str:
    if secret.startswith(_HASHED) and not _is_hash(secret.removeprefix(_HASHED)):
        raise PydanticCustomError("hash", "'sha256:' is to be followed by 64 hexadecimal digits")
    return secret


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)


Secret: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_usable)]


class OAuthClientPart(Part):
    """A program that gets tokens for a user. Without a secret it needs a refresh token."""

    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Secret = Field(default_factory=str, repr=False)
    refresh_tokens: list[Secret] = Field(default_factory=list, repr=False)


class UserPart(Part):
    """A user."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    api_keys: list[Secret] = Field(default_factory=list, repr=False)
    oauth_clients: list[OAuthClientPart] = Field(default_factory=list)


class UsersDocument(Part):
    """A file of users."""

    users: list[UserPart] = Field(min_length=1)


def _stored_digest(secret: str) -> str:
    return secret.removeprefix(_HASHED).lower() if secret.startswith(_HASHED) else digest(secret)


def read_accounts(source: str | Path | Mapping[str, Any]) -> Accounts:
    """The users in a file, or in what such a file holds.

    Raises:
        AccountsError: it cannot be read, or is wrong; says where, and no key.
    """
    if isinstance(source, Mapping):
        return _accounts(_FORMAT.read_data(source))
    return _accounts(_FORMAT.read_file(Path(source)))


def _accounts(document: UsersDocument) -> Accounts:
    keys = {_stored_digest(key): user.id for user in document.users for key in user.api_keys}
    clients = {client.id: client for client in _clients(document)}
    return Accounts(tuple(user.id for user in document.users), keys, clients)


def _clients(document: UsersDocument) -> Iterator[OAuthClient]:
    for user in document.users:
        for client in user.oauth_clients:
            secret = _stored_digest(client.client_secret) if client.client_secret else ""
            tokens = tuple(map(_stored_digest, client.refresh_tokens))
            yield OAuthClient(client.client_id, user.id, secret, tokens)


# -- what a schema cannot say -----------------------------------------------------------------------


def _beyond(data: Any, document: UsersDocument) -> Iterator[Problem]:
    yield from _repeated(_ids(document), "another user has this id")
    yield from _repeated(_keys(document), "this key is there already, and would not tell whose it is")
    yield from _repeated(_client_ids(document), "another client has this id")
    for at, client in _client_parts(document):
        if not client.client_secret and not client.refresh_tokens:
            yield Problem(at, "needs a client_secret, or refresh_tokens, or both")


def _repeated(values: Iterable[tuple[Location, str]], text: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, value in values:
        if value in seen:
            yield Problem(at, text)
        seen.add(value)


def _ids(document: UsersDocument) -> Iterator[tuple[Location, str]]:
    for index, user in enumerate(document.users):
        yield ("users", index, "id"), user.id


def _keys(document: UsersDocument) -> Iterator[tuple[Location, str]]:
    for index, user in enumerate(document.users):
        for number, key in enumerate(user.api_keys):
            yield ("users", index, "api_keys", number), _stored_digest(key)


def _client_parts(document: UsersDocument) -> Iterator[tuple[Location, OAuthClientPart]]:
    for index, user in enumerate(document.users):
        for number, client in enumerate(user.oauth_clients):
            yield ("users", index, "oauth_clients", number), client


def _client_ids(document: UsersDocument) -> Iterator[tuple[Location, str]]:
    return (((*at, "client_id"), client.client_id) for at, client in _client_parts(document))


_FORMAT = FileFormat("file of users", UsersDocument, AccountsError, _beyond, shows_values=False)
