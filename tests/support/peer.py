"""The other end of one connection, in a thread: servers that say what the test says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmtpd.client.target import Target
from tests.support.certificates import Certificate
from tests.support.processes import LOOPBACK

PATIENCE_S = 20.0

Serve = Callable[[socket.socket], object]


def listener(family: str, folder: Path) -> socket.socket:
    """A listening socket: unix, tcp6 or tcp."""
    match family:
        case "unix":
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(folder / "socket"))
            listening.listen()
            return listening
        case "tcp6":
            try:
                return socket.create_server(("::1", 0), family=socket.AF_INET6)
            except OSError as error:
                pytest.skip(f"this machine has no IPv6: {error}")
        case _:
            return socket.create_server((LOOPBACK, 0))


@contextlib.contextmanager
def server(serve: Serve, bound: socket.socket | None = None) -> Iterator[Target]:
    """One connection is served in a thread; on the way out it has to be through."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            peer, _ = listening.accept()
            with peer:
                peer.settimeout(PATIENCE_S)
                serve(peer)
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    with bound or socket.create_server((LOOPBACK, 0)) as listening:
        listening.settimeout(PATIENCE_S)
        name = listening.getsockname()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield Target(name) if isinstance(name, str) else Target(*name[:2])
        finally:
            thread.join(PATIENCE_S)
    if faults:
        raise faults[0]


def hear(peer: socket.socket, end: bytes) -> bytes:
    """All until this end."""
    octets = b""
    while not octets.endswith(end):
        more = peer.recv(65536)
        if not more:
            raise ConnectionError(f"gone behind {octets[-100:]!r}")
        octets += more
    return octets


def all_of(peer: socket.socket) -> bytes:
    """What comes until the client hangs up."""
    octets = b""
    with contextlib.suppress(ConnectionResetError):
        while more := peer.recv(65536):
            octets += more
    return octets


def secured(peer: socket.socket, certificate: Certificate) -> ssl.SSLSocket:
    """The server's side of the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_path, certificate.key_path)
    return context.wrap_socket(peer, server_side=True)


def converse(peer: socket.socket, *turns: bytes) -> None:
    """Say each of them, and hear a line behind it."""
    for turn in turns:
        peer.sendall(turn)
        hear(peer, b"\r\n")
