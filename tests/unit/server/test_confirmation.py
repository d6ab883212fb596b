"""When an agent asks, and what of its description is hidden."""

from __future__ import annotations

from typing import Any

import pytest

from openhands_reference_server.domain import confirmation
from openhands_reference_server.domain.masking import MASK, masked

RISKS = ("UNKNOWN", "LOW", "MEDIUM", "HIGH")


@pytest.mark.parametrize(
    ("policy", "asked"),
    [
        ({"kind": "NeverConfirm"}, ()),
        ({"kind": "AlwaysConfirm"}, RISKS),
        ({"kind": "ConfirmRisky"}, ("UNKNOWN", "HIGH")),
        ({"kind": "ConfirmRisky", "threshold": "MEDIUM"}, ("UNKNOWN", "MEDIUM", "HIGH")),
        ({"kind": "ConfirmRisky", "threshold": "LOW", "confirm_unknown": False}, ("LOW", "MEDIUM", "HIGH")),
    ],
)
def test_which_risks_are_asked_about(policy: dict[str, Any], asked: tuple[str, ...]) -> None:
    whole = confirmation.completed(policy)
    assert tuple(risk for risk in RISKS if confirmation.asks(whole, risk)) == asked


def test_secrets_are_masked_wherever_they_are() -> None:
    agent = {
        "llm": {"model": "m", "api_key": "a", "base_url": None, "aws_secret_access_key": "b"},
        "tools": [{"params": {"token": "c", "limit": 3}}],
        "mcp_config": {"servers": {"x": {"env": {"ANY": "d"}, "headers": {"Authorization": "e"}}}},
    }
    assert masked(agent) == {
        "llm": {"model": "m", "api_key": MASK, "base_url": None, "aws_secret_access_key": MASK},
        "tools": [{"params": {"token": MASK, "limit": 3}}],
        "mcp_config": {"servers": {"x": {"env": {"ANY": MASK}, "headers": {"Authorization": MASK}}}},
    }


def test_nothing_is_hidden_where_nothing_is_secret() -> None:
    plain = {"llm": {"model": "m", "api_key": None}, "tools": [1, "two", None]}
    assert masked(plain) == plain
