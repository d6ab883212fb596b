"""Generate the sync side of the SDK from the async side: ``python scripts/unasync.py [--check]``.

``sdk/openhands_client/_async/*.py`` → ``_sync/*.py``, and in the tests ``**/async_*.py`` → ``sync_*.py`` and
``**/test_async_*.py`` → ``test_sync_*.py``. With ``--check`` nothing is written: whole files are compared,
and rules that match nothing any more are an error. ``compat.py`` is written by hand twice, and
so are the tests' crowds; ``watching.py`` is async only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SDK = ROOT / "sdk" / "openhands_client"
TESTS = ROOT / "tests"

RULES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"\basync def\b", "def"),
        (r"\basync for\b", "for"),
        (r"\basync with\b", "with"),
        (r"\bawait ", ""),
        (r"\bwebsockets\.asyncio\b", "websockets.sync"),
        (r"\benter_async_context\b", "enter_context"),
        (r"\basync_(crowd|life|lives)\b", r"sync_\1"),
        (r"\bAn asynchronous client\b", "A client"),
        (r"\b__aenter__\b", "__enter__"),
        (r"\b__aexit__\b", "__exit__"),
        (r"\banext\b", "next"),
        (r"\baclose\b", "close"),
        (r"\baiter_bytes\b", "iter_bytes"),
        (r"\baread\b", "read"),
        (r"\b__aiter__\b", "__iter__"),
        (r"\bAsyncIterator\b", "Iterator"),
        (r"\bAsyncByteStream\b", "SyncByteStream"),
        (r"\bAsync([A-Z]\w*)", r"\1"),
    ]
]
HEADER = "# Generated from {source} by scripts/unasync.py. Do not edit.\n"
BY_HAND = {"compat.py", "watching.py", "async_crowd.py", "sync_crowd.py"}
NAME = re.compile(r"^(test_)?async_")


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__)
        return 2
    used: set[re.Pattern[str]] = set()
    wanted = {target: generate(source, used) for source, target in pairs()}
    problems = stale_files(wanted) + unused_rules(used)
    if check:
        problems += [
            f"{relative(path)} is not what {__file__} makes" for path in wanted if differs(path, wanted)
        ]
        print("\n".join(problems) or f"{len(wanted)} generated files are up to date")
        return 1 if problems else 0
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print("\n".join([f"wrote {len(wanted)} files", *problems]))
    return 1 if problems else 0


def pairs() -> list[tuple[Path, Path]]:
    """Source and target files."""
    sources = [path for path in sorted((SDK / "_async").glob("*.py")) if path.name not in BY_HAND]
    tests = [
        path
        for path in sorted(TESTS.rglob("*async_*.py"))
        if NAME.match(path.name) and path.name not in BY_HAND
    ]
    return [(path, SDK / "_sync" / path.name) for path in sources] + [
        (path, path.with_name(NAME.sub(r"\1sync_", path.name))) for path in tests
    ]


def generate(source: Path, used: set[re.Pattern[str]]) -> str:
    text = source.read_text()
    for pattern, replacement in RULES:
        text, count = pattern.subn(replacement, text)
        if count:
            used.add(pattern)
    return formatted(HEADER.format(source=relative(source)) + text)


def formatted(text: str) -> str:
    """Sorted imports and line breaks change when names get shorter."""
    ruff = [sys.executable, "-m", "ruff"]
    sort = [
        *ruff,
        "check",
        "--quiet",
        "--select",
        "I,F401",
        "--fix",
        "--stdin-filename",
        str(SDK / "x.py"),
        "-",
    ]
    for command in (sort, [*ruff, "format", "--quiet", "--stdin-filename", str(SDK / "x.py"), "-"]):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def stale_files(wanted: dict[Path, str]) -> list[str]:
    """Files that look generated and no longer have a source."""
    tests = [*TESTS.rglob("test_sync_*.py"), *TESTS.rglob("sync_*.py")]
    present = set((SDK / "_sync").glob("*.py")) | set(tests)
    generated = {path for path in present if path.name not in BY_HAND}
    return [f"{relative(path)} has no source any more" for path in sorted(generated - set(wanted))]


def unused_rules(used: set[re.Pattern[str]]) -> list[str]:
    return [f"the rule {pattern.pattern!r} matches nothing" for pattern, _ in RULES if pattern not in used]


def differs(path: Path, wanted: dict[Path, str]) -> bool:
    return not path.exists() or path.read_text() != wanted[path]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
