"""Credentials: who the other end of a unix socket is, by the kernel (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_UCRED = struct.Struct("=iII")


class Credentials(NamedTuple):
    """Of who connected at that moment; or, seen from there, of who called listen()."""

    process: int
    """0 if it is not to be seen from here."""
    user: int
    group: int


def credentials_of(connection: socket.socket) -> Credentials:
    """Those of the other end of a unix socket."""
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Credentials(*_UCRED.unpack(octets))
