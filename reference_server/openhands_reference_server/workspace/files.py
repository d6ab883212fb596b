"""One workspace: its files are listed, read, compared, zipped and received here.

Two promises. Nothing outside the workspace is ever read or written, whatever links lie in it. And nothing is
held in memory as a whole: files may be larger than that.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from openhands_reference_server.domain.errors import (
    BinaryFile,
    FileMissing,
    FileTooLarge,
    PathOutside,
)
from openhands_reference_server.workspace.git import Change, FileTooLong, Git
from openhands_reference_server.workspace.paths import (
    UnsafeName,
    asked_path,
    is_repository,
    readable,
    shown_path,
    upload_path,
)

INCOMING = "incoming-"
FILES = "files"
"""The folder of a workspace in the home of its conversation or sandbox."""
DEFAULT_UPLOAD_LIMIT = 512 * 1024 * 1024
_ZIP_EPOCH = 315_619_200  # zip knows no time before 1980
_PIECE = 64 * 1024
_MOST_COMPARED = 10_000_000
_OPENING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much an upload may bring, in bytes."""

    per_file: int = DEFAULT_UPLOAD_LIMIT
    per_request: int = DEFAULT_UPLOAD_LIMIT

    @classmethod
    def both(cls, most: int) -> UploadLimits:
        """The same limit for each file and for all together."""
        return cls(most, most)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The workspace of one conversation.

    Attributes:
        home: the conversation's directory; uploads on their way are kept there.
        root: the workspace in it.
        git: the git command.
        limits: how much an upload may bring.
    """

    home: Path
    root: Path
    git: Git
    limits: UploadLimits

    # -- reading ------------------------------------------------------------------------------------

    def entries(self, path: str) -> list[str]:
        """The entries of a directory, joined to `path`, without what git ignores.

        Raises:
            FileMissing: there is no such directory.
            PathOutside: the path leads out of the workspace.
        """
        directory = self._locate(path)
        try:
            names = sorted(name for name in os.listdir(directory) if not is_repository(name))
        except OSError:
            raise FileMissing(path) from None
        inside = directory.relative_to(self._real_root())
        places = {str(PurePosixPath(inside.as_posix()) / name): name for name in names}
        ignored = self.git.ignored(self.root, list(places))
        shown = [readable(name) for place, name in places.items() if place not in ignored]
        return [str(PurePosixPath(path) / name) for name in shown]

    def directory(self, path: str) -> Path:
        """Where a directory of the workspace is on disk.

        Raises:
            FileMissing: there is no such directory.
            PathOutside: the path leads out of the workspace.
        """
        directory = self._locate(path)
        if not directory.is_dir():
            raise FileMissing(path)
        return directory

    def open_file(self, path: str) -> BinaryIO:
        """A file of any kind, open at its beginning.

        Raises:
            FileMissing: there is no such file.
            PathOutside: the path leads out of the workspace.
        """
        return self._open(path)

    def open_text(self, path: str) -> BinaryIO:
        """A text file, open at its beginning; `decoded` reads it.

        Raises:
            FileMissing: there is no such file.
            PathOutside: the path leads out of the workspace.
            BinaryFile: it is no text.
        """
        file = self._open(path)
        try:
            if not _is_text(file):
                raise BinaryFile(path)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def changes(self) -> list[Change]:
        """What differs from the last commit.

        Raises:
            NotAGitRepository: the workspace is none.
        """
        return self.git.changes(self.root)

    def compare(self, path: str) -> tuple[str | None, str | None]:
        """A file as it is and as it was at the last commit: empty where it is not, None where it is no text.

        Raises:
            FileMissing: it is in neither.
            PathOutside: the path leads out of the workspace.
            NotAGitRepository: the workspace is no repository.
        """
        wanted = str(_asked(path))
        try:
            original = self.git.committed(self.root, wanted, _MOST_COMPARED)
            was = original is not None
        except FileTooLong:
            original, was = None, True
        try:
            with self._open(path) as file:
                modified = file.read(_MOST_COMPARED + 1)
        except FileMissing:
            if not was:
                raise
            return "", _text(original)
        return _text(modified), _text(original) if was else ""

    def zipped(self) -> Iterator[bytes]:
        """The workspace as a zip archive, piece by piece, as it is made."""
        sink = _Sink()
        with zipfile.ZipFile(
            sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
        ) as archive:
            for path in self._everything():
                for _ in self._add(archive, path):
                    yield from sink.taken(at_least=_PIECE)
        yield from sink.taken()

    def _everything(self) -> Iterator[Path]:
        """All directories and files, and links to files inside."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not is_repository(name))
            yield from (Path(folder, name) for name in folders if not Path(folder, name).is_symlink())
            yield from (Path(folder, name) for name in sorted(names) if not is_repository(name))

    def _add(self, archive: zipfile.ZipFile, path: Path) -> Iterator[None]:
        name = path.relative_to(self.root).as_posix()
        if path.is_dir() and not path.is_symlink():
            archive.mkdir(readable(name))
            yield
            return
        try:
            file = self._open(name)
        except (FileMissing, PathOutside):
            return
        with file:
            found = os.fstat(file.fileno())
            info, size = _described(readable(name), found), found.st_size
            with archive.open(info, "w") as target:
                while size > 0 and (piece := file.read(min(_PIECE, size))):
                    size -= len(piece)
                    target.write(piece)
                    yield
        yield

    def _open(self, path: str) -> BinaryIO:
        """A regular file; pipes and devices are not waited for."""
        place = self._locate(path)
        try:
            descriptor = os.open(place, _OPENING)
        except OSError:
            raise FileMissing(path) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileMissing(path)
        return os.fdopen(descriptor, "rb")

    def _locate(self, path: str) -> Path:
        """Where a path leads, all links followed."""
        try:
            place = Path(os.path.realpath(self.root / _asked(path), strict=True))
        except (OSError, ValueError):
            raise FileMissing(path) from None
        root = self._real_root()
        if not place.is_relative_to(root):
            raise PathOutside(path)
        if any(map(is_repository, place.relative_to(root).parts)):
            raise FileMissing(path)
        return place

    def _real_root(self) -> Path:
        return Path(os.path.realpath(self.root))

    # -- writing ------------------------------------------------------------------------------------

    def write(self, path: str, content: str) -> str | None:
        """Write a text file; returns what it was before, None when it was not there or no text.

        Raises:
            PathOutside: the path leads out of the workspace, or is none a file can have.
            OSError: there is no way to that place.
        """
        try:
            place = upload_path(str(_asked(path)))
            before = self._content(path)
            with self.receiving() as upload:
                arrived = upload.directory / place.name
                arrived.write_text(content, encoding="utf-8", newline="")
                self.put(arrived, place)
        except UnsafeName:
            raise PathOutside(path) from None
        return before

    def _content(self, path: str) -> str | None:
        try:
            with self._open(path) as file:
                return _text(file.read(_MOST_COMPARED + 1))
        except FileMissing:
            return None

    @contextmanager
    def receiving(self) -> Iterator[Upload]:
        """An upload: what it brings is not in the workspace before `place`, and is gone after the block.

        Raises:
            FileMissing: the workspace is gone.
        """
        try:
            folder = tempfile.TemporaryDirectory(prefix=INCOMING, dir=self.home, ignore_cleanup_errors=True)
        except FileNotFoundError:
            raise FileMissing("") from None
        with folder as directory:
            yield Upload(self, Path(directory), self.limits)

    def put(self, arrived: Path, place: PurePosixPath) -> None:
        """Move a file into its place, in one step.

        Raises:
            UnsafeName: a link on the way leads out of the workspace.
            OSError: there is no way to that place.
        """
        arrived.replace(self._directory(place.parent) / place.name)

    def _directory(self, path: PurePosixPath) -> Path:
        """Make the directories of a path, never through a link that leads outside."""
        root = self._real_root()
        place = root
        for part in path.parts:
            place = place / part
            if not place.is_symlink():
                place.mkdir(exist_ok=True)
            place = Path(os.path.realpath(place))
            if not place.is_relative_to(root):
                raise UnsafeName("A link in the name leads out of the workspace")
        return place


