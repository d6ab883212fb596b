"""Keeps evidence readable: what is very long is cut, and says so.

A body that is cut would no longer be the one that shows the fault, so a curl line names a file in its place, and
tells in a comment what has to be in it.
"""

from __future__ import annotations

import json

LONGEST_BODY = 2000
_LONGEST_COMMAND = 4000
_BEGINNING = 200
_FROM_FILE = ("--data-binary", "@body")


def shortened(text: str, longest: int = LONGEST_BODY) -> str:
    """The beginning of a text, and how long it was if that is not all."""
    return text if len(text) <= longest else f"{text[:longest]}… (cut: {len(text)} characters in all)"


def quoted(text: object, longest: int = 200) -> str:
    """A value as it could stand in a program; of a long one both ends, and how long it was."""
    shown = repr(text)
    if len(shown) <= longest:
        return shown
    half = longest // 2
    return f"{shown[:half]}…{shown[-half:]} ({len(str(text))} characters)"


def shortened_body(body: bytes, longest: int = LONGEST_BODY) -> str:
    """The beginning of a body as text, and how long it was if that is not all."""
    text = body.decode("utf-8", errors="replace")
    return text if len(text) <= longest else f"{text[:longest]}… (cut: {len(body)} bytes in all)"


def body_for_curl(body: bytes) -> tuple[list[str], str]:
    """What curl needs to send a body, and a comment for people when it cannot stand in the line."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return [*_FROM_FILE], _in_file(f"{len(body)} bytes, no text", body.decode("utf-8", errors="replace"))
    if len(text) > LONGEST_BODY:
        return [*_FROM_FILE], _in_file(f"{len(body)} bytes", text)
    if "\0" in text:
        return [*_FROM_FILE], _in_file(f"{len(body)} bytes, some of them NUL", text)
    return ["--data-raw", text], ""


def shortened_command(command: str) -> str:
    """A curl line of Schemathesis; a very long body is named instead of shown."""
    if len(command) <= _LONGEST_COMMAND:
        return command
    head, _, rest = command.partition(" -d ")
    body, _, url = rest.rpartition(" ")
    if not body:
        return shortened(command, _LONGEST_COMMAND)
    option, file = _FROM_FILE
    return f"{head} {option} {file} {url}{_in_file(f'{len(body)} characters', body.strip(chr(39)))}"


def _in_file(size: str, text: str) -> str:
    """On one line, whatever is in the text."""
    return f"  # body: {size}, beginning with {json.dumps(text[:_BEGINNING], ensure_ascii=False)}"
