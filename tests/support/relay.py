"""What stands between an MTA and the server: it hears all, and can break what it carries.

Promises: it listens on a loopback port of its own while its `with` block runs, and hands on every
octet unless told not to.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from tests.support.processes import LOOPBACK

Look = Callable[[bytes], bool]
"""Gets what came, before it is handed on; False cuts the connection instead."""


def hand_on(_: bytes) -> bool:
    """Nothing is cut."""
    return True


class Relay:
    """Carries connections to a server's port; `from_client` and `from_server` look at the octets.

    `heard` is what clients said, piece by piece as it came.
    """

    def __init__(
        self, server_port: int, from_client: Look = hand_on, from_server: Look = hand_on
    ) -> None:
        self._server_port = server_port
        self._from_client = from_client
        self._from_server = from_server
        self.heard: list[bytes] = []
        self._listener = socket.create_server((LOOPBACK, 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Wakes the thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            server = socket.create_connection((LOOPBACK, self._server_port))
            with server:
                back = threading.Thread(
                    target=_pump, args=(server, client, self._from_server), daemon=True
                )
                back.start()
                _pump(client, server, self._hear)
                back.join()

    def _hear(self, octets: bytes) -> bool:
        self.heard.append(octets)
        return self._from_client(octets)


def _pump(source: socket.socket, sink: socket.socket, look: Look) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            if not look(octets):
                sink.shutdown(socket.SHUT_RDWR)
                source.shutdown(socket.SHUT_RDWR)
                return
            sink.sendall(octets)
    with contextlib.suppress(OSError):
        # Who has said all still listens: Exim closes its half behind QUIT.
        sink.shutdown(socket.SHUT_WR)
