"""What generated requests did to the settings is undone, as far as anybody can."""

from __future__ import annotations

from openhands_contract.contract_document import document
from openhands_contract.lab.settings import has_keys, restoring


def test_keys_are_noticed_by_what_is_said_of_them() -> None:
    assert has_keys({"llm_api_key": None, "llm_api_key_set": True})
    assert not has_keys({"llm_api_key_set": False, "search_api_key_set": False})


def test_what_was_stored_is_sent_and_the_rest_is_unset() -> None:
    stored = {"language": "de", "max_iterations": 7, "llm_api_key": None, "llm_api_key_set": False}
    body = restoring(stored, document("app-server", "docs"))
    assert (body["language"], body["max_iterations"], body["email"]) == ("de", 7, None)
    assert body["llm_api_key"] == body["search_api_key"] == body["sandbox_api_key"] == "", "an empty key goes"
    assert body["mcp_config"] is None
    assert "llm_api_key_set" not in body
    assert "enable_sound_notifications" not in body, "it cannot be null"
