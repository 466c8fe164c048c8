"""Sockets on which an answer has 64 KiB at most.

Drivers collect what the other side announces, be it gigabytes, and on the port that somebody has
configured anything may answer. What is sent begins a new question, with an allowance of its own.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from .answer import MOST_OCTETS, TOO_LONG
from .verdict import AnswerError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class BoundedSocket(socket.socket):
    """A socket that says so when an answer is too long."""

    _left = MOST_OCTETS

    def send(self, data: ReadableBuffer, flags: int = 0, **more: float) -> int:
        """As usual; a new question. gevent's has a time-out more."""
        self._left = MOST_OCTETS
        return super().send(data, flags, **more)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """As usual; a new question."""
        self._left = MOST_OCTETS
        super().sendall(data, flags)

    def recv(self, bufsize: int = 1024, flags: int = 0) -> bytes:
        """As usual; AnswerError if the answer is too long."""
        octets = super().recv(bufsize, flags)
        self._count(len(octets))
        return octets

    def recv_into(self, buffer: WriteableBuffer, *arguments: int) -> int:
        """As usual; AnswerError if the answer is too long. What 0 octets mean differs by class."""
        octets = super().recv_into(buffer, *arguments)
        self._count(octets)
        return octets

    def _count(self, octets: int) -> None:
        self._left -= octets
        if self._left < 0:
            raise AnswerError(TOO_LONG)


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):  # type: ignore[misc]  # other defaults
    """The same with TLS."""


def bounded(plain: socket.socket) -> BoundedSocket:
    """The same connection, bounded."""
    timeout_s = plain.gettimeout()
    bound = BoundedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    bound.settimeout(timeout_s)
    return bound


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """For such sockets with TLS, on which certificate and name of the server are checked.

    Raises:
        OSError: the file cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = BoundedTlsSocket
    return context
