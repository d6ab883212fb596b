"""Keeps the settings and secrets of the user, sealed. There is one user; servers with accounts have more."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from openhands_reference_server.domain import settings
from openhands_reference_server.domain.changes import Changes
from openhands_reference_server.domain.errors import ServerClosing, SettingsNotFound
from openhands_reference_server.domain.settings import Secret, UserSettings
from openhands_reference_server.storage import Kind, Store
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.registry import Registry
from openhands_reference_server.world.vault import Unsealable, Vault

_logger = logging.getLogger(__name__)
_USER = "user"


class Settings:
    """Settings and secrets of one world. Keys and values go in and never come out."""

    def __init__(self, core: Core, store: Store) -> None:
        self._core = core
        self._vault = Vault(store.secret())
        self._users: Registry[UserSettings] = Registry(
            store, Kind.SETTINGS, settings.fold, settings.from_json
        )
        self._users.load()

    def read(self) -> dict[str, Any]:
        """The settings, without keys.

        Raises:
            SettingsNotFound: none were stored yet.
        """
        with self._core.lock:
            user = self._users.get(_USER)
            known = None if user is None else self._known(user)
            if user is None or known is None:
                raise SettingsNotFound
            return settings.shown(settings.merged(known, {}), user)

    def store(self, given: Mapping[str, Any]) -> None:
        """Change settings; what is not given stays."""
        with self._core.lock, self._changing() as changes:
            sealed = self._vault.seal(settings.merged(self._known(changes.state), given))
            settings.store(changes, sealed)

    def secrets(self) -> dict[str, str | None]:
        """Names and descriptions, in the order of the names."""
        with self._core.lock:
            user = self._users.get(_USER)
            secrets = {} if user is None else user.secrets
            return {name: secrets[name].description for name in sorted(secrets)}

    def create_secret(self, name: str, value: str, description: str | None) -> None:
        """Keep a secret.

        Raises:
            SecretExists: there is one of this name.
        """
        with self._core.lock, self._changing() as changes:
            settings.create_secret(changes, name, Secret(self._vault.seal(value), description))

    def change_secret(self, name: str, new_name: str, description: str | None) -> None:
        """Rename or describe a secret.

        Raises:
            SecretNotFound: there is none of this name.
            SecretExists: there is another one of the new name.
        """
        with self._core.lock, self._changing() as changes:
            settings.change_secret(changes, name, new_name, description)

    def delete_secret(self, name: str) -> None:
        """Forget a secret.

        Raises:
            SecretNotFound: there is none of this name.
        """
        with self._core.lock, self._changing() as changes:
            settings.delete_secret(changes, name)

    def _known(self, user: UserSettings) -> dict[str, Any] | None:
        if user.sealed is None:
            return None
        try:
            known: dict[str, Any] = self._vault.open(user.sealed)
        except Unsealable as error:
            _logger.warning("the stored settings cannot be read and do not count: %s", error)
            return None
        return known

    @contextmanager
    def _changing(self) -> Iterator[Changes[UserSettings]]:
        """Collect a decision; it becomes true when the block ends."""
        if self._core.closed:
            raise ServerClosing
        user = self._users.get(_USER)
        changes = Changes(user, fold=settings.fold, now=self._core.stamp, new_id=self._core.new_id)
        if user is None:
            settings.create(changes, _USER)
        yield changes
        self._users.commit(_USER, changes.records, changes.state)
