"""`lmtpd.py send` against our server, Dovecot's, and servers that are hostile."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from pathlib import Path

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate
from tests.support.command_line import lmtpd
from tests.support.components import lacking, require, require_root
from tests.support.dovecot_lmtp import DovecotLmtp, is_known
from tests.support.peer import converse
from tests.support.peer import server as peer
from tests.support.processes import LOOPBACK, free_port
from tests.support.server import Server

ALICE, BOB, NOBODY = "alice@example.org", "bob@example.org", "nobody@example.org"
LINE = re.compile(r" *[0-9]+\.[0-9] ms (===|\*\*\*| ->| ~>|<-|<\*\*|<~\*?) +\S.*")


class TestOurServer:
    def test_the_configured_one_gets_it_and_every_step_is_timed(self, server: Server) -> None:
        server.mailbox(ALICE)
        result = lmtpd(
            "send", ALICE, BOB, "--from", "me@example.net", "--lmtp-port", server.port, "--no-tls"
        )
        assert result.returncode == os.EX_NOUSER, result.stdout + result.stderr
        *steps, alice, bob = result.stdout.splitlines()
        assert all(LINE.fullmatch(line) for line in steps), result.stdout
        assert any(" -> RCPT TO:<bob@example.org>" in line for line in steps)
        assert any("<** 550 5.1.1 <bob@example.org>" in line for line in steps)
        (message,) = server.messages(ALICE)
        (found,) = re.findall(rb" id ([0-9a-f]{16})", message)
        assert alice.startswith(f"delivered <{ALICE}> 250 2.0.0 ")
        assert alice.endswith(f"id {found.decode()}")
        assert bob.startswith(f"refused   <{BOB}> 550 5.1.1 ")
        assert b"Return-Path: <me@example.net>" in message

    def test_quiet_is_the_result_alone(self, server: Server, tmp_path: Path) -> None:
        server.mailbox(ALICE)
        file = tmp_path / "message.eml"
        file.write_bytes(b"Subject: mine\n\n.\nFrom here\nno end of line")
        to = f"{LOOPBACK}:{server.port}"
        result = lmtpd("send", ALICE, "--to", to, "--file", file, "--quiet")
        assert result.returncode == 0
        assert len(result.stdout.splitlines()) == 1
        (message,) = server.messages(ALICE)
        assert message.endswith(b"Subject: mine\n\n.\nFrom here\nno end of line\n")

    @pytest.mark.parametrize("is_tls_only", [False, True])
    def test_tls_as_it_is_configured(
        self, tmp_path: Path, certificate: Certificate, is_tls_only: bool
    ) -> None:
        with Server(tmp_path, **tls_settings(certificate), lmtp_tls_only=is_tls_only) as server:
            server.mailbox(ALICE)
            here = ("--lmtp-port", server.port, "--lmtp-tls-only", str(is_tls_only).lower())
            files = ("--lmtp-cert-path", certificate.cert_path)
            files += ("--lmtp-key-path", certificate.key_path)
            result = lmtpd("send", ALICE, *here, *files)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "TLS started: TLSv1.3" in result.stdout
        assert " ~> RCPT TO" in result.stdout
        assert " -> RCPT TO" not in result.stdout
        assert (" -> STARTTLS" in result.stdout) is not is_tls_only

    def test_a_certificate_of_somebody_else_is_not_believed(
        self, starttls_server: Server, certificate: Certificate
    ) -> None:
        starttls_server.mailbox(ALICE)
        to = ("--to", f"{LOOPBACK}:{starttls_server.port}", "--starttls")
        wrong = ("--ca-path", certificate.cert_path, "--tls-name", "other.example")
        result = lmtpd("send", ALICE, *to, *wrong)
        assert result.returncode == os.EX_TEMPFAIL
        assert "certificate verify failed" in result.stdout
        assert not starttls_server.messages(ALICE)

    def test_a_unix_socket(self, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            path = Path(folder) / "socket"
            with Server(tmp_path, lmtp_socket_path=path) as server:
                server.mailbox(ALICE)
                result = lmtpd("send", ALICE, "--to", f"unix:{path}")
                assert result.returncode == 0, result.stdout
                assert server.messages(ALICE)


class TestOthers:
    def test_dovecot(self) -> None:
        require("dovecot-lmtp")
        require_root("Dovecot delivers as another user")
        if not is_known():
            lacking("the configuration of tests/support/dovecot_lmtp.py is for Dovecot 2.3")
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            root = Path(folder)
            root.chmod(0o755)
            (root / "mail").mkdir()
            with DovecotLmtp(root / "mail") as one:
                result = lmtpd("send", ALICE, BOB, "--to", f"{LOOPBACK}:{one.port}")
                assert result.returncode == 0, result.stdout
                assert result.stdout.count("\ndelivered ") == 2
                for local in ("alice", "bob"):
                    assert len(list((root / "mail/example.org" / local / "new").iterdir())) == 1

    def test_nobody_there(self) -> None:
        result = lmtpd("send", ALICE, "--to", f"{LOOPBACK}:{free_port()}")
        assert result.returncode == os.EX_TEMPFAIL
        assert "*** ConnectionRefusedError" in result.stdout
        last = result.stdout.splitlines()[-1]
        assert last.startswith(f"try again <{ALICE}> 4")
        assert last.endswith("Connection refused")

    def test_what_it_says_does_not_act_on_the_terminal(self) -> None:
        evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m".encode() + b"\xff"

        def serve(connection: socket.socket) -> None:
            refusal = b"550 5.1.1 " + evil + b"\r\n"
            converse(connection, b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", refusal)
            connection.sendall(b"221 bye\r\n")

        with peer(serve) as target:
            result = lmtpd("send", ALICE, "--to", target)
        assert result.returncode == os.EX_NOUSER, result.stdout
        text = result.stdout.replace("\n", "")
        assert text.isprintable()
        assert r"\x1b]0;owned\x07\x1b[2J" in result.stdout

    def test_one_that_trickles_does_not_hold_us(self) -> None:
        def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"220-x\r\n")
                    time.sleep(0.05)

        with peer(serve) as target:
            begun = time.monotonic()
            result = lmtpd("send", ALICE, "--to", target, "--timeout", "1s")
        assert time.monotonic() - begun < 15
        assert result.returncode == os.EX_TEMPFAIL
        assert "not done within 1 seconds" in result.stdout


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ((ALICE, "--to", "nowhere"), os.EX_USAGE),
            ((ALICE, "--timeout", "soon"), os.EX_USAGE),
            ((ALICE, "--lhlo", "not a name"), os.EX_USAGE),
            ((ALICE, "--no-tls", "--tls"), os.EX_USAGE),
            ((ALICE, "--no-tls", "--tls-name", "x"), os.EX_USAGE),
            (("no address",), os.EX_USAGE),
            ((ALICE, "--file", "/nonexistent"), os.EX_NOINPUT),
        ],
    )
    def test_it_is_said(self, arguments: tuple[str, ...], code: int) -> None:
        result = lmtpd("send", *arguments)
        assert result.returncode == code
        assert result.stderr
        assert "Traceback" not in result.stderr
