"""A gate on the way to a real server, at which whatever goes wrong on a network can go wrong.

Promises: it lives on one loopback port, whether it is open or not; what it does to those who pass
is set by its methods, for those who are inside and those who come.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from types import TracebackType

from tests.support.processes import LOOPBACK, free_port

_PIECE = 64 * 1024


class Mode(enum.Enum):
    """What becomes of the server's words."""

    PASS = "they come through"
    HOLD = "they wait"
    HALVE = "half of them comes through, and then the end"
    GARBLE = "others come in their place, and never end"


class Gate:
    """Between a client and the server on `target`."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.most = 0
        """Connections at one time."""
        self._target = target
        self._mode = Mode.PASS
        self._changed = threading.Condition()
        self._inside: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    @property
    def inside(self) -> int:
        """Connections just now."""
        return len(self._inside)

    def __enter__(self) -> Gate:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Let everybody through."""
        self.set(Mode.PASS)
        if self._listener is None:
            self._listener = socket.create_server((LOOPBACK, self.port), backlog=128)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse everybody, and throw out who is inside."""
        listener, self._listener = self._listener, None
        if listener:
            # close() alone leaves it listening while a thread waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def set(self, mode: Mode) -> None:
        """From now on."""
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def cut(self) -> None:
        """Throw out who is inside."""
        with self._changed:
            inside = list(self._inside)
            self._inside.clear()
            self._changed.notify_all()
        for one in inside:
            _end(one)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._admit(listener.accept()[0])

    def _admit(self, client: socket.socket) -> None:
        server = socket.create_connection((LOOPBACK, self._target))
        with self._changed:
            self._inside.add(client)
            self.most = max(self.most, len(self._inside))
        for way in (self._ask, self._answer):
            threading.Thread(target=way, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(_PIECE):
                server.sendall(piece)
        self._part(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(_PIECE):
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._mode is not Mode.HOLD or client not in self._inside
                    )
                    mode = self._mode
                if mode is Mode.HALVE:
                    client.sendall(piece[: len(piece) // 2])
                    break
                while mode is Mode.GARBLE:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 1000)
                client.sendall(piece)
        self._part(client, server)

    def _part(self, *both: socket.socket) -> None:
        with self._changed:
            self._inside.difference_update(both)
        for one in both:
            _end(one)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
