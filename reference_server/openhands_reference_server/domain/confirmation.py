"""When an agent asks before it acts: the confirmation policies of a V1 conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NEVER: Mapping[str, Any] = {"kind": "NeverConfirm"}
_RISKS = ("LOW", "MEDIUM", "HIGH")


def completed(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as the server shows it: known fields only, with their defaults."""
    if policy["kind"] != "ConfirmRisky":
        return {"kind": policy["kind"]}
    return {
        "kind": "ConfirmRisky",
        "threshold": policy.get("threshold", "HIGH"),
        "confirm_unknown": policy.get("confirm_unknown", True),
    }


def asks(policy: Mapping[str, Any], risk: str) -> bool:
    """Does an agent under this policy ask before it does something as risky as this?"""
    match policy["kind"]:
        case "AlwaysConfirm":
            return True
        case "ConfirmRisky" if risk in _RISKS and policy["threshold"] in _RISKS:
            return _RISKS.index(risk) >= _RISKS.index(policy["threshold"])
        case "ConfirmRisky":
            return bool(policy["confirm_unknown"])
        case _:
            return False
