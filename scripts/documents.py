"""Pages that are written from the code, and checked to be what the code says now."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(name: str, wanted: str, arguments: list[str]) -> int:
    """Write ``docs/<name>``, or with ``--check`` only compare it; the exit code."""
    target = ROOT / "docs" / name
    if arguments == ["--check"]:
        current = target.read_text() if target.exists() else ""
        print(f"docs/{name} is " + ("up to date" if current == wanted else "not what this script writes"))
        return 0 if current == wanted else 1
    target.write_text(wanted)
    print(f"wrote docs/{name}")
    return 0
