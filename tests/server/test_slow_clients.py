"""Clients that send by octets, never end, or do not read: each is cut off in time."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.client import Client, Reply
from tests.support.processes import LOOPBACK, descriptors
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
TO_DATA = ("MAIL FROM:<>", f"RCPT TO:<{ALICE}>", "DATA")
_LIMIT_S = 2.0
_LATE_S = 8.0
"""A busy machine may be late."""
_DRIP_S = 0.2
_SOON_S = 15.0
_LARGE = b"x" * 998 + b"\r\n"


def begun(server: Server, *lines: str) -> Client:
    """A client to whom these lines were answered well."""
    server.mailbox(ALICE)
    client = Client.tcp(server.port)
    assert client.reply().code == 220
    for line in ("LHLO client.example", *lines):
        assert client.command(line).code in (250, 354), line
    return client


def heard_while_sending(client: Client, pieces: Iterable[bytes], pause_s: float) -> Reply:
    """What the server says at last, and that it says it in time."""
    since = time.monotonic()
    with contextlib.suppress(ConnectionError):  # it may have gone while we were sending
        for piece in pieces:
            client.send(piece)
            if select.select([client], [], [], pause_s)[0]:
                break
            assert time.monotonic() - since < _LATE_S, "it is still listened to"
    assert time.monotonic() - since > _LIMIT_S / 2
    return client.reply()


def assert_cut_off(reply: Reply, server: Server) -> None:
    assert (reply.code, reply.text) == (421, "4.4.2 Not finished in time, closing the connection")
    told = 'cut-off peer=127.0.0.1 reply="421 4.4.2 Not finished'
    wait_for(lambda: told in server.log, _SOON_S, "the line of the log")
    assert server.messages(ALICE) == []
    assert not [name for name in server.files() if "/tmp/" in name or "/new/" in name]


@pytest.mark.parametrize(
    ("pieces", "pause_s"),
    [
        pytest.param(repeat(b"N"), _DRIP_S, id="by octets"),
        pytest.param(repeat(b"N" * 1000), 0.001, id="endless"),
    ],
)
def test_a_command_that_does_not_end(
    pieces: Iterable[bytes], pause_s: float, tmp_path: Path
) -> None:
    with (
        Server(tmp_path, lmtp_command_timeout=_LIMIT_S) as server,
        begun(server, "MAIL FROM:<>") as client,
    ):
        assert_cut_off(heard_while_sending(client, pieces, pause_s), server)
        assert client.is_closed_by_peer()


@pytest.mark.parametrize(
    ("pieces", "pause_s"),
    [
        pytest.param(repeat(b"x"), _DRIP_S, id="by octets"),
        pytest.param(repeat(_LARGE), _DRIP_S / 10, id="slow"),
        pytest.param(repeat(_LARGE * 60), 0.0, id="endless"),
    ],
)
@pytest.mark.parametrize("lines", [TO_DATA, (*TO_DATA[:2], "BDAT 3\r\nx")], ids=["DATA", "BDAT"])
def test_a_text_that_does_not_end(
    lines: tuple[str, ...], pieces: Iterable[bytes], pause_s: float, tmp_path: Path
) -> None:
    """Beyond the largest message too, where all that comes is thrown away."""
    with (
        Server(tmp_path, lmtp_data_timeout=_LIMIT_S, lmtp_max_message_size="1M") as server,
        begun(server, *lines) as client,
    ):
        if lines != TO_DATA:
            client.send(b"BDAT 99999999999\r\n")
        assert_cut_off(heard_while_sending(client, pieces, pause_s), server)


def test_a_transaction_that_does_not_end(tmp_path: Path) -> None:
    settings = {"lmtp_transaction_timeout": _LIMIT_S, "lmtp_max_noops": "none"}
    with Server(tmp_path, **settings) as server, begun(server, *TO_DATA[:2]) as client:
        since = time.monotonic()
        while (reply := client.command("BDAT 3\r\nx")).code == 250:
            time.sleep(_DRIP_S)
            assert time.monotonic() - since < _LATE_S
        assert_cut_off(reply, server)


def test_a_session_of_many_quick_transactions_goes_on(tmp_path: Path) -> None:
    limits = ("command", "data", "transaction")
    settings = {f"lmtp_{one}_timeout": _LIMIT_S for one in limits}
    with Server(tmp_path, **settings) as server, begun(server) as client:
        since, count = time.monotonic(), 0
        while time.monotonic() - since < 2 * _LIMIT_S:
            codes = [client.command(line).code for line in TO_DATA]
            client.send(b"Subject: x\r\n\r\n.\r\n")
            assert [*codes, client.reply().code] == [250, 250, 354, 250]
            count += 1
            time.sleep(_DRIP_S)
        assert len(server.messages(ALICE)) == count


class Raw:
    """A client under TLS that has its records in its own hands."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.connection = socket.create_connection((LOOPBACK, port), timeout=20.0)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self._until(self._tls.do_handshake)

    def heard(self) -> str:
        """What the server says next."""
        return self._until(lambda: self._tls.read(65536)).decode()

    def record(self, text: bytes) -> bytes:
        """What has to be sent for this text."""
        self._tls.write(text)
        return self._outgoing.read()

    def _until(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if ready := self._outgoing.read():
                    self.connection.sendall(ready)
                self._incoming.write(self.connection.recv(65536))
            finally:
                if ready := self._outgoing.read():
                    self.connection.sendall(ready)


def test_a_tls_record_that_comes_by_octets(tmp_path: Path, certificate: Certificate) -> None:
    """Not one octet of the command is there before the record is whole."""
    settings = tls_settings(certificate) | {"lmtp_tls_only": True}
    with Server(tmp_path, lmtp_command_timeout=_LIMIT_S, **settings) as server:
        client = Raw(server.port, certificate.client_context())
        assert client.heard().startswith("220 ")
        since = time.monotonic()
        for octet in client.record(b"LHLO client.example\r\n"):
            client.connection.sendall(bytes([octet]))
            if select.select([client.connection], [], [], _DRIP_S)[0]:
                break
        assert client.heard().startswith("421 4.4.2 Not finished in time")
        assert _LIMIT_S / 2 < time.monotonic() - since < _LATE_S
        client.connection.close()


@pytest.mark.parametrize("octets", [0, 2000], ids=["not at all", "by and by"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["clear", "tls"])
def test_a_client_that_does_not_read(
    is_tls: bool, octets: int, tmp_path: Path, certificate: Certificate
) -> None:
    """It may take a little now and then: the end is that of all that it has been told."""
    tls = tls_settings(certificate) | {"lmtp_tls_only": True} if is_tls else {}
    settings = {"lmtp_workers": 1, "lmtp_command_timeout": _LIMIT_S, "lmtp_max_noops": "none"}
    with Server(tmp_path, **settings, **tls) as server:
        (worker,) = server.workers()
        context = certificate.client_context() if is_tls else None
        with Client.tcp(server.port, context) as client:
            assert client.reply().code == 220  # the worker has its listeners, and all that it needs
        before = descriptors(worker)["socket"]
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20.0)
        connection.connect((LOOPBACK, server.port))
        if context:
            connection = context.wrap_socket(connection, server_hostname="localhost")
        with connection:
            connection.sendall(b"HELP\r\n" * 20_000)
            since = time.monotonic()
            while "the peer does not read" not in server.log:
                assert time.monotonic() - since < 2 * _LATE_S
                time.sleep(_DRIP_S)
                if octets:
                    connection.recv(octets)
            # It is lingered for a moment, and is gone though the client is still there.
            # Of those before, one may be of the look whether the server had started.
            wait_for(
                lambda: descriptors(worker)["socket"] <= before,
                _SOON_S,
                "its descriptor to be free",
            )
