"""Files and git of V0 conversations: what goes in comes out, and nothing goes where it does not belong."""

from __future__ import annotations

import io
import secrets
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from openhands_contract.checks import checks
from openhands_contract.lab.bench import Answer, Bench
from openhands_contract.lab.v0 import path

TEXT = "First line\n\n  blanks before and after  \n\tand a tab, Größe, 会话\r\nand no line end at the end"
BINARY = bytes(range(256)) + b"\r\n\n\r\x00\xff--boundary\r\n" + bytes(range(255, -1, -1))
# Names that lead out of a workspace, and what there would be to read.
OUTSIDE = ("../../../../../../etc/passwd", "../escape.txt", "a/../../escape.txt")
_PASSWORDS = "root:"


def workspace(bench: Bench) -> str:
    """The conversation in whose workspace these checks work."""

    def make(bench: Bench) -> str:
        with bench.arranging("a V0 conversation with a workspace"):
            identifier: str = bench.app.post("/api/conversations", {}).needs(200).pick("conversation_id")
            bench.v0.await_status(identifier, "RUNNING")
        return identifier

    identifier = bench.shared("V0 workspace", make)
    with bench.arranging("a conversation that runs"):
        if bench.v0.status(identifier).needs(200).pick("status") != "RUNNING":
            bench.app.post(path(identifier, "/start"), {}).needs(200)
            bench.v0.await_status(identifier, "RUNNING")
    return identifier


def new_name(suffix: str = ".txt") -> str:
    """The name of a file that is not there yet."""
    return f"kit-{secrets.token_hex(6)}{suffix}"


def _send(bench: Bench, identifier: str, files: Mapping[str, bytes]) -> Answer:
    parts = [("files", (name, content, "application/octet-stream")) for name, content in files.items()]
    return bench.app.post(path(identifier, "/upload-files"), files=parts)


def _upload(bench: Bench, identifier: str, files: Mapping[str, bytes]) -> Answer:
    """Upload files that there is nothing against."""
    answer = _send(bench, identifier, files).must(200)
    skipped = answer.pick("skipped_files")
    answer.expect(skipped == [], "no file is skipped", skipped)
    _names(answer, list(files))
    return answer


def _names(answer: Answer, names: Sequence[str]) -> None:
    uploaded = answer.pick("uploaded_files")
    for name in names:
        found = [one for one in uploaded if isinstance(one, str) and f"/{one}".endswith(f"/{name}")]
        answer.expect(len(found) == 1, f"`uploaded_files` names {name} once", uploaded)
    answer.expect(len(uploaded) == len(names), "`uploaded_files` names nothing else", uploaded)


def _read(bench: Bench, identifier: str, name: str) -> Answer:
    return bench.app.get(path(identifier, "/select-file"), {"file": name})


def _holds(bench: Bench, identifier: str, name: str, text: str) -> None:
    answer = _read(bench, identifier, name).must(200)
    answer.expect(answer.pick("code") == text, f"`code` is {text[:200]!r}", answer.pick("code"))