@dataclass(slots=True)
class Upload:
    """Files on their way into a workspace, kept beside it until all have arrived."""

    workspace: Workspace
    directory: Path
    limits: UploadLimits
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _arrived: list[tuple[str, PurePosixPath, Path]] = field(default_factory=list)

    @contextmanager
    def receive(self, name: str) -> Iterator[Receiver]:
        """Take one file; the block writes it. A name that is refused is noted, and nothing kept."""
        try:
            place = upload_path(name)
        except UnsafeName as unsafe:
            self.skipped.append((name, str(unsafe)))
            yield Receiver(None, self.limits.per_file)
            return
        arrived = self.directory / str(len(self._arrived))
        with arrived.open("wb") as file:
            yield Receiver(file, self.limits.per_file)
        self._arrived.append((name, place, arrived))

    def place(self) -> list[str]:
        """Move everything into its place; returns where things are, as clients see it."""
        placed: list[str] = []
        for name, place, arrived in self._arrived:
            try:
                self.workspace.put(arrived, place)
            except UnsafeName as unsafe:
                self.skipped.append((name, str(unsafe)))
            except OSError as error:
                self.skipped.append((name, f"The file cannot be stored: {error.strerror}"))
            else:
                placed.append(shown_path(place))
        return placed


class Receiver:
    """Writes one file as it arrives, and no more than is allowed."""

    def __init__(self, file: BinaryIO | None, most: int) -> None:
        self._file = file
        self._left = most

    def write(self, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            FileTooLarge: the file is longer than allowed.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise FileTooLarge
        if self._file is not None:
            self._file.write(piece)


def decoded(file: BinaryIO) -> Iterator[str]:
    """The text of an open file, piece by piece.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    while piece := file.read(_PIECE):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _is_text(file: BinaryIO) -> bool:
    try:
        return not any("\0" in text for text in decoded(file))
    except UnicodeDecodeError:
        return False


def _text(content: bytes | None) -> str | None:
    if content is None or len(content) > _MOST_COMPARED or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _described(name: str, found: os.stat_result) -> zipfile.ZipInfo:
    changed = time.localtime(max(found.st_mtime, _ZIP_EPOCH))[:6]
    info = zipfile.ZipInfo(name, changed)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (found.st_mode & 0xFFFF) << 16  # where zip keeps the mode of Unix files
    info.file_size = found.st_size
    return info


def _asked(path: str) -> PurePosixPath:
    try:
        return asked_path(path)
    except UnsafeName:
        raise PathOutside(path) from None


class _Sink(io.RawIOBase):
    """Takes what an archive writes, until it is sent on."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        piece = memoryview(cast(bytes, data))
        self._pieces += piece
        return piece.nbytes

    def taken(self, at_least: int = 1) -> Iterator[bytes]:
        """What has come together, if it is worth sending."""
        if len(self._pieces) >= at_least:
            taken = bytes(self._pieces)
            self._pieces.clear()
            yield taken
