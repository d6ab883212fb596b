"""Files and repositories of a sandbox through its agent server."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from openhands_reference_server import UploadLimits

from .conftest import V1, Api, serving

FILE = "/workspace/src/a b.txt"
GIT = shutil.which("git") or "git"


def ask(one: V1, method: str, path: str, **kwargs: Any) -> httpx.Response:
    headers = {"X-Session-API-Key": one.key}
    return httpx.request(method, one.api.server.agent_url + path, headers=headers, timeout=10, **kwargs)


def upload(one: V1, path: str, content: bytes) -> httpx.Response:
    return ask(one, "POST", f"/api/file/upload/{path}", files={"file": ("any.name", content)})


def put(one: V1, path: str, content: bytes) -> None:
    answer = upload(one, path, content)
    assert answer.json() == {"success": True}, answer.text


def root(one: V1, tmp_path: Path) -> Path:
    return tmp_path / "sandboxes" / one.sandbox_id / "files"


@pytest.mark.parametrize("spelled", [FILE, quote(FILE, safe="")], ids=["plain", "encoded"])
def test_a_file_goes_up_and_comes_down(api: Api, spelled: str) -> None:
    one = api.start_v1()
    content = bytes(range(256)) * 5000
    put(one, spelled, content)
    answer = ask(one, "GET", f"/api/file/download/{spelled}")
    assert (answer.content, answer.headers["content-type"]) == (content, "application/octet-stream")
    assert 'filename="a b.txt"' in answer.headers["content-disposition"]
    put(one, spelled, b"shorter")
    assert ask(one, "GET", f"/api/file/download/{spelled}").content == b"shorter"


def test_files_are_shared_in_the_sandbox_and_go_with_it(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path) as api:
        one = api.start_v1()
        other, stranger = api.start_v1(sandbox_id=one.sandbox_id), api.start_v1()
        put(one, "/workspace/project/PLAN.md", b"# Plan\n")
        assert ask(other, "GET", "/api/file/download//workspace/project/PLAN.md").text == "# Plan\n"
        assert ask(stranger, "GET", "/api/file/download//workspace/project/PLAN.md").status_code == 404
        assert api.ok("GET", f"/api/v1/app-conversations/{other.id}/file") == "# Plan\n"
        assert (root(one, tmp_path) / "project/PLAN.md").read_text() == "# Plan\n"
    with serving(data_dir=tmp_path) as api:
        assert api.ok("GET", f"/api/v1/app-conversations/{one.id}/file") == "# Plan\n"
        api.ok("DELETE", f"/api/v1/sandboxes/{one.sandbox_id}")
        assert not root(one, tmp_path).exists()
        assert api.ok("GET", f"/api/v1/app-conversations/{one.id}/file") == ""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("relative.txt", 400),
        ("/etc/passwd", 403),
        ("/workspacex/a", 403),
        ("/workspace/%2e%2e/secret", 403),
        ("/workspace/link/secret", 403),
        ("/workspace/.git/config", 404),
        ("/workspace/src", 404),
        ("/workspace", 404),
        ("/workspace/none", 404),
    ],
)
def test_what_cannot_be_downloaded(tmp_path: Path, path: str, status: int) -> None:
    with serving(data_dir=tmp_path) as api:
        one = api.start_v1()
        put(one, FILE, b"x")
        (tmp_path / "secret").write_text("s3cr3t")
        (root(one, tmp_path) / "link").symlink_to(tmp_path)
        answer = ask(one, "GET", f"/api/file/download/{path}")
        assert answer.status_code == status
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("relative.txt", 400),
        ("relative%0A.txt", 400),
        ("/workspace/line%0Aend", 422),
        ("/etc/cron.d/x", 403),
        ("/workspace/%2e%2e/x", 403),
        ("/workspace/link/x", 403),
        ("/workspace/.git/hooks/post-commit", 403),
        ("/workspace", 403),
    ],
)
def test_what_cannot_be_uploaded(tmp_path: Path, path: str, status: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with serving(data_dir=tmp_path / "data") as api:
        one = api.start_v1()
        put(one, FILE, b"x")
        (root(one, tmp_path / "data") / "link").symlink_to(outside)
        answer = upload(one, path, b"evil")
        assert answer.status_code == status
        assert answer.json()["detail"]
    assert not list(outside.iterdir())


def test_uploads_that_are_none(api: Api) -> None:
    one = api.start_v1()
    where = f"/api/file/upload/{FILE}"
    assert ask(one, "POST", where).json()["detail"][0]["loc"] == ["body", "file"]
    assert ask(one, "POST", where, files={"other": b"x"}).status_code == 422
    assert ask(one, "POST", where, json={}).status_code == 415
    assert ask(one, "GET", where.replace("upload", "download")).status_code == 404


def test_an_upload_that_is_too_large_leaves_nothing() -> None:
    with serving(upload_limits=UploadLimits.both(1000)) as api:
        one = api.start_v1()
        assert upload(one, FILE, b"x" * 2000).status_code == 413
        assert ask(one, "GET", f"/api/file/download/{FILE}").status_code == 404


def test_changes_and_diffs(api: Api) -> None:
    one = api.start_v1()
    assert ask(one, "GET", "/api/git/changes//workspace").json() == []
    put(one, "/workspace/src/a.txt", b"one\n")
    put(one, "/workspace/b.txt", b"two\n")
    whole = ask(one, "GET", "/api/git/changes//workspace").json()
    assert whole == [{"status": "ADDED", "path": "b.txt"}, {"status": "ADDED", "path": "src/a.txt"}]
    inside = ask(one, "GET", "/api/git/changes//workspace/src").json()
    assert inside == [{"status": "ADDED", "path": "a.txt"}]
    diff = ask(one, "GET", "/api/git/diff//workspace/src/a.txt").json()
    assert diff == {"modified": "one\n", "original": ""}
    assert ask(one, "GET", "/api/git/diff//workspace/none").status_code == 404
    assert ask(one, "GET", "/api/git/changes//etc").status_code == 403
    assert ask(one, "GET", "/api/git/changes/workspace").status_code == 400


def test_editor_desktop_and_tools(api: Api) -> None:
    one = api.start_v1()
    assert ask(one, "GET", "/api/tools/").json() == ["terminal", "file_editor"]
    assert ask(one, "GET", "/api/vscode/status").json()["enabled"] is False
    for path in ("/api/vscode/url", "/api/desktop/url"):
        answer = ask(one, "GET", path)
        assert answer.status_code == 503
        assert "disabled" in answer.json()["detail"]


def test_files_need_the_key(api: Api) -> None:
    api.start_v1()
    for path in ("/api/file/download//workspace/a", "/api/git/changes//workspace", "/api/tools/"):
        assert httpx.get(api.server.agent_url + path).status_code == 401


def test_a_script_brings_a_repository(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_text("hello\n")
    as_somebody = ["-c", "user.name=t", "-c", "user.email=t@example.test"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*as_somebody, "commit", "-qm", "first"]):
        subprocess.run([GIT, *command], cwd=source, check=True)
    with serving(scenario={"repository": str(source)}) as api:
        one = api.start_v1()
        assert ask(one, "GET", "/api/git/changes//workspace").json() == []
        put(one, "/workspace/README.md", b"changed\n")
        diff = ask(one, "GET", "/api/git/diff//workspace/README.md").json()
        assert diff == {"modified": "changed\n", "original": "hello\n"}


def test_a_repository_that_cannot_be_cloned_fails_the_start(tmp_path: Path) -> None:
    with serving(scenario={"repository": str(tmp_path / "nothing")}) as api:
        task = api.wait_task(api.ok("POST", "/api/v1/app-conversations", json={})["id"])
        assert task["status"] == "ERROR"
        assert "cannot be cloned" in task["detail"]
