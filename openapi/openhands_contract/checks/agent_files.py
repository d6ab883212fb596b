"""Files and git of sandboxes: what goes in comes out, and nothing goes where it does not belong."""

from __future__ import annotations

import io
import json
import secrets
import uuid
import zipfile
from typing import Any
from urllib.parse import quote

from openhands_contract.checks import checks
from openhands_contract.checks.v0_files import BINARY, TEXT, names_of_all_kinds, new_name
from openhands_contract.lab.bench import Answer, Api, Bench
from openhands_contract.lab.v1 import CONVERSATIONS

_OUTSIDE = ("/etc/passwd", "/workspace/../etc/passwd", "/workspace/a/../../etc/passwd")


class _Sandbox:
    """A sandbox to put files into. Older agent servers want the path in the URL, newer ones in the query."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.started = bench.v1.workshop()
        self._in_path = "/api/file/upload/{path}" in bench.lab.agent_document.content["paths"]

    @property
    def agent(self) -> Api:
        return self.bench.v1.agent(self.started)

    @property
    def folder(self) -> str:
        """The working directory of the conversation."""
        with self.bench.arranging("the working directory of a conversation"):
            info = self.agent.get(self.started.path).needs(200)
            folder: str = info.pick("workspace", "working_dir")
            return folder.rstrip("/")

    def upload(self, path: str, content: bytes) -> Answer:
        parts = [("file", (path.rpartition("/")[2] or "file", content, "application/octet-stream"))]
        return self.send("POST", "/api/file/upload", path, files=parts)

    def download(self, path: str) -> Answer:
        return self.send("GET", "/api/file/download", path)

    def send(self, method: str, operation: str, path: str, **options: Any) -> Answer:
        if self._in_path:
            return self.agent.request(method, f"{operation}/{quote(path, safe='')}", **options)
        return self.agent.request(method, operation, {"path": path}, **options)

    def holds(self, path: str, content: bytes) -> None:
        """Upload a file and compare what comes back."""
        self.upload(path, content).must(200, 201)
        answer = self.download(path).must(200)
        found = answer.content
        answer.expect(
            found == content,
            f"the {len(content)} bytes that were uploaded",
            f"{len(found)} bytes, other ones",
        )


@checks("AGENT-FILES-01")
def text_round_trip(bench: Bench) -> None:
    """Uploads a text with all kinds of line ends and downloads it."""
    sandbox = _Sandbox(bench)
    sandbox.holds(f"{sandbox.folder}/{new_name()}", TEXT.encode())


@checks("AGENT-FILES-02")
def binary_round_trip(bench: Bench) -> None:
    """Uploads all bytes there are, and a megabyte of random ones, and downloads them."""
    sandbox = _Sandbox(bench)
    for content in (BINARY, secrets.token_bytes(1_048_577)):
        sandbox.holds(f"{sandbox.folder}/{new_name('.bin')}", content)


@checks("AGENT-FILES-03")
def empty_file(bench: Bench) -> None:
    """Uploads a file without content and downloads it."""
    sandbox = _Sandbox(bench)
    sandbox.holds(f"{sandbox.folder}/{new_name()}", b"")


@checks("AGENT-FILES-04")
def names_in_any_script(bench: Bench) -> None:
    """Uploads files with names in several scripts and with blanks, and downloads them."""
    sandbox, some = _Sandbox(bench), secrets.token_hex(4)
    for name in names_of_all_kinds(some):
        sandbox.holds(f"{sandbox.folder}/{name}", name.encode())


@checks("AGENT-FILES-05")
def nested(bench: Bench) -> None:
    """Uploads a file below two directories that are not there, and downloads it."""
    sandbox = _Sandbox(bench)
    sandbox.holds(f"{sandbox.folder}/kit-{secrets.token_hex(4)}/inner/{new_name()}", b"deep down")


@checks("AGENT-FILES-06")
def replacing(bench: Bench) -> None:
    """Uploads a long text and then a short one to the same path."""
    sandbox = _Sandbox(bench)
    path = f"{sandbox.folder}/{new_name()}"
    for content in (b"a long text that comes first\n" * 50, b"short"):
        sandbox.holds(path, content)


@checks("AGENT-FILES-07")
def relative_paths(bench: Bench) -> None:
    """Uploads to a relative path and downloads from one."""
    sandbox = _Sandbox(bench)
    for answer in (sandbox.upload("kit/a.txt", b"x"), sandbox.download("kit/a.txt")):
        answer.must(400).has(detail="Path must be absolute")


@checks("AGENT-FILES-08")
def downloading_nothing(bench: Bench) -> None:
    """Downloads a file that does not exist."""
    sandbox = _Sandbox(bench)
    answer = sandbox.download(f"{sandbox.folder}/{new_name()}").must(404)
    answer.expect(answer.pick("detail"), "`detail` says why")


@checks("AGENT-FILES-09")
def outside(bench: Bench) -> None:
    """Uploads to paths outside the workspace and downloads from them."""
    sandbox = _Sandbox(bench)
    for path in (*_OUTSIDE, f"{sandbox.folder}/../{new_name()}"):
        sandbox.upload(path, b"not here").must(403)
        answer = sandbox.download(path).must(403)
        answer.expect("root:" not in answer.text, "nothing of the file is answered", answer.text)


@checks("AGENT-FILES-10")
def no_file(bench: Bench) -> None:
    """Uploads a file in a field by another name, and looks whether it is there."""
    sandbox = _Sandbox(bench)
    path = f"{sandbox.folder}/{new_name()}"
    parts = [("attachment", ("a.txt", b"content", "text/plain"))]
    sandbox.send("POST", "/api/file/upload", path, files=parts).must(422)
    sandbox.download(path).must(404)


@checks("AGENT-FILES-11")
def broken_off(bench: Bench) -> None:
    """Uploads a file, then sends a body for it that ends in the middle, and downloads it."""
    sandbox = _Sandbox(bench)
    path = f"{sandbox.folder}/{new_name()}"
    sandbox.holds(path, b"as it was")
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf of it'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    sandbox.send("POST", "/api/file/upload", path, content=body, headers=headers).must(400, 413, 422)
    answer = sandbox.download(path).must(200)
    answer.expect(answer.content == b"as it was", "the file is as it was", answer.text)


@checks("AGENT-FILES-12")
def attachments(bench: Bench) -> None:
    """Downloads a file and looks at the headers."""
    sandbox, name = _Sandbox(bench), new_name()
    path = f"{sandbox.folder}/{name}"
    sandbox.holds(path, b"content")
    answer = sandbox.download(path).must(200)
    declared = answer.exchange.content_type
    answer.expect(
        declared == "application/octet-stream", "the content type is application/octet-stream", declared
    )
    disposition = answer.headers.get("content-disposition", "")
    fits = disposition.startswith("attachment") and name in disposition
    answer.expect(fits, f"the content disposition is `attachment` with the name {name}", disposition)


@checks("AGENT-FILES-13")
def directories(bench: Bench) -> None:
    """Downloads a directory."""
    sandbox = _Sandbox(bench)
    sandbox.download(sandbox.folder).must(400, 403, 404)


@checks("AGENT-FILES-14")
def trajectories(bench: Bench) -> None:
    """Downloads the trajectory of a conversation, and compares it with the stored events."""
    started = bench.v1.shared()
    stored = bench.v1.events(started)
    answer = bench.v1.agent(started).get(f"/api/file/download-trajectory/{started.dashed}").must(200)
    try:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            names = sorted(name for name in archive.namelist() if name.startswith("events/"))
            events = [json.loads(archive.read(name)) for name in names]
    except (zipfile.BadZipFile, ValueError) as error:
        answer.fail("the body is a zip archive with JSON files", str(error))
    answer.expect(events == stored, "the archive has the stored events, in their order", names)
    fits = all(event["id"] in name for name, event in zip(names, stored, strict=True))
    answer.expect(fits, "each name has the id of its event", names)


@checks("AGENT-FILES-15")
def no_trajectory(bench: Bench) -> None:
    """Downloads the trajectory of a conversation that nobody has made."""
    sandbox = _Sandbox(bench)
    sandbox.agent.get(f"/api/file/download-trajectory/{uuid.uuid4()}").must(404)


@checks("AGENT-FILES-16")
def seen_from_the_app_server(bench: Bench) -> None:
    """Uploads a text through the agent server and reads it through the app server."""
    sandbox = _Sandbox(bench)
    path = f"{sandbox.folder}/{new_name('.md')}"
    with bench.arranging("an uploaded file"):
        sandbox.holds(path, b"# A plan\n")
    answer = bench.app.get(f"{CONVERSATIONS}/{sandbox.started.id}/file", {"file_path": path}).must(200)
    answer.expect(answer.json == "# A plan\n", "the answer is the text", answer.text)


@checks("AGENT-GIT-01")
def new_files_are_changes(bench: Bench) -> None:
    """Uploads a file below a directory and asks for the changes of both directories."""
    sandbox = _Sandbox(bench)
    inner, name = f"kit-{secrets.token_hex(4)}", new_name()
    sandbox.holds(f"{sandbox.folder}/{inner}/{name}", b"new\n")
    for folder, relative in ((sandbox.folder, f"{inner}/{name}"), (f"{sandbox.folder}/{inner}", name)):
        answer = sandbox.send("GET", "/api/git/changes", folder).must(200)
        found = [change["status"] for change in answer.json if change["path"] == relative]
        answer.expect(found == ["ADDED"], f"{relative} is there once, as ADDED", answer.text)


@checks("AGENT-GIT-02")
def difference_of_a_new_file(bench: Bench) -> None:
    """Uploads a file and asks for its difference."""
    sandbox = _Sandbox(bench)
    path = f"{sandbox.folder}/{new_name()}"
    sandbox.holds(path, b"one\ntwo\n")
    answer = sandbox.send("GET", "/api/git/diff", path).must(200)
    answer.expect(
        (answer.pick("modified") or "").rstrip("\n") == "one\ntwo", "`modified` is the text", answer.text
    )
    answer.expect(not answer.pick("original"), "`original` is nothing", answer.text)


@checks("AGENT-GIT-03")
def impossible_paths(bench: Bench) -> None:
    """Asks for changes and differences at impossible paths."""
    sandbox = _Sandbox(bench)
    for operation in ("/api/git/changes", "/api/git/diff"):
        sandbox.send("GET", operation, "kit/a.txt").must(400)
        sandbox.send("GET", operation, "/etc/passwd").must(403)
    sandbox.send("GET", "/api/git/diff", f"{sandbox.folder}/{new_name()}").must(404)


@checks("AGENT-GIT-04")
def names_of_changes(bench: Bench) -> None:
    """Uploads files with names in several scripts, with blanks and below a directory, and reads the changes."""
    sandbox, some = _Sandbox(bench), secrets.token_hex(4)
    names = (*names_of_all_kinds(some), f"folder {some}/Größe.txt", f"folder {some}/other.txt")
    for name in names:
        sandbox.holds(f"{sandbox.folder}/{name}", b"new\n")
    answer = sandbox.send("GET", "/api/git/changes", sandbox.folder).must(200)
    shown = [change["path"] for change in answer.json if some in change["path"]]
    answer.expect(set(shown) == set(names), f"the paths are {sorted(names)}", shown)


@checks("AGENT-FILES-17")
def kept_apart(bench: Bench) -> None:
    """Uploads a file to one sandbox and looks for it in another."""
    sandbox, other = _Sandbox(bench), bench.v1.shared()
    place = f"{sandbox.folder}/{new_name()}"
    sandbox.holds(place, b"mine")
    answer = bench.v1.agent(other).get(f"/api/file/download/{quote(place, safe='')}")
    answer.expect(answer.status != 200, "the other sandbox has no such file", answer.text)
