"""Settings and secrets: what is kept, what is shown, and what nobody can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openhands_reference_server.domain.errors import SecretExists, SecretNotFound, SettingsNotFound
from openhands_reference_server.domain.settings import DEFAULTS, fold, from_json, merged
from openhands_reference_server.storage.directory import DirectoryStore
from openhands_reference_server.world.core import Core
from openhands_reference_server.world.scheduler import ManualClock
from openhands_reference_server.world.settings import Settings
from openhands_reference_server.world.vault import Unsealable, Vault

KEY, VALUE = "sk-very-secret", "ghp-very-secret"


def opened(directory: Path) -> tuple[Settings, DirectoryStore]:
    store = DirectoryStore(directory)
    return Settings(Core(store, ManualClock()), store), store


class TestVault:
    def test_only_the_same_secret_opens(self) -> None:
        sealed = Vault(b"one").seal({"key": KEY})
        assert KEY not in sealed
        assert Vault(b"one").open(sealed) == {"key": KEY}
        for vault, text in ((Vault(b"two"), sealed), (Vault(b"one"), sealed[:-4]), (Vault(b"one"), "ü")):
            with pytest.raises(Unsealable):
                vault.open(text)


class TestMerging:
    def test_what_is_not_sent_stays(self) -> None:
        known = merged(None, {"language": "de", "llm_api_key": KEY, "unknown": 1})
        assert known == {**DEFAULTS, "language": "de", "llm_api_key": KEY}
        assert merged(known, {"agent": None}) == {**known, "agent": None}

    @pytest.mark.parametrize(
        ("sent", "kept"), [({}, KEY), ({"llm_api_key": None}, KEY), ({"llm_api_key": ""}, None)]
    )
    def test_a_key_goes_only_when_it_is_emptied(self, sent: dict[str, Any], kept: str | None) -> None:
        assert merged({"llm_api_key": KEY}, sent)["llm_api_key"] == kept


class TestKeeping:
    def test_before_there_are_any(self, tmp_path: Path) -> None:
        settings, store = opened(tmp_path)
        with pytest.raises(SettingsNotFound):
            settings.read()
        settings.create_secret("A", VALUE, None)
        with pytest.raises(SettingsNotFound):
            settings.read()
        store.close()

    def test_they_survive_and_nobody_can_read_them(self, tmp_path: Path) -> None:
        settings, store = opened(tmp_path)
        settings.store({"llm_api_key": KEY, "mcp_config": {"sse_servers": [{"url": "u", "api_key": KEY}]}})
        settings.create_secret("A", VALUE, "what for")
        store.close()

        settings, store = opened(tmp_path)
        shown = settings.read()
        assert (shown["llm_api_key"], shown["llm_api_key_set"], shown["search_api_key_set"]) == (
            None,
            True,
            False,
        )
        assert shown["secrets_store"]["custom_secrets"] == {"A": {"description": "what for"}}
        assert settings.secrets() == {"A": "what for"}
        store.close()
        everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert KEY.encode() not in everything
        assert VALUE.encode() not in everything

    def test_with_another_secret_they_do_not_count(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings, store = opened(tmp_path)
        settings.store({"language": "de"})
        store.close()
        (tmp_path / "secret").unlink()
        settings, store = opened(tmp_path)
        with pytest.raises(SettingsNotFound):
            settings.read()
        assert "cannot be read" in caplog.text
        settings.store({"agent": "Other"})
        assert settings.read()["language"] == "en"
        store.close()

    def test_secrets_have_a_life(self, tmp_path: Path) -> None:
        settings, store = opened(tmp_path)
        settings.create_secret("B", VALUE, None)
        settings.create_secret("A", VALUE, None)
        with pytest.raises(SecretExists):
            settings.create_secret("A", VALUE, None)
        with pytest.raises(SecretExists):
            settings.change_secret("A", "B", None)
        settings.change_secret("A", "C", "new")
        assert settings.secrets() == {"B": None, "C": "new"}
        settings.delete_secret("B")
        for change in (lambda: settings.delete_secret("B"), lambda: settings.change_secret("A", "D", None)):
            with pytest.raises(SecretNotFound):
                change()
        store.close()

    def test_a_snapshot_is_the_state(self) -> None:
        made = fold(None, {"record": "created", "id": "user", "at": "t"})
        full = fold(made, {"record": "secret-stored", "at": "t", "name": "A", "secret": {"sealed": "x"}})
        assert from_json(full.to_json()) == full
