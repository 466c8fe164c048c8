"""A POP3 server (RFC 1939) with one message, as small as those who fetch mail can bear it.

Promises: any user and password will do; inside the `with` block it listens on a loopback port, and
afterwards it is gone. What was deleted is gone for the next client.
"""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType

from tests.support.client import stuffed
from tests.support.processes import LOOPBACK


class Pop3:
    """Serves this message (CR LF lines) until somebody deletes it."""

    def __init__(self, message: bytes) -> None:
        self.messages = [message]
        mailbox = self.messages

        class Session(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                doomed = False
                self.wfile.write(b"+OK ready\r\n")
                for line in self.rfile:
                    verb, *arguments = line.split()
                    self.wfile.write(_answer(mailbox, verb.upper(), arguments))
                    doomed = doomed or verb.upper() == b"DELE"
                    if verb.upper() == b"QUIT":
                        if doomed:
                            mailbox.clear()
                        return

        self._server = socketserver.ThreadingTCPServer((LOOPBACK, 0), Session)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Pop3:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(mailbox: list[bytes], verb: bytes, arguments: list[bytes]) -> bytes:
    size = sum(map(len, mailbox))
    count = len(mailbox)
    match verb:
        case b"CAPA":
            return b"+OK\r\nUIDL\r\nUSER\r\n.\r\n"
        case b"STAT":
            return b"+OK %d %d\r\n" % (count, size)
        case b"LIST" if arguments:
            return b"+OK 1 %d\r\n" % size
        case b"LIST":
            return b"+OK\r\n" + b"1 %d\r\n" % size * count + b".\r\n"
        case b"UIDL" if arguments:
            return b"+OK 1 only-one\r\n"
        case b"UIDL":
            return b"+OK\r\n" + b"1 only-one\r\n" * count + b".\r\n"
        case b"RETR":
            return b"+OK\r\n" + stuffed(mailbox[0])
        case b"USER" | b"PASS" | b"DELE" | b"QUIT" | b"NOOP" | b"RSET":
            return b"+OK\r\n"
        case _:
            return b"-ERR not here\r\n"
