"""SocketTransport: the session's Transport over a gevent socket."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import socket as plain_socket
import termios
import time

import gevent
from gevent import socket, ssl

from ..protocol.envelope import TlsInfo
from ..protocol.reply import Reply
from .tls import Certificates

RECEIVE_OCTETS = 256 * 1024
# One for all connections: it is emptied before another greenlet can run.
_buffer = memoryview(bytearray(RECEIVE_OCTETS))
TURN_SECONDS = 0.005
"""A client that is quicker than we are is served no longer while others wait."""
LINGER_SECONDS = 2.0
LINGER_OCTETS = 1024 * 1024


class LeftError(ConnectionError):
    """The peer has left without a word, as those do that only look whether we are there."""


# One value for all who have agreed on the same: connections that idle are held by the thousand.
_agreed = functools.lru_cache(maxsize=64)(TlsInfo)


def wait_for_a_word(connection: socket.socket) -> None:
    """Wait until the peer has said something, and leave it where it is.

    Raises:
        LeftError: it has left without a word.
    """
    try:
        word = connection.recv(1, plain_socket.MSG_PEEK)
    except ConnectionResetError:
        word = b""
    if not word:
        raise LeftError("the peer has left without a word")


class SocketTransport:
    """A connection whose every wait has an end."""

    __slots__ = (
        "_certificates",
        "_is_interrupted",
        "_is_tcp",
        "_loop",
        "_send_seconds",
        "_socket",
    )

    def __init__(
        self,
        connection: socket.socket,
        send_seconds: float,
        certificates: Certificates | None,
    ) -> None:
        """Take over a connection that was accepted.

        Args:
            connection: the socket.
            send_seconds: how long the peer may take to read what it is told.
            certificates: for TLS, where it can be had.
        """
        self._socket = connection
        self._certificates = certificates
        self._send_seconds = send_seconds
        self._is_interrupted = False
        self._loop = gevent.get_hub().loop
        self._is_tcp = connection.family != plain_socket.AF_UNIX
        if self._is_tcp:
            # Without it a reply behind another waits 40 ms for the client's delayed ACK.
            connection.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)

    def recv(self, seconds: float) -> bytes:
        """Some bytes, within so many seconds; none when the peer has closed, or `interrupt` was
        called.

        Whoever has always said something already would never be waited for, and nobody else be
        served: a turn of the event loop has an end.
        """
        if time.time() - self._loop.now() > TURN_SECONDS:
            gevent.sleep(0)
        try:
            return bytes(_buffer[: self._recv_into_buffer(seconds)])
        except OSError:
            if self._is_interrupted:
                return b""
            raise

    def _recv_into_buffer(self, seconds: float) -> int:
        if not isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(seconds)
            return self._socket.recv_into(_buffer)
        # One end for all of it: a record that comes by octets would outlast an end of each wait.
        self._socket.settimeout(None)
        with gevent.Timeout(seconds, TimeoutError):
            return self._socket.recv_into(_buffer)

    def has_input(self) -> bool:
        """Whether something waits to be received."""
        waiting = fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, bytes(4))
        return any(waiting)

    def acknowledge_at_once(self) -> None:
        """No delayed ACK for what comes next; the kernel forgets it after each time.

        Sendmail and OpenSMTPD write a message in small pieces and with Nagle's algorithm: each
        would wait 40 ms for the ACK of the one before.
        """
        if self._is_tcp:
            with contextlib.suppress(OSError):  # a lost connection is noticed when it is read
                self._socket.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_QUICKACK, 1)

    def sendall(self, data: bytes) -> None:
        """Send all, or lose the connection to a peer that does not read, or reads by octets."""
        self._socket.settimeout(0.0)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_slowly(memoryview(data)[sent:])

    def _send_slowly(self, left: memoryview) -> None:
        """What the kernel has no room for: one end for all of it."""
        self._socket.settimeout(None)
        with gevent.Timeout(self._send_seconds, ConnectionAbortedError("the peer does not read")):
            while left:  # not gevent's sendall(): it asks for the size of the buffer each time
                left = left[self._socket.send(left) :]

    def turn_away(self, reply: Reply | None) -> None:
        """Say this, if the peer can hear it at once, and close; it has not been listened to."""
        if reply:
            with contextlib.suppress(OSError):
                self._socket.settimeout(0.0)
                self._socket.send(reply.encode())
        self._socket.close()

    def start_tls(self) -> TlsInfo:
        """The server's side of the handshake."""
        if self._certificates is None:
            raise OSError("no certificate is configured")
        # One end for all of it: a client that sends an octet now and then would outlast an end of
        # each wait. An OSError, so that gevent closes the socket it has taken over.
        self._socket.settimeout(None)
        stalled = ConnectionAbortedError("the TLS handshake stalled")
        with gevent.Timeout(self._certificates.handshake_seconds, stalled):
            wait_for_a_word(self._socket)
            secured = self._certificates.context.wrap_socket(self._socket, server_side=True)
        self._socket = secured
        cipher, version, bits = secured.cipher() or ("", "", 0)
        client = self._certificates.client_of(secured)
        return _agreed(secured.version() or version, cipher, bits or 0, client)

    def interrupt(self) -> None:
        """Make a waiting `recv` return at once, as if the peer had closed its side.

        A greenlet that waits for a delivery by now is not touched: that must neither be cut short
        nor go unanswered. gevent's shutdown() wakes only those who wait for this socket.
        """
        self._is_interrupted = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, plain_socket.SHUT_RD)

    def close(self, *, has_quit: bool) -> None:
        """End the connection so that the last reply arrives.

        Closing with unread input makes the kernel send a reset, which can overtake and destroy the
        reply; so what the peer still sends is read and dropped, for a moment. One that has said
        QUIT sends nothing, but under TLS its close_notify.
        """
        if not has_quit or isinstance(self._socket, ssl.SSLSocket) or self.has_input():
            self._linger()
        self._socket.close()

    def _linger(self) -> None:
        with contextlib.suppress(OSError):
            self._close_notify()
            socket.socket.shutdown(self._socket, plain_socket.SHUT_WR)
            self._socket.settimeout(LINGER_SECONDS)
            gevent.with_timeout(LINGER_SECONDS, self._read_to_end, timeout_value=None)

    def _close_notify(self) -> None:
        """Tell a TLS peer that the end is no truncation (RFC 5246 7.2.1); do not wait for its."""
        if isinstance(self._socket, ssl.SSLSocket):
            self._socket.settimeout(0.0)
            with contextlib.suppress(OSError):
                self._socket.unwrap()

    def _read_to_end(self) -> None:
        left = LINGER_OCTETS
        while left > 0:
            octets = len(socket.socket.recv(self._socket, 65536))
            left -= octets or left
