"""Which names of files are taken from outside, and what they mean. Nothing here touches a disk.

Clients see the workspace at `/workspace` and may leave that out. A name that could lead anywhere else is
refused before it becomes a path.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

MOUNT = "/workspace"
REPOSITORY = ".git"
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f]")
_DRIVE = re.compile(r"[A-Za-z]:")


class UnsafeName(ValueError):
    """A name this server does not give to a file; the text says why."""


def upload_path(name: str) -> PurePosixPath:
    """Where in the workspace an uploaded file of this name belongs.

    Raises:
        UnsafeName: nowhere.
    """
    if not name.strip():
        raise UnsafeName("The name is empty")
    if _CONTROL.search(name):
        raise UnsafeName("The name contains control characters")
    if name.startswith("/") or _DRIVE.match(name):
        raise UnsafeName("The name is an absolute path")
    if "\\" in name:
        raise UnsafeName("The name contains a backslash")
    return _checked(name)


def asked_path(path: str) -> PurePosixPath:
    """The path in the workspace a client means.

    Raises:
        UnsafeName: none.
    """
    if _CONTROL.search(path):
        raise UnsafeName("The path contains control characters")
    if path == MOUNT or path.startswith(f"{MOUNT}/"):
        path = path.removeprefix(MOUNT).lstrip("/")
    if path.startswith("/"):
        raise UnsafeName("The path leads out of the workspace")
    return _relative(path)


def shown_path(path: PurePosixPath) -> str:
    """The path as clients see it."""
    return f"{MOUNT}/{path}"


def is_repository(name: str) -> bool:
    """Is this, on whatever file system, the folder git keeps for itself?"""
    return name.rstrip(". ").lower() == REPOSITORY


def readable(name: str) -> str:
    """A name from the disk as text that can be sent, even if it is no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _checked(name: str) -> PurePosixPath:
    path = _relative(name)
    if not path.parts or name.endswith("/"):
        raise UnsafeName("The name is that of a directory")
    if any(map(is_repository, path.parts)):
        raise UnsafeName("The name leads into the git repository")
    if any(_bytes(part) > MAX_NAME_BYTES for part in path.parts) or _bytes(str(path)) > MAX_PATH_BYTES:
        raise UnsafeName("The name is too long")
    return path


def _relative(text: str) -> PurePosixPath:
    path = PurePosixPath(text)
    if ".." in path.parts:
        raise UnsafeName("The name leads out of the workspace")
    return path


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise UnsafeName("The name is no valid text") from None
