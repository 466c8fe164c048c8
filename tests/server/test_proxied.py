"""Behind a proxy that says who the client is: a real haproxy, swaks as one, and hostile ones."""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.haproxy import OWN_ADDRESS, HAProxy
from tests.support.name_server import NameServer, reverse, serving
from tests.support.processes import LOOPBACK, PROGRAMS_PATH
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
CLIENT, STRANGER = "127.0.0.7", "127.0.0.8"
PROXY = {"lmtp_proxy_ips": OWN_ADDRESS, "lmtp_trusted_ips": f"{CLIENT};192.0.2.0/24;2001:db8::1"}
V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4321 24\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(
    "!H4s4sHH", 12, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), 4321, 24
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
_SOON_S = 20.0
_STALLED = 200
_WAYS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2 with a checksum": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
}


def connected(port: int, source: str) -> socket.socket:
    """A connection from one of the loopback addresses."""
    return socket.create_connection((LOOPBACK, port), timeout=_SOON_S, source_address=(source, 0))


def deliver(client: Client) -> None:
    assert client.command("LHLO client.example").code == 250
    assert client.command("MAIL FROM:<>").code == 250
    assert client.command(f"RCPT TO:<{ALICE}>").code == 250
    assert client.command("DATA").code == 354
    # Without QUIT the same message, sent again, would be taken for a repetition.
    assert client.command("Subject: x\r\n\r\nx\r\n.").code == 250
    assert client.command("QUIT").code == 221


def hears_nothing(server: Server, said: bytes, cause: str) -> None:
    """A proxy that says this and no more is hung up on, and the log has the cause."""
    lines = server.log.count(cause)
    with connected(server.port, OWN_ADDRESS) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    wait_for(lambda: server.log.count(cause) > lines, _SOON_S, cause)


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Server]:
    """A server that takes headers from OWN_ADDRESS."""
    with Server(tmp_path, **PROXY) as server:
        server.mailbox(ALICE)
        yield server


@pytest.mark.parametrize("options", _WAYS.values(), ids=_WAYS)
class TestHaproxy:
    def test_the_client_is_the_one_behind_it(
        self, options: str, proxied: Server, certificate: Certificate
    ) -> None:
        with HAProxy(certificate, proxied.port, options) as haproxy:
            with Client(connected(haproxy.port, CLIENT)) as client:
                assert client.reply().code == 220
                deliver(client)
            (message,) = proxied.messages(ALICE)
            assert b"Received: from client.example ([127.0.0.7])\n" in message
            wait_for(lambda: "delivered id=" in proxied.log, _SOON_S, "the line of the log")
            assert f"peer={CLIENT} " in proxied.log
            with Client(connected(haproxy.port, STRANGER)) as client:
                assert client.reply().code == 554
            line = f"not-trusted peer={STRANGER} "
            wait_for(lambda: line in proxied.log, _SOON_S, "the line of the log")
            assert OWN_ADDRESS not in proxied.log

    @pytest.mark.parametrize("is_tls_only", [True, False], ids=["tls only", "starttls"])
    def test_tls_follows(
        self, is_tls_only: bool, options: str, tmp_path: Path, certificate: Certificate
    ) -> None:
        settings = {**PROXY, **tls_settings(certificate), "lmtp_tls_only": is_tls_only}
        with (
            Server(tmp_path, **settings) as server,
            HAProxy(certificate, server.port, options) as haproxy,
            Client(connected(haproxy.port, CLIENT)) as client,
        ):
            server.mailbox(ALICE)
            if not is_tls_only:
                assert client.reply().code == 220
                assert client.command("STARTTLS").code == 220
            client.start_tls(certificate.client_context())
            if is_tls_only:
                assert client.reply().code == 220
            deliver(client)
            (message,) = server.messages(ALICE)
            assert b"([127.0.0.7])" in message
            wait_for(lambda: "tls=TLSv1.3" in server.log, _SOON_S, "the line of the log")


