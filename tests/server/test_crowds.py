"""Too many connections: in all, from one peer, and more than the process has descriptors for."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.client import Client, Reply
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.waiting import wait_for

_SOON_S = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Connections that are closed at the end."""
    with ExitStack() as stack:
        yield stack


def connected(server: Server, source: str = LOOPBACK) -> Client:
    """A client that has heard nothing yet."""
    address = LOOPBACK, server.port
    return Client(socket.create_connection(address, timeout=20.0, source_address=(source, 0)))


def greeting(server: Server, stack: ExitStack, source: str = LOOPBACK) -> Reply:
    """What a client hears first; it stays."""
    return stack.enter_context(connected(server, source)).reply()


def stay(server: Server, stack: ExitStack, source: str = LOOPBACK) -> None:
    """One more client is let in, as soon as the server has seen that those of before are gone."""
    wait_for(lambda: greeting(server, stack, source).code == 220, _SOON_S, "room for another")


def is_welcome(server: Server, source: str = LOOPBACK) -> bool:
    """Whether one more is let in just now; it goes again."""
    with connected(server, source) as client:
        return client.reply().code == 220


def status(reply: Reply) -> str:
    return f"{reply.code} {reply.text[:5]}"


def test_the_surplus_of_all_hears_421_until_there_is_room(tmp_path: Path, stack: ExitStack) -> None:
    with Server(tmp_path, lmtp_workers=3, lmtp_max_connections=4) as server:
        clients = [stack.enter_context(connected(server, f"127.0.0.{n}")) for n in range(1, 5)]
        assert [client.reply().code for client in clients] == [220] * 4
        with connected(server) as surplus:
            reply = surplus.reply()
            assert status(reply) == "421 4.3.2"
            assert "lmtp-max-connections" in reply.text
            assert surplus.is_closed_by_peer()
        assert clients[0].command("NOOP").code == 250
        clients[0].close()
        wait_for(lambda: is_welcome(server), _SOON_S, "room for another")


def test_the_surplus_of_a_peer_hears_421_and_others_are_let_in(
    tmp_path: Path, stack: ExitStack
) -> None:
    """Whichever worker has them."""
    with Server(tmp_path, lmtp_workers=3, lmtp_max_connections_per_peer=3) as server:
        wait_for(lambda: server.log.count("worker-started") == 3, _SOON_S, "all to listen")
        for _ in range(3):
            stay(server, stack)
        assert status(greeting(server, stack)) == "421 4.7.0"
        for number in range(2, 6):
            stay(server, stack, f"127.0.0.{number}")
        stack.close()
        wait_for(lambda: is_welcome(server), _SOON_S, "room for another")


def test_a_worker_that_dies_leaves_no_connections_behind(tmp_path: Path, stack: ExitStack) -> None:
    settings = {"lmtp_max_connections": 5, "lmtp_max_connections_per_peer": 4}
    with Server(tmp_path, lmtp_workers=2, **settings) as server:
        wait_for(lambda: server.log.count("worker-started") == 2, _SOON_S, "both to listen")
        for _ in range(4):
            stay(server, stack)
        assert greeting(server, stack).code == 421
        workers = server.workers()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        told = "worker-started"
        wait_for(lambda: server.log.count(told) == 4, _SOON_S, "new ones in their places")
        for _ in range(4):
            stay(server, stack)
        assert status(greeting(server, stack)) == "421 4.7.0"


def test_nobody_is_counted_who_only_comes_and_goes(tmp_path: Path) -> None:
    """Whatever becomes of a connection, it is counted out again."""
    with Server(tmp_path, lmtp_workers=1, lmtp_max_connections=2) as server:
        for _ in range(50):
            with connected(server) as client:
                client.send(b"LHLO x\r\nMAIL FROM:<>\r\nFROB\r\nDATA\r\n")
        wait_for(lambda: is_welcome(server), _SOON_S, "those to be gone")


def test_a_flood_of_refused_ones_fills_no_log_and_keeps_nobody_waiting(
    tmp_path: Path, stack: ExitStack
) -> None:
    with Server(tmp_path, lmtp_max_connections_per_peer=1) as server:
        stay(server, stack, "127.0.0.2")
        for _ in range(500):
            with connected(server, "127.0.0.2") as client:
                assert client.reply().code == 421
        assert is_welcome(server)
        told = [line for line in server.log.splitlines() if "too-many-connections" in line]
        assert 1 <= len(told) <= 2, "one for each worker"
        assert told[0].endswith(" too-many-connections peer=127.0.0.2 most=1")


