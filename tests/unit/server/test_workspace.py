"""One workspace on disk: what is read, compared, zipped and received, and what never is."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openhands_reference_server.domain.errors import (
    BinaryFile,
    FileMissing,
    FileTooLarge,
    NotAGitRepository,
    PathOutside,
)
from openhands_reference_server.workspace.files import UploadLimits, Workspace, decoded
from openhands_reference_server.workspace.git import Change, Git, GitFailed
from openhands_reference_server.workspace.microagents import parse

GIT = shutil.which("git") or "git"
SECRET = "the secret of another"


@pytest.fixture
def git() -> Iterator[Git]:
    made = Git()
    yield made
    made.close()


@pytest.fixture
def workspace(tmp_path: Path, git: Git) -> Workspace:
    """A workspace with a repository, and secrets around it."""
    home = tmp_path / "home"
    root = home / "files"
    root.mkdir(parents=True)
    git.init(root)
    (tmp_path / "outside.txt").write_text(SECRET)
    return Workspace(home, root, git, UploadLimits.both(1000))


def commit(root: Path, **files: str) -> None:
    """Commit files, as an agent would."""
    for name, content in files.items():
        (root / name).write_text(content)
    run(root, "add", "--all")
    run(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "files")


def run(root: Path, *arguments: str) -> None:
    subprocess.run([GIT, *arguments], cwd=root, check=True, capture_output=True)


def text(workspace: Workspace, path: str) -> str:
    with workspace.open_text(path) as file:
        return "".join(decoded(file))


def unzipped(workspace: Workspace) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(workspace.zipped()))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


class TestReading:
    def test_entries_are_sorted_and_joined_to_the_path(self, workspace: Workspace) -> None:
        (workspace.root / "src").mkdir()
        (workspace.root / "src" / "b.py").touch()
        (workspace.root / "src" / "a.py").touch()
        assert workspace.entries("") == ["src"]
        assert workspace.entries("src") == ["src/a.py", "src/b.py"]
        assert workspace.entries("/workspace/src") == ["/workspace/src/a.py", "/workspace/src/b.py"]

    def test_what_git_ignores_is_left_out(self, workspace: Workspace) -> None:
        (workspace.root / ".gitignore").write_text("*.log\nbuild/\n")
        (workspace.root / "build").mkdir()
        (workspace.root / "src").mkdir()
        for name in ("a.log", "a.py", "src/b.log", "src/ü.py", "src/:(x).py"):
            (workspace.root / name).touch()
        assert workspace.entries("") == [".gitignore", "a.py", "src"]
        assert workspace.entries("src") == ["src/:(x).py", "src/ü.py"]

    def test_without_a_repository_everything_is_listed(self, workspace: Workspace) -> None:
        (workspace.root / ".git").rename(workspace.home / "gone")
        (workspace.root / "a").touch()
        assert workspace.entries("") == ["a"]

    @pytest.mark.parametrize("path", ["nothing", "a.txt", ".git", "x" * 300, "a.txt/b"])
    def test_only_directories_are_listed(self, workspace: Workspace, path: str) -> None:
        (workspace.root / "a.txt").touch()
        with pytest.raises(FileMissing):
            workspace.entries(path)

    def test_text_is_read_as_it_is(self, workspace: Workspace) -> None:
        content = "ü\r\n" * 50_000
        (workspace.root / "a.txt").write_bytes(content.encode())
        assert text(workspace, "a.txt") == content
        (workspace.root / "empty").touch()
        assert text(workspace, "/workspace/empty") == ""

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"a" * 100_000 + b"\xc3"])
    def test_what_is_no_text_is_refused(self, workspace: Workspace, content: bytes) -> None:
        (workspace.root / "a.bin").write_bytes(content)
        with pytest.raises(BinaryFile):
            text(workspace, "a.bin")

    @pytest.mark.parametrize("path", ["nothing", "", ".git/config", "pipe", "loop", "x" * 300])
    def test_only_files_are_read(self, workspace: Workspace, path: str) -> None:
        os.mkfifo(workspace.root / "pipe")
        (workspace.root / "loop").symlink_to("loop")
        with pytest.raises(FileMissing):
            text(workspace, path)

    @pytest.mark.parametrize("path", ["../outside.txt", "/etc/passwd", "link", "folder/outside.txt"])
    def test_nothing_outside_is_read(self, workspace: Workspace, tmp_path: Path, path: str) -> None:
        (workspace.root / "link").symlink_to(tmp_path / "outside.txt")
        (workspace.root / "folder").symlink_to(tmp_path)
        with pytest.raises(PathOutside):
            text(workspace, path)
        with pytest.raises(PathOutside):
            workspace.compare(path)

    def test_links_inside_are_followed(self, workspace: Workspace) -> None:
        (workspace.root / "a.txt").write_text("hello")
        (workspace.root / "link").symlink_to("a.txt")
        assert text(workspace, "link") == "hello"


class TestZip:
    def test_everything_is_in_it_but_the_repository(self, workspace: Workspace) -> None:
        (workspace.root / "src").mkdir()
        (workspace.root / "empty").mkdir()
        (workspace.root / "src" / "ü.bin").write_bytes(b"\0\1" * 100_000)
        (workspace.root / "a.txt").write_text("hello")
        found = unzipped(workspace)
        assert found == {"empty/": b"", "src/": b"", "a.txt": b"hello", "src/ü.bin": b"\0\1" * 100_000}

    def test_links_lead_nowhere_else(self, workspace: Workspace, tmp_path: Path) -> None:
        (workspace.root / "a.txt").write_text("hello")
        (workspace.root / "inside").symlink_to("a.txt")
        (workspace.root / "outside").symlink_to(tmp_path / "outside.txt")
        (workspace.root / "folder").symlink_to(tmp_path)
        (workspace.root / "nowhere").symlink_to("nothing")
        os.mkfifo(workspace.root / "pipe")
        assert unzipped(workspace) == {"a.txt": b"hello", "inside": b"hello"}

    def test_very_old_files_are_no_problem(self, workspace: Workspace) -> None:
        (workspace.root / "a.txt").touch()
        os.utime(workspace.root / "a.txt", (0, 0))
        assert unzipped(workspace) == {"a.txt": b""}

    def test_it_is_made_piece_by_piece(self, workspace: Workspace) -> None:
        (workspace.root / "a.bin").write_bytes(os.urandom(3_000_000))
        assert max(map(len, workspace.zipped())) < 300_000


class TestGit:
    def test_every_kind_of_change_has_its_letter(self, workspace: Workspace) -> None:
        root = workspace.root
        commit(root, changed="1\n", gone="2\n", moved="3\n" * 9, same="4\n")
        (root / "changed").write_text("5\n")
        (root / "gone").unlink()
        run(root, "mv", "moved", "to")
        (root / "new ü.txt").touch()
        (root / "added").touch()
        run(root, "add", "added")
        (root / "brief").touch()
        run(root, "add", "brief")
        (root / "brief").unlink()
        assert workspace.changes() == [
            Change("A", "added"),
            Change("M", "changed"),
            Change("D", "gone"),
            Change("U", "new ü.txt"),
            Change("R", "to"),
        ]

    def test_a_fresh_repository_has_only_untracked_files(self, workspace: Workspace) -> None:
        assert workspace.changes() == []
        (workspace.root / "src").mkdir()
        (workspace.root / "src" / "a").touch()
        assert workspace.changes() == [Change("U", "src/a")]

    def test_a_file_is_compared_with_the_last_commit(self, workspace: Workspace) -> None:
        commit(workspace.root, changed="1\n", gone="2\n")
        (workspace.root / "changed").write_text("5\n")
        (workspace.root / "gone").unlink()
        (workspace.root / "new").write_text("3\n")
        (workspace.root / "bin").write_bytes(b"\0")
        assert workspace.compare("/workspace/changed") == ("5\n", "1\n")
        assert workspace.compare("gone") == ("", "2\n")
        assert workspace.compare("new") == ("3\n", "")
        assert workspace.compare("bin") == (None, "")

    @pytest.mark.parametrize("path", ["nothing", "src", ""])
    def test_what_is_in_neither_cannot_be_compared(self, workspace: Workspace, path: str) -> None:
        (workspace.root / "src").mkdir()
        with pytest.raises(FileMissing):
            workspace.compare(path)

    def test_without_a_repository_nothing_is_told(self, workspace: Workspace, tmp_path: Path) -> None:
        (workspace.root / ".git").rename(workspace.home / "gone")
        with pytest.raises(NotAGitRepository):
            workspace.changes()
        with pytest.raises(NotAGitRepository):
            workspace.compare("a")
        (workspace.root / ".git").symlink_to(workspace.home / "gone")
        with pytest.raises(NotAGitRepository):
            workspace.changes()

    def test_a_broken_repository_is_none(self, workspace: Workspace) -> None:
        (workspace.root / ".git" / "HEAD").unlink()
        with pytest.raises(NotAGitRepository):
            workspace.changes()

    def test_a_repository_cannot_run_anything(self, workspace: Workspace) -> None:
        commit(workspace.root, a="1\n")
        trace = workspace.home / "trace"
        script = workspace.home / "script"
        script.write_text(f"#!/bin/sh\ntouch {trace}\n")
        script.chmod(0o755)
        hook = workspace.root / ".git" / "hooks" / "post-index-change"
        hook.parent.mkdir(exist_ok=True)
        hook.symlink_to(script)
        run(workspace.root, "config", "core.fsmonitor", str(script))
        run(workspace.root, "config", "diff.external", str(script))
        trace.unlink(missing_ok=True)
        (workspace.root / "a").write_text("2\n")
        assert workspace.changes() == [Change("M", "a")]
        assert workspace.compare("a") == ("2\n", "1\n")
        assert not trace.exists()

    def test_a_repository_is_cloned_onto_the_branch_it_has(
        self, workspace: Workspace, git: Git, tmp_path: Path
    ) -> None:
        commit(workspace.root, a="1\n")
        run(workspace.root, "checkout", "--quiet", "-b", "feature")
        commit(workspace.root, a="2\n")
        run(workspace.root, "checkout", "--quiet", "main")
        for branch, content in ((None, "1\n"), ("feature", "2\n"), ("unknown", "1\n"), ("-f", "1\n")):
            copy = tmp_path / f"copy {branch}"
            git.clone(str(workspace.root), copy, branch)
            assert (copy / "a").read_text() == content

    @pytest.mark.parametrize("source", ["/nowhere", "ext::sh -c id", "--upload-pack=id"])
    def test_what_cannot_be_cloned_says_why(self, git: Git, tmp_path: Path, source: str) -> None:
        with pytest.raises(GitFailed):
            git.clone(source, tmp_path / "copy", None)

    def test_after_the_end_nothing_runs(self, workspace: Workspace, git: Git) -> None:
        git.close()
        with pytest.raises(GitFailed, match="about to end"):
            git.init(workspace.home)

    def test_a_machine_without_git_says_so(
        self, workspace: Workspace, git: Git, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(workspace.home))
        with pytest.raises(GitFailed, match="cannot be run"):
            git.init(workspace.home)


class TestUpload:
    def put(self, workspace: Workspace, *files: tuple[str, bytes]) -> tuple[list[str], dict[str, str]]:
        with workspace.receiving() as upload:
            for name, content in files:
                with upload.receive(name) as receiver:
                    receiver.write(content)
            return upload.place(), dict(upload.skipped)

    def test_files_arrive_and_replace(self, workspace: Workspace) -> None:
        placed, skipped = self.put(workspace, ("a", b"1"), ("src/deep/b", b"2"), ("a", b"3"))
        assert placed == ["/workspace/a", "/workspace/src/deep/b", "/workspace/a"]
        assert not skipped
        assert (workspace.root / "a").read_bytes() == b"3"
        assert (workspace.root / "src/deep/b").read_bytes() == b"2"

    def test_refused_names_are_skipped(self, workspace: Workspace, tmp_path: Path) -> None:
        (workspace.root / "folder").symlink_to(tmp_path)
        (workspace.root / "src").mkdir()
        placed, skipped = self.put(
            workspace, ("../x", b"1"), ("folder/x", b"2"), ("src", b"3"), ("ok", b"4"), ("ok/x", b"5")
        )
        assert placed == ["/workspace/ok"]
        assert list(skipped) == ["../x", "folder/x", "src", "ok/x"]
        assert all(skipped.values())
        assert not (tmp_path / "x").exists()

    def test_a_link_is_replaced_and_not_followed(self, workspace: Workspace, tmp_path: Path) -> None:
        (workspace.root / "link").symlink_to(tmp_path / "outside.txt")
        self.put(workspace, ("link", b"mine"))
        assert (workspace.root / "link").read_bytes() == b"mine"
        assert (tmp_path / "outside.txt").read_text() == SECRET

    def test_nothing_is_left_of_what_was_cut_short(self, workspace: Workspace) -> None:
        with pytest.raises(FileTooLarge):
            self.put(workspace, ("first", b"1"), ("second", b"2" * 1001))
        with pytest.raises(OSError, match="gone"), workspace.receiving() as upload, upload.receive("a"):
            raise OSError("gone")
        assert [path.name for path in workspace.root.iterdir()] == [".git"]
        assert [path.name for path in workspace.home.iterdir()] == ["files"]

    def test_a_refused_file_counts_as_well(self, workspace: Workspace) -> None:
        with pytest.raises(FileTooLarge):
            self.put(workspace, ("../x", b"2" * 1001))

    def test_a_deleted_conversation_takes_no_files(self, tmp_path: Path, git: Git) -> None:
        gone = Workspace(tmp_path / "gone", tmp_path / "gone" / "files", git, UploadLimits())
        with pytest.raises(FileMissing), gone.receiving():
            pass


class TestMicroagents:
    def test_the_front_matter_says_what_it_is(self) -> None:
        agent = parse(
            "file",
            "---\nname: changelog\ntype: knowledge\ntriggers: [changelog, 7]\n"
            "inputs:\n- name: VERSION\n  description: which\n- name: OTHER\n- 3\n---\n\nKeep it short.\n",
        )
        assert agent.to_json() == {
            "name": "changelog",
            "type": "knowledge",
            "content": "Keep it short.",
            "triggers": ["changelog", "7"],
            "inputs": [{"name": "VERSION", "description": "which"}, {"name": "OTHER", "description": ""}],
            "tools": [],
        }

    @pytest.mark.parametrize(
        ("front", "kind"),
        [
            ("", "repo"),
            ("triggers: [a]", "knowledge"),
            ("type: repo\ntriggers: [a]", "repo"),
            ("type: x", "repo"),
        ],
    )
    def test_the_type_follows_from_the_triggers(self, front: str, kind: str) -> None:
        assert parse("file", f"---\n{front}\n---\ntext").type == kind

    @pytest.mark.parametrize(
        "content", ["text", "---\ntext", "---\n[1, 2]\n---\ntext", "---\n{: x\n---\ntext", "text\n---\n---"]
    )
    def test_without_front_matter_all_is_content(self, content: str) -> None:
        agent = parse("sub/file", content)
        assert (agent.name, agent.content) == ("sub/file", content.strip())


class TestWriting:
    def test_a_file_is_written_and_what_it_was_is_told(self, workspace: Workspace) -> None:
        assert workspace.write("src/a.py", "1\r\n") is None
        assert workspace.write("/workspace/src/a.py", "2\n") == "1\r\n"
        assert (workspace.root / "src/a.py").read_bytes() == b"2\n"

    @pytest.mark.parametrize("path", ["../a", "/etc/a", ".git/config", "", "folder/a", "a/../b"])
    def test_nothing_is_written_elsewhere(self, workspace: Workspace, tmp_path: Path, path: str) -> None:
        (workspace.root / "folder").symlink_to(tmp_path)
        with pytest.raises(PathOutside):
            workspace.write(path, "x")
        assert not (tmp_path / "a").exists()
