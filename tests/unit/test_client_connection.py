"""Sockets of the client: names of servers, waits, TLS, and how much of a message is held."""

from __future__ import annotations

import contextlib
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmtpd.client.connection import Connection, deliver
from lmtpd.client.dialogue import session
from lmtpd.client.reader import ReplyReader
from lmtpd.client.steps import Hear, Steps
from lmtpd.client.target import Target, TargetError
from lmtpd.client.tls import Tls, TlsMode
from lmtpd.client.transaction import Transaction
from lmtpd.protocol import replies
from lmtpd.protocol.address import Address
from lmtpd.protocol.reply import Reply
from tests.support.certificates import Certificate, make_certificate
from tests.support.peer import PATIENCE_S, all_of, converse, hear, listener, secured, server
from tests.support.processes import LOOPBACK, free_port

TRANSACTION = Transaction("", [Address("alice", "example.org")])
HELLO, OK, GO = b"220 Hi\r\n", b"250 2.0.0 Ok\r\n", b"354 Go\r\n"


def take(peer: socket.socket) -> bytes:
    """A delivery, from the reply to LHLO to QUIT; its text."""
    converse(peer, OK, OK, OK)
    peer.sendall(GO)
    text = hear(peer, b".\r\n")
    converse(peer, OK)
    return text


class TestTarget:
    @pytest.mark.parametrize(
        ("text", "target"),
        [
            ("127.0.0.1:11200", Target("127.0.0.1", 11200)),
            ("[::1]:11200", Target("::1", 11200)),
            ("[fe80::1%eth0]:24", Target("fe80::1%eth0", 24)),
            ("mail.example.org:24", Target("mail.example.org", 24)),
            ("/run/lmtpd.sock", Target("/run/lmtpd.sock")),
        ],
    )
    def test_read_and_written(self, text: str, target: Target) -> None:
        assert Target.parse(text) == target
        assert str(target) == text
        assert target.is_path is text.startswith("/")

    @pytest.mark.parametrize(
        "text",
        ["", "localhost", "::1:24", "[::1]", "a:0", "a:65536", "a:b", "a b:24", ":24", "/a\0b"],
    )
    def test_names_no_server(self, text: str) -> None:
        with pytest.raises(TargetError, match="is no server such as"):
            Target.parse(text)


class TestDeliver:
    @pytest.mark.parametrize("family", ["tcp", "tcp6", "unix"])
    def test_over(self, family: str, tmp_path: Path) -> None:
        texts: list[bytes] = []

        def serve(peer: socket.socket) -> None:
            converse(peer, HELLO)
            texts.append(take(peer))

        with server(serve, listener(family, tmp_path)) as target:
            fates = deliver(target, Tls(), TRANSACTION, iter([b"a\n.", b"b"]))
        assert fates == (Reply(250, "2.0.0", ("Ok",)),)
        assert texts == [b"a\r\n..b\r\n.\r\n"]

    def test_nobody_is_there(self, tmp_path: Path) -> None:
        for target in (Target(LOOPBACK, free_port()), Target(str(tmp_path / "absent"))):
            (fate,) = deliver(target, Tls(), TRANSACTION, [])
            assert (fate.code, fate.status) == (421, "4.4.1")
            assert str(target) in str(fate)

    @pytest.mark.parametrize("count", range(5))
    def test_gone(self, count: int) -> None:
        with server(lambda peer: converse(peer, *[HELLO, OK, OK, OK, GO][:count])) as target:
            (fate,) = deliver(target, Tls(), TRANSACTION, [b"a\n"])
        assert (fate.code, fate.status) == (421, "4.4.2")

    def test_a_message_that_cannot_be_read_is_not_ended(self) -> None:
        texts: list[bytes] = []

        def serve(peer: socket.socket) -> None:
            converse(peer, HELLO, OK, OK, OK)
            peer.sendall(GO)
            texts.append(all_of(peer))

        def message() -> Iterator[bytes]:
            yield b"a\n"
            raise OSError("the disk is gone")

        with server(serve) as target:
            (fate,) = deliver(target, Tls(), TRANSACTION, message())
        assert fate.is_transient
        assert "the disk is gone" in str(fate)
        assert texts == [b"a\r\n"]

    def test_a_final_reply_before_the_dot_is_not_believed(self) -> None:
        texts: list[bytes] = []

        def serve(peer: socket.socket) -> None:
            converse(peer, HELLO, OK, OK, OK, GO)
            peer.sendall(OK)
            texts.append(all_of(peer))

        def message() -> Iterator[bytes]:
            yield b"a\n"
            assert select.select([connection], [], [], PATIENCE_S)[0]

        steps = session(ReplyReader(), "client.example", TlsMode.NONE, TRANSACTION)
        with server(serve) as target, Connection(target, Tls()) as connection:
            (fate,) = connection.perform(steps, message())
        assert fate.code == replies.NOT_LMTP.code
        assert texts == [b""]


