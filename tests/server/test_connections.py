"""Connections as the running server treats them: trust, time, TLS, hooks that hang, the end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.protocol import replies
from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.processes import accepts
from tests.support.server import PROJECT, Server
from tests.support.waiting import wait_for

_SOON_S = 10.0


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client that has said LHLO."""
    server.mailbox("alice@example.org")
    with greeted(server) as connected:
        yield connected


def greeted(server: Server) -> Client:
    connected = Client.tcp(server.port)
    assert connected.reply().code == 220
    assert connected.command("LHLO client.example").code == 250
    return connected


def open_transaction(connected: Client, recipient: str = "alice@example.org") -> None:
    assert connected.command("MAIL FROM:<sender@example.net>").code == 250
    assert connected.command(f"RCPT TO:<{recipient}>").code == 250


def test_untrusted_peer_hears_why_and_is_closed(tmp_path: Path) -> None:
    with (
        Server(tmp_path, lmtp_trusted_ips="192.0.2.1") as server,
        Client.tcp(server.port) as client,
    ):
        reply = client.reply()
        assert (reply.code, reply.text[:5]) == (554, "5.7.1")
        assert "lmtp-trusted-ips" in reply.text
        assert client.is_closed_by_peer()
        assert "not-trusted peer=127.0.0.1" in server.log


def test_untrusted_peer_hears_it_under_tls(tmp_path: Path, certificate: Certificate) -> None:
    settings = tls_settings(certificate) | {"lmtp_tls_only": True, "lmtp_trusted_ips": "192.0.2.1"}
    with (
        Server(tmp_path, **settings) as server,
        Client.tcp(server.port, certificate.client_context()) as client,
    ):
        assert client.reply().code == 554


def test_a_list_of_networks_lets_its_members_in(tmp_path: Path) -> None:
    with (
        Server(tmp_path, lmtp_trusted_ips="10.0.0.0/8;127.0.0.0/24") as server,
        Client.tcp(server.port) as client,
    ):
        assert client.reply().code == 220


def test_what_was_sent_in_clear_behind_starttls_is_dropped(
    starttls_server: Server, certificate: Certificate
) -> None:
    """CVE-2011-0411: an attacker's commands, put in front of the client's own TLS session."""
    starttls_server.mailbox("alice@example.org")
    with greeted(starttls_server) as client:
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<alice@example.org>\r\n")
        assert client.reply().code == 220
        client.start_tls(certificate.client_context())
        reply = client.command("NOOP")
        assert reply.text.endswith(replies.NOTHING_DONE.lines[0])


def test_silence_ends_with_421(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_idle_timeout=1) as server, Client.tcp(server.port) as client:
        assert client.reply().code == 220
        reply = client.reply()
        assert (reply.code, reply.text[:5]) == (421, "4.4.2")
        assert client.is_closed_by_peer()


def test_an_oversized_burst_of_commands_is_answered_in_order(tmp_path: Path) -> None:
    with Server(tmp_path, lmtp_max_noops="none") as server, greeted(server) as client:
        client.send(b"NOOP\r\n" * 20_000 + b"QUIT\r\n")
        codes = [reply.code for reply in client.replies(20_001)]
        assert codes == [250] * 20_000 + [221]


def test_twenty_clients_at_once(server: Server) -> None:
    server.mailbox("alice@example.org")
    clients = [greeted(server) for _ in range(20)]
    for one in clients:
        one.send(
            b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
        )
    for one in clients:
        assert [reply.code for reply in one.replies(4)] == [250, 250, 354, 250]
        one.close()
    assert len(server.messages("alice@example.org")) == 20


_A_QUICK_CLIENT = """
import socket
import time

from lmtpd.server import patch

patch()
import gevent

from lmtpd.server.transport import TURN_SECONDS, SocketTransport

ours, theirs = socket.socketpair()
transport = SocketTransport(ours, 10.0, None)
others = gevent.spawn(lambda: None)
for _ in range(20):
    theirs.sendall(b"NOOP")
    assert transport.recv(10.0) == b"NOOP"
    end = time.monotonic() + TURN_SECONDS
    while time.monotonic() < end:
        pass
print("served" if others.ready() else "not served")
"""


def test_a_client_that_never_pauses_does_not_keep_others_waiting() -> None:
    """It has always said more by the time that the last of it is answered."""
    command = [sys.executable, "-c", _A_QUICK_CLIENT]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert told.stdout == "served\n", told.stderr


