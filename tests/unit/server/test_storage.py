"""All stores keep what they have acknowledged; the directory does so through every crash.

PostgreSQL takes part where OPENHANDS_TEST_DATABASE_URL names a database.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from openhands_reference_server.storage import Kind, StorageError, Store, directory
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.storage.lock import DirectoryLock
from openhands_reference_server.storage.memory import MemoryStore
from openhands_reference_server.storage.place import Storage
from openhands_reference_server.storage.postgres import PostgresStore

ID = "ab" * 16
DECISIONS: list[list[dict[str, Any]]] = [
    [{"record": "created", "n": 0}, {"record": "event", "n": 1, "text": "ü\n\ud800"}],
    [{"record": "event", "n": 2}],
    [{"record": "event", "n": 3}, {"record": "event", "n": 4}, {"record": "renamed", "n": 5}],
]
RECORDS = [record for decision in DECISIONS for record in decision]


@pytest.fixture(params=["memory", "directory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store
    match request.param:
        case "memory":
            made = MemoryStore()
        case "directory":
            made = DirectoryStore(tmp_path)
        case _:
            url, tenant = request.getfixturevalue("database")
            made = PostgresStore(url, tenant=tenant)
    yield made
    made.close()


@pytest.fixture
def database() -> Iterator[tuple[str, str]]:
    """A tenant of its own in the database for tests; nothing of it is left."""
    url = os.environ.get("OPENHANDS_TEST_DATABASE_URL")
    if not url:
        pytest.skip("OPENHANDS_TEST_DATABASE_URL names no database")
    tenant = secrets.token_hex(8)
    yield url, tenant
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("openhands_records", "openhands_snapshots", "openhands_secrets"):
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE tenant = %s").format(sql.Identifier(table)), (tenant,)
            )


def fill(store: Store, kind: Kind = Kind.CONVERSATION) -> None:
    for decision in DECISIONS:
        store.append(kind, ID, decision)


def loaded(store: Store, kind: Kind = Kind.CONVERSATION) -> dict[str, tuple[Any, list[Any]]]:
    return {stored.id: (stored.snapshot, list(stored.records)) for stored in store.load(kind)}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a store that was filled and closed."""
    store = DirectoryStore(tmp_path)
    fill(store)
    store.close()
    return tmp_path / "conversations" / ID / "events.jsonl"


class TestAllStores:
    def test_what_was_appended_is_read(self, store: Store) -> None:
        fill(store)
        assert list(store.read(Kind.CONVERSATION, ID)) == RECORDS
        assert loaded(store) == {ID: (None, RECORDS)}
        assert loaded(store, Kind.SANDBOX) == {}

    def test_what_was_removed_is_gone(self, store: Store) -> None:
        fill(store, Kind.START_TASK)
        store.remove(Kind.START_TASK, ID)
        assert loaded(store, Kind.START_TASK) == {}
        assert list(store.read(Kind.START_TASK, ID)) == []

    @pytest.mark.parametrize("name", ["..", "a/b", "", "a" * 65, "a.b", "C:", "ü", "\x00"])
    def test_names_from_outside_never_become_paths(self, store: Store, name: str) -> None:
        with pytest.raises(StorageError):
            store.append(Kind.CONVERSATION, name, DECISIONS[0])

    def test_the_secret_stays_the_same(self, store: Store) -> None:
        assert store.secret() == store.secret()
        assert len(store.secret()) == 32


