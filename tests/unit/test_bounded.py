"""So many octets for each question, by whatever call they are read."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmtpd.client.connection import connected
from lmtpd.client.target import Target
from lmtpd.recipients.bounded import BoundedSocket, bounded, tls_context
from tests.support.certificates import Certificate
from tests.support.processes import LOOPBACK

MOST = 64 * 1024


def generous(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    """Answers each octet with as many as may be, but a full stop with one more."""
    connection = listener.accept()[0]
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    with connection:
        while octet := connection.recv(1):
            connection.sendall(b"x" * (MOST + (octet == b".")))


@pytest.fixture(params=["clear", "tls", "unix"])
def connection(
    request: pytest.FixtureRequest, certificate: Certificate, tmp_path: Path
) -> Iterator[socket.socket]:
    """To somebody generous."""
    path = str(tmp_path / "socket")
    if request.param == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
    else:
        listener = socket.create_server((LOOPBACK, 0))
    context = None
    if request.param == "tls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.cert_path, certificate.key_path)
    thread = threading.Thread(target=generous, args=(listener, context), daemon=True)
    thread.start()
    with listener:
        name = listener.getsockname()
        target = Target(path) if request.param == "unix" else Target(*name)
        plain: socket.socket = bounded(connected(target, 60))
        if context:
            trusting = tls_context(certificate.cert_path)
            plain = trusting.wrap_socket(plain, server_hostname=LOOPBACK)
        with plain:
            yield plain
        thread.join(60)


def by_recv(connection: socket.socket) -> int:
    return len(connection.recv(4096))


def by_recv_into(connection: socket.socket) -> int:
    return connection.recv_into(bytearray(4096))


@pytest.mark.parametrize("read", [by_recv, by_recv_into])
@pytest.mark.parametrize("send", ["send", "sendall"])
def test_each_question_has_its_allowance(
    connection: socket.socket, read: Callable[[socket.socket], int], send: str
) -> None:
    assert isinstance(connection, BoundedSocket)
    for _ in range(2):
        getattr(connection, send)(b"?")
        left = MOST
        while left:
            left -= read(connection)
    getattr(connection, send)(b".")
    with pytest.raises(ValueError, match="65536 octets"):
        sum(iter(lambda: read(connection), None))


def test_a_socket_keeps_its_time_out() -> None:
    here, there = socket.socketpair()
    here.settimeout(0.01)
    with bounded(here) as bound, there:
        assert here.fileno() == -1
        with pytest.raises(TimeoutError):
            bound.recv(1)
