"""Storage in PostgreSQL: what `--database-url` asks for.

    openhands_records    the logs: one row per record, numbered from 1 within its thing
    openhands_snapshots  the last snapshot of a thing, and the number of the last record it covers
    openhands_secrets    the server's secret

The records of one decision are one transaction, so none of them can be there without the others. One
server at a time uses a tenant of the database; an advisory lock, which goes with the connection, sees to
that. Records are `json`, not `jsonb`: texts may hold NUL and lone surrogates, and come back as they were.

Files stay files: workspaces are real directories with real git repositories.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from openhands_reference_server.domain.changes import Record
from openhands_reference_server.storage import Kind, StorageError, Stored, checked_name
from openhands_reference_server.storage.homes import Homes

_SECRET_BYTES = 32
_CONNECT_SECONDS = 10
_LOCK_CLASS = 0x0A6E
_SCHEMA = """
CREATE TABLE IF NOT EXISTS openhands_records (
    tenant text, kind text, id text, number bigint, record json NOT NULL,
    PRIMARY KEY (tenant, kind, id, number));
CREATE TABLE IF NOT EXISTS openhands_snapshots (
    tenant text, kind text, id text, number bigint NOT NULL, state json NOT NULL,
    PRIMARY KEY (tenant, kind, id));
CREATE TABLE IF NOT EXISTS openhands_secrets (tenant text PRIMARY KEY, secret bytea NOT NULL);
"""

_LOGS, _SNAPSHOTS = b"openhands_records", b"openhands_snapshots"
_TABLES = (_LOGS, _SNAPSHOTS, b"openhands_secrets")

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresStore:
    """Keeps records in tables of one database, files in a directory.

    Args:
        url: `postgresql://user:password@host:port/database`; `postgresql+psycopg://` is understood too.
        files: where workspaces are kept; by default in a temporary directory.
        tenant: whose records; those of others in the same database are not seen.

    Raises:
        StorageError: no such database, or another server uses this tenant of it.
    """

    def __init__(self, url: str, *, files: Path | None = None, tenant: str = "") -> None:
        self._url = _plain(url)
        self._files = files
        self._tenant = tenant
        self._homes = {kind: Homes(None if files is None else files / kind) for kind in Kind}
        self._lock = threading.Lock()
        self._known: dict[tuple[Kind, str], int] = {}
        self._doubtful: set[tuple[Kind, str]] = set()
        self._connection = self._connect()

    def append(self, kind: Kind, thing_id: str, records: Sequence[Record]) -> None:
        """Append a decision: committed when this returns, or not at all."""
        if not records:
            return
        key = (kind, checked_name(thing_id))
        lines = [json.dumps(record) for record in records]
        try:
            with self._transaction() as connection:
                last = self._last_number(connection, key)
                self._forget_doubtful(connection, key, last)
                connection.execute(
                    "INSERT INTO openhands_records SELECT %s, %s, %s, %s + number, record::json"
                    " FROM unnest(%s::text[]) WITH ORDINALITY AS sent (record, number)",
                    (self._tenant, *key, last, lines),
                )
        except StorageError:
            self._doubtful.add(key)
            raise
        self._doubtful.discard(key)
        self._known[key] = last + len(lines)

    def read(self, kind: Kind, thing_id: str) -> Iterable[Record]:
        """The whole log."""
        return self._records(kind, thing_id, after=0)

    def save_snapshot(self, kind: Kind, thing_id: str, state: Mapping[str, Any]) -> None:
        """Replace the snapshot."""
        key = (kind, checked_name(thing_id))
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO openhands_snapshots VALUES (%s, %s, %s, %s, %s::json)"
                " ON CONFLICT (tenant, kind, id) DO UPDATE SET number = excluded.number, state = excluded.state",
                (self._tenant, *key, self._last_number(connection, key), json.dumps(state)),
            )

    def load(self, kind: Kind) -> Iterator[Stored]:
        """Everything of a kind."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT id, last, number, state FROM"
                " (SELECT id, max(number) AS last FROM openhands_records"
                "  WHERE tenant = %(tenant)s AND kind = %(kind)s GROUP BY id) AS logs"
                " LEFT JOIN (SELECT id, number, state FROM openhands_snapshots"
                "  WHERE tenant = %(tenant)s AND kind = %(kind)s) AS snapshots USING (id) ORDER BY id",
                {"tenant": self._tenant, "kind": kind},
            ).fetchall()
        for thing_id, last, covered, state in rows:
            self._known[kind, thing_id] = last
            records = () if covered == last else self._records(kind, thing_id, after=covered or 0)
            yield Stored(thing_id, state, records)

    def remove(self, kind: Kind, thing_id: str) -> None:
        """Remove log, snapshot and files."""
        key = (kind, checked_name(thing_id))
        with self._transaction() as connection:
            for table in (_LOGS, _SNAPSHOTS):
                connection.execute(
                    b"DELETE FROM " + table + b" WHERE tenant = %s AND kind = %s AND id = %s",
                    (self._tenant, *key),
                )
        self._known.pop(key, None)
        self._homes[kind].remove(thing_id)

    def home(self, thing_id: str, kind: Kind = Kind.CONVERSATION) -> Path:
        """A directory beneath the one for files."""
        return self._homes[kind].home(thing_id)

    def secret(self) -> bytes:
        """The secret in the database; made at first use."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO openhands_secrets VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (self._tenant, secrets.token_bytes(_SECRET_BYTES)),
            )
            rows = connection.execute(
                "SELECT secret FROM openhands_secrets WHERE tenant = %s", (self._tenant,)
            ).fetchall()
        ((secret,),) = rows
        return bytes(secret)

    def part(self, name: str) -> PostgresStore:
        """Another tenant of the same database, on a connection of its own."""
        files = None if self._files is None else self._files / "users" / name
        return PostgresStore(self._url, files=files, tenant=f"{self._tenant}/{name}")

    def close(self) -> None:
        """Disconnect; another server may use the tenant now."""
        with self._lock:
            self._connection.close()
        for homes in self._homes.values():
            homes.close()

    def _records(self, kind: Kind, thing_id: str, *, after: int) -> list[Record]:
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT record FROM openhands_records"
                " WHERE tenant = %s AND kind = %s AND id = %s AND number > %s ORDER BY number",
                (self._tenant, kind, thing_id, after),
            ).fetchall()
        return [record for (record,) in rows]

    def _last_number(self, connection: Connection, key: tuple[Kind, str]) -> int:
        """How many records of a thing were acknowledged."""
        if key not in self._known:
            rows = connection.execute(
                "SELECT coalesce(max(number), 0) FROM openhands_records"
                " WHERE tenant = %s AND kind = %s AND id = %s",
                (self._tenant, *key),
            ).fetchall()
            ((self._known[key],),) = rows
        return self._known[key]

    def _forget_doubtful(self, connection: Connection, key: tuple[Kind, str], last: int) -> None:
        """Remove what was never acknowledged.

        A connection lost during a commit leaves open whether the records are there. They must not be,
        since who asked for them was told that it failed.
        """
        if key in self._doubtful:
            connection.execute(
                "DELETE FROM openhands_records WHERE tenant = %s AND kind = %s AND id = %s AND number > %s",
                (self._tenant, *key, last),
            )

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """The connection, with a transaction that is committed at the end; made anew if it was lost.

        Raises:
            StorageError: the database does not answer.
        """
        with self._lock:
            if self._connection.broken:
                self._connection = self._connect()
            try:
                with self._connection.transaction():
                    yield self._connection
            except psycopg.OperationalError as error:
                raise StorageError(f"the database does not answer: {error}") from error

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
        except psycopg.Error as error:
            raise StorageError(f"cannot use the database: {error}") from error
        try:
            self._take(connection)
        except (psycopg.Error, StorageError):
            connection.close()
            raise
        return connection

    def _take(self, connection: Connection) -> None:
        ((got,),) = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_CLASS, self._tenant)
        ).fetchall()
        if not got:
            raise StorageError(
                "the database is in use by another reference server; stop that one or choose another database"
            )
        connection.execute(_SCHEMA)


def tenants(url: str) -> list[str]:
    """All tenants of a database.

    Raises:
        StorageError: it cannot be asked.
    """
    with _asking(url) as connection:
        return [name for (name,) in connection.execute("SELECT tenant FROM openhands_secrets").fetchall()]


def remove_tenant(url: str, tenant: str) -> None:
    """Delete the records of a tenant and of its parts.

    Raises:
        StorageError: the database does not do it.
    """
    with _asking(url) as connection:
        for table in _TABLES:
            connection.execute(
                b"DELETE FROM " + table + b" WHERE tenant = %s OR starts_with(tenant, %s)",
                (tenant, f"{tenant}/"),
            )


@contextmanager
def _asking(url: str) -> Iterator[Connection]:
    try:
        with psycopg.connect(_plain(url), connect_timeout=_CONNECT_SECONDS) as connection:
            yield connection
    except psycopg.Error as error:
        raise StorageError(f"cannot use the database: {error}") from error


def _plain(url: str) -> str:
    """The URL as PostgreSQL's own tools write it.

    Raises:
        StorageError: it is none; the message does not repeat it, since it may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    plain = f"postgresql{separator}{rest}"
    if scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise StorageError("a database URL looks like postgresql://user@host:5432/database")
    try:
        conninfo_to_dict(plain)
    except psycopg.Error:
        raise StorageError(
            "the database URL cannot be read; it looks like postgresql://user@host:5432/database"
        ) from None
    return plain
