"""Reads the elements of a JSON array while it is still arriving, wherever the network cut it."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

_MARK = re.compile(r'["\\{}\[\]]')
_BETWEEN = re.compile(r"[\s,]*")


class JsonArrayReader:
    """Feed it bytes, get the elements that are complete.

    Raises ValueError when it is not a JSON array of objects or arrays. Every character is looked at once:
    an element may be large, and come in many pieces.
    """

    def __init__(self) -> None:
        self._decode_utf8 = codecs.getincrementaldecoder("utf-8")().decode
        self._depth = 0  # 1 is the array, 2 an element of it
        self._in_string = False
        self._escaped = -1  # the position that a backslash takes the meaning from
        self._length = 0  # of all text before this piece
        self._element: list[str] = []  # the pieces of an element that is not complete
        self._problem: ValueError | None = None
        self.finished = False

    def feed(self, piece: bytes) -> list[Any]:
        """The elements that end in this piece; what breaks after them is told by the next call."""
        if self._problem is not None:
            raise self._problem
        if self.finished:
            return []
        elements: list[Any] = []
        try:
            self._read(self._decode_utf8(piece), elements)
        except ValueError as problem:
            if not elements:
                raise
            self._problem = problem
        return elements

    def _read(self, text: str, elements: list[Any]) -> None:
        done = 0  # so much of the text belongs to complete elements or lies between them
        for mark in _MARK.finditer(text):
            at = mark.start()
            if self._depth < 2:
                self._check_between(text[done:at], mark[0])
                done = at
            self._take(mark[0], self._length + at)
            if self.finished:
                return
            if self._depth == 1 and mark[0] in "}]":
                elements.append(self._complete(text[done : at + 1]))
            if self._depth < 2:
                done = at + 1
        self._keep(text[done:])
        self._length += len(text)

    def _check_between(self, text: str, mark: str) -> None:
        """What may stand before an element, or at the end."""
        opens = mark in "{[" if self._depth else mark == "["
        closes = self._depth == 1 and mark == "]"
        if not _BETWEEN.fullmatch(text) or not (opens or closes):
            raise ValueError("not a JSON array of objects")

    def _take(self, mark: str, at: int) -> None:
        if self._in_string:
            if at == self._escaped:
                return
            if mark == "\\":
                self._escaped = at + 1
            elif mark == '"':
                self._in_string = False
        elif mark == '"':
            self._in_string = True
        elif mark in "{[":
            self._depth += 1
        elif mark in "}]":
            self._depth -= 1
            self.finished = self._depth == 0

    def _complete(self, rest: str) -> Any:
        text = "".join([*self._element, rest])
        self._element.clear()
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def _keep(self, text: str) -> None:
        if self._depth >= 2:
            self._element.append(text)
        elif not _BETWEEN.fullmatch(text):
            raise ValueError("not a JSON array of objects")
