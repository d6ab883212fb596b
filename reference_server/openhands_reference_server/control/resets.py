"""Connections that end with a reset: whoever uses them again sees an error, and no orderly end.

Real agent servers end connections so behind an answer they had not foreseen, without a word in the headers.
"""

from __future__ import annotations

import logging
import socket
import struct

_logger = logging.getLogger(__name__)
_DOOMED = struct.pack("ii", 1, 0)  # linger, for no time: closing resets


def doom(connection: socket.socket) -> None:
    """Let a connection be reset when it is closed, which is as soon as the present answer is through."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DOOMED)
        connection.shutdown(socket.SHUT_RD)
    except OSError as error:
        _logger.debug("the connection has ended already: %s", error)


def is_doomed(connection: socket.socket) -> bool:
    """Is a connection to be reset?"""
    try:
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_DOOMED)) == _DOOMED
    except OSError:
        return False
