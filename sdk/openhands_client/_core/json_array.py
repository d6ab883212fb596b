"""Reads the elements of a JSON array while it is still arriving, wherever the network cut it."""

from __future__ import annotations

import codecs
import json
from typing import Any


class JsonArrayReader:
    """Feed it bytes, get the elements that are complete. Raises ValueError when it is not a JSON array."""

    def __init__(self) -> None:
        self._decode_utf8 = codecs.getincrementaldecoder("utf-8")().decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._started = False
        self.finished = False

    def feed(self, piece: bytes) -> list[Any]:
        self._text += self._decode_utf8(piece)
        elements = []
        while (element := self._next()) is not None:
            elements.append(element[0])
        return elements

    def _next(self) -> tuple[Any] | None:
        """The next element in a tuple, as it may be anything; None when more bytes are needed."""
        text = self._text.lstrip(" \t\r\n,") if self._started else self._text.lstrip()
        if self.finished or not text:
            return None
        if not self._started:
            if text[0] != "[":
                raise ValueError("not a JSON array")
            self._started = True
            self._text = text[1:]
            return self._next()
        if text[0] == "]":
            self.finished = True
            return None
        if text[0] not in '{["':
            raise ValueError("only arrays of objects, arrays and strings can be read piece by piece")
        try:
            element, end = self._decoder.raw_decode(text)
        except json.JSONDecodeError:
            self._text = text
            return None  # cut in the middle; if it is broken instead, the array never finishes
        self._text = text[end:]
        return (element,)