@pytest.mark.parametrize("is_tls_only", [False, True], ids=["clear", "tls only"])
def test_haproxys_health_checks_cost_no_line(
    is_tls_only: bool, tmp_path: Path, certificate: Certificate
) -> None:
    settings = {**PROXY, **tls_settings(certificate), "lmtp_tls_only": is_tls_only}
    settings["lmtp_trusted_ips"] = f"{OWN_ADDRESS};{CLIENT}"
    with (
        Server(tmp_path, **settings) as server,
        HAProxy(certificate, server.port, "send-proxy-v2 check inter 20ms") as haproxy,
    ):
        server.mailbox(ALICE)
        end = time.monotonic() + 1  # haproxy does not count the checks that it makes
        wait_for(lambda: time.monotonic() > end, _SOON_S, "some fifty checks")
        with Client(connected(haproxy.port, CLIENT)) as client:
            if is_tls_only:
                client.start_tls(certificate.client_context())
            assert client.reply().code == 220
            deliver(client)
        wait_for(lambda: "delivered id=" in server.log, _SOON_S, "the line of the log")
        assert OWN_ADDRESS not in server.log


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("family", ["4", "6"])
def test_swaks_as_a_proxy(version: str, family: str, proxied: Server, tmp_path: Path) -> None:
    require("swaks")
    address = "192.0.2.1" if family == "4" else "2001:db8::1"
    kind = f"TCP{family}" if version == "1" else {"4": "AF_INET", "6": "AF_INET6"}[family]
    command = ["swaks", "--protocol", "LMTP", "--server", LOOPBACK, "--port", str(proxied.port)]
    command += ["--local-interface", OWN_ADDRESS, "--helo", "client.example", "--to", ALICE]
    command += ["--from", "sender@example.net", "--proxy-version", version, "--proxy-family", kind]
    command += ["--proxy-source", address, "--proxy-source-port", "4321"]
    command += ["--proxy-dest", address, "--proxy-dest-port", "24"]
    done = subprocess.run(
        command,
        env={"PATH": PROGRAMS_PATH, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_SOON_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    (message,) = proxied.messages(ALICE)
    shown = address if family == "4" else f"IPv6:{address}"
    assert f"Received: from client.example ([{shown}])\n".encode() in message


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
class TestHeaders:
    def test_octet_by_octet(self, header: bytes, proxied: Server) -> None:
        connection = connected(proxied.port, OWN_ADDRESS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with Client(connection) as client:
            for octet in header:
                client.send(bytes([octet]))
            assert client.reply().code == 220
            deliver(client)
        assert b"([192.0.2.1])" in proxied.messages(ALICE)[0]

    def test_what_follows_in_the_same_segment_is_not_lost(
        self, header: bytes, proxied: Server
    ) -> None:
        with Client(connected(proxied.port, OWN_ADDRESS)) as client:
            client.send(header + b"LHLO client.example\r\nNOOP\r\nQUIT\r\n")
            assert [reply.code for reply in client.replies(4)] == [220, 250, 250, 221]

    def test_a_client_hello_in_the_same_segment(
        self, header: bytes, tmp_path: Path, certificate: Certificate
    ) -> None:
        settings = {**PROXY, **tls_settings(certificate), "lmtp_tls_only": True}
        with Server(tmp_path, **settings) as server:
            connection = connected(server.port, OWN_ADDRESS)
            # The kernel keeps back what does not fill a segment, for 200 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.sendall(header)
            with Client(connection) as client:
                client.start_tls(certificate.client_context())
                assert client.reply().code == 220

    def test_from_anybody_else_it_is_an_unknown_command(
        self, header: bytes, proxied: Server
    ) -> None:
        with Client(connected(proxied.port, CLIENT)) as client:
            client.send(header)
            assert client.reply().code == 220
            assert client.reply().code == 500
        with Client(connected(proxied.port, STRANGER)) as client:
            client.send(header)
            assert client.reply().code == 554
        assert "192.0.2.1" not in proxied.log

    def test_cut_off_or_wrong_it_is_answered_by_nothing(
        self, header: bytes, proxied: Server
    ) -> None:
        for said, cause in (
            (header[:-1], "cut off"),
            (header[:1], "cut off"),
            (header.replace(b"\x21", b"\x51").replace(b"TCP4", b"TCP5"), "PROXY header"),
            (b"LHLO client.example\r\n", "no PROXY header"),
            (b"PROXY" + b" " * 200, "longer than 107"),
        ):
            hears_nothing(proxied, said, cause)
        assert f"proxy-refused peer={OWN_ADDRESS} cause=" in proxied.log
        with Client(connected(proxied.port, OWN_ADDRESS)) as client:
            client.send(header)
            assert client.reply().code == 220


def test_the_proxy_itself_is_judged_by_its_own_address(tmp_path: Path) -> None:
    settings = PROXY | {"lmtp_proxy_ips": f"{OWN_ADDRESS};{CLIENT}"}
    with Server(tmp_path, **settings) as server:
        for header in (LOCAL, b"PROXY UNKNOWN 192.0.2.1\r\n"):
            for source, code in ((CLIENT, 220), (OWN_ADDRESS, 554)):
                with Client(connected(server.port, source)) as client:
                    client.send(header)
                    assert client.reply().code == code
        assert "192.0.2.1" not in server.log


def test_hooks_hear_of_the_client(tmp_path: Path) -> None:
    hooks = "tests.support.known_peers:FromDocumentation;maildirs"
    with Server(tmp_path, **PROXY, lmtp_recipient_hooks=hooks) as server:
        server.mailbox(ALICE)
        for header, code in ((V2, 250), (V1.replace(b"192.0.2.1", CLIENT.encode()), 550)):
            with Client(connected(server.port, OWN_ADDRESS)) as client:
                client.send(header)
                assert client.reply().code == 220
                assert client.command("LHLO client.example").code == 250
                assert client.command("MAIL FROM:<>").code == 250
                assert client.command(f"RCPT TO:<{ALICE}>").code == code


def test_a_unix_socket_has_no_header(tmp_path: Path) -> None:
    path = tmp_path / "lmtp.sock"
    settings = {"lmtp_proxy_ips": "0.0.0.0/0;::/0", "lmtp_socket_path": path}
    with Server(tmp_path / "a", **settings) as server, Client.unix(path) as client:
        assert client.reply().code == 220
        client.send(V1)
        assert client.reply().code == 500
        assert "lets every machine pass for any other" in server.log


def test_the_name_in_received_is_the_clients(tmp_path: Path) -> None:
    records = {
        (reverse("192.0.2.1"), "PTR"): ["mail.client.example."],
        ("mail.client.example.", "A"): ["192.0.2.1"],
    }
    with serving(NameServer(records)) as names:
        address = f"127.0.0.1:{names.address[1]}"
        with Server(tmp_path, **PROXY, lmtp_dns_server=address) as server:
            server.mailbox(ALICE)

            def is_named() -> bool:
                with Client(connected(server.port, OWN_ADDRESS)) as client:
                    client.send(V2)
                    assert client.reply().code == 220
                    deliver(client)
                named = b"from client.example (mail.client.example [192.0.2.1])\n"
                return any(named in message for message in server.messages(ALICE))

            wait_for(is_named, _SOON_S, "the name to be known")
            assert (reverse(OWN_ADDRESS), "PTR") not in names.queries


@pytest.mark.parametrize("said", [b"", V1[:9], V2[:13]], ids=["silent", "v1", "v2"])
def test_headers_that_do_not_come_cost_nobody_else_anything(said: bytes, proxied: Server) -> None:
    def median_seconds() -> float:
        took = []
        for _ in range(15):
            begun = time.monotonic()
            with Client(connected(proxied.port, OWN_ADDRESS)) as client:
                client.send(V1)
                assert client.reply().code == 220
                deliver(client)
            took.append(time.monotonic() - begun)
        return statistics.median(took)

    alone = median_seconds()
    begun = time.monotonic()
    stalled = [connected(proxied.port, OWN_ADDRESS) for _ in range(_STALLED)]
    try:
        for one in stalled:
            one.sendall(said)
        assert median_seconds() < 3 * alone + 0.05
        for one in stalled:
            assert one.recv(1) == b"", "a word to one that is late"
        assert 4 < time.monotonic() - begun < 15
    finally:
        for one in stalled:
            one.close()
    late = "no PROXY header came in time"
    wait_for(lambda: proxied.log.count(late) == _STALLED, _SOON_S, "the lines of the log")


def test_an_octet_now_and_then_does_not_prolong_it(proxied: Server) -> None:
    with connected(proxied.port, OWN_ADDRESS) as slow:
        slow.settimeout(0.5)
        begun = time.monotonic()
        for octet in V1:
            try:
                slow.sendall(bytes([octet]))
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 4 < time.monotonic() - begun < 10
    line = "no PROXY header came in time"
    wait_for(lambda: line in proxied.log, _SOON_S, "the line of the log")


@pytest.mark.parametrize("has_reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("source", [LOOPBACK, OWN_ADDRESS], ids=["direct", "proxy"])
@pytest.mark.parametrize("is_tls_only", [False, True], ids=["clear", "tls only"])
def test_who_leaves_without_a_word_is_not_in_the_log(
    is_tls_only: bool, source: str, has_reset: bool, tmp_path: Path, certificate: Certificate
) -> None:
    settings = tls_settings(certificate) | {"lmtp_tls_only": is_tls_only}
    with Server(tmp_path, lmtp_proxy_ips=OWN_ADDRESS, **settings) as server:
        for _ in range(50):
            with connected(server.port, source) as connection:
                if has_reset:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        server.stop()
        assert "cause=" not in server.log
