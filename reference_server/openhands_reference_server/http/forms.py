"""Reads a form with files while it arrives. No part of it is ever held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, cast

from flask import g, request
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData
from werkzeug.wsgi import get_input_stream

from openhands_reference_server.http.validation import RequestInvalid
from openhands_reference_server.http.validation_items import item, missing
from openhands_reference_server.workspace.files import Receiver, Upload

_PIECE = 64 * 1024
_MOST_PARTS = 10_000
_MOST_BUFFERED = 1024 * 1024  # what is neither file nor text, such as headers without end
_MOST_DISCARDED = 64 * 1024 * 1024


def receive_files(upload: Upload, field: str) -> None:
    """Hand all files of one field of the present request's form to the upload.

    Raises:
        RequestInvalid: the form is broken, has no such field, or there is text in it.
        RequestEntityTooLarge: it is longer than the upload's limits allow.
        FileTooLarge: a file is.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise _broken("the boundary is missing")
    decoder = MultipartDecoder(
        boundary.encode("latin-1", "replace"), max_form_memory_size=_MOST_BUFFERED, max_parts=_MOST_PARTS
    )
    form = _Form(upload, field)
    stream = _stream(upload.limits.per_request)
    try:
        with form:
            for event in _events(decoder, stream):
                form.take(event)
    except ValueError as error:
        raise _broken(str(error)) from None
    form.check()


def discard_rest() -> None:
    """Read what the client still sends, within reason: it looks for the answer when it has sent all."""
    left = _MOST_DISCARDED
    try:
        stream = (
            request.environ["wsgi.input"] if "wsgi.input_terminated" in request.environ else _stream(None)
        )
        while left > 0 and (piece := stream.read(_PIECE)):
            left -= len(piece)
    except (OSError, ValueError, HTTPException):
        return


def _stream(most: int | None) -> IO[bytes]:
    """The body of the present request; one object, because it counts what has been read."""
    if "form_stream" not in g:
        g.form_stream = get_input_stream(request.environ, max_content_length=most)
    return cast("IO[bytes]", g.form_stream)


class _Form:
    """What has been seen of a form."""

    def __init__(self, upload: Upload, field: str) -> None:
        self._upload = upload
        self._field = field
        self._files = 0
        self._texts = 0
        self._part = ExitStack()
        self._receiver: Receiver | None = None

    def __enter__(self) -> None:
        """Begin to take."""

    def __exit__(self, *ending: object) -> None:
        self._part.close()

    def take(self, event: Event) -> None:
        """The next thing in the form."""
        match event:
            case File(name=self._field, filename=filename):
                self._files += 1
                self._receiver = self._part.enter_context(self._upload.receive(filename))
            case Field(name=self._field):
                self._texts += 1
            case Data(data=data, more_data=more):
                if self._receiver is not None:
                    self._receiver.write(data)
                if not more:
                    self._part.close()
                    self._receiver = None
            case _:
                return

    def check(self) -> None:
        """Make sure that files came, and nothing else in their place."""
        loc = ("body", self._field)
        if self._texts:
            refused = item(
                "value_error", (*loc, self._files), "Value error, expected a file, received text", ""
            )
            raise RequestInvalid(422, {"detail": [refused]})
        if not self._files:
            raise RequestInvalid(422, {"detail": [missing(loc)]})


def _events(decoder: MultipartDecoder, stream: IO[bytes]) -> Iterator[Event]:
    ended = False
    while not ended:
        piece = stream.read(_PIECE)
        ended = not piece
        decoder.receive_data(piece or None)
        while not isinstance(event := decoder.next_event(), (NeedData, Epilogue)):
            yield event


def _broken(reason: str) -> RequestInvalid:
    refused = item("multipart_invalid", ("body",), "Form decode error", "", {"error": reason})
    return RequestInvalid(422, {"detail": [refused]})