@pytest.mark.parametrize("kind", ["Waiting", "Blocking"])
def test_a_hook_that_hangs_costs_its_own_deadline_and_nobody_else(
    kind: str, tmp_path: Path
) -> None:
    hooks = f"tests.support.slow_hooks:{kind};maildirs"
    with Server(tmp_path, lmtp_recipient_hooks=hooks, lmtp_hook_timeout=2) as server:
        server.mailbox("alice@example.org")
        with greeted(server) as stuck, greeted(server) as other:
            assert stuck.command("MAIL FROM:<>").code == 250
            stuck.send(f"RCPT TO:<bob@{kind.lower()}.example>\r\n".encode())
            begun = time.monotonic()
            open_transaction(other)
            assert time.monotonic() - begun < 1.5, "another connection waited for the hook"
            reply = stuck.reply()
            assert (reply.code, reply.text[:5]) == (451, "4.4.3")
        told = f"hook tests.support.slow_hooks:{kind}"
        wait_for(lambda: told in server.log, 5.0, "the line of the log")


class TestStopping:
    """SIGTERM: what runs is finished, what is idle hears 421, nothing new begins."""

    def test_idle_clients_hear_421(self, server: Server) -> None:
        with greeted(server) as client:
            assert server.stop() == 0
            assert client.reply().code == 421
            assert client.is_closed_by_peer()

    def test_idle_clients_hear_421_under_tls(
        self, tls_server: Server, certificate: Certificate
    ) -> None:
        with Client.tcp(tls_server.port, certificate.client_context()) as client:
            client.reply()
            assert tls_server.stop() == 0
            assert client.reply().code == 421

    def test_a_transaction_is_finished_first(self, server: Server) -> None:
        server.mailbox("alice@example.org")
        with greeted(server) as client, greeted(server) as idle:
            open_transaction(client)
            assert client.command("DATA").code == 354
            server.terminate()
            assert idle.reply().code == 421
            wait_for(lambda: not accepts(server.port), _SOON_S, "the port to be closed")
            client.send(b"Subject: last\r\n\r\nwords\r\n.\r\n")
            assert client.reply().code == 250
            assert client.reply().code == 421
            assert client.is_closed_by_peer()
        assert server.stop() == 0
        assert len(server.messages("alice@example.org")) == 1

    def test_one_that_is_done_later_than_others_is_not_kept_waiting(self, server: Server) -> None:
        server.mailbox("alice@example.org")
        with greeted(server) as early, greeted(server) as late:
            for client in early, late:
                open_transaction(client)
                assert client.command("DATA").code == 354
            early.send(b"Subject: first\r\n\r\n.\r\n")
            assert early.reply().code == 250
            server.terminate()
            assert early.reply().code == 421
            late.send(b"Subject: last\r\n\r\n.\r\n")
            # Before the client loses its patience, which is shorter than lmtp-drain-timeout.
            assert [reply.code for reply in late.replies(2)] == [250, 421]
        assert server.stop() == 0

    def test_patience_ends(self, tmp_path: Path) -> None:
        with Server(tmp_path, lmtp_drain_timeout=1) as server:
            server.mailbox("alice@example.org")
            with greeted(server) as client:
                open_transaction(client)
                assert client.command("DATA").code == 354
                client.send(b"Subject: never ends\r\n")
                assert server.stop() == 0
                assert client.reply().code == 421
            assert server.messages("alice@example.org") == []


def test_abandoned_files_in_tmp_go_and_young_ones_stay(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for name in ("tmp", "new", "cur"):
        (server.mailbox("alice@example.org") / name).mkdir()
    old, young, read = (
        server.mailbox("alice@example.org") / name for name in ("tmp/old", "tmp/young", "cur/read")
    )
    for file in (old, young, read):
        file.touch()
    long_ago = time.time() - 37 * 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(read, (long_ago, long_ago))
    with server:
        wait_for(lambda: not old.exists(), _SOON_S, "the old file to go")
        assert young.exists()
        assert read.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(path))
    left_over.close()
    with Server(tmp_path / "a", lmtp_socket_path=path, lmtp_socket_mode="0600"):
        with Client.unix(path) as client:
            assert client.reply().code == 220
        assert path.stat().st_mode & 0o777 == 0o600
        other = Server(tmp_path / "b", lmtp_socket_path=path)
        with pytest.raises(RuntimeError, match=f"{path}: in use by another process"):
            other.start()
        with Client.unix(path) as client:
            assert client.reply().code == 220


def test_the_trace_header_names_a_unix_client(tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    with Server(tmp_path / "a", lmtp_socket_path=path) as server:
        server.mailbox("alice@example.org")
        with Client.unix(path) as client:
            client.reply()
            client.command("LHLO client.example")
            open_transaction(client)
            client.command("DATA")
            client.send(b"Subject: local\r\n\r\n.\r\n")
            assert client.reply().code == 250
        (message,) = server.messages("alice@example.org")
        assert b"Received: from client.example (local socket)\n" in message