def test_silence_has_an_end() -> None:
    def steps() -> Steps[None]:
        yield Hear(0.05)

    with server(all_of) as target, Connection(target, Tls()) as connection:
        with pytest.raises(TimeoutError):
            connection.perform(steps())
        assert connection.received() is None
        assert connection.tls_told() == ""
        assert connection.fileno() > 0
        connection.send_end()


class TestTls:
    def test_implicit(self, certificate: Certificate) -> None:
        texts: list[bytes] = []

        def serve(peer: socket.socket) -> None:
            with secured(peer, certificate) as under_tls:
                converse(under_tls, HELLO)
                texts.append(take(under_tls))

        tls = Tls(TlsMode.IMPLICIT, str(certificate.cert_path))
        with server(serve) as target:
            (fate,) = deliver(target, tls, TRANSACTION, [b"a\n"])
        assert fate.is_success
        assert texts == [b"a\r\n.\r\n"]

    @pytest.mark.parametrize("mode", [TlsMode.MAY, TlsMode.ENCRYPT])
    def test_starttls_without_a_question_who_it_is(
        self, mode: TlsMode, certificate: Certificate
    ) -> None:
        texts: list[bytes] = []

        def serve(peer: socket.socket) -> None:
            converse(peer, HELLO, b"250-here\r\n250 STARTTLS\r\n")
            peer.sendall(OK)
            with secured(peer, certificate) as under_tls:
                hear(under_tls, b"\r\n")
                texts.append(take(under_tls))

        with server(serve) as target:
            (fate,) = deliver(target, Tls(mode), TRANSACTION, [b"a\n"])
        assert fate.is_success
        assert texts == [b"a\r\n.\r\n"]

    @pytest.mark.parametrize(
        ("name", "said"), [("", "CERTIFICATE_VERIFY_FAILED"), ("other.example", "other.example")]
    )
    def test_a_stranger_gets_nothing(
        self, name: str, said: str, certificate: Certificate, tmp_path: Path
    ) -> None:
        def serve(peer: socket.socket) -> None:
            with contextlib.suppress(OSError), secured(peer, certificate) as under_tls:
                assert all_of(under_tls) == b""

        believed = certificate if name else make_certificate(tmp_path)
        tls = Tls(TlsMode.IMPLICIT, str(believed.cert_path), name)
        with server(serve) as target:
            (fate,) = deliver(target, tls, TRANSACTION, [b"a\n"])
        assert (fate.code, fate.status) == (421, "4.4.1")
        assert said in str(fate)

    def test_a_handshake_behind_starttls_that_fails(self, certificate: Certificate) -> None:
        def serve(peer: socket.socket) -> None:
            converse(peer, HELLO, b"250-here\r\n250 STARTTLS\r\n")
            peer.sendall(OK)
            assert peer.recv(1)  # of the handshake, to which nobody answers

        tls = Tls(TlsMode.MAY, str(certificate.cert_path))
        with server(serve) as target:
            (fate,) = deliver(target, tls, TRANSACTION, [b"a\n"])
        assert (fate.code, fate.status) == (421, "4.4.2")

    def test_on_a_unix_socket_the_name_is_localhost(
        self, certificate: Certificate, tmp_path: Path
    ) -> None:
        def serve(peer: socket.socket) -> None:
            with secured(peer, certificate) as under_tls:
                converse(under_tls, HELLO)
                take(under_tls)

        tls = Tls(TlsMode.IMPLICIT, str(certificate.cert_path))
        with server(serve, listener("unix", tmp_path)) as target:
            (fate,) = deliver(target, tls, TRANSACTION, [b"a\n"])
        assert fate.is_success

    def test_nothing_has_come_and_everything_is_sent(self, certificate: Certificate) -> None:
        """As the relay uses it: the server is not told, and nothing that it says is lost."""

        def serve(peer: socket.socket) -> None:
            with secured(peer, certificate) as under_tls:
                hear(under_tls, b"?")
                under_tls.sendall(b"!")
                under_tls.sendall(b".")

        with server(serve) as target, Connection(target, Tls(TlsMode.IMPLICIT)) as connection:
            assert connection.received() is None
            assert re.fullmatch(r"TLSv1\.\d \S+ \(\d+ bits\)", connection.tls_told())
            connection.send(b"?")
            assert connection.receive(PATIENCE_S) == b"!"
            connection.send_end()
            assert connection.receive(PATIENCE_S) == b"."
            assert connection.receive(PATIENCE_S) == b""