def _archive(bench: Bench, identifier: str) -> tuple[Answer, dict[str, bytes]]:
    """The zip archive, and its files by name."""
    answer = bench.app.get(path(identifier, "/zip-directory")).must(200)
    try:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            wrong = archive.testzip()
            answer.expect(wrong is None, "every file of the archive is whole", wrong)
            return answer, {info.filename: archive.read(info) for info in archive.infolist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        answer.fail("the body is a zip archive", str(error))


def _in_archive(archive: Mapping[str, bytes], name: str) -> bytes | None:
    """A file of an archive, whether or not the archive has a directory for the workspace."""
    found = [content for entry, content in archive.items() if f"/{entry}".endswith(f"/{name}")]
    return found[0] if found else None


def _listed(bench: Bench, identifier: str, directory: str | None = None) -> list[str]:
    query = {"path": directory} if directory else None
    entries: list[str] = bench.app.get(path(identifier, "/list-files"), query).must(200).json
    return entries


@checks("V0-FILES-01")
def text_round_trip(bench: Bench) -> None:
    """Uploads a text with all kinds of line ends and reads it."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: TEXT.encode()})
    _holds(bench, identifier, name, TEXT)


@checks("V0-FILES-23")
def marks_at_the_ends(bench: Bench) -> None:
    """Uploads texts with a byte order mark, and with line ends at both ends, and reads them."""
    identifier = workspace(bench)
    for text in ("\ufeffbehind a mark", "\n\n two above, two below \n\n", "\r\n"):
        name = new_name()
        _upload(bench, identifier, {name: text.encode()})
        _holds(bench, identifier, name, text)


@checks("V0-FILES-24")
def alike_in_two_directories(bench: Bench) -> None:
    """Uploads two files of one name to two directories at once, and reads both."""
    identifier, name = workspace(bench), new_name()
    folders = [f"kit-{secrets.token_hex(4)}" for _ in range(2)]
    _upload(bench, identifier, {f"{folder}/{name}": folder.encode() for folder in folders})
    for folder in folders:
        _holds(bench, identifier, f"{folder}/{name}", folder)


@checks("V0-FILES-25")
def dots_in_names(bench: Bench) -> None:
    """Uploads files with two dots in their names, and reads them."""
    identifier, some = workspace(bench), secrets.token_hex(4)
    for name in (f"1.0..2.0-{some}.txt", f"..{some}", f"{some}../inner.txt"):
        _upload(bench, identifier, {name: name.encode()})
        _holds(bench, identifier, name, name)


@checks("V0-FILES-02")
def binary_round_trip(bench: Bench) -> None:
    """Uploads all bytes there are, and 300 kB of random ones, and compares what the archive has."""
    identifier = workspace(bench)
    files = {new_name(".bin"): BINARY, new_name(".bin"): secrets.token_bytes(300_000)}
    _upload(bench, identifier, files)
    answer, archive = _archive(bench, identifier)
    for name, content in files.items():
        found = _in_archive(archive, name)
        answer.expect(found is not None, f"the archive has {name}", sorted(archive))
        answer.expect(
            found == content,
            f"{name} has the {len(content)} bytes that were uploaded",
            _difference(found, content),
        )


def _difference(found: bytes | None, wanted: bytes) -> str:
    found = found or b""
    same = next(
        (n for n, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
        min(len(found), len(wanted)),
    )
    return f"{len(found)} bytes, other from byte {same} on"


@checks("V0-FILES-03")
def empty_file(bench: Bench) -> None:
    """Uploads a file without content, and reads it."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: b""})
    _holds(bench, identifier, name, "")


def names_of_all_kinds(some: str) -> tuple[str, ...]:
    """Names that must come through forms, queries and paths as they are."""
    return f"Größe {some}.txt", f"会话-{some}.txt", f"a 'quoted' & {some}+100%.txt", f"percent%41-{some}.txt"


@checks("V0-FILES-04")
def names_in_any_script(bench: Bench) -> None:
    """Uploads files with names in several scripts and with blanks, lists and reads them."""
    identifier, some = workspace(bench), secrets.token_hex(4)
    for name in (*names_of_all_kinds(some), f".hidden-{some}"):
        _upload(bench, identifier, {name: name.encode()})
        _holds(bench, identifier, name, name)
        entries = [PurePosixPath(entry).name for entry in _listed(bench, identifier)]
        bench.expect(name in entries, f"{name} is in the list", entries)


@checks("V0-FILES-05")
def several_files(bench: Bench) -> None:
    """Uploads twelve files at once, and reads each."""
    identifier = workspace(bench)
    files = {new_name(): f"file {number}".encode() for number in range(12)}
    _upload(bench, identifier, files)
    for name, content in files.items():
        _holds(bench, identifier, name, content.decode())


@checks("V0-FILES-06")
def nested(bench: Bench) -> None:
    """Uploads a file below two directories that are not there, reads it and lists the inner one."""
    identifier, name = workspace(bench), new_name()
    folder = f"kit-{secrets.token_hex(4)}/inner"
    _upload(bench, identifier, {f"{folder}/{name}": b"deep down"})
    _holds(bench, identifier, f"{folder}/{name}", "deep down")
    entries = _listed(bench, identifier, folder)
    bench.expect(entries == [f"{folder}/{name}"], f"{folder} has the file and nothing else", entries)


@checks("V0-FILES-07")
def replacing(bench: Bench) -> None:
    """Uploads a long text and then a short one by the same name."""
    identifier, name = workspace(bench), new_name()
    for text in ("a long text that comes first\n" * 50, "short"):
        _upload(bench, identifier, {name: text.encode()})
        _holds(bench, identifier, name, text)


def _skipped(bench: Bench, names: Sequence[str]) -> None:
    """Upload files that must not be stored, each beside one that must."""
    identifier = workspace(bench)
    for name in names:
        good = new_name()
        answer = _send(bench, identifier, {name: b"not here", good: b"here"}).must(200)
        _names(answer, [good])
        skipped = answer.pick("skipped_files")
        answer.expect(
            len(skipped) == 1 and skipped[0].get("reason"), f"{name} is skipped, with a reason", skipped
        )
        _holds(bench, identifier, good, "here")


@checks("V0-FILES-08")
def leading_out(bench: Bench) -> None:
    """Uploads files whose names lead out of the workspace, each beside one whose name does not."""
    _skipped(bench, ("../escape.txt", "../../../../../../tmp/escape.txt"))


@checks("V0-FILES-09")
def absolute_names(bench: Bench) -> None:
    """Uploads files with absolute names and such that lead into `.git`, each beside a good one."""
    _skipped(bench, ("/tmp/escape.txt", ".git/config", "a/../../escape.txt"))  # noqa: S108  # that is the point


@checks("V0-FILES-10")
def no_files(bench: Bench) -> None:
    """Uploads a file in a field by another name."""
    identifier = workspace(bench)
    parts = [("attachment", (new_name(), b"content", "text/plain"))]
    bench.app.post(path(identifier, "/upload-files"), files=parts).must(422)


@checks("V0-FILES-11")
def broken_off(bench: Bench) -> None:
    """Sends two files in a body that ends in the middle of the second, and looks for the first."""
    identifier, whole, broken = workspace(bench), new_name(), new_name()
    head = 'Content-Disposition: form-data; name="files"; filename="{}"\r\nContent-Type: text/plain\r\n\r\n'
    body = f"--b\r\n{head.format(whole)}whole\r\n--b\r\n{head.format(broken)}brok".encode()
    answer = bench.app.request(
        "POST",
        path(identifier, "/upload-files"),
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    answer.must(400, 413, 422)
    for name in (whole, broken):
        _read(bench, identifier, name).must(404)


@checks("V0-FILES-12")
def listing(bench: Bench) -> None:
    """Uploads a file and lists the workspace."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: b"listed"})
    entries = _listed(bench, identifier)
    bench.expect(
        [one for one in entries if PurePosixPath(one).name == name], f"{name} is in the list", entries
    )


@checks("V0-FILES-13")
def listing_nothing(bench: Bench) -> None:
    """Lists a directory that does not exist."""
    answer = bench.app.get(path(workspace(bench), "/list-files"), {"path": new_name("")}).must(404)
    answer.expect(answer.pick("error"), "`error` says why")


@checks("V0-FILES-14")
def reading_nothing(bench: Bench) -> None:
    """Reads a file that does not exist."""
    answer = _read(bench, workspace(bench), new_name()).must(404)
    answer.expect(answer.pick("error"), "`error` says why")


@checks("V0-FILES-15")
def refuses_paths(bench: Bench) -> None:
    """Reads, lists and compares paths that lead out of the workspace, and absolute ones."""
    identifier = workspace(bench)
    for outside in (*OUTSIDE, "/etc/passwd"):
        for rest, parameter in (("/select-file", "file"), ("/list-files", "path"), ("/git/diff", "path")):
            answer = bench.app.get(path(identifier, rest), {parameter: outside}).must(400)
            answer.expect(answer.pick("error"), "`error` says why")


@checks("V0-FILES-16")
def reaches_nothing_outside(bench: Bench) -> None:
    """Tries to read a file of the system in several spellings."""
    identifier = workspace(bench)
    tricks = (
        *OUTSIDE,
        "/etc/passwd",
        "//etc/passwd",
        "....//....//etc/passwd",
        "..%2f..%2fetc/passwd",
        "/proc/self/environ",
    )
    for trick in tricks:
        answer = _read(bench, identifier, trick)
        answer.expect(not 200 <= answer.status < 300, "the path is refused", answer.text)
        answer.expect(
            _PASSWORDS not in answer.text, "nothing of a file of the system is answered", answer.text
        )


@checks("V0-FILES-17")
def binary_is_no_text(bench: Bench) -> None:
    """Uploads a binary file and reads it as text."""
    identifier, name = workspace(bench), new_name(".bin")
    _upload(bench, identifier, {name: BINARY})
    _read(bench, identifier, name).must(415)


@checks("V0-FILES-18")
def reading_without_a_name(bench: Bench) -> None:
    """Reads a file without naming one."""
    bench.app.get(path(workspace(bench), "/select-file")).must(422)


@checks("V0-FILES-19")
def zipping(bench: Bench) -> None:
    """Uploads files, downloads the archive, and compares names and contents."""
    identifier = workspace(bench)
    files = {new_name(): TEXT.encode(), new_name(): b"", new_name(".bin"): BINARY}
    if bench.lab.site.dialect == "docs":
        some = secrets.token_hex(4)
        names = (*names_of_all_kinds(some), f".hidden-{some}", f"folder {some}/Größe.txt")
        files |= {name: name.encode() for name in names}
    _upload(bench, identifier, files)
    answer, archive = _archive(bench, identifier)
    declared = answer.exchange.content_type
    answer.expect(declared == "application/zip", "the content type is application/zip", declared)
    for name, content in files.items():
        answer.expect(
            _in_archive(archive, name) == content, f"{name} is in the archive as uploaded", sorted(archive)
        )
    astray = [name for name in archive if name.startswith("/") or ".." in PurePosixPath(name).parts]
    answer.expect(not astray, "no name leads elsewhere", astray)


@checks("V0-FILES-20")
def git_is_left_out(bench: Bench) -> None:
    """Looks for `.git` in the list and in the archive."""
    identifier = workspace(bench)
    _upload(bench, identifier, {new_name(): b"something"})
    entries = [entry.rstrip("/") for entry in _listed(bench, identifier)]
    bench.expect(".git" not in entries, "`.git` is not listed", entries)
    answer, archive = _archive(bench, identifier)
    inside = [name for name in archive if ".git" in PurePosixPath(name).parts]
    answer.expect(not inside, "nothing of `.git` is in the archive", inside)


@checks("V0-FILES-21")
def kept_apart(bench: Bench) -> None:
    """Uploads a file to one conversation and looks for it in another."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: b"mine"})
    with bench.arranging("a file in the list of its conversation"):
        bench.expect(name in str(_listed(bench, identifier)), f"{name} is listed")
    other = bench.v0.running()
    answer = _read(bench, other, name)
    answer.expect(not 200 <= answer.status < 300, "the other conversation has no such file", answer.text)
    entries = [PurePosixPath(entry).name for entry in _listed(bench, other)]
    bench.expect(name not in entries, "the other conversation lists no such file", entries)


@checks("V0-FILES-22")
def survive_a_stop(bench: Bench) -> None:
    """Uploads a file, stops and starts the conversation, and reads it."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: TEXT.encode()})
    with bench.arranging("a stop"):
        bench.app.post(path(identifier, "/stop")).needs(200)
        bench.v0.await_status(identifier, "STOPPED")
    _holds(bench, workspace(bench), name, TEXT)


def _changes(bench: Bench, identifier: str) -> Answer:
    return bench.app.get(path(identifier, "/git/changes")).must(200)


@checks("V0-GIT-01")
def new_files_are_changes(bench: Bench) -> None:
    """Uploads a file and looks for it among the changes."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: b"new\n"})
    answer = _changes(bench, identifier)
    found = [change["status"] for change in answer.json if change["path"] == name]
    answer.expect(len(found) == 1 and found[0] in ("A", "U"), f"{name} is there once, as `A` or `U`", found)


@checks("V0-GIT-02")
def changes_are_in_order(bench: Bench) -> None:
    """Uploads files and looks at the order of the changes."""
    identifier = workspace(bench)
    _upload(bench, identifier, dict.fromkeys((f"z{new_name()}", f"a{new_name()}", f"m{new_name()}"), b"x"))
    answer = _changes(bench, identifier)
    paths = [change["path"] for change in answer.json]
    answer.expect(paths == sorted(paths), "the paths are in order", paths)


@checks("V0-GIT-03")
def difference_of_a_new_file(bench: Bench) -> None:
    """Uploads a file and asks for its difference."""
    identifier, name = workspace(bench), new_name()
    _upload(bench, identifier, {name: b"one\ntwo\n"})
    answer = bench.app.get(path(identifier, "/git/diff"), {"path": name}).must(200)
    answer.has(modified="one\ntwo\n", original="")


@checks("V0-GIT-04")
def difference_of_nothing(bench: Bench) -> None:
    """Asks for the difference of a file that never was, and of none."""
    identifier = workspace(bench)
    answer = bench.app.get(path(identifier, "/git/diff"), {"path": new_name()}).must(404)
    answer.expect(answer.pick("error"), "`error` says why")
    bench.app.get(path(identifier, "/git/diff")).must(422)


@checks("V0-GIT-05")
def names_of_changes(bench: Bench) -> None:
    """Uploads files with names in several scripts, with blanks and below a directory, and reads the changes."""
    identifier, some = workspace(bench), secrets.token_hex(4)
    names = (*names_of_all_kinds(some), f"folder {some}/Größe.txt", f"folder {some}/other.txt")
    _upload(bench, identifier, dict.fromkeys(names, b"new\n"))
    answer = _changes(bench, identifier)
    shown = [change["path"] for change in answer.json if some in change["path"]]
    answer.expect(set(shown) == set(names), f"the paths are {sorted(names)}", shown)
    for name in names:
        diff = bench.app.get(path(identifier, "/git/diff"), {"path": name}).must(200)
        diff.has(modified="new\n", original="")
