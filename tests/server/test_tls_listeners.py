"""TLS as clients meet it: certificates by name and renewed, clients' own, handshakes that stall."""

from __future__ import annotations

import re
import socket
import ssl
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate, make_certificate
from tests.support.client import Client
from tests.support.components import require
from tests.support.processes import LOOPBACK
from tests.support.server import Server
from tests.support.waiting import wait_for

ALICE = "alice@example.org"
_SOON_S = 30.0
_STALLED = 200


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def shown(port: int, name: str | None = None) -> bytes:
    """The certificate that a client sees that asks for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((LOOPBACK, port), timeout=_SOON_S) as connection,
        context.wrap_socket(connection, server_hostname=name) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
        assert der is not None
        return der


def deliver(client: Client) -> None:
    assert client.command("LHLO client.example").code == 250
    assert client.command("MAIL FROM:<>").code == 250
    assert client.command(f"RCPT TO:<{ALICE}>").code == 250
    assert client.command("DATA").code == 354
    assert client.command("Subject: x\r\n\r\nx\r\n.").code == 250


def test_the_name_chooses_and_a_renewed_pair_is_taken(tmp_path: Path) -> None:
    first = make_certificate(folder(tmp_path, "a"))
    second = make_certificate(folder(tmp_path, "b"), ["*.example.org"])
    settings = {
        "lmtp_cert_path": f"{first.cert_path}; {second.cert_path}",
        "lmtp_key_path": f"{first.key_path}; {second.key_path}",
        "lmtp_tls_only": True,
    }
    with Server(tmp_path, **settings) as server:
        server.mailbox(ALICE)
        assert shown(server.port) == shown(server.port, "unknown.example") == first.der
        assert shown(server.port, "mx.example.org") == second.der
        wait_for(lambda: "expires on" in server.log, _SOON_S, "the warning")  # in two days
        with Client.tcp(server.port, first.client_context()) as open_since_before:
            assert open_since_before.reply().code == 220
            good = first.key_path.read_bytes()
            first.key_path.write_text("gone")
            wait_for(lambda: "certificate-refused" in server.log, _SOON_S, "the refusal")
            first.key_path.write_bytes(good)
            made = make_certificate(first.cert_path.parent)
            wait_for(lambda: shown(server.port) == made.der, _SOON_S, "the new pair")
            wait_for(lambda: len(loaded(server)) == 3, _SOON_S, "the line")
            deliver(open_since_before)
        assert len(server.messages(ALICE)) == 1


def test_each_pair_is_told_once_however_many_workers_have_it(tmp_path: Path) -> None:
    names = ["mx.example.org", "mail.example.org"]
    first = make_certificate(folder(tmp_path, "a"), names, ends=90)
    second = make_certificate(folder(tmp_path, "b"), ["b.example"], ends=30)
    settings = {
        "lmtp_cert_path": f"{first.cert_path};{second.cert_path}",
        "lmtp_key_path": f"{first.key_path};{second.key_path}",
        "lmtp_workers": 3,
    }
    with Server(tmp_path, **settings) as server:
        wait_for(lambda: server.log.count(" worker-started ") == 3, _SOON_S, "all workers")
        wait_for(lambda: len(loaded(server)) == 2, _SOON_S, "the lines")
    ends = [
        x509.load_der_x509_certificate(made.der).not_valid_after_utc for made in (first, second)
    ]
    assert loaded(server) == [
        f"file={first.cert_path} names={','.join(names)} not_after={ends[0]:%Y-%m-%dT%H:%M:%SZ}",
        f"file={second.cert_path} names=b.example not_after={ends[1]:%Y-%m-%dT%H:%M:%SZ}",
    ]


def loaded(server: Server) -> list[str]:
    """What the server has said of the pairs that it uses."""
    return re.findall(r" certificate-loaded (.*)", server.log)


def test_a_name_that_is_none_costs_one_handshake(tmp_path: Path) -> None:
    """The octets of SNI are the client's."""
    first = make_certificate(folder(tmp_path, "a"))
    second = make_certificate(folder(tmp_path, "b"), ["b.example"])
    settings = {
        "lmtp_cert_path": f"{first.cert_path};{second.cert_path}",
        "lmtp_key_path": f"{first.key_path};{second.key_path}",
        "lmtp_tls_only": True,
    }
    require("openssl")
    with Server(tmp_path, **settings) as server:
        for name in ("\xff\xfe", "a..b", "x" * 250, "."):
            _s_client(server.port, "-servername", name)
        assert shown(server.port, "b.example") == second.der
        assert "Traceback" not in server.log


