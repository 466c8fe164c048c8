"""A directory service of the tests, over TCP, and the hooks that ask it.

The protocol: a line with a mailbox, and a line with `yes` or `no`. The server under test finds it
by an environment variable.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from types import TracebackType

from lmtpd.protocol.address import Address
from lmtpd.recipients.verdict import RcptContext, Verdict
from tests.support.processes import LOOPBACK, free_port

PORT = "TEST_BACKEND_PORT"


class Backend:
    """Knows `known`; counts the queries; started and stopped, on one port, as often as wanted."""

    def __init__(self, *known: str) -> None:
        self.port = free_port()
        self.known = known
        self.is_mute = False
        self.answering = threading.Event()
        """Cleared, it keeps all who ask waiting."""
        self.answering.set()
        self.queries: list[str] = []
        self._server: _Server | None = None

    def __enter__(self) -> Backend:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        backend = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                mailbox = self.rfile.readline().decode().strip()
                backend.queries.append(mailbox)
                backend.answering.wait(60)
                if not backend.is_mute:
                    self.wfile.write(b"yes\n" if mailbox in backend.known else b"no\n")

        self._server = _Server((LOOPBACK, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self.answering.set()
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Asking:
    """Asks the back-end through a socket, cooperatively."""

    def __init__(self, _: object) -> None:
        self.port = int(os.environ[PORT])

    def verify(self, address: Address, _: RcptContext) -> Verdict | None:
        """What the back-end says."""
        with socket.create_connection((LOOPBACK, self.port)) as connection:
            connection.sendall(f"{address.mailbox}\n".encode())
            with connection.makefile("r") as answers:
                answer = answers.readline().strip()
        if not answer:
            raise ConnectionError("the back-end hung up")
        return Verdict.accept(address.mailbox) if answer == "yes" else Verdict.unknown()


class AskingOnAThread(Asking):
    """The same, on a real thread."""

    blocking = True


class Forgetful(Asking):
    """One whose answers hold for a moment."""

    positive_ttl_s = 0.2


class Timeless:
    """One that cannot be used."""

    positive_ttl_s = "long"

    def __init__(self, _: object) -> None:
        pass

    def verify(self, _: Address, __: RcptContext) -> Verdict | None:
        """No opinion."""
        return None
