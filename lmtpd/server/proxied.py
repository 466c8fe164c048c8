"""A connection from a proxy: its PROXY header is read, and no octet behind it."""

from __future__ import annotations

from socket import MSG_PEEK

import gevent
from gevent import socket

from .. import proxy
from ..protocol.envelope import Peer
from ..proxy import ProxyError
from .transport import wait_for_a_word

HEADER_SECONDS = 5.0
"""The protocol asks for at least 3, one lost segment."""


def client_of(connection: socket.socket) -> Peer | None:
    """Who is behind the proxy; None if the proxy itself is the client.

    Raises:
        LeftError: the proxy has left without a word.
        OSError: no header came, or none in time.
    """
    late = ConnectionAbortedError("no PROXY header came in time")
    with gevent.Timeout(HEADER_SECONDS, late):
        wait_for_a_word(connection)
        return proxy.client(_header(connection))


def _header(connection: socket.socket) -> bytes:
    header, octets = b"", None
    while len(header) != octets:
        seen = header + connection.recv(proxy.MOST_OCTETS, MSG_PEEK)
        octets = proxy.length(seen)
        piece = connection.recv(min(len(seen), octets or len(seen)) - len(header))
        if not piece:
            raise ProxyError("the PROXY header is cut off")
        header += piece
    return header
