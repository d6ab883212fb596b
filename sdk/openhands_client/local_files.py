"""Files on this side: read while they are uploaded, and written so that nothing half-written stays."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TypeAlias, cast

from openhands_client._core.commands import FilePart
from openhands_client.errors import InvalidArgumentError

Source: TypeAlias = "str | os.PathLike[str] | tuple[str, bytes | IO[bytes]]"
OnBytes: TypeAlias = Callable[[int, int], object]


@contextmanager
def opened(
    sources: Sequence[Source], field: str, on_progress: OnBytes | None = None
) -> Iterator[list[FilePart]]:
    """Open what is to be uploaded: paths, or pairs of a name and bytes or a binary file object.

    ``on_progress(sent, total)`` counts bytes. Raises InvalidArgumentError when there is nothing to upload or
    a file object is not binary, OSError when a path cannot be read.
    """
    if not sources:
        raise InvalidArgumentError("there is nothing to upload; give at least one file")
    with ExitStack() as stack:
        named = [_named(source, stack) for source in sources]
        progress = _Progress(sum(_size(content) for _, content in named), on_progress)
        counted = [(name, cast("IO[bytes]", _Counted(content, progress.add))) for name, content in named]
        yield [FilePart(field, name, content) for name, content in counted]


def _named(source: Source, stack: ExitStack) -> tuple[str, IO[bytes]]:
    if not isinstance(source, tuple):
        path = Path(source)
        return path.name, stack.enter_context(path.open("rb"))
    name, content = source
    if isinstance(content, bytes):
        return name, io.BytesIO(content)
    if isinstance(content, io.TextIOBase) or not hasattr(content, "read"):
        raise InvalidArgumentError(f"{name} must be bytes or a file opened in binary mode")
    return name, content


def _size(file: IO[bytes]) -> int:
    here = file.tell()
    size = file.seek(0, os.SEEK_END) - here
    file.seek(here)
    return size


class _Progress:
    def __init__(self, total: int, tell: OnBytes | None) -> None:
        self._total, self._tell, self._sent = total, tell, 0

    def add(self, count: int) -> None:
        self._sent += count
        if self._tell is not None and count:
            self._tell(self._sent, self._total)


class _Counted(io.BufferedIOBase):
    """A binary file that tells how much was read from it."""

    def __init__(self, file: IO[bytes], read: Callable[[int], None]) -> None:
        self._file, self._read = file, read

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        piece = self._file.read(-1 if size is None else size)
        self._read(len(piece))
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def atomic(target: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes ``target`` at the end, or vanishes if anything goes wrong."""
    path = Path(target)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
