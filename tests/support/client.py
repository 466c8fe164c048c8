"""A raw client: it says what the test says, octet for octet, and reads replies.

For LMTP and SMTP, over TCP, TLS and unix sockets. It knows the form of a reply (RFC 5321 4.2.1)
and nothing of sequence: out of order, pipelined and broken conversations are for tests to hold.
The standard library's LMTP client is no use here: it reads one final reply for many recipients.
"""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.support.processes import LOOPBACK

_TIMEOUT_S = 20.0
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])([ -])([^\r\n]*)\r\n")


class Reply(NamedTuple):
    """What the server said: the code, and the text of each line behind it."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Client:
    """One connection. Every wait is bounded; a server that hangs up early is a ConnectionError."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(_TIMEOUT_S)
        self._connection = connection
        self._input = b""

    @classmethod
    def tcp(cls, port: int, tls: ssl.SSLContext | None = None) -> Client:
        """Connect to a loopback port, with TLS from the first octet if a context is given."""
        connection = socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S)
        try:
            return cls(_secured(connection, tls) if tls else connection)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def unix(cls, path: Path) -> Client:
        """Connect to a unix socket."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(path))
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, without a word."""
        self._connection.close()

    def leave(self) -> None:
        """Say no more, wait until the server has hung up, and hang up."""
        with self:
            self._connection.shutdown(socket.SHUT_WR)
            while self._connection.recv(65536):
                pass

    def fileno(self) -> int:
        """For poll(): whether there is something to read."""
        return self._connection.fileno()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """The handshake that follows the reply to STARTTLS."""
        self._connection = _secured(self._connection, context)

    def send(self, octets: bytes) -> None:
        """Send these octets and no others."""
        self._connection.sendall(octets)

    def command(self, line: str) -> Reply:
        """Send one line and read the reply to it."""
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> Reply:
        """Read one reply of one or several lines."""
        texts = []
        while True:
            line = self._line()
            match = _REPLY_LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"not a line of a reply: {line!r}")
            texts.append(match[3].decode("utf-8", "surrogateescape"))
            if match[2] == b" ":
                return Reply(int(match[1]), tuple(texts))

    def replies(self, count: int) -> list[Reply]:
        """Read so many replies."""
        return [self.reply() for _ in range(count)]

    def is_closed_by_peer(self) -> bool:
        """Wait for the next octet or the end: whether it was the end."""
        return not self._input and self._connection.recv(1) == b""

    def _line(self) -> bytes:
        while b"\n" not in self._input:
            octets = self._connection.recv(65536)
            if not octets:
                raise ConnectionError(f"the server hung up; unread: {self._input!r}")
            self._input += octets
        line, end, self._input = self._input.partition(b"\n")
        return line + end


def stuffed(message: bytes) -> bytes:
    """A message of whole CRLF lines as it travels behind DATA, final dot included (4.5.2)."""
    if message and not message.endswith(b"\r\n"):
        raise ValueError("DATA can only carry whole lines; this message ends inside one")
    return re.sub(rb"(?m)^\.", b"..", message) + b".\r\n"


def _secured(connection: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(connection, server_hostname="localhost")
