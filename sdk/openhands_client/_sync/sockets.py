# Generated from sdk/openhands_client/_async/sockets.py by scripts/unasync.py. Do not edit.
"""WebSockets: text frames in, our own exceptions out. The URL holds a key, so it is never shown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from openhands_client._core.commands import SocketClosed, SocketRefused
from openhands_client.errors import APIConnectionError, APITimeoutError, UnsafeURLError
from openhands_client.processes import leave_to_parent

from .compat import ELSEWHERE, connect_websocket, place, receive

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import ClientConnection

CLOSE_TIMEOUT = 1.0
LARGEST_FRAME = 64 * 1024 * 1024
BUFFER = 16  # frames; a server that sends more has to wait until they are read
PING = 20.0  # seconds between pings, and until one must be answered

# At DEBUG the library logs the request line, and with it the key; so it never gets to log at DEBUG.
library_logger = logging.getLogger("openhands_client.websocket")
library_logger.setLevel(logging.INFO)


class Socket:
    """An open WebSocket."""

    def __init__(self, connection: ClientConnection, closing: ExitStack) -> None:
        self._connection = connection
        self._closing = closing
        self._place = place()

    @classmethod
    def connect(cls, url: str, timeout: float, headers: Mapping[str, str]) -> Socket:
        """Raises SocketRefused, APITimeoutError, APIConnectionError or UnsafeURLError."""
        from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

        closing = ExitStack()
        try:
            opening = connect_websocket(
                url,
                additional_headers=headers,
                open_timeout=timeout,
                close_timeout=CLOSE_TIMEOUT,
                max_size=LARGEST_FRAME,
                max_queue=BUFFER,
                ping_interval=PING,
                ping_timeout=PING,
                logger=library_logger,
            )
            connection = closing.enter_context(opening)
        except InvalidStatus as refusal:
            raise SocketRefused(refusal.response.status_code) from None
        except TimeoutError:
            raise APITimeoutError(f"{_origin(url)} did not open the WebSocket in {timeout:g} s") from None
        except InvalidURI:
            raise UnsafeURLError.because("the URL of a WebSocket", "it is no URL") from None
        except (OSError, WebSocketException, EOFError, UnicodeError) as failure:
            reason = str(failure) or type(failure).__name__
            raise APIConnectionError(f"no WebSocket to {_origin(url)}: {reason}") from None
        return cls(connection, closing)

    def receive(self, timeout: float) -> str | None:
        """The next text frame, or None when there is none in time. Raises SocketClosed."""
        from websockets.exceptions import ConnectionClosed

        self._check_place()
        try:
            frame = receive(self._connection, timeout)
        except TimeoutError:
            return None
        except ConnectionClosed as closed:
            raise _closed(closed) from None
        return frame if isinstance(frame, str) else frame.decode(errors="replace")

    def send(self, frame: str) -> None:
        """Send a text frame. Raises SocketClosed."""
        from websockets.exceptions import ConnectionClosed

        self._check_place()
        try:
            self._connection.send(frame)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    def close(self) -> None:
        if self._place == place():
            self._closing.close()
        else:
            leave_to_parent(self._closing)

    def _check_place(self) -> None:
        """Elsewhere, nobody would wake who waits; to the stream it is a connection to open anew."""
        if self._place != place():
            raise SocketClosed(1006, f"it was opened {ELSEWHERE}")


def _closed(closed: ConnectionClosed) -> SocketClosed:
    return SocketClosed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else SocketClosed(1006)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
