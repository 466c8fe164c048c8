"""Connection: the steps of a dialogue, carried out with a blocking socket.

Every wait has an end. A message is sent as it is read, and never held in memory whole.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ..hostname import machine_name
from ..protocol import replies
from ..protocol.reply import Reply
from .dialogue import session
from .reader import ReplyReader
from .steps import Hear, Say, Secure, Step, Steps
from .stuffing import Stuffer
from .target import Target
from .tls import Tls, TlsMode
from .transaction import Transaction

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

CONNECT_S = 30.0
HANDSHAKE_S = 30.0
SEND_S = 180.0
"""RFC 5321 4.5.3.2.5: for the server to take what we send."""
RECEIVE_OCTETS = 65536


class Connection:
    """One connection to a server; a context manager that closes it."""

    def __init__(self, target: Target, tls: Tls) -> None:
        """Connect, with TLS from the first octet where it is implicit.

        Raises:
            OSError: the server cannot be reached, or the handshake failed.
        """
        self._tls = tls
        self._name = tls.name or ("localhost" if target.is_path else target.host)
        self._nothing_there: tuple[type[OSError], ...] = (BlockingIOError,)
        self._under_tls: ssl.SSLSocket | None = None
        self._socket = connected(target)
        try:
            if tls.mode is TlsMode.IMPLICIT:
                self.start_tls()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. In the middle of a text this delivers nothing (RFC 5321 3.8)."""
        self._socket.close()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def start_tls(self) -> None:
        """The client's side of the handshake.

        Raises:
            OSError: the server cannot do it, or is not who it should be.
        """
        import ssl

        self._socket.settimeout(HANDSHAKE_S)
        context = self._tls.context()
        self._under_tls = context.wrap_socket(self._socket, server_hostname=self._name)
        self._socket = self._under_tls
        self._nothing_there = (BlockingIOError, ssl.SSLWantReadError)

    def tls_told(self) -> str:
        """What the handshake has agreed on, for people; empty where there is no TLS."""
        cipher = self._under_tls.cipher() if self._under_tls else None
        return f"{cipher[1]} {cipher[0]} ({cipher[2]} bits)" if cipher else ""

    def send(self, octets: bytes) -> None:
        """Send all.

        Raises:
            OSError: the server is gone, or does not read.
        """
        self._socket.settimeout(SEND_S)
        self._socket.sendall(octets)

    def receive(self, seconds: float) -> bytes:
        """What comes within this time; none at the server's end.

        Raises:
            OSError: nothing came, or the connection broke.
        """
        self._socket.settimeout(seconds)
        return self._socket.recv(RECEIVE_OCTETS)

    def received(self) -> bytes | None:
        """What has come already, without waiting: None if nothing has, none at the server's end.

        Raises:
            OSError: the connection broke.
        """
        try:
            return self.receive(0)
        except self._nothing_there:
            return None

    def send_end(self) -> None:
        """Nothing more will be sent; what the server says can still be received.

        Under TLS it is not told: a bare FIN looks like an attack, and Python's unwrap() loses what
        the server says meanwhile. A session that did not QUIT ends with the server's patience.

        Raises:
            OSError: the connection broke.
        """
        if self._under_tls is None:
            self._socket.shutdown(socket.SHUT_WR)

    def perform(self, steps: Steps[T], message: Iterable[bytes] = ()) -> T:
        """Carry out a dialogue.

        Args:
            steps: the dialogue.
            message: pieces of the message, with LF or CR LF.

        Raises:
            OSError: a step failed and the dialogue did not take it.
            SessionEndedError: as the dialogue says.
        """
        try:
            step = next(steps)
            while True:
                try:
                    heard = self._carry_out(step, message)
                except OSError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(heard)
        except StopIteration as end:
            result: T = end.value
            return result

    def _carry_out(self, step: Step, message: Iterable[bytes]) -> bytes:
        match step:
            case Hear(seconds):
                return self.receive(seconds)
            case Say(octets):
                self.send(octets)
            case Secure():
                self.start_tls()
            case _:  # SendMessage
                return self._send_message(message)
        return b""

    def _send_message(self, message: Iterable[bytes]) -> bytes:
        """All but the final dot; what the server has said meanwhile."""
        stuffer = Stuffer()
        for piece in message:
            self.send(stuffer.feed(piece))
        self.send(stuffer.finish())
        return self.received() or b""


def deliver(
    target: Target, tls: Tls, transaction: Transaction, message: Iterable[bytes]
) -> tuple[Reply, ...]:
    """Send one message in one connection; one reply for each recipient, in their order.

    A server that is not there, is lost on the way or does not keep to LMTP is a transient reply.
    """
    steps = session(ReplyReader(), machine_name(), tls.mode, transaction)
    try:
        with Connection(target, tls) as connection:
            return connection.perform(steps, message)
    except OSError as error:
        reply = replies.UNREACHABLE
        reply = reply.saying(f"{reply.lines[0]} at {target}: {error.strerror or error}")
        return (reply,) * len(transaction.recipients)


def connected(target: Target, seconds: float = CONNECT_S) -> socket.socket:
    """A socket that is connected to a server.

    Raises:
        OSError: the server cannot be reached within so many seconds.
    """
    if not target.is_path:
        connection = socket.create_connection((target.host, target.port), timeout=seconds)
        # Without it the final dot waits 40 ms for the server's delayed ACK.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(target.host)
    except BaseException:  # the end of our time too
        connection.close()
        raise
    return connection
