"""No name that comes from outside leads out of the workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_contract.documents import load
from openhands_reference_server.http.validation import RequestInvalid, RequestValidator
from openhands_reference_server.workspace.paths import (
    UnsafeName,
    asked_path,
    readable,
    shown_path,
    upload_path,
)

ROOT = Path("/srv/home/files")
PARTS = st.sampled_from(
    ["..", ".", "", "a", "b.txt", ".git", ".GIT", "/", "\\", "\0", "C:", "~", "...", " ", "ü", "workspace"]
)
NAMES = st.one_of(st.text(), st.lists(PARTS, max_size=6).map("/".join), st.lists(PARTS).map("".join))
VALIDATOR = RequestValidator(load("app-server"))
REFUSAL = (400, {"error": "The path does not lead into the workspace"})


def refusal_of(path: str) -> tuple[int, Any] | None:
    """How a request for this path is refused by the document."""
    try:
        VALIDATOR.validate(
            "listFiles",
            path={"conversation_id": "ab" * 16},
            query=[("path", path)],
            headers={},
            content_type=None,
            body=b"",
        )
    except RequestInvalid as refused:
        return refused.status, refused.body
    return None


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("notes.txt", "notes.txt"),
        ("src/main.py", "src/main.py"),
        ("./src//main.py", "src/main.py"),
        ("..notes", "..notes"),
        (".gitignore", ".gitignore"),
        ("übung ß.txt", "übung ß.txt"),
        ("a" * 255, "a" * 255),
        ("workspace/a", "workspace/a"),
    ],
)
def test_ordinary_names_are_kept(name: str, place: str) -> None:
    assert str(upload_path(name)) == place


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (".", "directory"),
        ("src/", "directory"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("/etc/passwd", "absolute"),
        ("/workspace/a", "absolute"),
        ("C:\\autoexec.bat", "absolute"),
        ("C:a", "absolute"),
        ("..\\a", "backslash"),
        ("../a", "out of the workspace"),
        ("a/../../b", "out of the workspace"),
        ("a/../b", "out of the workspace"),
        (".git/config", "git repository"),
        ("sub/.GIT/hooks/post-commit", "git repository"),
        (".git. /config", "git repository"),
        ("a" * 256, "too long"),
        ("ü" * 128, "too long"),
        ("/".join(["abcdefg"] * 129), "too long"),
        ("\udc80", "no valid text"),
    ],
)
def test_dangerous_names_are_refused_with_a_reason(name: str, reason: str) -> None:
    with pytest.raises(UnsafeName, match=reason):
        upload_path(name)


@given(NAMES)
def test_no_uploaded_name_escapes(name: str) -> None:
    try:
        place = upload_path(name)
    except UnsafeName:
        return
    target = Path(os.path.normpath(ROOT / place))
    assert target.is_relative_to(ROOT)
    assert target != ROOT
    assert not any(part.lower() == ".git" for part in target.relative_to(ROOT).parts)
    assert "\0" not in str(place)


@given(NAMES)
def test_no_asked_path_escapes(path: str) -> None:
    try:
        place = asked_path(path)
    except UnsafeName:
        return
    assert Path(os.path.normpath(ROOT / place)).is_relative_to(ROOT)


@given(NAMES)
def test_the_document_refuses_the_same_paths(path: str) -> None:
    try:
        asked_path(path)
        expected = True
    except UnsafeName:
        expected = False
    assert refusal_of(path) == (None if expected else REFUSAL)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", "."),
        ("src", "src"),
        ("/workspace", "."),
        ("/workspace/", "."),
        ("/workspace/src/a.py", "src/a.py"),
        ("workspace/a", "workspace/a"),
    ],
)
def test_clients_may_say_workspace(path: str, place: str) -> None:
    assert str(asked_path(path)) == place


def test_names_are_shown_as_text() -> None:
    assert shown_path(upload_path("a/b")) == "/workspace/a/b"
    assert readable(os.fsdecode(b"caf\xe9")) == "caf\N{REPLACEMENT CHARACTER}"