class TestDirectory:
    def test_the_documented_layout(self, log: Path) -> None:
        assert (log.parent / "files").is_dir()
        assert [json.loads(line)["n"] for line in log.read_text().splitlines()] == list(range(6))

    def test_a_snapshot_saves_reading_the_log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DirectoryStore(tmp_path)
        fill(store)
        store.save_snapshot(Kind.CONVERSATION, ID, {"n": 5})
        monkeypatch.setattr(directory, "_records", lambda *_: pytest.fail("the log was read"))
        assert loaded(store) == {ID: ({"n": 5}, [])}
        store.close()

    def test_only_what_the_snapshot_does_not_cover_is_read(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        store.append(Kind.CONVERSATION, ID, DECISIONS[0])
        store.save_snapshot(Kind.CONVERSATION, ID, {"n": 1})
        store.append(Kind.CONVERSATION, ID, DECISIONS[1])
        assert loaded(store) == {ID: ({"n": 1}, DECISIONS[1])}
        store.close()

    @pytest.mark.parametrize(
        "damage", ["", "{", "[]", '{"state": {}}', '{"log_bytes": 9999999, "state": {}}']
    )
    def test_a_damaged_snapshot_costs_nothing_but_time(self, log: Path, damage: str) -> None:
        (log.parent / "state.json").write_text(damage)
        store = DirectoryStore(log.parents[2])
        assert loaded(store) == {ID: (None, RECORDS)}
        store.close()

    def test_a_crash_while_replacing_the_snapshot_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = DirectoryStore(tmp_path)
        store.append(Kind.CONVERSATION, ID, DECISIONS[0])
        store.save_snapshot(Kind.CONVERSATION, ID, {"n": 1})
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            store.save_snapshot(Kind.CONVERSATION, ID, {"n": 2})
        assert loaded(store) == {ID: ({"n": 1}, [])}
        store.close()

    def test_an_append_that_fails_leaves_nothing(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DirectoryStore(log.parents[2])
        whole = log.read_bytes()

        def full_disk(descriptor: int, data: bytes) -> int:
            os.pwrite(descriptor, data[:5], 0)
            raise OSError("disk full")

        monkeypatch.setattr(directory, "_write_all", full_disk)
        with pytest.raises(OSError, match="disk full"):
            store.append(Kind.CONVERSATION, ID, [{"record": "event", "n": 6}])
        assert log.read_bytes() == whole
        store.close()

    def test_the_secret_is_for_its_owner_only(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        store.secret()
        assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
        store.close()
        again = DirectoryStore(tmp_path)
        assert again.secret() == store.secret()
        (tmp_path / "secret").write_bytes(b"short")
        with pytest.raises(StorageError, match="secret"):
            again.secret()
        again.close()

    def test_strangers_in_the_directory_are_left_alone(
        self, log: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (log.parents[1] / ".DS_Store").write_text("x")
        store = DirectoryStore(log.parents[2])
        assert list(loaded(store)) == [ID]
        assert ".DS_Store" in caplog.text
        store.close()


class TestCrashes:
    def test_whatever_is_cut_off_whole_decisions_stay(
        self, log: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Torn at every byte: what is left is exactly the decisions that were whole."""
        whole = log.read_bytes()
        lengths = [len(line) for line in whole.splitlines(True)]
        counts = accumulate(map(len, DECISIONS), initial=0)
        ends = [sum(lengths[:count]) for count in counts]
        caplog.set_level(logging.ERROR)
        for size in range(len(whole) + 1):
            log.parent.mkdir(exist_ok=True)
            log.write_bytes(whole[:size])
            survivors = max(count for count, end in enumerate(ends) if end <= size)
            expected = [record for decision in DECISIONS[:survivors] for record in decision]
            store = DirectoryStore(log.parents[2])
            assert loaded(store) == ({ID: (None, expected)} if expected else {}), size
            assert log.exists() == bool(expected)
            store.close()

    def test_the_repair_is_told(self, log: Path, caplog: pytest.LogCaptureFixture) -> None:
        with log.open("ab") as file:
            file.write(b'{"record": "ev')
        store = DirectoryStore(log.parents[2])
        assert loaded(store) == {ID: (None, RECORDS)}
        assert "14 bytes" in caplog.text
        store.append(Kind.CONVERSATION, ID, [{"record": "event", "n": 6}])
        assert [record["n"] for record in store.read(Kind.CONVERSATION, ID)] == list(range(7))
        store.close()

    def test_a_tail_longer_than_the_window(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(directory, "_TAIL_BYTES", 16)
        with log.open("ab") as file:
            file.write(json.dumps({"record": "event", "text": "x" * 500, "more": True}).encode() + b"\n{")
        store = DirectoryStore(log.parents[2])
        assert loaded(store) == {ID: (None, RECORDS)}
        store.close()

    def test_a_deletion_cut_short_is_finished(self, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DirectoryStore(log.parents[2])
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            store.remove(Kind.CONVERSATION, ID)
        assert log.exists()
        assert loaded(store) == {}
        assert not log.parent.exists()
        store.close()


class TestLock:
    def test_a_second_process_is_refused_with_reasons(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("openhands_reference_server.storage.lock._PATIENCE", 0.0)
        lock = DirectoryLock(tmp_path)
        with pytest.raises(StorageError, match=rf"{tmp_path}.*process {os.getpid()}\)"):
            DirectoryStore(tmp_path)
        lock.release()
        DirectoryStore(tmp_path).close()

    def test_a_store_may_be_given_its_lock(self, tmp_path: Path) -> None:
        lock = DirectoryLock(tmp_path)
        store = DirectoryStore(tmp_path, lock)
        store.close()
        lock.release()

    def test_a_place_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="cannot use"):
            DirectoryStore(tmp_path / "file")


class TestPostgres:
    def test_another_server_finds_everything(self, database: tuple[str, str]) -> None:
        url, tenant = database
        store = PostgresStore(url, tenant=tenant)
        fill(store)
        secret = store.secret()
        store.save_snapshot(Kind.CONVERSATION, ID, {"n": 5})
        store.append(Kind.CONVERSATION, ID, DECISIONS[1])
        store.close()
        other = PostgresStore(url.replace("postgresql://", "postgresql+psycopg://"), tenant=tenant)
        assert loaded(other) == {ID: ({"n": 5}, DECISIONS[1])}
        assert list(other.read(Kind.CONVERSATION, ID)) == [*RECORDS, *DECISIONS[1]]
        assert other.secret() == secret
        other.close()

    def test_one_server_at_a_time(self, database: tuple[str, str]) -> None:
        url, tenant = database
        store = PostgresStore(url, tenant=tenant)
        with pytest.raises(StorageError, match="in use by another reference server"):
            PostgresStore(url, tenant=tenant)
        PostgresStore(url, tenant=f"{tenant}-other").close()
        store.close()
        PostgresStore(url, tenant=tenant).close()

    def test_a_lost_connection_is_replaced_and_leaves_nothing_unacknowledged(
        self, database: tuple[str, str]
    ) -> None:
        url, tenant = database
        store = PostgresStore(url, tenant=tenant)
        store.append(Kind.CONVERSATION, ID, DECISIONS[0])
        cut_connections(url, tenant)
        with pytest.raises(StorageError, match="does not answer"):
            store.append(Kind.CONVERSATION, ID, DECISIONS[1])
        with psycopg.connect(url, autocommit=True) as connection:  # as if the lost commit had arrived
            connection.execute(
                "INSERT INTO openhands_records VALUES (%s, 'conversations', %s, 3, '{}')", (tenant, ID)
            )
        store.append(Kind.CONVERSATION, ID, DECISIONS[2])
        assert list(store.read(Kind.CONVERSATION, ID)) == DECISIONS[0] + DECISIONS[2]
        store.close()

    def test_namespaces_are_tenants(self, database: tuple[str, str]) -> None:
        url, name = database
        storage = Storage(database_url=url)
        store = storage.open(name)
        part = store.part("ann")
        for one in (store, part):
            one.secret()
            fill(one)
            one.close()
        assert name in storage.names()
        storage.remove(name)
        assert name not in storage.names()
        store = storage.open(name)
        assert loaded(store) == {}
        part = store.part("ann")
        assert loaded(part) == {}
        part.close()
        store.close()

    @pytest.mark.parametrize(
        "url", ["mysql://u:hidden@h/db", "hidden", "postgresql://[hidden", "postgresql://h/db?hidden=1"]
    )
    def test_a_url_that_is_none_is_refused_without_being_repeated(self, url: str) -> None:
        with pytest.raises(StorageError, match="looks like postgresql://") as refused:
            PostgresStore(url)
        assert "hidden" not in str(refused.value)

    def test_a_database_that_is_not_there(self) -> None:
        with pytest.raises(StorageError, match="cannot use the database") as refused:
            PostgresStore("postgresql://u:hidden@127.0.0.1:9/db")
        assert "hidden" not in str(refused.value)


def cut_connections(url: str, tenant: str) -> None:
    """End the connections that hold the lock of a tenant, as a restart of the database would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND objid::int8 = hashtext(%s)::int8 & 4294967295",
            (tenant,),
        )
