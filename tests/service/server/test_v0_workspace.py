"""Files and git of V0 over sockets: a plain HTTP client, and our own."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from openhands_client import OpenHands
from openhands_reference_server import AgentScript, Finish, UploadLimits, Write

from .commands import Served, api_of, served
from .conftest import MISSING, Api, eventually, serving, story

GIT = shutil.which("git") or "git"
MEGABYTE = 1024 * 1024
LARGE = 100 * MEGABYTE
GROWTH = 20 * MEGABYTE
ROUTES = (
    "list-files",
    "select-file?file=a",
    "zip-directory",
    "git/changes",
    "git/diff?path=a",
    "vscode-url",
    "web-hosts",
    "trajectory",
    "microagents",
    "remember-prompt?event_id=0",
)


def place(conversation_id: str, rest: str) -> str:
    return f"/api/conversations/{conversation_id}/{rest}"


def upload(api: Api, conversation_id: str, *files: tuple[str, bytes], field: str = "files") -> httpx.Response:
    sent = [(field, (name, content)) for name, content in files]
    return api.app.post(place(conversation_id, "upload-files"), files=sent)


def put(api: Api, conversation_id: str, **files: str) -> None:
    answer = upload(api, conversation_id, *((name, text.encode()) for name, text in files.items()))
    assert answer.json()["skipped_files"] == []


def refused(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


@pytest.fixture
def one(api: Api) -> str:
    """A running V0 conversation."""
    return api.create_v0()


class TestFiles:
    def test_what_is_uploaded_is_listed_read_and_zipped(self, api: Api, one: str) -> None:
        answer = upload(api, one, ("notes.txt", "ü\n".encode()), ("src/logo.bin", b"\0\1"))
        assert answer.status_code == 200
        assert answer.json() == {
            "uploaded_files": ["/workspace/notes.txt", "/workspace/src/logo.bin"],
            "skipped_files": [],
        }
        assert api.ok("GET", place(one, "list-files")) == ["notes.txt", "src"]
        assert api.ok("GET", place(one, "list-files?path=src")) == ["src/logo.bin"]
        assert api.ok("GET", place(one, "select-file?file=notes.txt")) == {"code": "ü\n"}
        assert api.ok("GET", place(one, "select-file?file=/workspace/notes.txt")) == {"code": "ü\n"}
        answer = api.app.get(place(one, "zip-directory"))
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == 'attachment; filename="workspace.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["src/", "notes.txt", "src/logo.bin"]
            assert archive.read("src/logo.bin") == b"\0\1"

    def test_what_cannot_be_stored_is_told(self, api: Api, one: str) -> None:
        names = ["../../escape.txt", "/etc/passwd", "a" * 300, ".git/config", "fine.txt"]
        answer = upload(api, one, *((name, b"x") for name in names)).json()
        assert answer["uploaded_files"] == ["/workspace/fine.txt"]
        assert [skipped["name"] for skipped in answer["skipped_files"]] == names[:-1]
        assert all(skipped["reason"] for skipped in answer["skipped_files"])
        assert api.ok("GET", place(one, "list-files")) == ["fine.txt"]

    @pytest.mark.parametrize("name", ["", "a\\\\b", "nul%00byte"])
    def test_names_are_taken_as_they_stand_in_the_form(self, api: Api, one: str, name: str) -> None:
        body = (
            f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'
        ).replace("%00", "\0")
        answer = api.app.post(
            place(one, "upload-files"),
            content=body.encode(),
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert answer.status_code == 200
        assert answer.json()["uploaded_files"] == []
        assert len(answer.json()["skipped_files"]) == 1

    def test_a_form_without_files_is_refused(self, api: Api, one: str) -> None:
        missing = {"type": "missing", "loc": ["body", "files"], "msg": "Field required", "input": None}
        assert refused(upload(api, one, ("a", b"x"), field="file")) == (422, {"detail": [missing]})
        assert refused(api.app.post(place(one, "upload-files"))) == (422, {"detail": [missing]})
        empty = {"content-type": "multipart/form-data; boundary=b"}
        answer = api.app.post(place(one, "upload-files"), content=b"--b--\r\n", headers=empty)
        assert refused(answer) == (422, {"detail": [missing]})
        answer = api.app.post(place(one, "upload-files"), data={"files": "text"}, files={"other": b""})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["type"] == "value_error"

    @pytest.mark.parametrize(
        ("content_type", "body", "status"),
        [
            ("application/json", b"{}", 415),
            ("multipart/form-data", b"x", 422),
            ("multipart/form-data; boundary=b", b"junk", 422),
            ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="files"', 422),
        ],
    )
    def test_a_broken_form_is_refused(
        self, api: Api, one: str, content_type: str, body: bytes, status: int
    ) -> None:
        answer = api.app.post(
            place(one, "upload-files"), content=body, headers={"content-type": content_type}
        )
        assert answer.status_code == status
        assert api.ok("GET", place(one, "list-files")) == []

    def test_files_that_cannot_be_read_say_why(self, api: Api, one: str) -> None:
        upload(api, one, ("a.bin", b"\0"))
        outside = (400, {"error": "The path does not lead into the workspace"})
        for path, expected in (
            ("a.bin", (415, {"error": "Unable to open binary file: a.bin"})),
            ("b", (404, {"error": "File not found: b"})),
            ("../b", outside),
            ("/etc/passwd", outside),
        ):
            assert refused(api.app.get(place(one, "select-file"), params={"file": path})) == expected
        for path, expected in (("b", (404, {"error": "File not found: b"})), ("..", outside)):
            assert refused(api.app.get(place(one, "list-files"), params={"path": path})) == expected
        assert api.app.get(place(one, "select-file")).status_code == 422

    @pytest.mark.parametrize("route", ROUTES)
    def test_only_v0_conversations_have_a_workspace(self, api: Api, route: str) -> None:
        for conversation_id in (MISSING, api.start_v1().id):
            answer = api.app.get(place(conversation_id, route))
            assert answer.status_code == 404
            assert answer.json()["msg_id"] == "CONVERSATION$NOT_FOUND"
        assert api.app.get(place("a..b", route)).status_code == 400

    def test_a_deleted_conversation_takes_its_files_along(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one = api.create_v0()
            put(api, one, a="1")
            [home] = (tmp_path / "conversations").iterdir()
            assert (home / "files" / "a").read_text() == "1"
            assert api.ok("DELETE", f"/api/conversations/{one}") is True
            assert not home.exists()

    def test_files_survive_a_restart_and_uploads_cut_short_do_not(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one = api.create_v0()
            put(api, one, a="1")
        [home] = (tmp_path / "conversations").iterdir()
        (home / "incoming-killed").mkdir()
        with serving(data_dir=tmp_path) as api:
            assert api.ok("GET", place(one, "list-files")) == ["a"]
            assert not (home / "incoming-killed").exists()


class TestLimits:
    @pytest.fixture
    def api(self) -> Iterator[Api]:
        with serving(upload_limits=UploadLimits(per_file=1000, per_request=3000)) as made:
            yield made

    def test_too_much_is_refused_as_a_whole(self, api: Api, one: str) -> None:
        too_large = (413, {"detail": "Request Entity Too Large"})
        assert refused(upload(api, one, ("a", b"x"), ("b", b"x" * 1001))) == too_large
        answer = upload(api, one, *((str(number), b"x" * 900) for number in range(4)))
        assert refused(answer) == too_large
        assert api.ok("GET", place(one, "list-files")) == []
        assert upload(api, one, ("a", b"x" * 1000)).status_code == 200

    def test_what_is_no_file_has_its_limits_too(self) -> None:
        with serving() as api:
            one = api.create_v0()
            for start in (b"", b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\nX: '):
                answer = api.app.post(
                    place(one, "upload-files"),
                    content=start + b"x" * 3 * MEGABYTE,
                    headers={"content-type": "multipart/form-data; boundary=b"},
                )
                assert answer.status_code == 413

    @pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
    def test_who_sends_too_much_hears_of_it(self, backend: str) -> None:
        with served("--backend", backend, "--upload-limit", "1") as server, api_of(server) as api:
            one = api.create_v0()
            answer = upload(api, one, ("a", b"x" * 20 * MEGABYTE))
            assert refused(answer) == (413, {"detail": "Request Entity Too Large"})
            assert upload(api, MISSING, ("a", b"x" * 20 * MEGABYTE)).status_code == 404
            assert api.ok("GET", place(one, "list-files")) == []

    def test_what_comes_in_chunks_is_counted_too(self, api: Api, one: str) -> None:
        def chunks() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield b"x" * 100
            yield b"\r\n--b--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = api.app.post(place(one, "upload-files"), content=chunks(), headers=headers)
        assert refused(answer) == (413, {"detail": "Request Entity Too Large"})


def test_a_client_that_hangs_up_leaves_nothing(tmp_path: Path) -> None:
    with serving(data_dir=tmp_path) as api:
        one = api.create_v0()
        [home] = (tmp_path / "conversations").iterdir()
        address = urlsplit(api.server.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(
                f"POST {place(one, 'upload-files')} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
                '--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode()
                + b"x" * 50_000
            )
            eventually(lambda: list(home.glob("incoming-*")))
        eventually(lambda: not list(home.glob("incoming-*")))
        assert api.ok("GET", place(one, "list-files")) == []


class TestGit:
    def test_a_new_workspace_is_an_empty_repository(self, api: Api, one: str) -> None:
        assert api.ok("GET", place(one, "git/changes")) == []
        put(api, one, a="1\n")
        assert api.ok("GET", place(one, "git/changes")) == [{"status": "U", "path": "a"}]
        assert api.ok("GET", place(one, "git/diff?path=a")) == {"modified": "1\n", "original": ""}

    def test_without_a_repository_there_is_nothing_to_tell(self, tmp_path: Path) -> None:
        with serving(data_dir=tmp_path) as api:
            one = api.create_v0()
            put(api, one, a="1")
            shutil.rmtree(tmp_path / "conversations" / one / "files" / ".git")
            for route in ("git/changes", "git/diff?path=a"):
                answer = api.app.get(place(one, route))
                assert refused(answer) == (404, {"error": "Not a git repository"})

    def test_a_script_brings_a_repository(self, repository: Path) -> None:
        with serving(script=AgentScript(repository=str(repository))) as api:
            one = api.create_v0(selected_branch="feature")
            assert api.ok("GET", place(one, "list-files")) == [".openhands", "README.md"]
            assert api.ok("GET", place(one, "git/changes")) == []
            put(api, one, **{"README.md": "changed\n"})
            assert api.ok("GET", place(one, "git/changes")) == [{"status": "M", "path": "README.md"}]
            diff = api.ok("GET", place(one, "git/diff?path=README.md"))
            assert diff == {"modified": "changed\n", "original": "on feature\n"}
            api.ok("POST", place(one, "stop"))
            api.ok("POST", place(one, "start"))
            api.wait_v0(one, "RUNNING")
            assert api.ok("GET", place(one, "select-file?file=README.md")) == {"code": "changed\n"}

    def test_a_repository_that_cannot_be_cloned_fails_the_start(self, tmp_path: Path) -> None:
        with serving(script=AgentScript(repository=str(tmp_path / "nothing"))) as api:
            one = api.app.post("/api/conversations", json={}).json()["conversation_id"]
            api.wait_v0(one, "ERROR")
            reason = api.v0_events(one)[-1]["extras"]["reason"]
            assert "cannot be cloned" in reason

    def test_its_microagents_are_loaded_while_the_agent_runs(self, repository: Path) -> None:
        with serving(script=AgentScript(repository=str(repository))) as api:
            one = api.create_v0()
            assert api.ok("GET", place(one, "microagents"))["microagents"] == [
                {
                    "name": "changelog",
                    "type": "knowledge",
                    "content": "Newest first.",
                    "triggers": ["changelog"],
                    "inputs": [],
                    "tools": [],
                }
            ]
            api.ok("POST", place(one, "stop"))
            error = {"error": "Agent session not found for this conversation"}
            assert refused(api.app.get(place(one, "microagents"))) == (404, error)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a branch and a microagent."""
    root = tmp_path / "source"
    agents = root / ".openhands" / "microagents"
    agents.mkdir(parents=True)
    (agents / "changelog.md").write_text("---\nname: changelog\ntriggers: [changelog]\n---\nNewest first.\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (root / "README.md").write_text("on main\n")

    def git(*arguments: str) -> None:
        subprocess.run([GIT, *author, *arguments], cwd=root, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", ".")
    git("commit", "--message", "first")
    git("checkout", "-b", "feature")
    (root / "README.md").write_text("on feature\n")
    git("commit", "--all", "--message", "second")
    git("checkout", "main")
    return root


def test_our_own_client_finds_its_way(api: Api, one: str, tmp_path: Path) -> None:
    with OpenHands(base_url=api.server.url, api="v0") as client:
        conversation = client.conversations.get(one)
        source = tmp_path / "notes.txt"
        source.write_text("hello\n")
        answer = conversation.files.upload(source, ("src/a.py", b"print()\n"), ("../x", b""))
        assert answer.uploaded_files == ["/workspace/notes.txt", "/workspace/src/a.py"]
        assert [skipped.name for skipped in answer.skipped_files] == ["../x"]
        assert conversation.files.list() == ["notes.txt", "src"]
        assert conversation.files.read("notes.txt") == "hello\n"
        assert conversation.files.download("src/a.py", tmp_path / "a.py").read_text() == "print()\n"
        with zipfile.ZipFile(conversation.files.zip(tmp_path / "all.zip")) as archive:
            assert archive.namelist() == ["src/", "notes.txt", "src/a.py"]
        assert [change.path for change in conversation.git.changes()] == ["notes.txt", "src/a.py"]
        assert conversation.git.diff("notes.txt").modified == "hello\n"
        assert conversation.microagents() == []
        assert conversation.vscode_url() is None
        assert conversation.web_hosts() == []
        assert [event.id for event in conversation.trajectory()] == list(range(len(api.v0_events(one))))


def memory_of(server: Served) -> int:
    """Bytes in memory, of the process and of those it has started."""
    pids, total = [server.process.pid], 0
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids += map(int, children)
        status = Path(f"/proc/{pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        total += int(peak.split()[1]) * 1024
    return total


class _Random(io.RawIOBase):
    """A large file that needs no disk."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._block = os.urandom(MEGABYTE)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._left, MEGABYTE)
        buffer[:count] = self._block[:count]
        self._left -= count
        return count


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured in /proc")
@pytest.mark.parametrize("backend", ["gunicorn", "werkzeug"])
def test_a_large_file_is_never_in_memory(backend: str, tmp_path: Path) -> None:
    with served("--backend", backend, "--data-dir", str(tmp_path)) as server, api_of(server) as api:
        one = api.create_v0()
        upload(api, one, ("warm.up", b"x" * MEGABYTE))
        api.app.get(place(one, "zip-directory"))
        before = memory_of(server)
        answer = api.app.post(
            place(one, "upload-files"), files={"files": ("large", _Random(LARGE))}, timeout=120
        )
        assert answer.status_code == 200
        assert (tmp_path / "conversations" / one / "files" / "large").stat().st_size == LARGE
        received = 0
        with api.app.stream("GET", place(one, "zip-directory"), timeout=120) as download:
            for piece in download.iter_bytes():
                received += len(piece)
        assert received > LARGE // 200  # the same megabyte again and again
        assert memory_of(server) - before < GROWTH


class TestScriptedFiles:
    def test_what_the_agent_writes_is_in_the_workspace(self) -> None:
        acts = [Write("src/a.py", "1\n", "I begin."), Write("/workspace/src/a.py", "2\n"), Finish()]
        with serving(script=AgentScript(acts=lambda message, number: acts)) as api:
            one = api.create_v0(initial_user_msg="Write a file")
            events = api.wait_agent_state(one, "finished")
            assert [event["args"]["path"] for event in events if event.get("action") == "edit"] == [
                "src/a.py",
                "/workspace/src/a.py",
            ]
            seen = [event["extras"] for event in events if event.get("observation") == "edit"]
            assert [(one["prev_exist"], one["old_content"], one["new_content"]) for one in seen] == [
                (False, None, "1\n"),
                (True, "1\n", "2\n"),
            ]
            assert api.ok("GET", place(one, "git/diff?path=src/a.py")) == {"modified": "2\n", "original": ""}

    def test_a_script_that_writes_elsewhere_fails(self) -> None:
        with serving(script=AgentScript(acts=lambda message, number: [Write("../a", "x")])) as api:
            one = api.create_v0(initial_user_msg="Write a file")
            reason = api.wait_agent_state(one, "error")[-1]["extras"]["reason"]
            assert reason.startswith("WriteError: The path does not lead into the workspace")

    def test_v1_tells_of_it(self) -> None:
        acts = [Write("src/a.py", "1\n"), Finish()]
        with serving(script=AgentScript(acts=lambda message, number: acts)) as api:
            words = story(api.start_v1("Write a file").rest())
            assert words[words.index("FileEditorAction") + 1] == "FileEditorObservation"
