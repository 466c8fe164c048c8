"""`lmtpd.py doctor`: certificates as clients judge them, and hooks whose back-ends are away."""

from __future__ import annotations

import os
import re
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.server.conftest import tls_settings
from tests.support.certificates import Certificate, make_certificate
from tests.support.doctor import doctor, given, here
from tests.support.processes import LOOPBACK, free_port
from tests.support.server import Server

ALICE = "alice@example.org"


class TestCertificates:
    def settings(self, certificate: Certificate) -> list[object]:
        return given(tls_settings(certificate))

    def test_one_that_has_expired(self, idle: tuple[object, ...], tmp_path: Path) -> None:
        old = make_certificate(tmp_path, begins=-10, ends=-1)
        found = doctor(*idle, *self.settings(old))
        assert found.code == os.EX_CONFIG
        assert "renew" in found.the("certificate", "fail", "has expired on").remedy

    def test_one_that_expires_soon_or_is_another_s(
        self, idle: tuple[object, ...], tmp_path: Path
    ) -> None:
        soon = make_certificate(tmp_path, ("mail.example.org",), ends=3)
        name = ("--lmtp-hostname", "mail.example.org")
        found = doctor(*idle, *self.settings(soon), *name)
        found.the("certificate", "warn", "expires on")
        assert found.levels("certificate") == ["warn"]
        found = doctor(*idle, *self.settings(soon), "--lmtp-hostname", "mx.example.net")
        found.the("certificate", "warn", "none is that of mx.example.net")

    def test_one_that_holds(self, idle: tuple[object, ...], tmp_path: Path) -> None:
        good = make_certificate(tmp_path, ("*.example.org",), ends=300)
        name = ("--lmtp-hostname", "mail.example.org")
        found = doctor(*idle, *self.settings(good), *name)
        assert found.levels("certificate") == ["ok"]

    def test_a_key_of_another(
        self, idle: tuple[object, ...], tmp_path: Path, certificate: Certificate
    ) -> None:
        other = make_certificate(tmp_path)
        wrong = Certificate(other.cert_path, certificate.key_path)
        assert "fail" in doctor(*idle, *self.settings(wrong)).levels("certificate")

    def test_a_key_that_others_can_read(self, idle: tuple[object, ...], tmp_path: Path) -> None:
        open_one = make_certificate(tmp_path, ends=300)
        open_one.key_path.chmod(0o644)
        doctor(*idle, *self.settings(open_one)).the(
            "configuration", "warn", "can be read by others: chmod 0600"
        )

    @pytest.mark.parametrize("is_tls_only", [False, True])
    def test_a_server_with_tls(
        self, tmp_path: Path, certificate: Certificate, is_tls_only: bool
    ) -> None:
        with Server(tmp_path, **tls_settings(certificate), lmtp_tls_only=is_tls_only) as server:
            only = ("--lmtp-tls-only", str(is_tls_only).lower())
            found = doctor(*here(server), *self.settings(certificate), *only)
        found.the("listener", "ok", "greets and takes LHLO, TLSv1.3")


class TestHooks:
    @pytest.mark.parametrize(
        ("hook", "settings"),
        [
            (
                "sql",
                {
                    "lmtp_sql_url": "postgresql+pg8000://lmtpd@127.0.0.1:{port}/mail",
                    "lmtp_sql_query": "SELECT mailbox FROM recipients WHERE address = :address",
                },
            ),
            (
                "ldap",
                {
                    "lmtp_ldap_url": "ldap://127.0.0.1:{port}",
                    "lmtp_ldap_base": "dc=example,dc=org",
                    "lmtp_ldap_filter": "(mail={{address}})",
                },
            ),
            ("tcp_table", {"lmtp_tcp_table": "127.0.0.1:{port}"}),
        ],
    )
    def test_one_whose_back_end_is_not_there(
        self, hook: str, settings: dict[str, str], idle: tuple[object, ...]
    ) -> None:
        port = free_port()
        options = given({key: value.format(port=port) for key, value in settings.items()})
        found = doctor(*idle, "--lmtp-recipient-hooks", f"maildirs;{hook}", *options)
        assert found.code == os.EX_TEMPFAIL
        assert found.levels("hooks") == ["ok", "fail"]
        down = found.the("hooks", "fail", f"hook {hook}: ")
        assert re.search(r"\([0-9.]+ ms\)$", down.text)
        assert down.remedy.startswith(f"is what lmtp-{hook.replace('_', '-')}")

    def test_one_that_says_nothing_is_not_waited_for(self, idle: tuple[object, ...]) -> None:
        with closing(socket.create_server((LOOPBACK, 0))) as mute:
            table = f"{LOOPBACK}:{mute.getsockname()[1]}"
            settings = ("--lmtp-tcp-table", table, "--lmtp-hook-timeout", "0.5")
            found = doctor(*idle, "--lmtp-recipient-hooks", "tcp_table", *settings)
        found.the("hooks", "fail", "no answer within")

    def test_one_that_does_not_load(self, idle: tuple[object, ...]) -> None:
        found = doctor(*idle, "--lmtp-recipient-hooks", "acme.none:Verifier")
        assert found.levels("hooks") == ["fail"]

    def test_a_postmaster_is_missed(self, server: Server) -> None:
        server.mailbox(ALICE)
        found = doctor(*here(server))
        assert found.levels("hooks") == ["ok", "note"]
        found.the("hooks", "note", "postmaster@example.org is unknown here")
        server.mailbox("postmaster@example.org")
        assert doctor(*here(server)).levels("hooks") == ["ok"]