def _s_client(port: int, *options: str) -> str:
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{port}", *options]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=_SOON_S, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def test_what_is_older_than_tls_1_2_is_refused(tls_server: Server) -> None:
    require("openssl")
    old = ("-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in _s_client(tls_server.port, "-tls1_1", *old)
    assert "Cipher is (NONE)" in _s_client(tls_server.port, "-tls1_2", "-cipher", "AES128-SHA")
    assert "Cipher is ECDHE" in _s_client(tls_server.port, "-tls1_2")


def test_a_client_cannot_have_the_handshake_again(tls_server: Server) -> None:
    """Each would cost the server far more than the client (CVE-2011-1473)."""
    require("openssl")
    command = ["openssl", "s_client", "-connect", f"{LOOPBACK}:{tls_server.port}", "-tls1_2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as client:
        assert client.stdout
        assert any(line.startswith(b"220 ") for line in client.stdout)
        said, _ = client.communicate(b"R\n", timeout=_SOON_S)
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said


class Clients:
    """An authority, a client that it vouches for, and one that it does not know."""

    def __init__(self, place: Path, server: Certificate) -> None:
        self.authority = make_certificate(folder(place, "ca"), common_name="The Authority")
        self.known = make_certificate(
            folder(place, "known"), ["mta.example.org"], authority=self.authority
        )
        self.stranger = make_certificate(folder(place, "stranger"), ["mta.example.org"])
        self._server = server

    def settings(self, policy: str, **more: object) -> dict[str, object]:
        return {
            **tls_settings(self._server),
            "lmtp_ca_path": self.authority.cert_path,
            "lmtp_client_certificate": policy,
            **more,
        }

    def context(self, own: Certificate | None) -> ssl.SSLContext:
        context = self._server.client_context()
        if own:
            context.load_cert_chain(own.cert_path, own.key_path)
        return context


@pytest.fixture
def clients(tmp_path: Path, certificate: Certificate) -> Clients:
    return Clients(tmp_path, certificate)


def is_turned_away(port: int, context: ssl.SSLContext) -> bool:
    """In TLS 1.3 a client learns it when it reads."""
    try:
        with Client.tcp(port, context) as client:
            client.reply()
    except OSError:
        return True
    return False


def test_a_certificate_is_required_on_a_port_of_tls(tmp_path: Path, clients: Clients) -> None:
    settings = clients.settings("required", lmtp_tls_only=True, lmtp_client_names="MTA.example.org")
    with Server(tmp_path, **settings) as server:
        server.mailbox(ALICE)
        assert is_turned_away(server.port, clients.context(None))
        assert is_turned_away(server.port, clients.context(clients.stranger))
        with Client.tcp(server.port, clients.context(clients.known)) as client:
            assert client.reply().code == 220
            deliver(client)
        wait_for(lambda: "client_cert=mta.example.org" in server.log, _SOON_S, "the line")


def test_a_certificate_is_required_before_all_else(tmp_path: Path, clients: Clients) -> None:
    path = tmp_path / "lmtp.sock"
    with Server(tmp_path, **clients.settings("required", lmtp_socket_path=path)) as server:
        server.mailbox(ALICE)
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220
            assert "STARTTLS" in client.command("LHLO client.example").lines
            for line in ("MAIL FROM:<>", f"VRFY {ALICE}", "RSET", "BDAT 0 LAST"):
                assert client.command(line).code == 530
            assert client.command("NOOP").code == 250
            assert client.command("STARTTLS").code == 220
            client.start_tls(clients.context(clients.known))
            deliver(client)
        with Client.unix(path) as client:  # its mode says who may connect
            assert client.reply().code == 220
            deliver(client)


def test_a_certificate_in_no_list_hears_why(tmp_path: Path, clients: Clients) -> None:
    settings = clients.settings("optional", lmtp_client_fingerprints=clients.stranger.fingerprint)
    with Server(tmp_path, **settings) as server:
        server.mailbox(ALICE)
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220
            assert client.command("STARTTLS").code == 220
            client.start_tls(clients.context(clients.known))
            assert client.reply().code == 421
        line = f"fingerprint={clients.known.fingerprint}"
        wait_for(lambda: line in server.log, _SOON_S, "the line")
        with Client.tcp(server.port) as client:
            assert client.reply().code == 220
            assert client.command("STARTTLS").code == 220
            client.start_tls(clients.context(None))
            deliver(client)


def test_auth_is_neither_offered_nor_taken(tls_server: Server, certificate: Certificate) -> None:
    with Client.tcp(tls_server.port, certificate.client_context()) as client:
        assert client.reply().code == 220
        offered = client.command("LHLO client.example").lines
        assert not [line for line in offered if line.startswith("AUTH")]
        assert client.command("AUTH PLAIN AGEAYg==").code == 500


def test_an_octet_now_and_then_does_not_prolong_a_handshake(
    tmp_path: Path, certificate: Certificate
) -> None:
    settings = tls_settings(certificate) | {"lmtp_tls_only": True, "lmtp_tls_handshake_timeout": 2}
    with (
        Server(tmp_path, **settings) as server,
        socket.create_connection((LOOPBACK, server.port), timeout=0.5) as slow,
    ):
        begun = time.monotonic()
        for octet in b"\x16\x03\x01\x01\x00" + bytes(200):
            try:
                slow.sendall(bytes([octet]))
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 1.5 < time.monotonic() - begun < 10
        wait_for(lambda: "the TLS handshake stalled" in server.log, _SOON_S, "the line")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "partial"])
@pytest.mark.parametrize("is_starttls", [False, True], ids=["at once", "starttls"])
def test_stalled_handshakes_cost_nobody_else_anything(
    is_starttls: bool, said: bytes, tmp_path: Path, certificate: Certificate
) -> None:
    settings = tls_settings(certificate) | {"lmtp_tls_only": not is_starttls}
    with Server(tmp_path, **settings) as server, ExitStack() as stack:
        server.mailbox(ALICE)

        def median_seconds() -> float:
            took = []
            for _ in range(15):
                begun = time.monotonic()
                with _under_tls(server.port, certificate, is_starttls) as client:
                    deliver(client)
                took.append(time.monotonic() - begun)
            return statistics.median(took)

        alone = median_seconds()
        for _ in range(_STALLED):
            stalled = stack.enter_context(Client.tcp(server.port))
            if is_starttls:
                assert stalled.reply().code == 220
                assert stalled.command("STARTTLS").code == 220
            stalled.send(said)
        assert median_seconds() < 3 * alone + 0.2


def _under_tls(port: int, certificate: Certificate, is_starttls: bool) -> Client:
    """A client that is greeted and has shaken hands."""
    if not is_starttls:
        client = Client.tcp(port, certificate.client_context())
        assert client.reply().code == 220
        return client
    client = Client.tcp(port)
    assert client.reply().code == 220
    assert client.command("STARTTLS").code == 220
    client.start_tls(certificate.client_context())
    return client
