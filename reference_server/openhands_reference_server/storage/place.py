"""Where a process keeps the worlds it serves, and how each of them finds its own store there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from openhands_reference_server.storage import Store
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.storage.lock import DirectoryLock
from openhands_reference_server.storage.memory import MemoryStore

_FOLDER = "namespaces"
_TENANT = "namespace:"


@dataclass(frozen=True, slots=True)
class Storage:
    """In memory, in a directory, or in a database; namespaces beneath or beside the root.

    Attributes:
        data_dir: the directory; None: in memory. With a database it holds the workspaces only.
        lock: its lock, if the caller holds it already (and will release it).
        database_url: keep records in this PostgreSQL database.
    """

    data_dir: Path | None = None
    lock: DirectoryLock | None = None
    database_url: str | None = field(default=None, repr=False)

    def open(self, namespace: str | None = None) -> Store:
        """The store of a namespace, or of the root.

        Raises:
            StorageError: the directory or the database cannot be used.
        """
        folder = self._folder(namespace)
        if self.database_url is not None:
            # The driver is an extra.
            from openhands_reference_server.storage.postgres import PostgresStore

            tenant = "" if namespace is None else f"{_TENANT}{namespace}"
            return PostgresStore(self.database_url, files=folder, tenant=tenant)
        if folder is None:
            return MemoryStore()
        return DirectoryStore(folder, self.lock if namespace is None else None)

    def names(self) -> list[str]:
        """The namespaces that are kept."""
        if self.database_url is not None:
            from openhands_reference_server.storage import postgres

            kept = postgres.tenants(self.database_url)
            return [
                name.removeprefix(_TENANT) for name in kept if name.startswith(_TENANT) and "/" not in name
            ]
        folder = None if self.data_dir is None else self.data_dir / _FOLDER
        return [] if folder is None or not folder.is_dir() else [one.name for one in folder.iterdir()]

    def remove(self, namespace: str) -> None:
        """Keep it no longer."""
        if self.database_url is not None:
            from openhands_reference_server.storage import postgres

            postgres.remove_tenant(self.database_url, f"{_TENANT}{namespace}")
        folder = self._folder(namespace)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def describe(self) -> str:
        """For people; without the credentials of the database."""
        if self.database_url is not None:
            return f"PostgreSQL, files in {self.data_dir or 'a temporary directory'}"
        return str(self.data_dir or "in memory")

    def _folder(self, namespace: str | None) -> Path | None:
        if self.data_dir is None or namespace is None:
            return self.data_dir
        return self.data_dir / _FOLDER / namespace