def test_untrusted_ones_take_no_room_from_others(tmp_path: Path, stack: ExitStack) -> None:
    settings = {"lmtp_trusted_ips": "127.0.0.1", "lmtp_max_connections": 2}
    with Server(tmp_path, **settings) as server:
        for _ in range(20):
            assert greeting(server, stack, "127.0.0.2").code == 554
        assert is_welcome(server)
        assert server.log.count("not-trusted peer=127.0.0.2") <= 2, "one for each worker"


def test_under_tls_the_surplus_is_closed_before_the_handshake(
    tmp_path: Path, certificate: Certificate
) -> None:
    settings = tls_settings(certificate) | {"lmtp_tls_only": True}
    with Server(tmp_path, lmtp_max_connections_per_peer=1, **settings) as server:
        context = certificate.client_context()
        wait_for(lambda: _is_welcome_under_tls(server, context), _SOON_S, "that of the start to go")
        with Client.tcp(server.port, context) as client:
            assert client.reply().code == 220
            with pytest.raises((ssl.SSLError, ConnectionError)):
                Client.tcp(server.port, context)
            with connected(server) as surplus:
                assert surplus.is_closed_by_peer(), "without a word in clear"


def _is_welcome_under_tls(server: Server, context: ssl.SSLContext) -> bool:
    try:
        with Client.tcp(server.port, context) as client:
            return client.reply().code == 220
    except (ssl.SSLError, ConnectionError):
        return False


def test_the_unix_socket_is_no_peer(tmp_path: Path, stack: ExitStack) -> None:
    path = tmp_path / "socket"
    settings = {"lmtp_socket_path": path, "lmtp_max_connections_per_peer": 1}
    with Server(tmp_path, lmtp_max_connections=4, **settings):
        for _ in range(4):
            wait_for(lambda: _stays(path, stack), _SOON_S, "that of before to be gone")
        assert stack.enter_context(Client.unix(path)).reply().code == 421


def _stays(path: Path, stack: ExitStack) -> bool:
    return stack.enter_context(Client.unix(path)).reply().code == 220


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def test_without_descriptors_the_server_neither_spins_nor_falls(
    tmp_path: Path, stack: ExitStack
) -> None:
    prefix = ("prlimit", "--nofile=100:100", "--")
    with Server(tmp_path, prefix=prefix, lmtp_workers=1) as server:
        server.mailbox("alice@example.org")
        clients = [stack.enter_context(connected(server)) for _ in range(120)]
        wait_for(lambda: "accept-failed" in server.log, _SOON_S, "the end of the descriptors")
        (worker,) = server.workers()
        before = cpu_s(worker)
        with pytest.raises(TimeoutError):
            wait_for(lambda: False, 2.0, "two seconds")
        assert cpu_s(worker) - before < 0.5
        assert server.log.count("accept-failed") == 1
        assert "Traceback" not in server.log
        for client in clients[:60]:
            client.close()
        assert clients[-1].reply().code == 220, "the last had to wait, and is served"
        for line in ("LHLO x", "MAIL FROM:<>", "RCPT TO:<alice@example.org>"):
            assert clients[-1].command(line).code == 250
        assert clients[-1].command("DATA").code == 354
        clients[-1].send(b"Subject: x\r\n\r\n.\r\n")
        assert clients[-1].reply().code == 250
    assert len(server.messages("alice@example.org")) == 1


def test_a_hundred_recipients_always_pass_and_the_surplus_is_for_the_next_time(
    tmp_path: Path,
) -> None:
    """RFC 5321 4.5.3.1.8 and 4.5.3.1.10: the client sends the rest again, and loses nobody."""
    recipients = [f"user{number}@example.org" for number in range(105)]
    with Server(tmp_path, lmtp_max_recipients=100, lmtp_max_errors=1) as server:
        for address in recipients:
            server.mailbox(address)
        with connected(server) as client:
            assert client.reply().code == 220
            assert client.command("LHLO client.example").code == 250
            while recipients:
                rcpt = "".join(f"RCPT TO:<{one}>\r\n" for one in recipients)
                client.send(f"MAIL FROM:<>\r\n{rcpt}DATA\r\n".encode())
                assert client.reply().code == 250
                heard = [status(client.reply()) for _ in recipients]
                assert heard == (["250 2.1.5"] * 100 + ["452 4.5.3"] * 5)[: len(recipients)]
                assert client.reply().code == 354
                client.send(b"Subject: x\r\n\r\n.\r\n")
                taken, recipients = recipients[:100], recipients[100:]
                assert [client.reply().code for _ in taken] == [250] * len(taken)
    assert all(len(server.messages(f"user{number}@example.org")) == 1 for number in range(105))
