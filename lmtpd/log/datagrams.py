"""Datagrams: entries to a socket of this machine, without ever waiting for its reader."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence


class Datagrams:
    """A unix socket, connected when it is needed and when its reader was restarted."""

    def __init__(self, path: str, shorter: Callable[[bytes], bytes]) -> None:
        """Nothing is connected yet.

        Args:
            path: of the socket.
            shorter: cuts an entry that the kernel finds too long for one datagram.
        """
        self._path = path
        self._shorter = shorter
        self._socket: socket.socket | None = None

    def write(self, entries: Sequence[bytes]) -> int:
        """How many were taken; the others wait for a reader that is slow, or not there."""
        for number, entry in enumerate(entries):
            if not self._was_sent(entry):
                return number
        return len(entries)

    def close(self) -> None:
        """Leave the reader; it is connected again when there is something to say."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _was_sent(self, entry: bytes) -> bool:
        for _ in range(2):  # the second time to a reader that was restarted
            try:
                self._connected().send(entry)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    entry = self._shorter(entry)
                else:
                    self.close()
            else:
                return True
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            connection.setblocking(False)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                raise
            self._socket = connection
        return self._socket
