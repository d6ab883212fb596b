"""A session key opens its sandbox and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_reference_server.world.keys import SessionKeys

KEYS = SessionKeys(b"s" * 32)


def test_a_key_is_always_the_same_and_leads_to_its_sandbox() -> None:
    assert KEYS.key_of("box") == SessionKeys(b"s" * 32).key_of("box")
    assert KEYS.sandbox_of(KEYS.key_of("box")) == "box"


def test_other_servers_and_sandboxes_have_other_keys() -> None:
    assert SessionKeys(b"t" * 32).sandbox_of(KEYS.key_of("box")) is None
    proof = KEYS.key_of("box").partition(".")[2]
    assert KEYS.sandbox_of(f"other.{proof}") is None


@pytest.mark.parametrize("key", ["", ".", "box", "box.", "box.x", "\ud800", "ü.ü"])
def test_broken_keys(key: str) -> None:
    assert KEYS.sandbox_of(key) is None


@given(st.text(max_size=80))
def test_invented_keys(key: str) -> None:
    assert KEYS.sandbox_of(key) is None
